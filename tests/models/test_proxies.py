"""Proxies and certificates come from the environment that is handed down, through whatever transport."""

from pathlib import Path

import pytest

from llm_orc.domain.message import FailedError, Kind
from llm_orc.models.address import address
from llm_orc.models.proxies import proxy_for
from tests.models.asking import KEY, ask, failure, models, profile
from tests.servers import tls
from tests.servers.fixtures import NewServer
from tests.servers.proxy import TunnelServer

FAR = "http://models.example:8000"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_plain_request_goes_through_the_proxy(variable: str, openai_server: NewServer) -> None:
    proxy = openai_server()
    async with models({variable: proxy.origin}) as opened:
        reply = await ask(opened, profile(f"{FAR}/v1", "vllm", insecure=True))

    assert reply.text == "ok"
    assert [request.target for request in proxy.requests] == [f"{FAR}/v1/chat/completions"]


async def test_an_encrypted_request_is_tunnelled_with_its_key_inside(tmp_path: Path, openai_server: NewServer) -> None:
    authority = tls.authority(tmp_path, ["api.openai.com"])
    server = openai_server(tls=authority.context)
    with TunnelServer(to=server.port) as proxy:
        env = {"HTTPS_PROXY": proxy.origin, "SSL_CERT_FILE": str(authority.ca_file), "OPENAI_API_KEY": KEY}
        async with models(env) as opened:
            reply = await ask(opened, profile(None, "openai"))

    assert (reply.text, reply.cost) == ("ok", None)
    assert proxy.targets == ["api.openai.com:443"]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(proxy.requests)


async def test_a_certificate_of_nobody_we_know_is_refused(tmp_path: Path, openai_server: NewServer) -> None:
    server = openai_server(tls=tls.authority(tmp_path).context)
    async with models() as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is Kind.NETWORK
    assert failed.what == f"the certificate of 127.0.0.1:{server.port} is not trusted"
    assert "SSL_CERT_FILE" in failed.hint
    assert server.requests == []


async def test_the_certificate_of_another_host_is_refused(tmp_path: Path, openai_server: NewServer) -> None:
    authority = tls.authority(tmp_path, ["elsewhere.example"])
    server = openai_server(tls=authority.context)
    async with models({"SSL_CERT_FILE": str(authority.ca_file)}) as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is Kind.NETWORK
    assert server.requests == []


async def test_a_company_bundle_is_trusted_without_a_proxy_too(tmp_path: Path, openai_server: NewServer) -> None:
    authority = tls.authority(tmp_path)
    server = openai_server(tls=authority.context)
    async with models({"SSL_CERT_FILE": str(authority.ca_file)}) as opened:
        assert (await ask(opened, profile(server.base_url))).text == "ok"


async def test_a_bundle_that_is_not_there_is_said() -> None:
    async with models({"SSL_CERT_FILE": "/nowhere/ca.pem"}) as opened:
        failed, _ = await failure(opened, profile("https://127.0.0.1:1/v1"))

    assert failed.what == "the certificates in SSL_CERT_FILE (/nowhere/ca.pem) cannot be read"


async def test_a_proxy_that_is_not_there_is_said() -> None:
    async with models({"HTTPS_PROXY": "http://127.0.0.1:1"}) as opened:
        failed, _ = await failure(opened, profile("https://models.example/v1"))

    assert (failed.kind, failed.what) == (Kind.NETWORK, "the proxy before models.example cannot be reached")


async def test_this_machine_is_never_asked_through_a_proxy(openai_server: NewServer) -> None:
    server, proxy = openai_server(), openai_server()
    async with models({"HTTP_PROXY": proxy.origin, "ALL_PROXY": proxy.origin}) as opened:
        await ask(opened, profile(server.base_url))

    assert (len(server.requests), len(proxy.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("*", True),
        ("models.example", True),
        (".example", True),
        ("*.example", True),
        ("other, MODELS.example:8000", True),
        ("models.example:9", False),
        ("odels.example", False),
        ("10.0.0.0/8", False),
        ("", False),
    ],
)
def test_no_proxy(no_proxy: str, *, direct: bool) -> None:
    env = {"HTTP_PROXY": "proxy.example:3128", "NO_PROXY": no_proxy}

    assert proxy_for(address(FAR), env) == (None if direct else "http://proxy.example:3128")


def test_no_proxy_takes_networks() -> None:
    env = {"https_proxy": "http://proxy.example", "no_proxy": "10.0.0.0/8,fd00::/8"}

    assert proxy_for(address("https://10.1.2.3"), env) is None
    assert proxy_for(address("https://[fd00::1]"), env) is None
    assert proxy_for(address("https://11.1.2.3"), env) == "http://proxy.example"


def test_lower_case_wins_and_the_scheme_decides() -> None:
    env = {"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower", "HTTP_PROXY": "http://plain", "ALL_PROXY": "http://all"}

    assert proxy_for(address("https://models.example"), env) == "http://lower"
    assert proxy_for(address("http://models.example"), env) == "http://plain"
    assert proxy_for(address("http://models.example"), {"ALL_PROXY": "http://all"}) == "http://all"


def test_a_socks_proxy_is_refused_in_words() -> None:
    with pytest.raises(FailedError) as caught:
        proxy_for(address(FAR), {"ALL_PROXY": "socks5://127.0.0.1:9"})

    assert caught.value.failure.what == "a socks5:// proxy cannot be used"
