"""One request to an issuer of tokens, and what it answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.domain.problem import Problem, ProblemError

SECONDS = 30.0
ONLINE = "check the connection, and HTTPS_PROXY if there is a proxy"
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON object that came with it."""

    host: str
    status: int
    said: Mapping[str, Any] = field(repr=False)
    retry_after: float | None = None

    @property
    def error(self) -> str:
        """The word that OAuth has for what is wrong; empty where all is well."""
        return str(self.said.get("error") or "") or ("" if self.status < 400 else f"status {self.status}")

    def text(self, key: str) -> str:
        """A value that has to be there; raises FailedError."""
        value = self.said.get(key)
        if not isinstance(value, str) or not value or not value.isprintable():  # some of it is shown to a person
            raise failed(Kind.MALFORMED, f"{self.host} answered without {key}", "is this the issuer's address?")
        return value

    def number(self, key: str, default: float) -> float:
        """A number of seconds, none below zero and none without end."""
        try:
            number = float(self.said.get(key, default))
        except (TypeError, ValueError, OverflowError):
            return default
        return max(number, 0.0) if isfinite(number) else default


def get(url: str) -> Answer:
    """Fetch a document; raises FailedError, and ProblemError for an address that is not safe."""
    return _sent("GET", url)


def post(url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None) -> Answer:
    """Send a form. The answer may be a refusal; raises FailedError where there is no answer at all."""
    return _sent("POST", url, data=dict(form), auth=basic)


def safe(url: str) -> str:
    """The address; raises ProblemError unless nobody between can read what is sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ProblemError(Problem("the issuer is no address", hint="as in: --issuer https://accounts.example.com")) from None
    if parts.username or not host or not (parts.scheme == "https" or (parts.scheme == "http" and loopback(host))):
        raise ProblemError(Problem(f"{parts.scheme or 'http'}://{host} is not safe for a login", hint="the issuer has to be at https://"))
    return url


def loopback(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def failed(kind: Kind, what: str, hint: str, retry_after: float | None = None) -> FailedError:
    """A failure of a call that nobody bills."""
    return FailedError(Failure(kind, what, hint, retry_after), usage=NO_USAGE)


def _sent(method: str, url: str, **content: Any) -> Answer:
    import httpx

    host = urlsplit(safe(url)).netloc
    try:
        with httpx.Client(timeout=SECONDS, follow_redirects=False) as client:
            response = client.request(method, url, headers={"Accept": "application/json"}, **content)
    except httpx.TimeoutException:
        raise failed(Kind.TIMEOUT, f"{host} did not answer within {SECONDS:.0f} s", ONLINE) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise failed(Kind.NETWORK, f"{host} cannot be reached", ONLINE) from None
    return _answered(host, response.status_code, response.content, response.headers.get("retry-after", ""))


def _answered(host: str, status: int, content: bytes, wait: str) -> Answer:
    seconds = float(wait) if wait.isdecimal() else None
    if status >= SERVER_ERROR:
        raise failed(Kind.SERVER, f"{host} has trouble of its own: status {status}", "try again in a while", seconds)
    if status == 429:
        raise failed(Kind.RATE_LIMIT, f"{host} wants fewer requests", "try again in a while", seconds)
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise failed(Kind.MALFORMED, f"{host} answered with something else than JSON: status {status}", "is this the issuer's address?")
    return Answer(host, status, said, seconds)
