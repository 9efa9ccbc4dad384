"""`llm-orc continue`: what was said before is told again, the reply is kept in the run, and nothing else is asked."""

import json
import signal
from collections.abc import Mapping
from typing import Any

import pytest

import llm_orc
from llm_orc import Ensemble
from llm_orc.domain.ensemble import FunctionAgent
from llm_orc.domain.run import Run
from tests.cli.talk import CHAIN, Parrot, began, chat, kept, talkative
from tests.pictures import png
from tests.project import NewProject, Outcome, Project


@pytest.fixture
def server() -> Any:
    with Parrot() as parrot:
        yield parrot


@pytest.fixture
def here(project: NewProject, server: Parrot) -> Project:
    return talkative(project, server)


def told(here: Project, *words: str, **more: Any) -> Outcome:
    return here.run("continue", "last", *words, **more)


def test_the_model_that_spoke_last_is_told_what_was_said_before(here: Project, server: Parrot) -> None:
    began(here, "chain")
    assert told(here, "and now?") == Outcome("re and now?\n", told_of(here), 0)
    assert server.last == [("system", "Be good."), ("user", "sum: re look re hi"), ("assistant", "re sum"), ("user", "and now?")]
    assert told(here, "go on", stdin="this too").out == "re go on\n\nthis too\n"
    assert server.last[3:] == [("user", "and now?"), ("assistant", "re and now?"), ("user", "go on\n\nthis too")]
    assert len(server.chats) == 5, "nothing else is asked again"
    run = kept(here)
    assert {node.id: node.depends_on for node in run.nodes.values() if node.turn} == {"turn-1": ("c",), "turn-2": ("turn-1",)}
    assert (run.status, run.result, run.usage.total, run.input) == ("succeeded", "re go on\n\nthis too", 75, "hi")
    assert here.run("runs", "show", "last", "--result").out == "re go on\n\nthis too\n"
    shown = json.loads(here.run("runs", "show", "last", "--json").out)
    assert [agent["name"] for agent in shown["agents"]] == ["a", "b", "c", "turn-1", "turn-2"]


def told_of(here: Project) -> str:
    """What stderr says of one turn."""
    run = kept(here)
    assert run.ended_at is not None
    return f"{run.ensemble} succeeded  1 succeeded  {run.nodes['turn-1'].seconds or 0:.1f} s  15 tokens  $0.005\n"


def test_a_branch_goes_on_from_any_node_in_its_role(here: Project, server: Parrot) -> None:
    began(here, "chain")
    assert told(here, "why?", "--after", "b").out == "re why?\n"
    assert server.last == [("system", "You are strict."), ("user", "hi"), ("assistant", "re hi"), ("user", "why?")]
    assert server.chats[-1].json["temperature"] == 0.5
    told(here, "one", "--after", "c")
    told(here, "and?", "--after", "turn-1")
    assert [text for _, text in server.last] == ["You are strict.", "hi", "re hi", "why?", "re why?", "and?"]
    assert server.chats[-1].json["temperature"] == 0.5
    told(here, "last")
    assert server.last[-2] == ("assistant", "re and?"), "the last turn is the one that was said last"


def test_another_profile_answers_in_the_same_role(here: Project, server: Parrot) -> None:
    began(here, "chain")
    told(here, "why?", "--after", "b", "--profile", "other")
    assert (server.chats[-1].json["model"], server.last[0]) == ("big", ("system", "You are strict."))
    told(here, "more")
    assert (server.chats[-1].json["model"], server.last[0]) == ("big", ("system", "You are strict."))


def test_of_several_leaves_one_is_named_or_all(here: Project, server: Parrot) -> None:
    began(here, "pair")
    refused = "error: the run ends with 2 replies, not with one\nhint: say from which to go on: --after a (there are: a, b)\n"
    assert told(here, "why?") == ("", refused, 2)
    assert told(here, "both?", "--after", "a", "--after", "b").code == 0
    assert [text for _, text in server.last] == ["You are strict.", "hi", "re hi", "hi", "re hi", "both?"]


def test_after_a_program_the_last_model_before_it_answers(here: Project, server: Parrot) -> None:
    count = {"name": "count", "command": ["wc", "-c"], "prompt": "{{ agents.b }}"}
    here.write(".llm-orc/ensembles/end.yaml", json.dumps({"agents": [CHAIN[1], count]}))
    began(here, "end")
    told(here, "so?")
    assert server.last == [("system", "You are strict."), ("user", "hi"), ("assistant", "5\n"), ("user", "so?")]


def test_where_no_model_spoke_the_default_profile_answers(here: Project, server: Parrot) -> None:
    here.write(".llm-orc/ensembles/cat.yaml", json.dumps({"agents": [{"name": "cat", "command": ["cat"]}]}))
    began(here, "cat")
    assert told(here, "so?").code == 0
    assert server.last == [("system", "Be good."), ("user", "hi"), ("assistant", "hi"), ("user", "so?")]


def test_a_turn_without_a_reply_is_no_place_to_go_on_from(here: Project, server: Parrot) -> None:
    began(here, "chain")
    outcome = told(here, "this is trouble")
    assert (outcome.out, outcome.code) == ("", 1)
    assert "failed  turn-1: invalid_request" in outcome.err
    run = kept(here).id
    said = "error: 'turn-1' has no reply to go on from: it failed (invalid_request: the request was refused (400): Bad Request)"
    refused = told(here, "why?", "--after", "turn-1")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(said.partition(" (")[0])
    assert f"hint: go on from another: --after c, or ask it again: llm-orc runs resume {run}" in refused.err
    assert told(here, "in other words").out == "re in other words\n"
    assert [text for _, text in server.last][1:] == ["sum: re look re hi", "re sum", "in other words"]
    server.trouble = False
    asked = len(server.chats)
    here.run("runs", "resume", "last")
    assert [chat(request)[-1][1] for request in server.chats[asked:]] == ["this is trouble"]


def test_a_turn_that_was_killed_is_asked_again_and_nothing_else(here: Project, server: Parrot) -> None:
    began(here, "chain")
    told(here, "one")
    process = here.start("continue", "last", "wait for it", "--after", "b")
    server.gate.wait_for(1)
    run = kept(here)
    assert told(here, "too early") == ("", refusal(run), 2)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    server.gate.release()
    before = len(server.chats)
    outcome = here.run("runs", "resume", run.id)
    assert (outcome.out, outcome.code) == ("re wait for it\n", 0)
    assert len(server.chats) == before + 1
    assert server.last == [("system", "You are strict."), ("user", "hi"), ("assistant", "re hi"), ("user", "wait for it")]
    assert [(node.id, node.status) for node in kept(here).nodes.values()][-2:] == [("turn-1", "succeeded"), ("turn-2", "succeeded")]
    assert here.run("runs", "resume", "last").out == "re wait for it\n", "of a whole run the result is printed again"
    assert len(server.chats) == before + 1


def refusal(run: Run) -> str:
    return f"error: another process works on the run '{run.id}'\nhint: wait until it is done, or end it\n"


def test_ctrl_c_ends_the_turn(here: Project, server: Parrot) -> None:
    began(here, "chain")
    process = here.start("continue", "last", "wait for it")
    server.gate.wait_for(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    server.gate.release()
    assert (process.returncode, err.decode().splitlines()[-1]) == (130, f"to go on with it: llm-orc runs resume {kept(here).id}")
    assert here.run("runs", "resume", "last").out == "re wait for it\n"


def test_a_run_that_was_cut_off_is_gone_on_with_from_what_it_has(here: Project, server: Parrot) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", json.dumps({"agents": [*CHAIN[:2], {**CHAIN[2], "prompt": "wait {{ agents.a }}"}]}))
    process = here.start("invoke", "slow", "hi")
    server.gate.wait_for(1)
    server.wait_until(lambda: server.bill.calls == 2)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    server.gate.release()
    outcome = told(here, "so?", "--after", "c")
    assert (outcome.code, "error: 'c' has no reply to go on from: it was cut off" in outcome.err) == (2, True)
    before = len(server.chats)
    assert told(here, "so?", "--after", "a").out == "re so?\n"
    assert len(server.chats) == before + 1


def test_files_go_along_and_are_sent_again_with_what_was_said(here: Project, server: Parrot) -> None:
    here.write("dot.png", png())
    here.write(".llm-orc/ensembles/see.yaml", json.dumps({"agents": [{"name": "see", "model_profile": "other"}]}))
    began(here, "see", "what is it?", attachments=["dot.png"])
    assert told(here, "and this?", "--attach", "dot.png").code == 0
    assert told(here, "compare").code == 0
    sent = [message["content"] for message in server.chats[-1].json["messages"] if message["role"] == "user"]
    assert [[part["type"] for part in content] if isinstance(content, list) else content for content in sent] == [
        ["text", "image_url"],
        ["text", "image_url"],
        "compare",
    ]


def test_the_flags_of_the_result(here: Project) -> None:
    began(here, "chain")
    assert told(here, "x", "-o", "out.md").out == ""
    assert (here.path / "out.md").read_text() == "re x\n"
    assert told(here, "y", "--stream", "--output-format", "markdown").out == "re y\n"
    shown = json.loads(told(here, "z", "--output-format", "json").out)
    assert (shown["run"], shown["ensemble"], shown["result"]) == (kept(here).id, "chain", "re z")
    assert [(agent["name"], agent["cost"]) for agent in shown["agents"]] == [("turn-3", 0.00501)]
    lines = [json.loads(line) for line in told(here, "w", "--output-format", "jsonl").out.splitlines()]
    assert [lines[0]["event"], lines[1]["event"], lines[-1]["event"]] == ["resumed", "submitted", "run_ended"]


def test_what_it_may_cost_is_that_of_the_whole_run(here: Project) -> None:
    began(here, "chain")
    outcome = told(here, "x", "--max-cost", "0.0151")
    assert (outcome.code, "budget" in outcome.err) == (4, True)
    assert told(here, "x", "--max-cost", "5").code == 0


WRONG: Mapping[tuple[str, ...], str] = {
    ("last",): "error: nothing is said\nhint: llm-orc continue last TEXT, -f FILE, or pipe something in\n",
    ("nope", "x"): "error: no run 'nope'\nhint: see: llm-orc runs list\n",
    ("last", "x", "--after", "bb"): "error: there is no node 'bb'\nhint: did you mean 'b'?\n",
    ("last", "x", "--profile", "othr"): "error: no profile 'othr'\nhint: did you mean 'other'? see: llm-orc list profiles\n",
    ("last", "x", "-f", "none.txt"): "none.txt: cannot be read: no such file or directory\n",
    ("last", "two", "words"): "error: too many arguments: words\nhint: a text of several words is one argument: quote it\n",
    ("last", "x", "--profile", ""): "error: --profile is empty\nhint: give it a value, or leave it out\n",
}


def test_wrong_input(here: Project) -> None:
    began(here, "chain")
    for words, said in WRONG.items():
        assert here.run("continue", *words) == ("", said, 2)


def test_where_nothing_is_kept(here: Project) -> None:
    outcome = told(here, "x")
    assert (outcome.code, "no run is kept here" in outcome.err) == (2, True)


def test_a_run_of_python_functions_goes_on_with_a_profile(here: Project, server: Parrot) -> None:
    async def shout(text: str) -> str:
        return text.upper()

    ensemble = Ensemble(name="py", agents=(FunctionAgent(name="f", function=shout),))
    llm_orc.run(ensemble, "hi", store=True, cwd=here.path, env=here.env())
    refused = "error: 'f' is a Python function, which is not kept\nhint: say who answers: --profile NAME\n"
    assert told(here, "so?") == ("", refused, 2)
    assert told(here, "so?", "--profile", "mine").out == "re so?\n"
    assert server.last[1:] == [("user", "hi"), ("assistant", "HI"), ("user", "so?")]
    assert told(here, "more").out == "re more\n"


def test_nothing_is_sent_where_nothing_may_be(here: Project, server: Parrot) -> None:
    here.write(".llm-orc/profiles/mine.yaml", json.dumps({"provider": "anthropic", "model": "m"}))
    began(here, "chain", profile="other")
    outcome = told(here, "so?", "--profile", "mine", "--offline")
    assert (outcome.out, outcome.code, "skipped  turn-1: offline" in outcome.err) == ("", 1, True)
    assert len(server.chats) == 3


def test_names_are_completed(here: Project) -> None:
    began(here, "chain")

    def completed(words: str) -> list[str]:
        env: Mapping[str, str] = {
            "_LLM_ORC_COMPLETE": "complete_bash",
            "COMP_WORDS": f"llm-orc {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        }
        return here.run(env=env).out.split()

    assert completed("continue la") == ["last"]
    assert completed("continue last --after ") == ["a", "b", "c"]
    assert completed("continue last --profile ot") == ["other"]
