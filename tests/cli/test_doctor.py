"""`llm-orc doctor`: what works, what does not, and what to do about it."""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.ollama import Model, OllamaServer
from tests.servers.openai import NativeModel

NOBODY = "http://127.0.0.1:9"
ALONE = {"LMSTUDIO_BASE_URL": f"{NOBODY}/v1", "OLLAMA_HOST": NOBODY, "PATH": ""}
"""No server of this machine is taken for one of the test's, and no other program."""
KEY = "sk-canary-0123456789-tail"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def alone(here: Project, env: Mapping[str, str] | None) -> dict[str, str]:
    """A machine whose only program is what shipped ensembles may count on anywhere."""
    programs = here.home / "programs"
    programs.mkdir(exist_ok=True)
    if not (programs / "cat").exists():
        (programs / "cat").symlink_to(shutil.which("cat") or "/bin/cat")
    return ALONE | {"PATH": str(programs)} | dict(env or {})


def told(here: Project, env: Mapping[str, str] | None = None) -> tuple[dict[str, Any], int]:
    outcome = here.run("doctor", "--json", env=alone(here, env))
    assert outcome.err == ""
    return json.loads(outcome.out), outcome.code


def shown(here: Project, env: Mapping[str, str] | None = None) -> Outcome:
    return here.run("doctor", env=alone(here, env))


def one(rows: list[dict[str, Any]], **wanted: object) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def faults(health: dict[str, Any]) -> dict[str, str]:
    return {fault["what"]: fault["hint"] for fault in health["faults"]}


def test_a_machine_with_nothing_is_told_what_to_do(project: NewProject) -> None:
    health, code = told(project())
    assert (code, health["ok"], health["version"], health["default_profile"]) == (1, False, 1, "default")
    assert not one(health["servers"], provider="lmstudio")["running"]
    assert not one(health["servers"], provider="ollama")["running"]
    assert {row["provider"] for row in health["servers"]} == {"lmstudio", "ollama", "vllm", "llamacpp"}
    assert one(health["profiles"], name="embedded")["answers"]
    assert not one(health["profiles"], name="default")["answers"]
    (hint,) = [hint for what, hint in faults(health).items() if what == "profiles default, careful, fast: no model can be reached"]
    assert hint.startswith("export ANTHROPIC_API_KEY=...")
    assert hint.endswith("llm-orc auth add PROVIDER")


def test_the_programs_that_are_there_are_named_in_the_way_out(project: NewProject) -> None:
    here = project()
    for name in ("ollama", "lms"):
        here.write(f"~/bin/{name}", "#!/bin/sh\n")
    health, _ = told(here, {"PATH": f"{here.home}/bin"})
    assert health["faults"][0]["hint"].startswith("ollama serve, or lms server start, or export ")


def test_a_model_on_this_machine_answers_for_free(project: NewProject) -> None:
    with OllamaServer(models=[Model(loaded=4096), Model("nomic-embed-text:latest", "nomic-bert", ("embedding",))]) as server:
        health, code = told(project(), {"OLLAMA_HOST": server.origin})
    assert (code, health["ok"], health["faults"]) == (0, True, [])
    row = one(health["servers"], provider="ollama")
    assert (row["running"], row["models"], row["loaded"], row["cause"]) == (True, 2, ["qwen3:8b"], None)
    assert row["milliseconds"] > 0
    default = one(health["profiles"], name="default")
    assert (default["provider"], default["model"], default["resolved"]) == ("auto", "default", "ollama/qwen3:8b")
    assert default["price"] == {"input": 0.0, "output": 0.0}
    assert all(agent["runs"] for ensemble in health["ensembles"] for agent in ensemble["agents"])


def test_agents_without_a_model_still_run_and_the_others_say_why_not(project: NewProject) -> None:
    health, _ = told(project())
    agents = one(health["ensembles"], name="fix-file")["agents"]
    assert {agent["name"]: agent["runs"] for agent in agents} == {"edits": False, "patch": True}
    assert one(agents, name="edits")["cause"] == "no model can be reached"
    assert {row["name"] for row in health["ensembles"]} >= {"hello", "council", "code-review"}
    assert not any("/" in row["name"] for row in health["ensembles"])


def test_a_model_that_was_not_pulled_is_fetched_by_this_command(project: NewProject) -> None:
    here = project({".llm-orc/profiles/mine.yaml": "provider: ollama\nmodel: qwen4\n"}, trusted=True)
    with OllamaServer() as server:
        health, code = told(here, {"OLLAMA_HOST": server.origin})
    assert code == 0
    mine = one(health["profiles"], name="mine")
    label = server.origin.removeprefix("http://")
    assert (mine["answers"], mine["cause"]) == (False, f"{label} has no model 'qwen4'")
    assert faults(health) == {f"profile mine: {label} has no model 'qwen4'": "ollama pull qwen4; did you mean 'qwen3:8b'?"}


def test_a_server_without_a_chat_model_is_given_one(project: NewProject) -> None:
    with OllamaServer(models=()) as server:
        health, code = told(project(), {"OLLAMA_HOST": server.origin})
    assert code == 1
    assert health["faults"][0]["hint"].startswith("ollama pull qwen3:8b, or export ")
    assert one(health["servers"], provider="ollama")["cause"].endswith("has no chat model")


def test_lm_studio_lists_what_is_loaded(project: NewProject, openai_server: NewServer) -> None:
    native = [NativeModel("a"), NativeModel("b", state="not-loaded")]
    server = openai_server(native=native)
    here = project({".llm-orc/profiles/mine.yaml": "provider: lmstudio\nmodel: c\n"}, trusted=True)
    health, _ = told(here, {"LMSTUDIO_BASE_URL": server.base_url})
    assert one(health["servers"], provider="lmstudio")["loaded"] == ["a"]
    assert one(health["profiles"], name="mine")["hint"] == "lms get c"


def test_a_key_that_works_and_one_that_does_not(project: NewProject, openai_server: NewServer) -> None:
    server, here = openai_server(keys=[KEY]), project()
    env = {"OPENAI_BASE_URL": server.base_url}
    health, code = told(here, env | {"OPENAI_API_KEY": KEY})
    row = one(health["keys"], provider="openai")
    assert (row["origin"], row["last_four"], row["works"], row["name"]) == ("OPENAI_API_KEY", "tail", True, None)
    assert (code, one(health["profiles"], name="default")["resolved"]) == (0, "openai/gpt-6.1-terra")
    wrong = "sk-wrong-0123456789-oops"
    health, code = told(here, env | {"OPENAI_API_KEY": wrong})
    row = one(health["keys"], provider="openai")
    assert (code, row["works"], row["last_four"]) == (1, False, "oops")
    assert row["hint"] == "check OPENAI_API_KEY: llm-orc auth test openai"
    assert not one(health["profiles"], name="default")["answers"]
    assert not server.chats


@pytest.mark.parametrize("flags", [("--json",), ()])
def test_no_key_is_ever_shown(project: NewProject, openai_server: NewServer, flags: tuple[str, ...]) -> None:
    server = openai_server(keys=["another"])
    env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    outcome = project().run("doctor", *flags, env=ALONE | env)
    assert "tail" in outcome.out
    assert KEY[:-4] not in outcome.out + outcome.err
    assert any(KEY in request.headers.get("authorization", "") for request in server.requests)


def test_kept_keys_are_tried_each_by_its_name(project: NewProject, openai_server: NewServer) -> None:
    server, here = openai_server(keys=[KEY]), project()
    env = ALONE | {"OPENAI_BASE_URL": server.base_url, "LLM_ORC_PASSPHRASE": "correct horse", "PATH": os.environ["PATH"]}
    for name, key in (("work", KEY), ("home", "sk-other-0123456789-four")):
        kept = here.run("auth", "add", "openai", "--name", name, "--store", "vault", "--no-check", stdin=f"{key}\n", env=env)
        assert kept.code == 0, kept.err
    health, _ = told(here, env)
    rows = {row["name"]: (row["works"], row["origin"], row["last_four"]) for row in health["keys"]}
    assert rows == {"work": (True, "vault (work)", "tail"), "home": (False, "vault (home)", "four")}
    locked, _ = told(here, env | {"LLM_ORC_PASSPHRASE": ""})
    assert {row["works"] for row in locked["keys"]} <= {None, False}
    assert any("LLM_ORC_PASSPHRASE" in fault["hint"] for fault in locked["faults"])


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("html", "lists no models"),
        ("malformed", "lists no models"),
        ("401", "answered 401"),
        ("500", "answered 500"),
        ("closed", "broke the connection off"),
        ("reset-before", "broke the connection off"),
        ("not-http", ""),
    ],
)
def test_a_server_that_answers_wrongly_is_told_with_its_cause(
    project: NewProject, faults_server: FaultServer, fault: str, cause: str
) -> None:
    health, code = told(project(), {"LMSTUDIO_BASE_URL": faults_server.url(fault)})
    row = one(health["servers"], provider="lmstudio")
    assert code == 1
    assert (row["running"], row["milliseconds"], row["models"]) == (True, None, None)
    assert cause in row["cause"]
    assert row["hint"]


def test_servers_that_hang_are_given_up_all_at_once(project: NewProject, silent: str) -> None:
    env = {"OLLAMA_HOST": silent, "LMSTUDIO_BASE_URL": f"{silent}/v1", "OPENAI_BASE_URL": f"{silent}/v1", "OPENAI_API_KEY": KEY}
    here = project(
        {f".llm-orc/profiles/p{n}.yaml": f"provider: vllm\nmodel: m\nbase_url: {silent}/{n}/v1\n" for n in range(20)}, trusted=True
    )
    health, code = told(here, env)
    assert code == 1
    hung = [row for row in health["servers"] if row["address"] == silent.removeprefix("http://")]
    assert len(hung) == 23
    assert all("did not list its models within" in row["cause"] for row in hung)
    assert one(health["keys"], provider="openai")["works"] is None


def test_a_project_that_is_not_trusted_names_no_host_to_ask(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    far = server.base_url.replace("127.0.0.1", "llm-orc.invalid")
    here = project({".llm-orc/profiles/far.yaml": f"provider: vllm\nmodel: m\nbase_url: {far}\ninsecure: true\n"})
    health, _ = told(here)
    assert not [row for row in health["servers"] if "invalid" in row["address"]]
    folder = one(health["folders"], layer="project")
    assert (folder["trusted"], folder["hint"]) == (False, "look at it, then: llm-orc trust")
    trusted, _ = told(here, {"LLM_ORC_TRUST": "1"})
    assert [row for row in trusted["servers"] if "invalid" in row["address"]]


def test_models_that_are_gone_and_profiles_that_are_broken(project: NewProject) -> None:
    files = {
        ".llm-orc/profiles/old.yaml": "provider: openai\nmodel: gpt-3.5-turbo\n",
        ".llm-orc/profiles/broken.yaml": "provider: openai\nmodle: gpt-6\n",
        ".llm-orc/config.yaml": "default_profile: embeded\n",
    }
    health, code = told(project(files, trusted=True))
    assert code == 1
    assert (
        faults(health).items()
        >= {
            "there is no profile 'embeded', which is the default": "did you mean 'embedded'? see: llm-orc list profiles",
            "profile old: openai ended gpt-3.5-turbo on 2026-10-23": "write instead: model: gpt-5.6-terra",
            "profile broken: no key 'modle' in a profile": ".llm-orc/profiles/broken.yaml:2:1; did you mean 'model'?",
        }.items()
    )


def test_a_second_program_of_the_name_is_found(project: NewProject) -> None:
    here = project()
    other = here.write("~/bin/llm-orc", "#!/bin/sh\n")
    health, _ = told(here, {"PATH": str(other.parent)})
    assert health["program"]["others"] == [str(other.resolve())]
    hint = next(hint for what, hint in faults(health).items() if str(other.resolve()) in what)
    assert hint.startswith("see which there are: type -a llm-orc")


def test_people_read_columns(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(native=[NativeModel("a")])
    outcome = shown(project(), {"LMSTUDIO_BASE_URL": server.base_url})
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert "\nthe default profile 'default' is answered by lmstudio/a\n" in outcome.out
    heads = [line for line in outcome.out.splitlines()[2:] if line and not line.startswith(" ")]
    assert heads == ["servers", "profiles", "shipped ensembles", "folders"]


def test_colours_only_on_a_terminal_that_wants_them(project: NewProject) -> None:
    here = project()
    assert "\x1b[" in here.run_pty("doctor", env=ALONE).out
    assert "\x1b[" not in here.run_pty("doctor", env=ALONE | {"NO_COLOR": "1"}).out
