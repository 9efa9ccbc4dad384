"""Connections to one server: httpx on aiohttp, without a bound of its own. Costs 270 ms to import, so only when a plan needs it."""

import errno
import resource
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import certifi
import httpx
from httpx_aiohttp import AiohttpTransport

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.models.proxies import proxy_for
from llm_orc.models.target import Target

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 600.0
"""Silence after which a server is given up; an agent's own clock is usually shorter."""
FILES = 10_000
"""Open files that a process asks its system for: each call in flight is one, and macOS gives 256 unasked."""


_FAULTS = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, UnicodeEncodeError)
"""What a request may raise; the last where a status line is no UTF-8."""


class Pool:
    """Sends requests to one server; every fault comes out as a FailedError without a word of another library."""

    def __init__(self, target: Target, env: Mapping[str, str], idle_seconds: float = IDLE_SECONDS) -> None:
        _open_many_files()
        self._target = target
        proxy = proxy_for(target.address, env)
        transport = AiohttpTransport(
            verify=_trust(env) if target.address.scheme == "https" else False,  # plain http has no certificate
            limits=httpx.Limits(max_connections=0),  # never queues; None would be aiohttp's own 100
            proxy=httpx.Proxy(proxy) if proxy else None,
        )
        timeout = httpx.Timeout(connect=CONNECT_SECONDS, read=idle_seconds, write=idle_seconds, pool=None)
        self._client = httpx.AsyncClient(transport=transport, timeout=timeout)
        self._headers = {"Content-Type": "application/json", "User-Agent": "llm-orc"}
        if target.key:
            self._headers["Authorization"] = f"Bearer {target.key}"

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[httpx.Response]:
        """A response whose body is still to come."""
        try:
            async with self._client.stream("POST", self._target.address.url + path, content=body, headers=self._headers) as response:
                yield response
        except _FAULTS as error:
            raise FailedError(_failure(error, self._target)) from None

    async def get(self, path: str) -> httpx.Response:
        """A whole response."""
        try:
            return await self._client.get(self._target.address.url + path, headers=self._headers)
        except _FAULTS as error:
            raise FailedError(_failure(error, self._target)) from None

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()


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
        raise FailedError(Failure(Kind.NETWORK, what, "set it to a PEM file that exists, or unset it")) from None


def _failure(error: Exception, target: Target) -> Failure:
    """Told by type alone: httpx names a refused connection a timeout, and the texts hold other libraries' words."""
    label = target.address.label
    cause = error if isinstance(error, aiohttp.ClientError | UnicodeEncodeError) else error.__cause__
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) or isinstance(cause, TimeoutError):
        return Failure(Kind.TIMEOUT, f"{label} did not answer in time", "try again, or give it more room: a smaller prompt or model")
    match cause:
        case aiohttp.ClientSSLError():
            return Failure(
                Kind.NETWORK, f"the certificate of {label} is not trusted", "behind a company proxy set SSL_CERT_FILE to its CA bundle"
            )
        case aiohttp.ClientConnectorDNSError():
            return Failure(Kind.NETWORK, f"no host named {target.address.host}", target.preset.start)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return Failure(Kind.NETWORK, f"the proxy before {label} cannot be reached", "check HTTPS_PROXY, or name the host in NO_PROXY")
        case aiohttp.ClientConnectorError() if cause.errno in (errno.EMFILE, errno.ENFILE):
            return Failure(Kind.NETWORK, "this system lets no more connections be open", "lower max_parallel, or raise ulimit -n")
        case aiohttp.ClientConnectorError():
            return Failure(Kind.NETWORK, f"no connection to {label}", target.preset.start)
        case aiohttp.ClientResponseError() | UnicodeEncodeError():
            return Failure(Kind.MALFORMED, f"{label} does not speak HTTP", f"check base_url: {target.address.url}")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return Failure(Kind.INVALID_REQUEST, f"{target.address.url} cannot be asked", "check base_url")
    return Failure(Kind.NETWORK, f"{label} broke the connection off", "try again; if it stays so, see the server's own log")
