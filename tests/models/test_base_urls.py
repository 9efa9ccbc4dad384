"""Where a provider listens by the user's own word: the profile's, the environment's, then the catalogue's."""

import json

import pytest

from llm_orc.domain.problem import ProblemError
from llm_orc.models.address import address
from tests.project import NewProject
from tests.servers.fixtures import NewServer

KEY = "sk-canary-0123456789abcdef"


def test_a_base_url_in_the_users_catalogue_moves_a_provider_and_its_key_goes_along(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    here = project({".llm-orc/ensembles/one.yaml": "agents: [{name: a, provider: openai, model: m}]"})
    here.write("~/.config/llm-orc/config.yaml", f"catalog: {{openai: {{base_url: {server.base_url}}}}}\n")
    outcome = here.run("invoke", "one", "hi", "--output-format", "json", env={"OPENAI_API_KEY": KEY})
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["status"] == "succeeded"
    assert server.chats[-1].headers["authorization"] == f"Bearer {KEY}"


def test_the_environment_goes_before_the_catalogue(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    here = project({".llm-orc/ensembles/one.yaml": "agents: [{name: a, provider: openai, model: m}]"})
    here.write("~/.config/llm-orc/config.yaml", "catalog: {openai: {base_url: 'http://127.0.0.1:9/v1'}}\n")
    outcome = here.run("invoke", "one", "hi", env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.base_url})
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    "url",
    [
        "https://\u0430pi.openai.com",  # a Cyrillic letter
        "https://x\u200b",
        "https://api.openai.com%2eevil.example",
        "https://api.openai.com\\.evil.example",
        "https://api.openai.com .evil.example",
        "https://a..b",
        f"https://{'a' * 64}",
        "https://x/v1\x00",
        "https://x/\x1b[2J",
    ],
)
def test_a_base_url_that_no_library_would_understand_alike_is_refused(url: str) -> None:
    with pytest.raises(ProblemError, match="is no URL"):
        address(url)


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://my_host-1.lan:80/v1", "http://[::1]", "http://[fe80::1%eth0]:1", "https://xn--pi-7kc.test/ä"]
)
def test_a_base_url_of_any_machine_is_taken(url: str) -> None:
    assert address(url).host


def test_a_port_that_is_given_is_the_port() -> None:
    assert address("http://127.0.0.1:0/v1").port == 0
