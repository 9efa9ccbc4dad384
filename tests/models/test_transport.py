"""One transport for all SDKs, in two makes: proxies, certificates, patience, size; and what the libraries' exceptions mean."""

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import httpx
import httpx2
import pytest

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.models.base import Reach
from llm_orc.models.target import Target, aim
from llm_orc.models.transport import LARGEST, Patience, failure_of, translated, transport
from llm_orc.models.transport2 import transport2
from tests.models.asking import profile
from tests.servers import tls
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.proxy import TunnelServer
from tests.servers.wire import Connection, Received, ThreadServer

FAR = "http://models.example:8000"
Client = httpx.AsyncClient | httpx2.AsyncClient
Make = Callable[..., Client]


def first(target: Target, env: Mapping[str, str], *patience: Patience) -> Client:
    return httpx.AsyncClient(transport=transport(target, env, *patience), timeout=0.001)


def second(target: Target, env: Mapping[str, str], *patience: Patience) -> Client:
    return httpx2.AsyncClient(transport=transport2(target, env, *patience), timeout=0.001)


makes = pytest.mark.parametrize("make", [first, second])
"""The client's own timeout is far too short: the transport's holds."""


def aimed(base_url: str) -> Target:
    return aim(profile(base_url, insecure=True), Reach())


async def post(client: Client, target: Target, body: str = "{}") -> bytes:
    """The body of an answer; raises FailedError."""
    try:
        with translated(target):
            response = await client.post(f"{target.address.url}/chat/completions", content=body)
            return response.content
    finally:
        await client.aclose()


@makes
async def test_it_goes_through_the_proxy_that_the_environment_names(make: Make, openai_server: NewServer) -> None:
    proxy, target = openai_server(), aimed(f"{FAR}/v1")
    await post(make(target, {"HTTP_PROXY": proxy.origin}), target, '{"messages": []}')

    assert [request.target for request in proxy.requests] == [f"{FAR}/v1/chat/completions"]


@makes
async def test_a_host_of_no_proxy_is_asked_directly(make: Make, openai_server: NewServer) -> None:
    server, target = openai_server(), aimed(openai_server().base_url)
    target = aimed(server.base_url)
    env = {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}

    assert b"ok" in await post(make(target, env), target, '{"messages": []}')


@makes
async def test_an_encrypted_request_is_tunnelled_and_the_company_bundle_trusted(
    make: Make, tmp_path: Path, openai_server: NewServer
) -> None:
    authority = tls.authority(tmp_path, ["models.example"])
    server, target = openai_server(tls=authority.context), aimed("https://models.example/v1")
    with TunnelServer(to=server.port) as proxy:
        await post(make(target, {"HTTPS_PROXY": proxy.origin, "SSL_CERT_FILE": str(authority.ca_file)}), target, '{"messages": []}')

        assert proxy.targets == ["models.example:443"]
    assert len(server.chats) == 1


@makes
async def test_a_strange_certificate_is_a_failure_that_cost_nothing(make: Make, tmp_path: Path, openai_server: NewServer) -> None:
    target = aimed(openai_server(tls=tls.authority(tmp_path).context).base_url)
    with pytest.raises(FailedError) as caught:
        await post(make(target, {}), target)

    assert "SSL_CERT_FILE" in caught.value.failure.hint
    assert caught.value.usage == NO_USAGE


@makes
@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({"HTTPS_PROXY": "socks5://x"}, "set HTTPS_PROXY to an http:// proxy"),
        ({"HTTPS_PROXY": "garbage::"}, "set HTTPS_PROXY to an http:// proxy"),
        ({"HTTPS_PROXY": "http://u:secret@proxy:99999"}, "set HTTPS_PROXY to an http:// proxy"),
        ({"HTTPS_PROXY": "http://u:p\n@proxy"}, "set HTTPS_PROXY to an http:// proxy"),
        ({"HTTPS_PROXY": "http://"}, "set HTTPS_PROXY to an http:// proxy"),
        ({"SSL_CERT_FILE": "/no"}, "set it to a PEM file that exists"),
    ],
)
def test_what_cannot_be_sent_through_is_said_when_it_is_made(make: Make, env: Mapping[str, str], hint: str) -> None:
    with pytest.raises(FailedError) as caught:
        make(aimed("https://models.example"), env)

    assert caught.value.failure.hint.startswith(hint)
    assert "secret" not in str(caught.value)
    assert caught.value.usage == NO_USAGE


@makes
@pytest.mark.parametrize(("fault", "patience"), [("hang", Patience(answer=0.1)), ("hang-middle", Patience(idle=0.1))])
async def test_silence_is_a_timeout_whose_price_nobody_knows(
    make: Make, fault: str, patience: Patience, faults_server: FaultServer
) -> None:
    target = aimed(faults_server.url(fault))
    with pytest.raises(FailedError) as caught:
        await post(make(target, {}, patience), target)

    assert (caught.value.failure.kind, caught.value.usage) == (Kind.TIMEOUT, None)


class Late(ThreadServer):
    """Begins at once and thinks before it goes on."""

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.start_chunks()
        await asyncio.sleep(0.3)
        connection.chunk(b"x")
        connection.chunk(b"")


@makes
async def test_the_first_piece_may_take_longer_than_the_next(make: Make) -> None:
    with Late() as server:
        target = aimed(server.base_url)

        assert await post(make(target, {}, Patience(idle=0.05)), target) == b"x"


class Flood(ThreadServer):
    """Never stops."""

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.start_chunks()
        for _megabyte in range(LARGEST // 1_000_000 + 2):
            connection.chunk(b"x" * 1_000_000)
            await asyncio.sleep(0)
        connection.chunk(b"")


@makes
async def test_a_reply_that_is_larger_than_anybody_would_read_is_given_up(make: Make) -> None:
    with Flood() as server:
        target = aimed(server.base_url)
        with pytest.raises(FailedError) as caught:
            await post(make(target, {}), target)

    assert (caught.value.failure.kind, caught.value.usage) == (Kind.MALFORMED, None)
    assert caught.value.failure.what == f"{server.origin[7:]} sent more than 64 MB"


class Packed(ThreadServer):
    """Packs what it says, though nobody asked for it."""

    status = 200

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.send(self.status, gzip.compress(b" " * 1_000_000), {"Content-Encoding": "gzip"})


@makes
async def test_a_packed_reply_is_not_unpacked_for_nobody_knows_how_large_it_is(make: Make) -> None:
    with Packed() as server:
        target = aimed(server.base_url)
        with pytest.raises(FailedError) as caught:
            await post(make(target, {}), target)
        server.status = 401
        refused = await post(make(target, {}), target)

    label = target.address.label
    hint = "turn compression off there, or in the proxy before it"
    assert caught.value.failure == Failure(Kind.MALFORMED, f"{label} packs its replies, and was asked not to", hint)
    assert len(refused) < 10_000


@makes
async def test_replies_come_as_they_are(make: Make, openai_server: NewServer) -> None:
    server = openai_server()
    target = aimed(server.base_url)
    await post(make(target, {}), target, '{"messages": []}')

    assert server.requests[0].headers["accept-encoding"] == "identity"


BROKEN = {
    "reset-before": Kind.NETWORK,
    "closed": Kind.NETWORK,
    "half-header": Kind.NETWORK,
    "short-body": Kind.NETWORK,
    "cut": Kind.NETWORK,
    "reset-middle": Kind.NETWORK,
    "not-http": Kind.MALFORMED,
}


@makes
@pytest.mark.parametrize("fault", BROKEN)
async def test_what_breaks_off_is_told_apart(make: Make, fault: str, faults_server: FaultServer) -> None:
    target = aimed(faults_server.url(fault))
    with pytest.raises(FailedError) as caught:
        await post(make(target, {}), target, '{"stream": true}')

    assert (caught.value.failure.kind, caught.value.usage) == (BROKEN[fault], None)
    assert caught.value.failure.hint


@makes
async def test_where_nobody_listens_nothing_was_billed(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = aimed(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(FailedError) as caught:
        await post(make(target, {}), target)

    assert (caught.value.failure.kind, caught.value.usage) == (Kind.NETWORK, NO_USAGE)
    assert caught.value.failure.hint == target.preset.start


class SdkError(Exception):
    """As an SDK wraps what came from below."""


def bad_json() -> json.JSONDecodeError:
    return json.JSONDecodeError("Expecting value: sk-secret", "doc", 0)


MEANT: list[tuple[Exception, Kind, bool]] = [
    (aiohttp.ServerDisconnectedError(), Kind.NETWORK, False),
    (aiohttp.ClientPayloadError(), Kind.NETWORK, False),
    (aiohttp.ConnectionTimeoutError(), Kind.NETWORK, True),
    (aiohttp.SocketTimeoutError(), Kind.TIMEOUT, False),
    (aiohttp.InvalidURL("http://x"), Kind.INVALID_REQUEST, True),
    (httpx.ConnectTimeout("x"), Kind.NETWORK, True),
    (httpx.ReadTimeout("x"), Kind.TIMEOUT, False),
    (httpx.RemoteProtocolError("x"), Kind.NETWORK, False),
    (httpx.InvalidURL("x"), Kind.INVALID_REQUEST, True),
    (httpx.DecodingError("x"), Kind.MALFORMED, False),
    (httpx2.ConnectError("x"), Kind.NETWORK, True),
    (httpx2.ReadTimeout("x"), Kind.TIMEOUT, False),
    (httpx2.ReadError("x"), Kind.NETWORK, False),
    (httpx2.UnsupportedProtocol("x"), Kind.INVALID_REQUEST, True),
    (httpx2.StreamClosed(), Kind.NETWORK, False),
    (ssl.SSLError("x"), Kind.NETWORK, False),
    (ConnectionResetError("x"), Kind.NETWORK, False),
    (TimeoutError("x"), Kind.TIMEOUT, False),
    (bad_json(), Kind.MALFORMED, False),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), Kind.MALFORMED, False),
    (RecursionError("x"), Kind.MALFORMED, False),
]


@pytest.mark.parametrize(("error", "kind", "free"), MEANT, ids=[f"{type(error).__module__}.{type(error).__name__}" for error, *_ in MEANT])
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_librarys_exceptions_have_a_meaning(error: Exception, kind: Kind, *, free: bool, wrapped: bool) -> None:
    raised: Exception = error
    if wrapped:
        raised = SdkError("Connection error.")
        raised.__cause__ = error
    failed = failure_of(raised, aimed("http://localhost:1/v1"))

    assert (failed.failure.kind, failed.usage) == (kind, NO_USAGE if free else None)
    assert failed.failure.hint
    assert "secret" not in failed.failure.what + failed.failure.hint


def test_the_nearest_to_the_wire_knows_best() -> None:
    outer = httpx2.ConnectTimeout("misnamed")  # as the transport calls a server that hung up
    outer.__cause__ = aiohttp.ServerDisconnectedError()

    assert failure_of(outer, aimed("http://localhost:1")).failure.what == "localhost:1 broke the connection off"


def test_our_own_failure_passes_through_an_sdk() -> None:
    own = FailedError(Failure(Kind.BUDGET, "spent"), usage=NO_USAGE)
    outer = SdkError("x")
    outer.__context__ = own

    assert failure_of(outer, aimed("http://localhost:1")) is own


def test_a_bug_is_no_failure() -> None:
    def breaks() -> None:
        raise LookupError("our bug")

    with pytest.raises(LookupError, match="our bug"), translated(aimed("http://localhost:1")):
        breaks()


def test_nothing_of_the_library_is_chained() -> None:
    def breaks() -> None:
        raise httpx.ReadError("sk-secret")

    with pytest.raises(FailedError) as caught, translated(aimed("http://localhost:1")):
        breaks()

    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
