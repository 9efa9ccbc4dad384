"""What is logged of a call: to stderr with `-vv`, to a file as JSON lines."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_main import modules_loaded_by
from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer


@pytest.fixture
def asked(project: NewProject, openai_server: NewServer) -> Project:
    """An ensemble of a model that is busy once, and a command that fails."""
    url = openai_server({"": [503, "a reply of nine words that nobody else reads"]}).base_url
    here = project(trusted=True)
    here.write("~/.config/llm-orc/profiles/mine.yaml", f"provider: openai-compatible\nmodel: m\nbase_url: {url}\nmax_tokens: 50\n")
    model = "{name: ask, model_profile: mine, prompt: 'a secret plan', retry: {attempts: 2}}"
    here.write(".llm-orc/ensembles/two.yaml", f"agents: [{model}, {{name: bad, command: [sh, -c, 'exit 3']}}]\n")
    return here


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_log_file_holds_what_happened_and_no_prompt(asked: Project) -> None:
    file = asked.path / "log.jsonl"
    file.write_text('{"half": ')
    outcome = asked.run("invoke", "two", "x", "--log-file", "log.jsonl")
    assert outcome.code == 3
    half, rest = file.read_text().split("\n", 1)
    assert half == '{"half": '
    logged = [json.loads(line) for line in rest.splitlines()]
    run = json.loads(asked.run("runs", "list", "--json").out)[0]["run"]
    assert {record["run"] for record in logged} == {run}
    assert {record["logger"] for record in logged} == {"llm_orc"}
    events = {record["event"]: record for record in logged}
    assert {"run_started", "submitted", "started", "sent", "received", "retrying", "answered", "failed", "run_ended"} <= set(events)
    assert [record["seq"] for record in logged] == sorted(record["seq"] for record in logged)
    assert (events["started"]["level"], events["retrying"]["level"], events["failed"]["level"]) == ("debug", "info", "error")
    assert events["failed"]["message"] == "failed: script: 'sh': exit code 3"
    assert events["failed"]["cause"] == "'sh': exit code 3"
    assert events["sent"]["request"] == 2
    assert events["answered"]["reply_bytes"] == len("a reply of nine words that nobody else reads")
    assert events["run_ended"]["status"] == "partial"
    assert "secret plan" not in rest
    assert "nine words" not in rest


def test_the_environment_names_the_file_and_the_level(asked: Project) -> None:
    file = asked.path / "log.jsonl"
    asked.run("invoke", "two", "x", env={"LLM_ORC_LOG_FILE": str(file), "LLM_ORC_LOG_LEVEL": "Error"})
    assert [(record["event"], record["node"]) for record in lines(file)] == [("failed", "bad")]
    assert file.stat().st_mode & 0o777 == 0o600


def test_with_vv_requests_and_waits_are_said(asked: Project) -> None:
    once, twice = asked.run("invoke", "two", "x", "-v"), asked.run("invoke", "two", "x", "-vv")
    assert "request 1 to" not in once.err
    said = [line for line in twice.err.splitlines() if line.startswith("+")]
    assert any("  ask  request 1 to 127.0.0.1:" in line for line in said)
    assert any("  ask  begins: a prompt of 16 bytes, for openai-compatible/m" in line for line in said)
    assert not any("succeeded" in line or "failed" in line for line in said), "that is said already"
    assert "ask  succeeded" in twice.err
    assert twice.out == once.out


WRONG = {
    "nowhere/log": "nowhere/log: the log cannot be written: no such file or directory\nhint: name another file: --log-file FILE\n",
    ".": ".: the log cannot be written: is a directory\nhint: name another file: --log-file FILE\n",
    "pipe": "pipe: the log cannot be written: no such device or address\nhint: name another file: --log-file FILE\n",
    "": "error: --log-file is empty\nhint: give it a value, or leave it out\n",
}


@pytest.mark.parametrize("file", WRONG)
def test_a_log_that_cannot_be_written_is_told_before_the_run(project: NewProject, file: str) -> None:
    here = project({".llm-orc/ensembles/mark.yaml": "agents: [{name: a, command: [touch, ran]}]\n"}, trusted=True)
    os.mkfifo(here.path / "pipe")
    assert here.run("invoke", "mark", "x", "--log-file", file) == ("", WRONG[file], 2)
    assert not (here.path / "ran").exists()


def test_a_level_that_is_none(project: NewProject) -> None:
    outcome = project().run("invoke", "hello", "--log-file", "log", env={"LLM_ORC_LOG_LEVEL": "inf"})
    assert outcome == ("", "error: LLM_ORC_LOG_LEVEL: 'inf' is no level\nhint: did you mean 'info'?\n", 2)


def test_a_full_disk_ends_the_log_and_not_the_run(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/echo.yaml": "agents: [{name: a, command: [cat]}]\n"}, trusted=True)
    outcome = here.run("invoke", "echo", "heard", "--log-file", "/dev/full")
    assert (outcome.out, outcome.code) == ("heard\n", 0)
    assert outcome.err.endswith(
        "/dev/full: warning: the log cannot be written: no space left on device\nhint: name another file: --log-file FILE\n"
    )


def test_what_ends_a_call_before_its_run_is_logged_too(project: NewProject) -> None:
    here = project()
    assert here.run("invoke", "helo", "--log-file", "log").code == 2
    (record,) = lines(here.path / "log")
    assert (record["level"], record["run"], record["message"].splitlines()[0]) == ("error", None, "no ensemble 'helo'")


def test_several_processes_write_to_one_log(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/echo.yaml": "agents: [{name: a, command: [cat]}]\n"}, trusted=True)
    for process in [here.start("invoke", "echo", "x", "--log-file", "log") for _ in range(3)]:
        assert process.wait(60) == 0
        process.communicate()
    ended = [record["run"] for record in lines(here.path / "log") if record["event"] == "run_ended"]
    assert len(set(ended)) == 3


def test_an_interrupted_run_is_logged_to_its_end(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/wait.yaml": "agents: [{name: a, command: [sh, -c, 'touch there; sleep 600']}]\n"}, trusted=True)
    process = here.start("invoke", "wait", "x", "--log-file", "log")
    while not (here.path / "there").exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    last = lines(here.path / "log")[-1]
    assert (last["event"], last["status"], last["cause"], last["level"]) == ("run_ended", "cancelled", "interrupt", "warning")


def test_who_asks_for_no_log_pays_for_none(project: NewProject) -> None:
    loaded = modules_loaded_by(project(), "invoke", "examples/defaults")
    assert "llm_orc.engine.perform" in loaded
    assert loaded & {"llm_orc.cli.logged", "llm_orc.library.logs", "llm_orc.render.log", "llm_orc.engine.artifacts"} == set()
