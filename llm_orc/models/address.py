"""Where a server is: scheme, name and port, and whether that is this machine."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from llm_orc.domain.problem import Problem, ProblemError

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL, taken apart."""

    url: str
    """Without a slash at its end."""
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """What trust belongs to: `scheme://host:port`, the port always written."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def label(self) -> str:
        """For people: the name, and the port where it is not the usual one."""
        return self.host if self.port == _PORTS[self.scheme] else f"{_bracketed(self.host)}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether it is on the loopback interface."""
        return _is_loopback(self.host)


@lru_cache(256)
def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(256)  # asked anew for every call
def address(base_url: str) -> Address:
    """Take a base URL apart; raises ProblemError for one that cannot be used."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ProblemError(Problem(f"'{_bare(base_url)}' is no URL", hint="write it as http://HOST:PORT/v1")) from None
    if parts.scheme not in _PORTS or not host:
        raise ProblemError(Problem(f"base_url '{_bare(base_url)}' is not http:// or https://", hint="write it as http://HOST:PORT/v1"))
    if "@" in parts.netloc or parts.query or parts.fragment:
        hint = "a key comes from the environment, never from a URL"
        raise ProblemError(Problem(f"base_url of '{host}' holds more than scheme, host, port and path", hint=hint))
    if not (_NAME.fullmatch(host) or ":" in host) or not base_url.strip().isprintable():  # in brackets Python has looked at it itself
        hint = "write a name in other letters as xn--..., as a browser's address line copies it"
        raise ProblemError(Problem(f"'{_bare(base_url)}' is no URL: it holds characters that none has", hint=hint))
    port = _PORTS[parts.scheme] if port is None else port
    return Address(f"{parts.scheme}://{_bracketed(host)}:{port}{parts.path.rstrip('/')}", parts.scheme, host, port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bare(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2][:100]
