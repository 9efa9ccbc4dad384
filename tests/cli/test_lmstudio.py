"""LM Studio at home: no model has to be named, and one that is gone is no end."""

import json
from typing import Any

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import NativeModel, OpenAIServer, Scripted

EMBEDDING = NativeModel("nomic-embed", type="embeddings")
SHELF = [EMBEDDING, NativeModel("big", state="not-loaded"), NativeModel("qwen")]
ONE = "agents: [{name: a, model_profile: studio}]\n"
STUDIO = {"one.yaml": ONE, ".llm-orc/profiles/studio.yaml": "provider: lmstudio\n"}


def at(server: OpenAIServer, **more: str) -> dict[str, str]:
    return {"LMSTUDIO_BASE_URL": server.base_url, **more}


def node(outcome: Outcome) -> dict[str, Any]:
    (found,) = json.loads(outcome.out)["agents"]
    return dict(found)


def invoked(here: Project, env: dict[str, str], *more: str) -> Outcome:
    return here.run("invoke", "one.yaml", "hi", "--output-format", "json", "--no-store", *more, env=env)


def test_the_chat_model_that_is_loaded_answers_where_none_is_named(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("hello there", usage=(7, 3))}, native=SHELF)
    outcome = invoked(project(STUDIO), at(server))
    place = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert outcome.err.splitlines()[0] == f"lmstudio -> lmstudio/qwen (loaded); stays on this machine ({place})"
    assert [request.json["model"] for request in server.chats] == ["qwen"]
    told = node(outcome)
    assert (told["provider"], told["model"], told["usage"]["input"], told["usage"]["output"]) == ("lmstudio", "qwen", 7, 3)


def test_plan_and_doctor_say_which_model_it_would_be(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(native=SHELF)
    here = project(STUDIO)
    planned = here.run("plan", "one.yaml", env=at(server))
    assert "studio -> lmstudio/qwen at" in planned.out
    assert "(loaded)" in planned.out
    health = json.loads(here.run("doctor", "--json", env=at(server)).out)
    (profile,) = [each for each in health["profiles"] if each["name"] == "studio"]
    assert (profile["resolved"], profile["answers"], profile["cause"]) == ("lmstudio/qwen", True, None)


def test_a_model_that_lacks_what_is_required_is_not_taken(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(native=[NativeModel("qwen"), NativeModel("eyes", type="vlm", state="not-loaded")])
    here = project({"one.yaml": "agents: [{name: a, provider: lmstudio, requires: [vision]}]\n"})
    assert node(invoked(here, at(server)))["model"] == "eyes"
    server = openai_server(native=[NativeModel("qwen")])
    outcome = invoked(here, at(server))
    assert (outcome.code, server.chats) == (2, [])
    assert "has no chat model with vision\nhint: get one: lms get MODEL" in outcome.err


def test_an_embedding_model_is_never_asked(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(native=[EMBEDDING])
    here = project(STUDIO)
    outcome = invoked(here, at(server))
    place = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert (outcome.code, server.chats) == (1, [])
    assert node(outcome)["cause"] == f"not_found: {place} has no chat model, only nomic-embed"
    assert "hint: load one: lms load MODEL; if you have none: lms get MODEL" in outcome.err
    health = json.loads(here.run("doctor", "--json", env=at(server)).out)
    (profile,) = [each for each in health["profiles"] if each["name"] == "studio"]
    assert (profile["answers"], profile["cause"]) == (False, f"{place} has no chat model, only nomic-embed")


def test_a_server_that_is_off_is_said_with_how_to_start_it_and_the_next_profile_answers(project: NewProject) -> None:
    off = {"LMSTUDIO_BASE_URL": "http://127.0.0.1:1/v1"}
    here = project(STUDIO)
    outcome = invoked(here, off)
    assert (outcome.code, node(outcome)["cause"].partition(":")[0]) == (1, "network")
    assert "start LM Studio's server: lms server start" in outcome.err
    here.write(".llm-orc/profiles/studio.yaml", "provider: lmstudio\nfallback: [embedded]\n")
    outcome = invoked(here, off)
    assert (outcome.code, node(outcome)["provider"]) == (0, "embedded")


@pytest.mark.parametrize(
    "gone",
    [
        Scripted('Failed to load model "qwen". Error: Error loading model.', status=400),
        Scripted("Model unloaded.", status=400),
        Scripted("No models loaded. Please load a model in the developer page.", status=404),
    ],
    ids=["no room", "unloaded", "none"],
)
def test_a_model_that_is_gone_gives_way_to_the_next(gone: Scripted, project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(lambda request: gone if request.json["model"] == "qwen" else "from the other one", native=SHELF)
    files = STUDIO | {
        ".llm-orc/profiles/studio.yaml": "{provider: lmstudio, model: mistral, fallback: [second, third]}",
        ".llm-orc/profiles/second.yaml": "{provider: lmstudio, model: qwen}",
        ".llm-orc/profiles/third.yaml": "{provider: lmstudio, model: big}",
    }
    outcome = invoked(project(files), at(server))
    assert outcome.code == 0
    assert node(outcome)["text"] == "from the other one"
    assert (node(outcome)["profile"], node(outcome)["model"]) == ("third", "big")
    assert [request.json["model"] for request in server.chats] == ["qwen", "big"]


def test_an_agent_may_name_the_provider_alone_and_a_token_goes_along(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("one two three", usage=(11, 5))}, native=SHELF, keys=["a-token-of-lm-studio"])
    here = project({"one.yaml": "agents: [{name: a, provider: lmstudio}]\n"})
    refused = invoked(here, at(server))
    assert node(refused)["cause"].startswith("authentication: ")
    assert "export LM_API_TOKEN=" in refused.err
    outcome = here.run("invoke", "one.yaml", "hi", "--stream", "--no-store", env=at(server, LM_API_TOKEN="a-token-of-lm-studio"))
    assert (outcome.code, outcome.out) == (0, "one two three\n")
    assert (server.chats[-1].json["stream"], server.chats[-1].json["model"]) == (True, "qwen")
    assert "16 tokens" in outcome.err  # as the stream itself counts them
    assert "a-token-of" not in outcome.out + outcome.err


def test_only_lm_studio_needs_no_model(project: NewProject) -> None:
    here = project({"one.yaml": ONE, ".llm-orc/profiles/studio.yaml": "provider: ollama\n"})
    outcome = here.run("validate", "one.yaml")
    assert (outcome.code, "'model' is missing" in outcome.err) == (2, True)
