"""What a server's error means, in our words and a little of its own."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.secret import without_secrets
from llm_orc.models.target import Target

_LENGTH = 200
_KEYLIKE = re.compile(
    r"\b(?:sk|pk|key|xai|gsk|hf|ghp|gho)[-_][\w*.-]{4,}"  # most; of Anthropic sk-ant-...
    r"|\bAIza[\w*.-]{4,}|\bya29\.[\w*.-]{4,}"  # Google's keys and tokens
    r"|\beyJ[\w-]{8,}\.[\w.-]+"  # a JSON web token
    r"|(?<=[Bb]earer )[^\s\"']{4,}"
)
_TOO_LONG = re.compile(
    r"context[ _](length|window|size)|maximum context|n_ctx|too many tokens|prompt is too long|input is too long"
    r"|token count.{0,40} exceeds the maximum|input length .{0,60}exceed",
    re.IGNORECASE,
)
_WINDOW = re.compile(
    r"maximum context length (?:is|of) (\d[\d,]{0,10}) tokens|\d tokens > (\d[\d,]{0,10}) maximum"
    r"|maximum number of tokens allowed \(?(\d[\d,]{0,10})|n_ctx ?[:=]? ?(\d[\d,]{0,10})",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"credit balance is too low|insufficient (?:credits|balance|quota)|exceeded your current quota, please check your plan and billing"
)
_NOT_TAKEN = re.compile(r"[Uu]n(?:supported|recognized|known) (?:parameter|value|request argument)s?[^'`\"]{0,30}['`\"]([\w.]{1,40})['`\"]")
_NOT_LOADED = re.compile(
    r"no models? (?:is |are )?loaded|failed to load model|model (?:is |was |has been |has )?(?:unloaded|crashed)", re.IGNORECASE
)
"""LM Studio's words for a model that is gone, or that it has no room for; most come with a 400."""
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"})
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
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
"""Names of errors that come inside a stream, and what their status would have been."""


def refusal(target: Target, model: str, status: int, said: Any, headers: Mapping[str, str]) -> Failure:
    """The failure for an error status of any of the four formats; `said` is the body, parsed where it is JSON."""
    if 300 <= status < 400:
        what = f"{target.address.label} redirects ({status}), and redirects are not followed"
        return Failure(Kind.INVALID_REQUEST, what, f"set base_url to where the server really is, not {target.address.url}")
    codes, message = error_of(said)
    kind = _kind(status, codes, message)
    words = shortened(message)
    what = f"{target.address.label} answered {status}" + (f": {words}" if words else "")
    wait = retry_after(headers)
    window = window_in(said) if kind is Kind.CONTEXT_LENGTH else None
    return Failure(kind, what, _hint(kind, target, model, codes, message), retry_delay(said) if wait is None else wait, window)


def window_in(said: Any) -> int | None:
    """Tokens that the server has room for, where it says so: as a number of its own, or in its words."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict) and isinstance(window := error.get("n_ctx"), int) and window > 0:
        return window
    found = _WINDOW.search(error_of(said)[1])
    return int(next(filter(None, found.groups())).replace(",", "")) or None if found else None


def parsed(body: bytes) -> Any:
    """The JSON of a body; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def event_refusal(target: Target, model: str, said: Any) -> Failure:
    """The failure for an error that came under a status of success."""
    error = said.get("error") if isinstance(said, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) else int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else 0
    status = status or next((_STATUSES[each] for each in error_of(said)[0] if each in _STATUSES), 500)
    return refusal(target, model, status if 400 <= status < 600 else 500, said, {})


def ended_early(target: Target, last: str = "event") -> FailedError:
    """The error for a stream that ended before the last of its events or lines."""
    what = f"the stream of {target.address.label} ended before its last {last}"
    return FailedError(Failure(Kind.NETWORK, what, "try again; what had come is kept as partial"))


def empty(target: Target, *, cut: bool, thought: bool, why: str = "") -> Failure:
    """The failure for a reply without a word in it: `cut` by max_tokens, or after it `thought`, or for the server's reason."""
    what = f"{target.address.label} sent an empty reply"
    if cut:
        return Failure(Kind.EMPTY, f"{what}: max_tokens went by before its first word", "raise max_tokens; thinking counts too")
    reason = f" ({shortened(why).lower().replace('_', ' ')})" if why else ""
    return Failure(Kind.EMPTY, what + reason + (" after thinking" if thought else ""), "try again, or choose another model")


def error_of(said: Any) -> tuple[frozenset[str], str]:
    """The codes and the message of an error body; servers differ in where they put them."""
    if isinstance(said, list) and said:  # Google's streams
        said = said[0]
    if not isinstance(said, dict):
        return frozenset(), ""
    error = said.get("error", said)
    if not isinstance(error, dict):
        return frozenset(), str(error)
    message = next((value for key in ("message", "detail", "error") if isinstance(value := error.get(key), str)), "")
    codes = [error.get("code"), error.get("type"), error.get("status"), *(detail.get("reason") for detail in _details(error))]
    return frozenset(str(code) for code in codes if isinstance(code, str | int)), message


def shortened(message: str) -> str:
    """A server's words on one line, without control characters and without anything like a key."""
    message = _KEYLIKE.sub("[key]", without_secrets(message[: 100 * _LENGTH]))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}..."


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait, given as milliseconds, as a number or as a date."""
    named = {name.lower(): value.strip() for name, value in headers.items()}
    if re.fullmatch(r"\d{1,12}(\.\d+)?", exact := named.get("retry-after-ms", "")):
        return float(exact) / 1000
    said = named.get("retry-after", "")
    if re.fullmatch(r"\d{1,12}(\.\d+)?", said):
        return float(said)
    from email.utils import parsedate_to_datetime  # costs 4 ms, and dates are rare

    try:
        then = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def retry_delay(said: Any) -> float | None:
    """Seconds that Google asks us to wait, which it says in the body: `"retryDelay": "12s"`."""
    error = said[0] if isinstance(said, list) and said else said
    error = error.get("error") if isinstance(error, dict) else None
    for detail in _details(error):
        if isinstance(delay := detail.get("retryDelay"), str) and re.fullmatch(r"\d{1,12}(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def _details(error: Any) -> Iterator[dict[str, Any]]:
    details = error.get("details") if isinstance(error, dict) else None
    yield from (detail for detail in details if isinstance(detail, dict)) if isinstance(details, list) else ()


def _kind(status: int, codes: frozenset[str], message: str) -> Kind:
    if "insufficient_quota" in codes or _NO_CREDIT.search(message):
        return Kind.PERMISSION
    if 400 <= status < 500 and codes & _FILTERED:
        return Kind.CONTENT_FILTER
    if status in (400, 403) and codes & _BAD_KEY:
        return Kind.AUTHENTICATION
    if status in (400, 422, 500) and ("context_length_exceeded" in codes or _TOO_LONG.search(message)):
        return Kind.CONTEXT_LENGTH
    if status in (400, 500) and _NOT_LOADED.search(message):
        return Kind.NOT_FOUND
    if status == 400 and "FAILED_PRECONDITION" in codes:  # Google: not in this country, or not without billing
        return Kind.PERMISSION
    if status in _KINDS:
        return _KINDS[status]
    return Kind.SERVER if status >= 500 or status in (409, 425) else Kind.INVALID_REQUEST


def _hint(kind: Kind, target: Target, model: str, codes: frozenset[str], message: str) -> str:
    if kind is Kind.AUTHENTICATION:
        return _hint_for_key(target)
    if "insufficient_quota" in codes or _NO_CREDIT.search(message):
        return "the account has no credit left: see the provider's billing page"
    if kind is Kind.NOT_FOUND and target.provider == "ollama":
        return f"ollama pull {model}"
    if kind is Kind.NOT_FOUND and target.provider == "lmstudio":
        return f"lms load {model}; see which there are: llm-orc list models lmstudio"
    if kind is Kind.INVALID_REQUEST and (named := _NOT_TAKEN.search(message)):
        return f"take '{named[1]}' out of the profile, the agent or its options"
    return {
        Kind.PERMISSION: "see what this key may do at the provider, or choose another model",
        Kind.NOT_FOUND: f"is '{model}' the model's name there, and {target.address.url} the server's address?",
        Kind.RATE_LIMIT: "try again later, or lower max_parallel in the profile",
        Kind.CONTEXT_LENGTH: "send less: split the input with fan_out, or choose a model with a larger window",
        Kind.CONTENT_FILTER: "the provider's filter refused it: reword the prompt or choose another model",
        Kind.TIMEOUT: "try again later",
        Kind.SERVER: "try again later; the fault is the server's",
    }.get(kind, "check the profile's model, parameters and options")


def _hint_for_key(target: Target) -> str:
    if target.withheld:
        return f"{target.withheld.origin} was not sent there: name {target.address.origin} in trusted_hosts of your own config.yaml"
    if target.credential:
        return f"check {target.credential.origin}: llm-orc auth test {target.provider}"
    add = f"llm-orc auth add {target.provider}"
    return f"this server wants a key: {add}" + (f", or export {target.preset.key}=..." if target.preset.key else "")
