"""Where a provider listens by the user's own word: the profile's, the environment's, then the catalogue's."""

import json

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
