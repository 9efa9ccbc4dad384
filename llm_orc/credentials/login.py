"""Logging in: in a browser with PKCE, or with a code that is typed on another device."""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs, urlencode

from llm_orc.credentials.exchange import Answer, failed, post
from llm_orc.credentials.issuer import Issuer
from llm_orc.credentials.redirect import Redirect
from llm_orc.credentials.tokens import Client, Tokens, said, tokens_of
from llm_orc.domain.message import FailedError, Kind

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
LONGEST = 300.0
"""Seconds that a person has to log in."""
INTERVAL = 5.0
"""Seconds between two questions, if the issuer does not say, and by how much more it means by `slow_down`."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a login goes through."""

    client: Client
    scopes: tuple[str, ...]
    show: Callable[[str], None]
    """Tells the person what to do."""
    open: Callable[[str], None] | None = None
    """Opens a browser."""
    extra: Mapping[str, str] = field(default_factory=dict)
    seconds: float = LONGEST
    now: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep

    @property
    def asked(self) -> Mapping[str, str]:
        """The scopes as a parameter; none at all where there are none."""
        return {"scope": " ".join(self.scopes)} if self.scopes else {}


def in_browser(issuer: Issuer, way: Way) -> Tokens:
    """Send the person to the issuer and wait until it sends them back; raises FailedError."""
    if not issuer.browser:
        raise failed(Kind.INVALID_REQUEST, f"{issuer.url} has no login in a browser", "try --device")
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with Redirect(lambda query: _is_ours(query, state)) as redirect:
        asked = {
            **way.extra,
            "response_type": "code",
            "client_id": way.client.id,
            "redirect_uri": redirect.uri,
            **way.asked,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = f"{issuer.browser}{'&' if '?' in issuer.browser else '?'}{urlencode(asked)}"
        way.show(f"log in here, in a browser on this machine:\n  {url}\n")
        if way.open is not None:
            way.open(url)
        query = redirect.wait(way.seconds)
    if query is None:
        raise failed(Kind.TIMEOUT, f"nobody logged in within {way.seconds:.0f} s", "try again, or on another device: --device")
    code = _code(issuer, query)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect.uri, "code_verifier": verifier}
    return _granted(way.client.ask(form), way)


def with_code(issuer: Issuer, way: Way) -> Tokens:
    """Show a code to type elsewhere and ask until it was typed; raises FailedError."""
    if not issuer.device:
        raise failed(Kind.INVALID_REQUEST, f"{issuer.url} has no login with a code", "log in in a browser: leave out --device")
    form = {"client_id": way.client.id, **way.asked}
    started = post(issuer.device, form)
    if started.error:
        raise _refused(started)
    device, code = started.text("device_code"), started.text("user_code")
    page = started.text("verification_uri" if "verification_uri" in started.said else "verification_url")
    way.show(f"on any device, open {page} and type: {code}\n")
    wait = started.number("interval", INTERVAL)
    until = way.now() + min(started.number("expires_in", LONGEST), 3600.0)
    while way.now() + wait <= until:
        way.wait(wait)
        try:
            answer = way.client.ask({"grant_type": DEVICE_CODE, "device_code": device})
        except FailedError as error:
            if not error.failure.kind.retryable:
                raise
            wait += INTERVAL  # as RFC 8628 has it for a connection that fails
            continue
        if answer.error == "slow_down":
            wait += INTERVAL
        elif answer.error != "authorization_pending":
            return _granted(answer, way)
    raise _expired()


def _is_ours(query: str, state: str) -> bool:
    given = parse_qs(query).get("state", [""])
    return len(given) == 1 and hmac.compare_digest(given[0].encode(), state.encode())


def _code(issuer: Issuer, query: str) -> str:
    """The code in a redirect that is ours; raises FailedError."""
    given = {key: values[0] for key, values in parse_qs(query).items()}
    if (named := given.get("iss", issuer.url if not issuer.names_itself else "")) != issuer.url:
        raise failed(Kind.PERMISSION, "somebody else than the issuer sent the browser back", f"log in again, and only at {issuer.url}")
    if "error" in given or not given.get("code"):
        raise _refused(Answer(named, 400, {"error": given.get("error", "no code")}))
    return given["code"]


def _granted(answer: Answer, way: Way) -> Tokens:
    if answer.error:
        raise _refused(answer)
    return tokens_of(answer, way.client, way.now())


def _refused(answer: Answer) -> FailedError:
    if answer.error == "expired_token":
        return _expired()
    hint = "log in again and agree" if answer.error == "access_denied" else "check the client id, its secret and the scopes"
    return failed(Kind.AUTHENTICATION, f"{answer.host} refused the login: {said(answer)}", hint)


def _expired() -> FailedError:
    return failed(Kind.TIMEOUT, "nobody typed the code in time", "start the login again")
