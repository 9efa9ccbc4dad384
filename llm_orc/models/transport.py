"""What every provider sends through: httpx on aiohttp, without a bound of its own; and what its exceptions mean.

Costs 270 ms to import, so only when a plan needs it.
"""

import asyncio
import errno
import json
import resource
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import certifi
import httpx
from httpx_aiohttp import AiohttpTransport

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Usage
from llm_orc.domain.secret import PIECE, without_secrets
from llm_orc.models.proxies import proxy_for
from llm_orc.models.target import Target

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0
"""Until the first piece of a reply: a model may think, or read a long prompt. An agent's own clock is usually shorter."""
IDLE_SECONDS = 120.0
"""Between the pieces of a reply, once it has begun."""
LARGEST = 64_000_000
"""Bytes of one reply."""
FILES = 10_000
"""Open files that a process asks its system for: each call in flight is one, and macOS gives 256 unasked."""


_NEEDED = frozenset({b"content-length", b"content-type", b"retry-after", b"retry-after-ms", b"transfer-encoding"})
"""The headers of an answer that somebody reads."""
_PACKINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a server is given up."""

    connect: float = CONNECT_SECONDS
    answer: float = ANSWER_SECONDS
    idle: float = IDLE_SECONDS


PATIENCE = Patience()


class Sendable(Protocol):
    """A request of httpx or of its fork."""

    extensions: dict[str, Any]

    @property
    def headers(self) -> MutableMapping[str, str]:
        """What the server is told besides the body."""
        ...


class Answered(Protocol):
    """A response of httpx or of its fork."""

    status_code: int
    extensions: dict[str, Any]
    headers: Any

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...


class Body(Protocol):
    """The pieces of a reply as httpx or its fork hands them over."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Each piece."""
        ...

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...


class Pieces:
    """A body that must go on within so many seconds once it has begun, and come to an end."""

    def __init__(self, body: Body, target: Target, patience: Patience) -> None:
        self._body, self._target, self._patience = body, target, patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each piece as it comes; raises TimeoutError, and FailedError for more than anybody would read."""
        pieces, size, idle = aiter(self._body), 0, None  # until the first piece, the transport's own clock runs
        while True:
            try:
                if idle is None:
                    piece = await anext(pieces)
                else:
                    async with asyncio.timeout(idle):
                        piece = await anext(pieces)
            except StopAsyncIteration:
                return
            size, idle = size + len(piece), self._patience.idle
            if size > LARGEST:
                what = f"{self._target.address.label} sent more than {LARGEST // 1_000_000} MB"
                raise FailedError(Failure(Kind.MALFORMED, what, "lower max_tokens; if it stays so, see the server's own log"))
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._body.aclose()


class _Stream(Pieces, httpx.AsyncByteStream):
    """The same for httpx."""


class _Transport(AiohttpTransport):
    def __init__(self, target: Target, env: Mapping[str, str], patience: Patience) -> None:
        verify, proxy = settings(target, env)
        limits = httpx.Limits(max_connections=0)  # never queues; None would be aiohttp's own 100
        super().__init__(verify=verify, limits=limits, proxy=httpx.Proxy(proxy) if proxy else None)
        self._target, self._patience = target, patience

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        prepare(request, self._patience)
        response = await super().handle_async_request(request)
        await refuse_packed(response, self._target)
        quiet(response)
        if isinstance(body := response.stream, httpx.AsyncByteStream):
            response.stream = _Stream(body, self._target, self._patience)
        return response


def transport(target: Target, env: Mapping[str, str], patience: Patience = PATIENCE) -> httpx.AsyncBaseTransport:
    """For clients on httpx; those on httpx2 take `transport2.transport2`. Whatever timeouts the client asks for, those of `patience` hold.

    Raises FailedError for a proxy or certificates that cannot be used.
    """
    return _Transport(target, env, patience)


def prepare(request: Sendable, patience: Patience) -> None:
    """Give a request our timeouts, and let its reply come as it is: packing would cost more than loopback, and could hide its size."""
    request.extensions["timeout"] = {"connect": patience.connect, "read": patience.answer, "write": patience.answer, "pool": None}
    request.headers["Accept-Encoding"] = "identity"


async def refuse_packed(response: Answered, target: Target) -> None:
    """Raises FailedError for a packed reply, which may be a thousand times as large as what comes; of an error the status will do."""
    if response.status_code == 200 and not _PACKINGS.isdisjoint(response.headers.get("content-encoding", "").lower().split(", ")):
        await response.aclose()
        hint = "turn compression off there, or in the proxy before it"
        raise FailedError(Failure(Kind.MALFORMED, f"{target.address.label} packs its replies, and was asked not to", hint))


def quiet(response: Answered) -> None:
    """Take from an answer what nobody needs of it: a server may say anything there, and the libraries log it."""
    response.extensions.pop("reason_phrase", None)
    headers = response.headers
    needed = [(name, without_secrets(value.decode("latin-1"), PIECE)) for name, value in headers.raw if name.lower() in _NEEDED]
    response.headers = type(headers)(needed)


def settings(target: Target, env: Mapping[str, str]) -> tuple[ssl.SSLContext | bool, str | None]:
    """The certificates to trust and the proxy before one server, and files enough for its connections; raises FailedError."""
    _open_many_files()
    proxy = proxy_for(target.address, env)
    return _trust(env) if target.address.scheme == "https" else False, proxy  # plain http has no certificate


def _open_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
        with suppress(ValueError, OSError):  # a system that gives no more is met as "too many open files", if ever
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _trust(env: Mapping[str, str]) -> ssl.SSLContext:
    file, folder = env.get("SSL_CERT_FILE") or None, env.get("SSL_CERT_DIR") or None
    try:
        return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
    except OSError:
        what = f"the certificates in SSL_CERT_FILE ({file}) cannot be read"
        failure = Failure(Kind.NETWORK, what, "set it to a PEM file that exists, or unset it")
        raise FailedError(failure, usage=NO_USAGE) from None


_Meaning = tuple[Failure, Usage | None]


@contextmanager
def translated(target: Target) -> Iterator[None]:
    """Whatever the libraries below raise within comes out as the FailedError that it stands for; see `failure_of`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again as it is, if it is none of theirs
        raise failure_of(error, target) from None


def failure_of(error: BaseException, target: Target) -> FailedError:
    """The failure that an exception stands for, without a word of another library; one that is none of theirs is a bug, and raised again.

    Told by type alone: httpx names a refused connection a timeout, and the texts hold other libraries' words.
    """
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, FailedError):  # passed through an SDK
            return each
    for meaning_of in (_aiohttp, _system, _httpx):  # the nearest to the wire knows best
        for each in reversed(chain):
            if meaning := meaning_of(each, target):
                return FailedError(meaning[0], usage=meaning[1])
    raise error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _aiohttp(error: BaseException, target: Target) -> _Meaning | None:
    label = target.address.label
    match error:
        case aiohttp.ConnectionTimeoutError():
            return _unreached(target)
        case aiohttp.ServerTimeoutError():
            return _late(target)
        case aiohttp.ClientSSLError():
            hint = "behind a company proxy set SSL_CERT_FILE to its CA bundle"
            return Failure(Kind.NETWORK, f"the certificate of {label} is not trusted", hint), NO_USAGE
        case aiohttp.ClientConnectorDNSError():
            return Failure(Kind.NETWORK, f"no host named {target.address.host}", target.preset.start), NO_USAGE
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            hint = "check HTTPS_PROXY, or name the host in NO_PROXY"
            return Failure(Kind.NETWORK, f"the proxy before {label} cannot be reached", hint), NO_USAGE
        case aiohttp.ClientConnectorError():
            return _unreached(target, error.errno)
        case aiohttp.InvalidURL():
            return _not_asked(target)
        case aiohttp.ClientResponseError():
            return Failure(Kind.MALFORMED, f"{label} does not speak HTTP", f"check base_url: {target.address.url}"), None
        case aiohttp.ClientError():
            return _broken(target)
    return None


def _system(error: BaseException, target: Target) -> _Meaning | None:
    match error:
        case TimeoutError():
            return _late(target)
        case ssl.SSLError() | OSError():
            return _broken(target)
        case UnicodeEncodeError():  # a status line that is no UTF-8
            return Failure(Kind.MALFORMED, f"{target.address.label} does not speak HTTP", f"check base_url: {target.address.url}"), None
        case UnicodeError() | json.JSONDecodeError() | RecursionError():
            what = f"{target.address.label} sent what is no reply"
            return Failure(Kind.MALFORMED, what, f"try again; if it stays so, is base_url right? {target.address.url}"), None
    return None


def _httpx(error: BaseException, target: Target) -> _Meaning | None:
    """By name, so that neither library is imported for it."""
    names = {each.__name__ for each in type(error).__mro__ if each.__module__.partition(".")[0] in ("httpx", "httpx2")}
    if names & {"ConnectError", "ConnectTimeout", "PoolTimeout"}:
        return _unreached(target)
    if "TimeoutException" in names:
        return _late(target)
    if names & {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}:
        return _not_asked(target)
    if "DecodingError" in names:
        return Failure(Kind.MALFORMED, f"{target.address.label} sent what is no reply", f"is base_url right? {target.address.url}"), None
    return _broken(target) if names & {"HTTPError", "StreamError"} else None


def _unreached(target: Target, number: int | None = None) -> _Meaning:
    if number in (errno.EMFILE, errno.ENFILE):
        return Failure(Kind.NETWORK, "this system lets no more connections be open", "lower max_parallel, or raise ulimit -n"), NO_USAGE
    return Failure(Kind.NETWORK, f"no connection to {target.address.label}", target.preset.start), NO_USAGE


def _late(target: Target) -> _Meaning:
    hint = "try again, or give it more room: a smaller prompt or model"
    return Failure(Kind.TIMEOUT, f"{target.address.label} did not answer in time", hint), None


def _broken(target: Target) -> _Meaning:
    hint = "try again; if it stays so, see the server's own log"
    return Failure(Kind.NETWORK, f"{target.address.label} broke the connection off", hint), None


def _not_asked(target: Target) -> _Meaning:
    return Failure(Kind.INVALID_REQUEST, f"{target.address.url} cannot be asked", "check base_url"), NO_USAGE
