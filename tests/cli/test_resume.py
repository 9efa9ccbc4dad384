"""`llm-orc runs resume`: what has succeeded is never asked again, what has not is, and the result is that of a whole run."""

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

import llm_orc
from llm_orc import Ensemble
from llm_orc.domain.ensemble import FunctionAgent
from llm_orc.domain.run import Run
from llm_orc.store.pages import Sought, listed
from llm_orc.store.runs import Store
from tests import pictures
from tests.project import NewProject, Outcome, Project
from tests.secrets.canaries import Canaries, canary
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted, prompt_of
from tests.servers.wire import Gate, Received

STORE = ".llm-orc/store/store.db"
THREE = [
    {"name": "a", "prompt": "ask a: {{ input }}"},
    {"name": "b", "prompt": "ask b: {{ input }}"},
    {"name": "c", "prompt": "ask c: {{ agents.a }} {{ agents.b }}", "require": "all"},
]


class Moody(OpenAIServer):
    """Answers what a prompt asks for, but not to those who are `down`; keeps the journal of all that was asked."""

    def __init__(self) -> None:
        super().__init__(self.said)
        self.down: set[str] = set()
        self.gates: dict[str, Gate] = {}
        self.usage: tuple[int, int] | None = None

    def said(self, request: Received) -> Scripted:
        """What comes back."""
        who = asked_for(request)
        return Scripted(f"said {who}", 400 if who in self.down else 200, gate=self.gates.get(who), usage=self.usage)

    @property
    def asked(self) -> Counter[str]:
        """Who was asked, and how often."""
        return Counter(map(asked_for, self.chats))


def asked_for(request: Received) -> str:
    """The name in a prompt that says `ask NAME: ...`."""
    return prompt_of(request.json).partition("ask ")[2].partition(":")[0]


@pytest.fixture
def server() -> Any:
    with Moody() as moody:
        yield moody


@pytest.fixture
def here(project: NewProject, server: Moody) -> Project:
    """A trusted project whose model is the server."""
    profile = {"provider": "openai-compatible", "model": "m", "base_url": server.base_url}
    return project({".llm-orc/profiles/mine.yaml": json.dumps(profile), ".llm-orc/config.yaml": "default_profile: mine\n"}, trusted=True)


def ensemble(here: Project, agents: object, name: str = "x", **keys: Any) -> None:
    here.write(f".llm-orc/ensembles/{name}.yaml", json.dumps({"agents": agents, **keys}))


def failed(here: Project, server: Moody, *down: str, agents: object = THREE, **keys: Any) -> Run:
    """A run in which some were down, who are up again afterwards."""
    ensemble(here, agents, **keys)
    server.down = set(down)
    run = llm_orc.run("x", "hi", store=True, cwd=here.path, env=here.env())
    server.down = set()
    return run


def runs(here: Project) -> list[tuple[str, str]]:
    with Store.open((here.path / STORE).parent) as store:
        return [(run.id, run.status) for run in listed(store, Sought(), 9)[0]]


def resumed(here: Project, *flags: str, run: str = "last", **more: Any) -> Outcome:
    return here.run("runs", "resume", run, *flags, **more)


# What is asked


def test_only_what_failed_is_asked_again_and_what_was_skipped_is_decided_again(here: Project, server: Moody) -> None:
    assert failed(here, server, "b").exit_code == 1
    assert server.asked == {"a": 1, "b": 1}
    outcome = resumed(here)
    assert (outcome.out, outcome.code) == ("said c\n", 0)
    assert server.asked == {"a": 1, "b": 2, "c": 1}
    assert prompt_of(server.chats[-1].json) == "ask c: said a said b"
    assert [status for _, status in runs(here)] == ["succeeded"]


def test_what_fails_again_can_be_gone_on_with_again(here: Project, server: Moody) -> None:
    failed(here, server, "a", "b")
    server.down = {"b"}
    outcome = resumed(here)
    assert (outcome.code, "failed  b: " in outcome.err) == (1, True)
    server.down = set()
    assert resumed(here).out == "said c\n"
    assert server.asked == {"a": 2, "b": 3, "c": 1}


def test_of_a_whole_run_the_result_is_printed_again(here: Project, server: Moody) -> None:
    ensemble(here, THREE)
    told = here.run("invoke", "x", "hi", "--output-format", "json")
    assert resumed(here, "--output-format", "json") == told
    assert resumed(here, "--stream").out == "said c\n"
    assert resumed(here, "-o", "result.md", "--fail-on", "agents.a.ok").code == 1
    here.write("own.css", "p { color: teal }")
    assert resumed(here, "-o", "result.html", "--css", "own.css").code == 0
    assert "color: teal" in (here.path / "result.html").read_text()
    assert (here.path / "result.md").read_text() == "said c\n"
    assert server.asked == {"a": 1, "b": 1, "c": 1}


def test_again_begins_a_new_run_of_the_same_plan_and_input(here: Project, server: Moody) -> None:
    ensemble(here, THREE)
    here.run("invoke", "x", "hi", "--only", "a")
    ensemble(here, [{"name": "other"}])
    assert resumed(here, "--again").out == "said a\n"
    assert server.asked == {"a": 2}
    (second, _), (first, _) = runs(here)
    assert first != second
    assert prompt_of(server.chats[1].json) == prompt_of(server.chats[0].json) == "ask a: hi"


def test_children_items_and_drafts_go_on_inside(here: Project, server: Moody) -> None:
    ensemble(here, [{"name": "in", "prompt": "ask in: x"}, {"name": "out", "prompt": "ask out: {{ agents.in }}"}], "child")
    draft = {"agents": [{"name": "p", "prompt": "ask p: x"}, {"name": "q", "prompt": "ask q: x", "depends_on": ["p"], "require": 0}]}
    agents = [
        {"name": "each", "fan_out": {"items": ["i", "j", "k"]}, "prompt": "ask {{ item }}: x"},
        {"name": "sub", "ensemble": "child", "prompt": "go"},
        {"name": "plan", "command": ["cat"], "prompt": "{{ '" + json.dumps(draft).replace("'", '"') + "' }}"},
        {"name": "work", "ensemble": "{{ agents.plan }}", "prompt": "go"},
    ]
    assert failed(here, server, "j", "out", "p", agents=agents).exit_code == 3
    assert server.asked == dict.fromkeys(("i", "j", "k", "in", "out", "p", "q"), 1)
    outcome = resumed(here, "--output-format", "json")
    assert outcome.code == 0, outcome.err
    assert server.asked == {"i": 1, "j": 2, "k": 1, "in": 1, "out": 2, "p": 2, "q": 1}
    by_name = {agent["name"]: agent for agent in json.loads(outcome.out)["agents"]}
    assert by_name["each"]["json"] == ["said i", "said j", "said k"]
    assert by_name["sub"]["text"] == "said out"
    assert by_name["work"]["text"] == "said q"


def test_files_that_were_sent_along_are_sent_as_they_were(here: Project, server: Moody) -> None:
    picture, later = pictures.png(16, 8), pictures.png(32, 8)
    here.write("dot.png", picture)
    here.write("own.png", picture)
    ensemble(here, [{"name": "a", "prompt": "ask a: {{ input }}"}, {"name": "b", "prompt": "ask b: look", "attachments": ["own.png"]}])
    server.down = {"a", "b"}
    assert here.run("invoke", "x", "hi", "--attach", "dot.png").code == 1
    server.down = set()
    (here.path / "dot.png").unlink()
    here.write("own.png", later)
    outcome = resumed(here)
    assert outcome.code == 0
    assert "the file 'own.png' has changed since the run began, which goes on with what it was" in outcome.err
    first, second = ([chat.json["messages"] for chat in server.chats if asked_for(chat) == who] for who in "ab")
    assert first[0] == first[1] != second[0] == second[1]


# What cut it off


def test_after_ctrl_c_the_next_command_is_said_and_it_works(here: Project, server: Moody) -> None:
    server.gates["b"] = Gate()
    ensemble(here, THREE)
    process = here.start("invoke", "x", "hi")
    server.gates["b"].wait_for(1)
    server.wait_until(lambda: server.bill.calls == 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    server.gates["b"].release()
    ((run_id, status),) = runs(here)
    assert status == "cancelled"
    assert err.decode().endswith(f"to go on with it: llm-orc runs resume {run_id}\n")
    assert resumed(here, run=run_id).out == "said c\n"
    assert server.asked["b"] == 2
    assert server.asked["a"] <= 2


def test_a_run_that_a_process_works_on_is_left_alone(here: Project, server: Moody) -> None:
    server.gates["b"] = Gate()
    ensemble(here, THREE)
    process = here.start("invoke", "x", "hi")
    server.gates["b"].wait_for(1)
    ((run_id, _),) = runs(here)
    refused = f"error: another process works on the run '{run_id}'\nhint: wait until it is done, or end it\n"
    assert resumed(here) == ("", refused, 2)
    server.gates["b"].release()
    assert process.communicate(timeout=60)[0] == b"said c\n"
    assert resumed(here).out == "said c\n"
    assert server.asked == {"a": 1, "b": 1, "c": 1}


def test_a_budget_that_is_spent_can_be_raised(here: Project, server: Moody) -> None:
    profile = {"provider": "openai-compatible", "model": "m", "base_url": server.base_url, "max_tokens": 1000}
    here.write(".llm-orc/profiles/mine.yaml", json.dumps({**profile, "price": {"input": 1.0, "output": 1000.0}}))
    server.usage = 10, 1000
    ensemble(here, [*THREE[:1], {**THREE[1], "depends_on": ["a"]}], limits={"max_cost": 1.5})
    outcome = here.run("invoke", "x", "hi")
    assert outcome.code == 4
    assert "to go on with it: llm-orc runs resume" in outcome.err
    assert resumed(here).code == 4, "what was spent before counts"
    assert server.asked == {"a": 1}
    whole = resumed(here, "--max-cost", "3", "--output-format", "json")
    assert whole.code == 0
    assert server.asked == {"a": 1, "b": 1}
    assert json.loads(whole.out)["totals"]["cost"] == pytest.approx(2.00002)


def test_what_was_skipped_offline_is_run_once_it_may_be(here: Project, server: Moody) -> None:
    here.write(".llm-orc/profiles/mine.yaml", "{provider: anthropic, model: far-away}")
    here.write(".llm-orc/profiles/near.yaml", json.dumps({"provider": "openai-compatible", "model": "m", "base_url": server.base_url}))
    ensemble(here, [{"name": "far", "retry": {"attempts": 1}}, {"name": "near", "model_profile": "near", "prompt": "ask near: x"}])
    llm_orc.run("x", "hi", offline=True, store=True, cwd=here.path, env=here.env())
    outcome = resumed(here)
    assert ("said near" in outcome.out, outcome.code, server.asked) == (True, 0, {"near": 1}), "as it was begun"
    outcome = resumed(here, "--no-offline", env={"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"})
    assert outcome.code == 3
    assert "failed  far: network: " in outcome.err


# What has changed


def changed(here: Project, what: str) -> None:
    match what:
        case "ensemble":
            ensemble(here, [{"name": "b", "prompt": "ask other: x"}])
        case "gone":
            (here.path / ".llm-orc/ensembles/x.yaml").unlink()
        case "prompt":
            here.write(".llm-orc/templates/b.txt", "ask other: x")
        case "profile":
            here.write(".llm-orc/profiles/mine.yaml", "{provider: openai-compatible, model: other, base_url: 'http://127.0.0.1:1'}")
        case _:
            here.write(".llm-orc/scripts/s.sh", "#!/bin/sh\necho new\n")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("ensemble", ".llm-orc/ensembles/x.yaml: warning: has changed since the run began, which goes on with what it was\n"),
        ("gone", ".llm-orc/ensembles/x.yaml: warning: has changed since the run began, which goes on with what it was\n"),
        ("prompt", "warning: the file 'b.txt' has changed since the run began, which goes on with what it was\n"),
        ("profile", "warning: the profile 'mine' has changed since the run began, which goes on with what it was\n"),
        ("script", "warning: the script 's.sh' has changed since the run began: what is still to do is done by the new one\n"),
    ],
)
def test_a_file_that_has_changed_is_a_warning(here: Project, server: Moody, what: str, said: str) -> None:
    here.write(".llm-orc/templates/b.txt", "ask b: {{ input }}")
    here.write(".llm-orc/scripts/s.sh", "#!/bin/sh\necho old\n")
    agents = [{"name": "a", "script": "s.sh"}, {"name": "b", "prompt_file": "b.txt"}, {"name": "c", "script": "s.sh", "depends_on": ["b"]}]
    assert failed(here, server, "b", agents=agents).exit_code == 3
    changed(here, what)
    outcome = resumed(here, "--output-format", "json")
    assert outcome.err.startswith(said)
    assert outcome.code == 0
    assert [agent["text"] for agent in json.loads(outcome.out)["agents"]] == ["old\n", "said b", "new\n" if what == "script" else "old\n"]
    assert [(chat.json["model"], prompt_of(chat.json)) for chat in server.chats] == [("m", "ask b: hi")] * 2


def test_nothing_is_said_of_what_has_not_changed(project: NewProject) -> None:
    here = project()
    for name in ("examples/nested", "examples/fan-out", "summarize"):
        llm_orc.run(name, "A sentence. Another.", profile="embedded", store=True, cwd=here.path, env=here.env())
        told = resumed(here, "--again")
        assert (told.code, "changed" in told.err) == (0, False), told.err


def test_the_model_that_was_chosen_for_a_tier_stays(project: NewProject, server: Moody, openai_server: NewServer) -> None:
    here = project({})
    ensemble(here, [{"name": "a", "model_profile": "fast", "prompt": "ask a: x"}])
    server.down = {"a"}
    alone = {"OLLAMA_HOST": "http://127.0.0.1:1", "LMSTUDIO_BASE_URL": server.base_url}
    assert here.run("invoke", "x", "hi", env=alone).code == 1
    server.down = set()
    other = openai_server({"": "said other"}, models=["another", "model"])
    assert resumed(here, env={**alone, "LMSTUDIO_BASE_URL": other.base_url}).out == "said other\n"
    assert other.chats[0].json["model"] == server.chats[0].json["model"] == "model"


def test_it_goes_on_where_it_was_begun(here: Project) -> None:
    here.write("below/deep/x", "")
    ensemble(here, [{"name": "a", "command": ["sh", "-c", "test -e ok && pwd"]}])
    assert here.run("invoke", "x", "hi", cwd="below").code == 1
    here.write("below/ok", "")
    assert resumed(here, cwd="below/deep").out == f"{here.path}/below\n"
    here.run("invoke", "x", "hi", cwd="below/deep")
    (here.path / "below/deep/x").unlink()
    (here.path / "below/deep").rmdir()
    outcome = resumed(here)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: the folder that the run was begun in is gone: {here.path}/below/deep\n")


# Which run


def test_a_run_is_named_by_its_beginning_its_end_or_last(here: Project, server: Moody) -> None:
    first = failed(here, server, agents=THREE[:1]).id
    failed(here, server, agents=THREE[1:2])
    for name in (first[:-3], first[-6:]):
        assert resumed(here, run=name).out == "said a\n"
    assert resumed(here).out == "said b\n"
    outcome = resumed(here, run=first[:4])
    assert (outcome.code, outcome.err.splitlines()[1]) == (2, "hint: write more of its id")
    assert resumed(here, run="")[1:] == (
        "error: the run is not named\nhint: its id, the beginning of one, or last; see: llm-orc runs list\n",
        2,
    )
    assert server.asked == {"a": 1, "b": 1}


def test_wrong_flags_are_told_before_anything_is_asked(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    before = len(server.chats)
    for flags in (["--max-cost", "little"], ["--fail-on", "1 +"]):
        assert resumed(here, *flags).code == 2
    assert len(server.chats) == before


# Python


def test_a_run_from_python_goes_on_from_the_command_line(here: Project, server: Moody) -> None:
    server.down = {"b"}
    agents = [{"name": "a", "prompt": "ask a: {{ input }}"}, {"name": "b", "prompt": "ask b: {{ input }}", "depends_on": ["a"]}]
    run = llm_orc.run(Ensemble.model_validate({"name": "made", "agents": agents}), "hi", store=True, cwd=here.path, env=here.env())
    assert run.status == "failed"
    server.down = set()
    assert resumed(here, run=run.id).out == "said b\n"
    assert server.asked == {"a": 1, "b": 2}


def test_a_function_is_not_kept_and_that_is_said(here: Project) -> None:
    async def answer(_: str) -> str:
        return "ok"

    made = Ensemble(name="made", agents=(FunctionAgent(name="own", function=answer),))
    assert llm_orc.run(made, "hi", store=True, cwd=here.path, env=here.env()).result == "ok"
    outcome = resumed(here)
    said = "error: 'own' is a Python function, which is not kept\nhint: run it again from the program that it came from\n"
    assert outcome == ("", said, 2)


# Trust and secrets

COMMANDS = [{"name": "a", "command": ["sh", "-c", "echo ran >> ran; false"]}]


def spec_of(here: Project) -> dict[str, Any]:
    connection = sqlite3.connect(here.path / STORE)
    row: str = connection.execute("SELECT spec FROM runs").fetchone()[0]
    connection.close()
    found: dict[str, Any] = json.loads(row)
    return found


def rewritten(here: Project, spec: Mapping[str, Any] | None) -> None:
    changed_store(here, "UPDATE runs SET spec = ?", spec and json.dumps(spec))


def changed_store(here: Project, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(here.path / STORE)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_project_that_is_not_trusted_runs_nothing(here: Project) -> None:
    ensemble(here, COMMANDS)
    here.run("invoke", "x", "hi")
    outcome = resumed(here, env={"LLM_ORC_TRUST": ""})
    assert outcome.code == 2
    assert "the command of 'a' comes from a project that is not trusted" in outcome.err
    assert (here.path / "ran").read_text() == "ran\n"
    question = "Trust everything in"
    assert here.run_pty("runs", "resume", "last", keys=[(question, "n\n")], env={"LLM_ORC_TRUST": ""}).code == 2
    assert here.run_pty("runs", "resume", "last", keys=[(question, "y\n")], env={"LLM_ORC_TRUST": ""}).code == 1
    assert (here.path / "ran").read_text() == "ran\nran\n"


def test_a_store_that_came_with_a_project_runs_nothing_that_its_files_do_not_say(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    spec = spec_of(here)
    spec["value"]["ensembles"][""]["data"]["agents"] = COMMANDS
    rewritten(here, spec)
    outcome = resumed(here, env={"LLM_ORC_TRUST": ""})
    assert (outcome.code, "not what an ensemble's file says" in outcome.err) == (2, True)
    spec["value"]["ensembles"][""]["file"] = "<python>"
    rewritten(here, spec)
    assert resumed(here, env={"LLM_ORC_TRUST": ""}).code == 2
    assert not (here.path / "ran").exists()


def test_a_key_is_kept_nowhere_and_found_again(here: Project, server: Moody) -> None:
    secret = canary("resume")
    profile = {"provider": "openai-compatible", "model": "m", "base_url": server.base_url, "options": {"user": "${MY_TOKEN}"}}
    here.write("~/.config/llm-orc/profiles/mine.yaml", json.dumps(profile))
    (here.path / ".llm-orc/profiles/mine.yaml").unlink()
    ensemble(here, THREE)
    server.down = {"b"}
    env = {"MY_TOKEN": secret, "OPENAI_COMPATIBLE_API_KEY": canary("key")}
    assert here.run("invoke", "x", f"hi {secret}", env=env).code == 1
    server.down = set()
    assert Canaries({"token": secret, "key": canary("key")}).found_below(here.home) == []
    outcome = resumed(here, env=env)
    assert (outcome.out, outcome.code) == ("said c\n", 0)
    assert "[key] stands in the input: if a key stood there, it is not kept" in outcome.err
    assert {chat.json["user"] for chat in server.chats} == {secret}
    assert Canaries({"token": secret, "key": canary("key")}).found_below(here.home) == []
    (here.home / ".config/llm-orc/profiles/mine.yaml").unlink()
    outcome = resumed(here, "--again", env=env)
    assert (outcome.code, outcome.err.partition(",")[0]) == (2, "error: the profile 'mine' held a key")


# A store that is not as it should be


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: None, "was kept without what it takes to go on with it"),
        (lambda spec: {"value": {**spec["value"], "version": 99}}, "the run was begun by a newer llm-orc\nhint: update this one"),
        (lambda _: {"value": {}}, "what the run was to do is not kept in a form that can be read"),
    ],
)
def test_a_spec_that_cannot_be_read(here: Project, server: Moody, change: Any, said: str) -> None:
    failed(here, server, "b")
    rewritten(here, change(spec_of(here)))
    outcome = resumed(here)
    assert (outcome.out, outcome.code) == ("", 2)
    assert said in outcome.err


def test_a_store_that_cannot_be_written_is_gone_on_with_and_that_is_said(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    changed_store(here, "CREATE TRIGGER shut BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'shut'); END")
    outcome = resumed(here)
    assert (outcome.out, outcome.code, server.asked) == ("said c\n", 0, {"a": 1, "b": 2, "c": 1})
    assert "warning: cannot be read or written: this run is kept only up to here" in outcome.err
    assert [status for _, status in runs(here)] == ["failed"]


def test_a_store_in_which_something_is_lost_is_broken(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    changed_store(here, "DELETE FROM events WHERE event LIKE '%submitted%'")
    said = f"{here.path / STORE}: holds what no llm-orc has written\nhint: move the folder away, and a new store is made\n"
    assert resumed(here) == ("", said, 2)


def test_where_nothing_is_kept_there_is_nothing_to_go_on_with(project: NewProject) -> None:
    outcome = resumed(project())
    assert (outcome.out, outcome.code) == ("", 2)
    assert "no run is kept here\nhint: run something: llm-orc invoke ENSEMBLE\n" in outcome.err


# How it is followed


def test_tokens_come_as_they_are_said_and_the_events_of_both_times_are_one_run(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    before = here.run("runs", "show", "last", "--events", "--json").out
    told = resumed(here, "--output-format", "jsonl")
    assert told.out.startswith(before)
    assert here.run("runs", "show", "last", "--events", "--json").out == told.out
    assert [json.loads(line)["seq"] for line in told.out.splitlines()] == list(range(1, len(told.out.splitlines()) + 1))
    failed(here, server, "c")
    assert resumed(here, "--stream").out == "said c\n"
    assert server.chats[-1].json["stream"] is True


def test_the_live_view_counts_what_was_done_before(here: Project, server: Moody) -> None:
    failed(here, server, "b")
    shown = here.run_pty("runs", "resume", "last")
    assert shown.code == 0
    assert "3 of 3" in shown.err or "3 succeeded" in shown.err
    assert "said c" in shown.out
