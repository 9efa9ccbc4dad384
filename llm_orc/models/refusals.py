"""What a server's error means, in our words and a little of its own."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llm_orc.domain.message import Failure, Kind
from llm_orc.models.target import Target

_LENGTH = 200
_KEYLIKE = re.compile(r"\b(?:sk|pk|key)-[\w*.-]{4,}")
_TOO_LONG = re.compile(r"context[ _](length|window|size)|maximum context|n_ctx|too many tokens|prompt is too long", re.IGNORECASE)
_FILTERED = ("content_filter", "content_policy_violation")
_KINDS = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    402: Kind.PERMISSION,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    405: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.CONTEXT_LENGTH,
    429: Kind.RATE_LIMIT,
}


def refusal(target: Target, model: str, status: int, said: Any, headers: Mapping[str, str]) -> Failure:
    """The failure for an error status; `said` is the body, parsed where it is JSON."""
    if 300 <= status < 400:
        what = f"{target.address.label} redirects ({status}), and redirects are not followed"
        return Failure(Kind.INVALID_REQUEST, what, f"set base_url to where the server really is, not {target.address.url}")
    code, message = error_of(said)
    kind = _kind(status, code, message)
    words = shortened(message, target.key)
    what = f"{target.address.label} answered {status}" + (f": {words}" if words else "")
    return Failure(kind, what, _hint(kind, target, model, code), retry_after(headers))


def event_refusal(target: Target, model: str, said: Any) -> Failure:
    """The failure for an error that came under a status of success."""
    error = said.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) else int(code) if isinstance(code, str) and code.isdecimal() else 500
    return refusal(target, model, status if 400 <= status < 600 else 500, said, {})


def error_of(said: Any) -> tuple[str, str]:
    """Code and message of an error body; servers differ in where they put them."""
    if not isinstance(said, dict):
        return "", ""
    error = said.get("error", said)
    if not isinstance(error, dict):
        return "", str(error)
    message = next((value for key in ("message", "detail", "error") if isinstance(value := error.get(key), str)), "")
    return str(error.get("code") or error.get("type") or ""), message


def shortened(message: str, key: str | None) -> str:
    """A server's words on one line, without control characters and without anything like a key."""
    if key:
        message = message.replace(key, "[key]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in _KEYLIKE.sub("[key]", message)).split())
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}..."


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait, given as a number or as a date."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", said):
        return float(said)
    from email.utils import parsedate_to_datetime  # costs 4 ms, and dates are rare

    try:
        then = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _kind(status: int, code: str, message: str) -> Kind:
    if code == "insufficient_quota":
        return Kind.PERMISSION
    if 400 <= status < 500 and code in _FILTERED:
        return Kind.CONTENT_FILTER
    if status in (400, 422) and (code == "context_length_exceeded" or _TOO_LONG.search(message)):
        return Kind.CONTEXT_LENGTH
    if status in _KINDS:
        return _KINDS[status]
    return Kind.SERVER if status >= 500 or status in (409, 425) else Kind.INVALID_REQUEST


def _hint(kind: Kind, target: Target, model: str, code: str) -> str:
    if kind is Kind.AUTHENTICATION and target.withheld:
        return f"{target.preset.key} was not sent there: name {target.address.origin} in trusted_hosts of your own config.yaml"
    if kind is Kind.AUTHENTICATION and target.preset.key is None:
        return "this server wants a key: use provider openai-compatible"
    if kind is Kind.AUTHENTICATION:
        return f"check {target.preset.key}" if target.key else f"this server wants a key: export {target.preset.key}=..."
    if code == "insufficient_quota":
        return "the account has no credit left: see the provider's billing page"
    return {
        Kind.PERMISSION: "see what this key may do at the provider, or choose another model",
        Kind.NOT_FOUND: f"is '{model}' the model's name there, and {target.address.url} the server's address?",
        Kind.RATE_LIMIT: "try again later, or lower max_parallel in the profile",
        Kind.CONTEXT_LENGTH: "send less: split the input with fan_out, or choose a model with a larger window",
        Kind.CONTENT_FILTER: "the provider's filter refused it: reword the prompt or choose another model",
        Kind.TIMEOUT: "try again later",
        Kind.SERVER: "try again later; the fault is the server's",
    }.get(kind, "check the profile's model, parameters and options")
