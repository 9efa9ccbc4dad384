"""`llm-orc list providers` and `llm-orc list models`; the other kinds are in test_commands.py."""

import json
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from tests.project import NewProject, Project
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.ollama import Model, OllamaServer
from tests.servers.openai import NativeModel

NOBODY = "http://127.0.0.1:9"
ALONE = {"LMSTUDIO_BASE_URL": f"{NOBODY}/v1", "OLLAMA_HOST": NOBODY}
KEY = "sk-canary-0123456789-tail"
CLOUDS = {"anthropic", "google", "openai"}
PLUGIN = """
from llm_orc.domain.message import Reply
from llm_orc.domain.profile import Endpoint
from llm_orc.models.base import BaseModel, Listed


class Loud(BaseModel):
    def endpoint(self, profile):
        return Endpoint("loud", "loud.example")

    async def generate(self, request, tell):
        return Reply("HELLO")

    async def models(self, profile):
        return [Listed("shout", context_window=100)]
"""


@pytest.fixture
def loud(project: NewProject) -> tuple[Project, dict[str, str]]:
    """A project, and the environment in which a plugin of that name is installed."""
    here = project({"site/loud.py": PLUGIN, "site/loud-1.dist-info/entry_points.txt": "[llm_orc.providers]\nloud = loud:Loud\n"})
    here.write("site/loud-1.dist-info/METADATA", "Name: loud\nVersion: 1\n")
    return here, ALONE | {"PYTHONPATH": str(here.path / "site")}


def rows(here: Project, *args: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    outcome = here.run("list", *args, "--json", env=ALONE | dict(env or {}))
    assert outcome.code == 0, outcome.err
    ((kind, found),) = json.loads(outcome.out).items()
    assert kind == args[0]
    return list(found)


def by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found}


# providers


def test_providers_with_their_address_and_key(project: NewProject) -> None:
    found = by_name(rows(project(), "providers", env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:7/v1"}))
    assert found["openai"] == {
        "name": "openai",
        "address": "http://127.0.0.1:7/v1",
        "variable": "OPENAI_API_KEY",
        "key": True,
        "origin": "OPENAI_API_KEY",
        "plugin": None,
    }
    assert (found["anthropic"]["key"], found["anthropic"]["origin"]) == (False, None)
    assert (found["ollama"]["address"], found["ollama"]["variable"]) == (NOBODY, None)
    assert found["embedded"]["address"] is found["openai-compatible"]["address"] is None


def test_a_kept_key_is_told_by_its_place(project: NewProject) -> None:
    here, env = project(), {"LLM_ORC_PASSPHRASE": "correct horse"}
    assert here.run("auth", "add", "google", "--store", "vault", "--no-check", stdin=f"{KEY}\n", env=env).code == 0
    assert by_name(rows(here, "providers"))["google"]["origin"] == "vault"
    outcome = here.run("list", "providers")
    assert "key: vault" in outcome.out
    assert KEY not in outcome.out


def test_providers_are_listed_without_a_socket(project: NewProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        rows(project(), "providers", env={"LMSTUDIO_BASE_URL": f"{url}/v1", "OLLAMA_HOST": url})
        with pytest.raises(BlockingIOError):
            server.accept()


def test_what_to_do_about_a_key_stands_beside_it(project: NewProject) -> None:
    outcome = project().run("list", "providers", env=ALONE)
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("anthropic")]
    assert line.endswith("no key; export ANTHROPIC_API_KEY=..., or llm-orc auth add anthropic")
    assert outcome.code == 0


def test_plugins_are_providers_too(loud: tuple[Project, dict[str, str]]) -> None:
    here, env = loud
    assert by_name(rows(here, "providers", env=env))["loud"]["plugin"] == "loud:Loud"
    (row,) = rows(here, "models", "loud", env=env)
    assert (row["model"], row["address"], row["context_window"], row["price"]) == ("shout", "loud.example", 100, None)


# models


def test_models_of_a_local_server(project: NewProject) -> None:
    with OllamaServer(models=[Model(loaded=4096), Model("bert:latest", "nomic-bert", ("embedding",), window=512)]) as server:
        first, second = rows(project(), "models", "ollama", env={"OLLAMA_HOST": server.origin})
    assert first == {
        "provider": "ollama",
        "address": server.origin.removeprefix("http://"),
        "model": "qwen3:8b",
        "source": "server",
        "chat": True,
        "loaded": True,
        "context_window": 4096,
        "capabilities": ["structured_output"],
        "price": {"input": 0.0, "output": 0.0},
    }
    assert (second["chat"], second["loaded"], second["context_window"]) == (False, False, 512)


def test_people_see_what_is_in_memory(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(native=[NativeModel("a", max_context_length=4096), NativeModel("b", state="not-loaded")])
    outcome = project().run("list", "models", "lmstudio", env=ALONE | {"LMSTUDIO_BASE_URL": server.base_url})
    assert [line.split("  ")[:3] for line in outcome.out.splitlines()] == [["lmstudio", "a", "in memory"], ["lmstudio", "b", "not loaded"]]
    assert "4,096 tokens   free  structured output" in outcome.out


def test_clouds_without_a_key_are_listed_from_the_catalogue(project: NewProject) -> None:
    found = rows(project(), "models")
    assert {(row["provider"], row["source"]) for row in found} == {(name, "catalogue") for name in CLOUDS}
    sonnet = next(row for row in found if row["model"] == "claude-sonnet-5-5")
    assert sonnet["context_window"] == 1_000_000
    assert sonnet["price"]["output"] > sonnet["price"]["input"] > 0
    assert not any(row["model"] == "claude-3-opus" for row in found)


def test_a_cloud_whose_key_is_there_is_asked(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(models=["gpt-6-luna", "text-embedding-9"], keys=[KEY])
    found = rows(project(), "models", "openai", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert [(row["model"], row["source"], row["chat"]) for row in found] == [
        ("gpt-6-luna", "server", True),
        ("text-embedding-9", "server", False),
    ]
    assert found[0]["context_window"] == 1_050_000
    assert not server.chats


@pytest.mark.parametrize(("provider", "hint"), [("ollama", "start Ollama"), ("anthropic", "export ANTHROPIC_API_KEY=...")])
def test_a_provider_that_cannot_be_asked_is_an_error_with_a_way_out(project: NewProject, provider: str, hint: str) -> None:
    outcome = project().run("list", "models", provider, env=ALONE)
    assert outcome.code == 1
    assert outcome.err.startswith(f"error: {provider}: ")
    assert f"hint: {hint}" in outcome.err
    assert bool(outcome.out) == (provider == "anthropic")


def test_a_faulty_server_is_a_warning_beside_the_others(project: NewProject, faults_server: FaultServer) -> None:
    with OllamaServer() as server:
        env = ALONE | {"LMSTUDIO_BASE_URL": faults_server.url("html"), "OLLAMA_HOST": server.origin}
        outcome = project().run("list", "models", env=env)
    assert outcome.code == 0
    assert "qwen3:8b" in outcome.out
    assert outcome.err.startswith("warning: lmstudio: ")
    assert "lists no models" in outcome.err


def test_a_server_that_a_profile_names_is_asked_once(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(models=["mine"])
    profile = f"provider: vllm\nmodel: mine\nbase_url: {server.base_url}\nprice: {{input: 5, output: 5}}\n"
    here = project({f".llm-orc/profiles/{name}.yaml": profile for name in "ab"}, trusted=True)
    found = [row for row in rows(here, "models", "vllm") if row["source"] == "server"]
    assert [(row["model"], row["price"]) for row in found] == [("mine", {"input": 0.0, "output": 0.0})]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("models", "olama"), "error: no provider 'olama'\nhint: did you mean 'ollama'?\n"),
        (("models", "embedded"), "error: 'embedded' is no server that has models\n"),
        (("providers", "x"), "error: 'list providers' takes no more words: x\nhint: llm-orc list models PROVIDER\n"),
        (("modles",), "error: nothing to list called 'modles'\nhint: did you mean 'models'?\n"),
    ],
)
def test_words_that_mean_nothing(project: NewProject, args: tuple[str, ...], error: str) -> None:
    outcome = project().run("list", *args, env=ALONE)
    assert outcome.code == 2
    assert outcome.err.startswith(error)
