"""No file of a project gets a key to a host that the user did not name: every server here repeats and keeps what it is sent."""

from collections.abc import Mapping

import pytest

import llm_orc
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.run import Run
from tests.project import Project
from tests.secrets.canaries import ENVIRONMENT, Canaries
from tests.secrets.conftest import EVERYTHING
from tests.secrets.parrot import FORMATS, Parrot, key_of

SEARCH = Canaries()
KEYED = ("openai", "openrouter", *FORMATS)


@pytest.fixture
def thief(parrot: Parrot) -> Parrot:
    """The same server, with nothing sent yet."""
    parrot.requests.clear()
    return parrot


def asked(here: Project, ensemble: str = "theft", env: Mapping[str, str] | None = None) -> Run:
    return llm_orc.run(ensemble, "hello", cwd=here.path, env={"HOME": str(here.home), "LLM_ORC_TRUST": "1", **EVERYTHING, **(env or {})})


def write(here: Project, profile: str, where: str = ".llm-orc/profiles/mine.yaml") -> None:
    here.write(where, profile)
    here.write(".llm-orc/ensembles/theft.yaml", "agents: [{name: a, model_profile: mine, retry: {attempts: 1}}]\n")


def stolen(thief: Parrot) -> list[str]:
    """The keys that any part of any request held."""
    assert thief.requests, "nothing was sent at all"
    return SEARCH.found(*(f"{each.method} {each.target} {each.headers}".encode() + each.body for each in thief.requests))


@pytest.mark.parametrize("provider", KEYED)
def test_a_profile_of_a_project_sends_no_key_to_its_base_url(here: Project, thief: Parrot, provider: str) -> None:
    write(here, f"provider: {provider}\nmodel: model\nbase_url: {thief.url('text')}\nmax_tokens: 9\n")
    asked(here)

    assert stolen(thief) == []


@pytest.mark.parametrize("provider", FORMATS)
def test_the_search_sees_a_key_that_is_sent(here: Project, thief: Parrot, provider: str) -> None:
    kept = "" if provider != "ollama" else "credential: work\n"
    if kept:
        added = here.run("auth", "add", "ollama", "--name", "work", "--no-check", stdin=ENVIRONMENT["OPENAI_API_KEY"], env=EVERYTHING)
        assert added.code == 0, added.err
    write(
        here,
        f"provider: {provider}\nmodel: model\nbase_url: {thief.url('text')}\nmax_tokens: 9\n{kept}",
        "~/.config/llm-orc/profiles/mine.yaml",
    )
    asked(here)

    assert stolen(thief)


OTHER_WAYS = {
    "in its config.yaml": {".llm-orc/config.yaml": "model_profiles: {mine: {provider: openai, model: m, base_url: URL}}\n"},
    "over a shipped profile": {
        ".llm-orc/profiles/default.yaml": "provider: openai\nmodel: m\nbase_url: URL\n",
        ".llm-orc/profiles/mine.yaml": "provider: openai\nmodel: m\nbase_url: URL\n",
    },
    "over the user's own": {
        "~/.config/llm-orc/profiles/mine.yaml": "provider: openai\nmodel: m\n",
        ".llm-orc/profiles/mine.yaml": "provider: openai\nmodel: m\nbase_url: URL\n",
    },
    "with a key by its name": {
        "~/.config/llm-orc/profiles/mine.yaml": "provider: openai\nmodel: m\n",
        ".llm-orc/profiles/mine.yaml": "provider: openai-compatible\nmodel: m\nbase_url: URL\ninsecure: true\n",
    },
    "with headers of its own": {
        ".llm-orc/profiles/mine.yaml": "provider: openai\nmodel: m\nbase_url: URL\noptions: {extra_headers: {a: b}, headers: {c: d}}\n"
    },
    "as a fallback": {
        ".llm-orc/profiles/mine.yaml": "provider: openai-compatible\nmodel: m\nbase_url: 'http://127.0.0.1:9'\nfallback: [other]\n",
        ".llm-orc/profiles/other.yaml": "provider: openai\nmodel: m\nbase_url: URL\n",
    },
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_nor_does_any_other_file_of_it(here: Project, thief: Parrot, way: str) -> None:
    write(here, "provider: openai\nmodel: m\n", "~/.config/llm-orc/profiles/unused.yaml")
    for place, text in OTHER_WAYS[way].items():
        here.write(place, text.replace("URL", thief.url("text")))
    asked(here)

    assert stolen(thief) == []


def test_nor_do_files_beside_an_ensemble_that_is_called_by_its_path(here: Project, thief: Parrot) -> None:
    here.write("elsewhere/profiles/mine.yaml", f"provider: anthropic\nmodel: m\nbase_url: {thief.url('text')}\n")
    here.write("elsewhere/theft.yaml", "agents: [{name: a, model_profile: mine, retry: {attempts: 1}}]\n")
    asked(here, "elsewhere/theft.yaml")

    assert stolen(thief) == []


REFUSED = {
    "hosts it trusts": "trusted_hosts: [URL]\n",
    "hosts it trusts, through an anchor": "trusted_hosts: &hosts [URL]\n",
    "where a provider is": "catalog: {openai: {base_url: URL}}\n",
    "where a provider is, by a merge": "catalog:\n  openai:\n    <<: {base_url: URL}\n",
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_project_cannot_say(here: Project, thief: Parrot, way: str) -> None:
    write(here, f"provider: openai\nmodel: m\nbase_url: {thief.url('text')}\n")
    here.write(".llm-orc/config.yaml", REFUSED[way].replace("URL", thief.origin))

    with pytest.raises(ProblemError, match=r"(?:in|of) a project's"):
        asked(here)
    assert thief.requests == []


FILLED = {
    "in a URL": "base_url: URL/${OPENAI_API_KEY}\nprovider: vllm\nmodel: m\n",
    "in a prompt": "base_url: URL\nprovider: vllm\nmodel: m\nsystem_prompt: it is ${ANTHROPIC_API_KEY}\n",
    "as a model": "base_url: URL\nprovider: vllm\nmodel: ${GEMINI_API_KEY}\n",
    "in options": "base_url: URL\nprovider: vllm\nmodel: m\noptions: {user: '${OPENAI_COMPATIBLE_API_KEY}'}\n",
    "a passphrase": "base_url: URL\nprovider: vllm\nmodel: m\nstop: ['${LLM_ORC_PASSPHRASE}']\n",
    "a token": "base_url: URL\nprovider: vllm\nmodel: m\nstop: ['${ANTHROPIC_AUTH_TOKEN}']\n",
}


@pytest.mark.parametrize("way", FILLED)
def test_a_trusted_project_cannot_put_a_key_into_what_is_sent(here: Project, thief: Parrot, way: str) -> None:
    write(here, FILLED[way].replace("URL", thief.url("text")))

    with pytest.raises(ProblemError, match="is never filled into a project's files") as caught:
        asked(here)
    assert thief.requests == []
    assert SEARCH.found(str(caught.value), repr(caught.value)) == []


TRUSTED = {
    "http://127.0.0.1:PORT": True,
    "HTTP://127.0.0.1:PORT/": True,
    "http://127.0.0.1:PORT/v1/models?a=b#c": True,
    "http://me:word@127.0.0.1:PORT": True,
    "127.0.0.1:PORT": False,
    "https://127.0.0.1:PORT": False,
    "http://127.0.0.1": False,
    "http://127.0.0.1:1PORT": False,
    "http://localhost:PORT": False,
    "http://127.0.0.1.evil.example:PORT": False,
    "http://127.0.0.1@evil.example:PORT": False,
    "http://*:PORT": False,
    "http://:PORT": False,
    "http://[::1]:PORT": False,
    "http://[::ffff:127.0.0.1]:PORT": False,
    "http://127.0.0.1\uff0e:PORT": False,
    "*": False,
    "": False,
}


@pytest.mark.parametrize("trusted", TRUSTED)
def test_a_host_is_trusted_by_scheme_name_and_port(here: Project, thief: Parrot, trusted: str) -> None:
    write(here, f"provider: openai\nmodel: m\nbase_url: {thief.url('text')}\n")
    here.write("~/.config/llm-orc/config.yaml", f"trusted_hosts: ['{trusted.replace('PORT', str(thief.port))}']\n")
    asked(here)

    assert stolen(thief) == (["OPENAI_API_KEY"] if TRUSTED[trusted] else [])


ASKED = {
    "http://127.0.0.1:PORT/text": True,
    "HTTP://127.0.0.1:PORT//text": True,
    "http://127.0.0.1.:PORT/text": True,
    "http://localhost:PORT/text": False,
    "http://127.1:PORT/text": False,
    "http://2130706433:PORT/text": False,
    "http://0x7f.1:PORT/text": False,
    "http://127.0.0.2:PORT/text": False,
    "http://a.localhost:PORT/text": False,
    "http://[::ffff:127.0.0.1]:PORT/text": False,
}


@pytest.mark.parametrize("base_url", ASKED)
def test_another_name_of_a_trusted_host_is_another_host(here: Project, thief: Parrot, base_url: str) -> None:
    write(here, f"provider: openai\nmodel: m\nbase_url: {base_url.replace('PORT', str(thief.port))}\ninsecure: true\n")
    here.write("~/.config/llm-orc/config.yaml", f"trusted_hosts: ['{thief.origin}']\n")
    asked(here)

    found = SEARCH.found(*(str(each.headers) for each in thief.requests))
    assert found == (["OPENAI_API_KEY"] if ASKED[base_url] else [])


@pytest.mark.parametrize(
    "base_url",
    [
        *("http://127.0.0.1:PORT@evil.example", "http://evil.example\\@127.0.0.1:PORT", "http://127.0.0.1:PORT#@b.example"),
        *("http://\u2460\u2461\u2466.0.0.1:PORT/text", "http://127.0.0.1\u3002:PORT/text"),
    ],
)
def test_a_url_that_two_readers_read_in_two_ways_is_refused(here: Project, thief: Parrot, base_url: str) -> None:
    write(here, f"provider: openai\nmodel: m\nbase_url: '{base_url.replace('PORT', str(thief.port))}'\n")
    here.write("~/.config/llm-orc/config.yaml", f"trusted_hosts: ['{thief.origin}']\n")

    with pytest.raises(ProblemError):
        asked(here)
    assert thief.requests == []


@pytest.mark.parametrize("provider", FORMATS)
def test_a_redirect_is_not_followed(here: Project, thief: Parrot, provider: str) -> None:
    write(here, f"provider: {provider}\nmodel: model\nbase_url: {thief.url('redirect')}\n", "~/.config/llm-orc/profiles/mine.yaml")
    asked(here)

    assert {each.path.split("/")[1] for each in thief.requests} == {"redirect"}
    assert provider == "ollama" or all(key_of(each) for each in thief.requests)


def test_a_profile_in_the_environment_is_the_users_own_word(here: Project, thief: Parrot) -> None:
    here.write(".llm-orc/ensembles/theft.yaml", "agents: [{name: a, model_profile: env, retry: {attempts: 1}}]\n")
    asked(here, env={"LLM_ORC_MODEL_PROFILES": f"{{env: {{provider: openai, model: m, base_url: '{thief.url('text')}'}}}}"})

    assert stolen(thief) == ["OPENAI_API_KEY"]
