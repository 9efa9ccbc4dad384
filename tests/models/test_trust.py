"""A key goes to its provider's own host and to hosts that the user names, and nowhere else."""

from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from llm_orc.domain.credential import Credential
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.models.address import address
from llm_orc.models.base import Reach
from llm_orc.models.presets import PRESETS
from llm_orc.models.registry import BUILT_IN, Models
from llm_orc.models.target import aim
from tests.models.asking import KEY, ask, failure, models, profile
from tests.project import NewProject
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer

FAR = "http://models.example:8000"
KEYS = {"OPENAI_API_KEY": KEY, "OPENROUTER_API_KEY": KEY, "OPENAI_COMPATIBLE_API_KEY": KEY}


def key_sent(server: OpenAIServer) -> str | None:
    return server.requests[-1].headers.get("authorization")


@pytest.mark.parametrize("provider", ["openai", "openrouter", "openai-compatible", "lmstudio", "vllm", "llamacpp"])
async def test_a_host_that_nobody_trusts_gets_no_key(provider: str, openai_server: NewServer) -> None:
    server = openai_server()
    async with models(KEYS) as opened:
        await ask(opened, profile(server.base_url, provider))

    assert key_sent(server) is None
    assert KEY not in str(server.requests)


@pytest.mark.parametrize("provider", ["openai", "openrouter", "openai-compatible"])
async def test_a_host_that_the_user_trusts_gets_it(provider: str, openai_server: NewServer) -> None:
    server = openai_server()
    async with models(KEYS, trusted=server.origin) as opened:
        await ask(opened, profile(server.base_url, provider))

    assert key_sent(server) == f"Bearer {KEY}"


@pytest.mark.parametrize("provider", ["lmstudio", "vllm", "llamacpp"])
async def test_a_provider_without_a_key_of_its_own_never_sends_another_ones(provider: str, openai_server: NewServer) -> None:
    server = openai_server()
    async with models(KEYS, trusted=server.origin) as opened:
        await ask(opened, profile(server.base_url, provider))

    assert key_sent(server) is None


async def test_trust_is_of_scheme_name_and_port(openai_server: NewServer) -> None:
    server, other = openai_server(), openai_server()
    for trusted in (other.origin, f"https://127.0.0.1:{server.port}", f"http://localhost:{server.port}", "http://127.0.0.1"):
        async with models(KEYS, trusted=trusted) as opened:
            await ask(opened, profile(server.base_url))
        assert key_sent(server) is None, trusted


@pytest.mark.parametrize("trusted", ["http://[::1]:8000", "http://::1:8000"])
def test_trust_in_an_address_of_the_newer_kind(trusted: str) -> None:
    asked = profile("http://[::1]:8000/v1")

    assert aim(asked, Reach(KEYS, frozenset({trusted, "nonsense"}))).credential
    assert not aim(asked, Reach(KEYS, frozenset({"http://[::1]:8001"}))).credential


async def test_a_server_that_wants_the_key_withheld_from_it_is_explained(openai_server: NewServer) -> None:
    server = openai_server(keys=["other"])
    async with models(KEYS) as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is Kind.AUTHENTICATION
    assert failed.hint == f"OPENAI_COMPATIBLE_API_KEY was not sent there: name {server.origin} in trusted_hosts of your own config.yaml"


@pytest.mark.parametrize(
    ("base_url", "provider", "own"),
    [
        (None, "openai", True),
        ("https://API.openai.com:443/v1/", "openai", True),
        ("https://api.openai.com.evil.example/v1", "openai", False),
        ("https://api.openai.com:8443/v1", "openai", False),
        ("http://api.openai.com/v1", "openai", False),
        ("https://openrouter.ai/api/v1", "openai", False),
        (None, "openrouter", True),
        ("https://api.openai.com/v1", "openai-compatible", False),
    ],
)
def test_a_providers_own_host_is_its_own_and_no_other(base_url: str | None, provider: str, *, own: bool) -> None:
    assert (aim(profile(base_url, provider), Reach(KEYS)).credential is not None) is own


async def test_a_redirect_is_not_followed_and_takes_no_key_along(faults_server: FaultServer) -> None:
    async with models(KEYS, trusted=faults_server.origin) as opened:
        failed, _ = await failure(opened, profile(faults_server.url("redirect")))

    assert (failed.kind, failed.what) == (
        Kind.INVALID_REQUEST,
        f"{faults_server.origin[7:]} redirects (307), and redirects are not followed",
    )
    assert faults_server.counts == {"redirect": 1}


KEEPERS = [(name, preset.key) for name, preset in PRESETS.items() if preset.needs_key and BUILT_IN[name].endswith(":OpenAICompatible")]


@pytest.mark.parametrize(("provider", "variable"), KEEPERS)
@pytest.mark.parametrize("value", [None, "", "  "])
async def test_without_its_key_a_cloud_provider_fails_before_anything_is_sent(provider: str, variable: str, value: str | None) -> None:
    async with models({} if value is None else {variable: value}) as opened:
        failed, _ = await failure(opened, profile(None, provider))

    assert (failed.kind, failed.what) == (Kind.AUTHENTICATION, f"{variable} is not set")
    assert failed.hint == f"export {variable}=..., or keep it: llm-orc auth add {provider}; or choose a local model"


@pytest.mark.parametrize("provider", PRESETS)
def test_every_provider_has_a_target_and_its_own_host_is_trusted(provider: str) -> None:
    preset = PRESETS[provider]
    env = {preset.key: KEY} if preset.key else {}
    target = aim(profile(preset.base_url or "https://models.example", provider), Reach(env))

    assert target.provider == provider
    assert (target.credential is not None) is (preset.key is not None and preset.base_url is not None)
    assert target.refusal is None
    assert (target.endpoint.max_parallel, target.endpoint.one_model) == ((1, True) if provider in ("lmstudio", "ollama") else (64, False))


@pytest.mark.parametrize("provider", [name for name, preset in PRESETS.items() if preset.listens])
def test_the_environment_says_where_a_provider_listens_and_is_trusted_with_its_key(provider: str) -> None:
    preset = PRESETS[provider]
    env = {preset.key or "": KEY, preset.listens or "": "https://gateway.example/models"}
    plain, moved = aim(profile(None, provider), Reach(env)), aim(profile("https://other.example", provider), Reach(env))

    assert plain.address.url == "https://gateway.example:443/models"
    assert (plain.credential is not None, plain.withheld) == (preset.key is not None, None)
    assert moved.address.host == "other.example"
    assert (moved.credential, moved.withheld is not None) == (None, preset.key is not None)


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("", "http://localhost:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        (":9999", "http://127.0.0.1:9999"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:1", "http://gpu-box:1"),
        ("gpu-box/under", "http://gpu-box:11434/under"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box/", "https://gpu-box:443"),
        ("http://0.0.0.0:9999", "http://127.0.0.1:9999"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:5", "http://127.0.0.1:5"),
        ("::1", "http://[::1]:11434"),
    ],
)
def test_ollamas_host_is_read_as_ollama_reads_it(said: str, url: str) -> None:
    assert aim(profile(None, "ollama"), Reach({"OLLAMA_HOST": said})).address.url == url


@dataclass(frozen=True)
class Kept:
    """A key of the keyring, or a token."""

    name: str
    key: str = KEY
    origin: str = "keyring"
    oauth: bool = False

    @property
    def identity(self) -> str:
        return f"keyring {self.name}"

    async def secret(self) -> SecretStr:
        return SecretStr(self.key)


def kept(provider: str, _: str | None, name: str | None) -> Credential | None:
    return Kept(name or "default") if (provider, name) in {("openai", None), ("openai", "work"), ("lmstudio", "mine")} else None


async def test_a_kept_key_is_chosen_by_its_name_and_each_is_an_endpoint_of_its_own() -> None:
    plain, work, mine = (
        aim(profile(None, provider, credential=name), Reach(find=kept))
        for provider, name in (("openai", None), ("openai", "work"), ("lmstudio", "mine"))
    )

    assert (plain.refusal, work.refusal, mine.refusal) == (None, None, None)
    assert len({plain.endpoint.key, work.endpoint.key}) == 2
    assert [await target.key() for target in (plain, work, mine)] == [KEY] * 3


async def test_a_kept_key_that_is_not_there_is_said_before_anything_is_sent(openai_server: NewServer) -> None:
    server = openai_server()
    target = aim(profile(server.base_url, "openai", credential="home"), Reach(KEYS, find=kept))

    assert target.refusal == Failure(Kind.AUTHENTICATION, "no key 'home' is kept for openai", "add it: llm-orc auth add openai --name home")


@pytest.mark.parametrize("key", ["sk-\u00e9", "sk-a\nb", "sk-a b"])
async def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    async with models({"OPENAI_API_KEY": key}) as opened:
        failed, _ = await failure(opened, profile(None, "openai"))

    assert failed.kind is Kind.AUTHENTICATION
    assert key not in str(failed) + failed.hint


@pytest.mark.parametrize(
    ("trusted", "provider", "what"),
    [
        ("http://models.example:8000", "openai-compatible", "the key of openai-compatible (OPENAI_COMPATIBLE_API_KEY)"),
        ("http://models.example:8000", "vllm", "the request"),
        ("", "vllm", "the request"),
        ("", "ollama", "the request"),
        ("", "anthropic", "the request"),
        ("", "google", "the request"),
    ],
)
async def test_nothing_travels_unencrypted_off_this_machine(trusted: str, provider: str, what: str) -> None:
    async with models(KEYS, trusted=trusted) as opened:
        with pytest.raises(ProblemError) as caught:
            opened.ask(profile("http://models.example:8000/v1", provider))

    assert [problem.what for problem in caught.value.problems] == [f"{what} would travel unencrypted to models.example:8000"]
    assert caught.value.problems[0].hint == "use https://, tunnel it to localhost, or say insecure: true in the profile"


@pytest.mark.parametrize("command", [("validate",), ("plan", "one"), ("invoke", "one", "hello")])
def test_a_profile_that_would_send_unencrypted_is_wrong_before_anything_runs(command: tuple[str, ...], project: NewProject) -> None:
    here = project(
        {".llm-orc/ensembles/one.yaml": "agents:\n  - name: first\n    command: [touch, ran]\n  - {name: a, model_profile: far}\n"},
        trusted=True,
    )
    here.write(".llm-orc/profiles/far.yaml", "provider: vllm\nmodel: m\nbase_url: http://no-such-host.invalid/v1\n")
    outcome = here.run(*command)

    assert outcome.code == 2
    assert "would travel unencrypted to no-such-host.invalid" in outcome.err
    assert ".llm-orc/ensembles/one.yaml:4:" in outcome.err
    assert not (here.path / "ran").exists()


@pytest.mark.parametrize(("trusted", "key"), [("", None), (FAR, f"Bearer {KEY}")])
async def test_insecure_lets_a_request_travel_but_its_key_only_to_a_host_that_is_trusted(
    trusted: str, key: str | None, openai_server: NewServer
) -> None:
    proxy = openai_server()
    async with models(KEYS | {"HTTP_PROXY": proxy.origin}, trusted=trusted) as opened:
        await ask(opened, profile(f"{FAR}/v1", insecure=True))

    assert key_sent(proxy) == key


@pytest.mark.parametrize("fault", ["401", "html", "reset-before", "not-http", "malformed", "redirect"])
async def test_no_message_and_no_chained_exception_holds_the_key(fault: str, faults_server: FaultServer) -> None:
    opened = Models(Reach(KEYS, frozenset({faults_server.origin})))
    with pytest.raises(FailedError) as caught:
        await ask(opened, profile(faults_server.url(fault)))
    await opened.close()

    seen: BaseException | None = caught.value
    while seen is not None:
        assert KEY not in f"{seen!r} {seen} {vars(seen)}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    assert faults_server.requests[-1].headers["authorization"].endswith(KEY)


async def test_no_repr_holds_the_key() -> None:
    target = aim(profile(None, "openai"), Reach(KEYS))

    assert await target.key() == KEY
    assert KEY not in f"{target!r} {Reach(KEYS)!r} {target.identity} {target.endpoint!r}"


@pytest.mark.parametrize(
    ("base_url", "origin", "label", "local"),
    [
        ("http://LOCALHOST:1234/v1/", "http://localhost:1234", "localhost:1234", True),
        ("https://api.openai.com/v1", "https://api.openai.com:443", "api.openai.com", False),
        ("http://127.0.0.9:80", "http://127.0.0.9:80", "127.0.0.9", True),
        ("http://[::1]:8000/v1", "http://[::1]:8000", "[::1]:8000", True),
        ("http://a.localhost:3", "http://a.localhost:3", "a.localhost:3", True),
        ("http://10.0.0.1:3", "http://10.0.0.1:3", "10.0.0.1:3", False),
        ("http://localhost.evil.example", "http://localhost.evil.example:80", "localhost.evil.example", False),
    ],
)
def test_an_address_knows_its_origin_and_whether_it_is_here(base_url: str, origin: str, label: str, *, local: bool) -> None:
    server = address(base_url)

    assert (server.origin, server.label, server.local) == (origin, label, local)
    assert address(server.origin).origin == origin


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://host/v1",
        "localhost:1234",
        "http://",
        "http://[::1",
        "http://host:99999/v1",
        f"https://me:{KEY}@host/v1",
        f"https://h/v1?key={KEY}",
        "",
    ],
)
async def test_an_unusable_base_url_is_a_problem_that_shows_no_key(base_url: str) -> None:
    async with models() as opened:
        with pytest.raises(ProblemError) as caught:
            opened.ask(profile(base_url or None))

    assert caught.value.problems[0].hint
    assert KEY not in str(caught.value)
