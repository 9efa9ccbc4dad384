"""Summaries that are shared, kept, gone on with and cut off as all else is, and conversations that outgrow a window."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from llm_orc.domain.event import Received, Shortened, Started, Submitted
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Message, Outcome, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.past import is_whole
from llm_orc.domain.price import Price
from llm_orc.domain.profile import Profile
from llm_orc.domain.reuse import Unkept
from llm_orc.domain.run import SUMMARY, ExitCode, Run
from llm_orc.domain.turn import Speaking, turn_plan
from llm_orc.engine.open_run import OpenRun
from llm_orc.engine.turns import Before
from tests.engine.runs import Lab, names

WINDOW = 2_000
BOOK = "Read closely.\n\n" + "".join(f"Sentence number {number} of a long book.\n" for number in range(1_000))
SUMMARIZE = {"policy": "summarize"}


def reader(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"name": name, "prompt": "What is it about?", "context": SUMMARIZE, "max_tokens": 100, **keys}


def lab(**keys: Any) -> Lab:
    return Lab(**{"card": ModelCard(context_window=WINDOW), "answer": answer, **keys})


def answer(request: Request) -> str:
    text = request.messages[-1].text
    return "In short." if text.startswith("Summarise") else f"answer to {len(text)}"


def summaries(it: Lab) -> list[Request]:
    return [request for request in it.requests if "summary-" in request.node]


def lengths(it: Lab) -> list[float]:
    return [sum(len(message.text) for message in request.messages) / 4 for request in it.requests]


def failing(kind: Kind, *nodes: str) -> Any:
    async def said(request: Request, tell: Tell) -> Reply:
        if request.node in nodes:
            raise FailedError(Failure(kind, "no"), usage=NO_USAGE)
        return Reply(answer(request), usage=Usage(10, 1))

    return said


def test_those_who_read_the_same_have_it_summarised_once() -> None:
    it = lab()
    run = it.run({"agents": [reader("a"), reader("b"), reader("c", prompt="And who is in it?")]}, BOOK)
    assert run.status == "succeeded"
    owners = {request.node.partition("/")[0] for request in summaries(it)}
    assert len(owners) == 2, "the task of the third is another"
    assert len({request.messages for request in summaries(it)}) == len(summaries(it))
    assert max(lengths(it)) <= WINDOW


def test_an_agent_begins_with_its_first_summary() -> None:
    it = lab()
    run = it.run({"agents": [reader()]}, BOOK)
    began = [event.node for event in it.events if isinstance(event, Started)]
    assert (began[:2], began.count("a")) == (["a", "a/summary-1"], 1)
    assert run.nodes["a"].seconds == run.seconds > 1


def test_a_run_that_is_gone_on_with_keeps_its_summaries() -> None:
    first = lab(server=failing(Kind.INVALID_REQUEST, "a"))
    failed = first.run({"agents": [reader()]}, BOOK)
    made = len(summaries(first))
    assert (failed.status, made > 5) == ("failed", True)
    again = lab(server=failing(Kind.SERVER))
    run = again.run({"agents": [reader()]}, BOOK, past=failed)
    assert [request.node for request in again.requests] == ["a"], "nothing is summarised twice"
    assert (run.status, run.exit_code, run.nodes["a"].children) == (
        "succeeded",
        ExitCode.OK,
        [f"a/summary-{n}" for n in range(1, made + 1)],
    )
    assert run.usage == Usage(10 * (made + 1), made + 1)


def test_what_was_not_summarised_yet_is_when_it_is_gone_on_with() -> None:
    first = lab()
    cut_off = first.run({"agents": [reader()]}, BOOK, stop_after=(0.5, "interrupt"), max_parallel=2)
    assert names(cut_off, "cancelled") >= {"a", "a/summary-1", "a/summary-2"}
    again = lab()
    run = again.run({"agents": [reader()]}, BOOK, past=cut_off)
    assert run.status == "succeeded"
    assert len(run.nodes) == len(set(run.nodes["a"].children)) + 1
    assert all(node.status == "succeeded" for node in run.nodes.values())


@pytest.mark.parametrize("most", [1, 3])
def test_summaries_keep_to_the_bounds_of_the_run(most: int) -> None:
    it = lab()
    it.run({"agents": [reader("a"), reader("b", prompt="Who?")]}, BOOK, max_parallel=most)
    assert it.peak == most


def test_summaries_take_of_the_agents_time() -> None:
    run = lab().run({"agents": [reader(timeout_seconds=1.5)]}, BOOK)
    assert run.nodes["a"].cause == "timeout: no reply within 1.5 s"
    assert {node.status for node in run.nodes.values() if node.body == SUMMARY} <= {"succeeded", "cancelled"}


def test_a_summary_that_fails_is_no_failure_of_a_run_in_which_another_answers() -> None:
    profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "other")}
    run = lab(profiles=profiles, server=failing(Kind.AUTHENTICATION, "a/summary-1")).run({"agents": [reader(fallback=["other"])]}, BOOK)
    assert (run.nodes["a/summary-1"].status, run.nodes["a"].profile) == ("failed", "other")
    assert (run.exit_code, run.status) == (ExitCode.OK, "succeeded")
    assert is_whole(run), "there is nothing to go on with"


def test_a_reply_that_is_used_again_is_one_under_the_same_policy() -> None:
    kept, tokens = Unkept(), 10

    async def server(request: Request, tell: Tell) -> Reply:
        return Reply(answer(request), usage=Usage(tokens))

    first, second, third = (lab(replies=kept, server=server, pricing=Price(input=1, output=1)) for _ in range(3))
    run = first.run({"agents": [reader(cache=True), reader("b", cache=True)]}, BOOK)
    assert sum(event.usage.total for event in first.events if isinstance(event, Received)) == run.usage.total
    assert (run.nodes["b"].cached, run.nodes["a/summary-1"].usage.total) == (True, tokens)
    assert run.usage == sum((node.usage for node in run.nodes.values() if not node.children), NO_USAGE) + Usage(tokens)
    second.run({"agents": [reader(cache=True)]}, BOOK)
    assert second.requests == []
    other = third.run({"agents": [reader(cache=True, context={"policy": "truncate"})]}, BOOK)
    assert ([request.node for request in third.requests], other.nodes["a"].cached) == (["a"], False)


def test_a_summary_is_used_again_where_only_the_end_of_a_text_is_new() -> None:
    kept = Unkept()
    first, second = lab(replies=kept), lab(replies=kept)
    first.run({"agents": [reader(cache=True)]}, BOOK)
    run = second.run({"agents": [reader(cache=True)]}, BOOK + "A new end.\n")
    assert run.nodes["a/summary-1"].cached
    assert len(second.requests) <= 3


# Conversations


def talked(it: Lab, turns: int, context: Mapping[str, Any]) -> Run:
    """A conversation of so many turns, each with a long reply."""

    async def talk(whole: OpenRun) -> None:
        after = "a"
        for number in range(1, turns + 1):
            like = whole.plan.agents["a"]
            plan = turn_plan(f"turn-{number}", Speaking(like), it.profiles)
            outcome: Outcome = await whole.turn(plan, f"Question {number}: " + "so? " * 20, Before(it.so_far, (after,), {}))
            assert outcome.ok, outcome.cause
            after = f"turn-{number}"

    return it.run(
        {"agents": [{"name": "a", "context": context, "max_tokens": 100, "system_prompt": "Be brief."}]}, "Plan my trip.", talk=talk
    )


def long_answer(request: Request) -> str:
    text = request.messages[-1].text
    if not text.startswith("Summarise"):
        return f"Reply to {text[:12]}. " + "yes " * 100
    return "SUMMARY of " + ", ".join(re.findall(r"^Question (\d+)", text, re.MULTILINE))


def parts(request: Request) -> tuple[Message, list[Message]]:
    system, *said = request.messages
    return system, said


def test_a_conversation_that_outgrows_the_window_keeps_its_task_and_its_end() -> None:
    it = lab(answer=long_answer)
    run = talked(it, 40, {"policy": "summarize", "keep_last": 4, "reminder": 5})
    turns = [request for request in it.requests if request.node.startswith("turn-") and "/" not in request.node]
    assert max(lengths(it)) <= WINDOW
    for number, request in enumerate(turns, 1):
        system, said = parts(request)
        assert (system.role, system.text) == ("system", "Be brief.")
        assert said[0].text.startswith("Plan my trip.")
        assert f"Question {number}:" in said[-1].text
        assert number == 1 or f"Question {number - 1}:" in said[-3].text
        assert all(one.role != other.role for one, other in pairwise(request.messages)), "they take turns"
        assert said[-1].text.startswith("[Reminder of the task: Plan my trip.]") == (number % 5 == 0)
    last = parts(turns[-1])[1]
    assert "[Summary of " in last[0].text
    summarised = [number for request in summaries(it) for number in re.findall(r"^Question (\d+)", request.messages[-1].text, re.MULTILINE)]
    assert sorted(map(int, summarised)) == sorted({*map(int, summarised)}), "each turn is summarised once, however long it goes on"
    kept = [int(found) for message in last[1:] for found in re.findall(r"Question (\d+):", message.text) if message.role == "user"]
    assert sorted([*map(int, summarised), *kept]) == list(range(1, 41)), "and none is lost"
    assert len(summaries(it)) < 12
    assert {node.parent for node in run.nodes.values() if node.body == SUMMARY} < set(run.nodes)


def test_truncating_a_conversation_leaves_out_the_oldest_turns() -> None:
    it = lab(answer=long_answer)
    talked(it, 20, {"policy": "truncate", "keep_last": 2})
    _, said = parts(it.requests[-1])
    assert re.match(r"Plan my trip\.\n\n\[\.\.\. \d+ earlier messages left out \.\.\.\]\n\nQuestion \d+:", said[0].text)
    told = [event for event in it.events if isinstance(event, Shortened)]
    assert all(event.after <= event.room < event.before for event in told)
    assert max(lengths(it)) <= WINDOW
    assert not any(isinstance(event, Submitted) and event.body == SUMMARY for event in it.events)


def test_a_long_first_message_is_cut_in_later_turns_too() -> None:
    it = lab(answer=lambda _: "yes")

    async def talk(whole: OpenRun) -> None:
        plan = turn_plan("turn-1", Speaking(whole.plan.agents["a"]), it.profiles)
        assert (await whole.turn(plan, "And then?", Before(it.so_far, ("a",), {}))).ok

    run = it.run({"agents": [reader(context={"policy": "truncate"})]}, BOOK, talk=talk)
    assert run.nodes["turn-1"].text == "yes"
    first, reply, question = it.requests[-1].messages
    assert first.text.startswith("What is it about?\n\n[... ")
    assert (reply.text, question.text) == ("yes", "And then?")


def test_nobody_waits_for_a_summary_whose_asker_was_cut_off() -> None:
    run = lab().run({"agents": [reader("a", timeout_seconds=0.5), reader("b")]}, BOOK)
    assert (run.nodes["a"].status, run.nodes["b"].status) == ("failed", "succeeded")
