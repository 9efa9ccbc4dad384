"""A run that is kept open, or gone on with: turns, each told what was said before it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from llm_orc.domain.conversation import conversation_of, next_turn
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Delta, Happening, Submitted
from llm_orc.domain.message import Message, Outcome
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.run import ExitCode, Run, fold
from llm_orc.domain.turn import Speaking, speaker, turn_plan
from llm_orc.engine.open_run import OpenRun
from llm_orc.engine.turns import Before
from tests.engine.runs import Lab, names
from tests.engine.virtual import in_virtual_time

SPEC = {"version": 1}
ONE = {"agents": [{"name": "a"}]}
TWO = {"agents": [{"name": "a"}, {"name": "b", "depends_on": ["a"]}]}


def said(lab: Lab, whole: OpenRun, text: str, *after: str, name: str = "") -> "asyncio.Future[Outcome]":
    """Submit a turn, answered by the model `m`."""
    plan = turn_plan(name or next_turn(lab.so_far), Speaking(), lab.profiles)
    return whole.turn(plan, text, Before(lab.so_far, after, SPEC))


def chat(lab: Lab, messages: int = -1) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in lab.requests[messages].messages]


def test_a_turn_is_told_what_was_said_before() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        assert (await said(lab, whole, "and why?", "b")).text == "turn-1 says: and why?"
        await said(lab, whole, "since when?", "turn-1")

    run = lab.run(TWO, talk=talk)
    assert chat(lab) == [
        ("user", "input\n\n## a\n\na says: input"),
        ("assistant", "b says: input\n\n## a\n\na says: input"),
        ("user", "and why?"),
        ("assistant", "turn-1 says: and why?"),
        ("user", "since when?"),
    ]
    assert (run.result, run.leaves, run.status, run.exit_code) == ("turn-2 says: since when?", ("turn-2",), "succeeded", ExitCode.OK)
    assert run.phases == (("a",), ("b",), ("turn-1",), ("turn-2",))
    assert [node.phase for node in run.nodes.values()] == [0, 1, 2, 3]
    assert (run.nodes["turn-2"].prompt, run.nodes["turn-2"].depends_on) == ("since when?", ("turn-1",))
    assert conversation_of(run).history("turn-2", depth=3) == ("turn-1.prompt", "turn-1", "turn-2.prompt", "turn-2")
    assert in_order(lab.events) == run


def in_order(events: Iterable[Happening]) -> Run:
    run = Run()
    for event in events:
        if not isinstance(event, Delta):
            fold(run, event)
    return run


def test_a_tag_in_what_is_said_is_only_text() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        await said(lab, whole, "what is {{ input }}?", "a")

    lab.run(ONE, talk=talk)
    assert chat(lab)[-1] == ("user", "what is {{ input }}?")


def test_branches_know_nothing_of_one_another_until_they_are_joined() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        one, other = said(lab, whole, "one", "a", name="x"), said(lab, whole, "other", "a", name="y")
        await said(lab, whole, "both?", "x", "y", name="z")
        assert one.done()
        assert other.done()

    lab.run(ONE, talk=talk)
    assert [text for _, text in chat(lab)] == ["input", "a says: input", "one", "x says: one", "other", "y says: other", "both?"]
    assert lab.so_far.nodes["z"].started_at == 2.0, "x and y ran at once"


def test_the_limit_of_the_run_bounds_its_turns() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        turns = [said(lab, whole, str(number), "a", name=f"t{number}") for number in range(6)]
        assert [outcome.text for outcome in await asyncio.gather(*turns)] == [f"t{number} says: {number}" for number in range(6)]

    run = lab.run({**ONE, "limits": {"max_parallel": 2}}, talk=talk)
    assert (lab.peak, run.ended_at) == (2, 4.0)


def test_a_turn_on_what_has_no_reply_is_skipped() -> None:
    lab = Lab(failing=frozenset({"b", "x"}))

    async def talk(whole: OpenRun) -> None:
        for after, name in (("b", "y"), ("x", "z")):
            if after == "x":
                said(lab, whole, "it will fail", "a", name="x")
            outcome = await said(lab, whole, "so?", after, name=name)
            assert (outcome.status, outcome.cause) == ("skipped", f"no reply from {after}")

    run = lab.run(TWO, talk=talk)
    assert (names(run, "skipped"), run.exit_code, run.result) == ({"y", "z"}, ExitCode.NO_LEAF, "")


def test_a_turn_that_is_ended_leaves_the_run_open() -> None:
    lab = Lab(seconds={"slow": 100.0})

    async def talk(whole: OpenRun) -> None:
        slow = said(lab, whole, "tell me all", "a", name="slow")
        await asyncio.sleep(5)
        slow.cancel()
        await asyncio.wait({slow})
        assert (await said(lab, whole, "in short", "a")).ok

    run = lab.run(ONE, talk=talk)
    assert (run.nodes["slow"].status, run.result, run.exit_code, run.ended_at) == ("cancelled", "turn-2 says: in short", ExitCode.OK, 7.0)


def test_the_clock_of_the_ensemble_does_not_run_while_a_person_thinks() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        await asyncio.sleep(1000)
        await said(lab, whole, "well", "a")

    run = lab.run({**ONE, "limits": {"timeout_seconds": 10}}, talk=talk)
    assert (run.cause, run.result) == ("", "turn-1 says: well")
    assert Lab(seconds={"a": 20.0}).run({**ONE, "limits": {"timeout_seconds": 10}}, talk=talk).cause == "timeout"


def test_a_run_without_agents_can_be_talked_in() -> None:
    lab = Lab()

    async def talk(whole: OpenRun) -> None:
        await said(lab, whole, "hello")
        await said(lab, whole, "again", "turn-1")

    run = in_virtual_time(lab.carried_out(nothing(), "", talk=talk))
    assert (run.status, run.result, len(lab.requests[-1].messages)) == ("succeeded", "turn-2 says: again", 3)


def nothing(**limits: Any) -> Plan:
    plan = turn_plan("none", Speaking(), {"default": Profile(name="default", model="m", provider="lab")})
    return replace(plan, agents={}, phases=(), leaves=(), **limits)


def test_a_run_that_is_over_is_gone_on_with_and_what_failed_is_not_asked_again() -> None:
    lab = Lab(failing=frozenset({"c"}))
    run = lab.run({"agents": [*TWO["agents"], {"name": "c"}]})
    assert run.exit_code == ExitCode.SOME_FAILED
    later = Lab()

    async def talk(whole: OpenRun) -> None:
        await said(later, whole, "go on", "b")

    in_virtual_time(later.carried_out(nothing(), "", past=run, talk=talk))
    assert [request.node for request in later.requests] == ["turn-1"]
    assert [message.text for message in later.requests[0].messages][-2:] == ["b says: input\n\n## a\n\na says: input", "go on"]
    assert (run.result, run.leaves, run.status, run.nodes["c"].status) == ("turn-1 says: go on", ("turn-1",), "partial", "failed")
    sitting = in_order(later.events)
    assert (sitting.id, list(sitting.nodes), sitting.exit_code, sitting.seconds) == ("r", ["turn-1"], ExitCode.OK, 1.0)


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_turn_that_was_cut_off_is_asked_again_and_nothing_else(cut: int) -> None:
    first, second = Lab(), Lab()

    def talking(lab: Lab) -> Any:
        async def talk(whole: OpenRun) -> None:
            await said(lab, whole, "one", "a", name="x")
            await said(lab, whole, "two", "x", name="y")

        return talk

    whole = first.run(ONE, talk=talking(first))
    kept = first.events[:cut]
    answered = {node.id for node in in_order(kept).nodes.values() if node.reply}
    run = second.run(ONE, past=in_order(kept), talk=talking(second))
    assert [request.node for request in second.requests] == [name for name in ("a", "x", "y") if name not in answered]
    assert (run.result, run.leaves, list(run.nodes)) == (whole.result, whole.leaves, list(whole.nodes))
    assert in_order([*kept, *second.events]) == run
    assert [event.turn for event in first.events if isinstance(event, Submitted)] == [None, SPEC, SPEC]


# Who answers


PROFILES = {
    "default": Profile(name="default", model="m", provider="lab"),
    "big": Profile(name="big", model="b", provider="lab", system_prompt="Be large.", fallback=("spare",), timeout_seconds=50),
    "spare": Profile(name="spare", model="s", provider="lab"),
}
CHILD = Ensemble.model_validate({"name": "child", "agents": [{"name": "in", "model_profile": "big"}]})
MANY = [
    {"name": "role", "model_profile": "big", "system_prompt": "You are strict.", "temperature": 0.5, "options": {"n": 1}, "prompt": "P"},
    {"name": "own", "model": "x", "provider": "lab", "output_schema": {"type": "object"}, "depends_on": ["role"], "retry": {"attempts": 1}},
    {"name": "sub", "ensemble": "child"},
    {"name": "both", "fan_out": {"profiles": ["default", "spare"]}},
    {"name": "each", "fan_out": {"items": [1, 2]}, "model_profile": "spare"},
    {"name": "format", "command": ["cat"], "depends_on": ["role"]},
    {"name": "alone", "command": ["cat"]},
]


def many() -> tuple[Run, Plan]:
    plan = resolve(Ensemble.model_validate({"name": "many", "agents": MANY}), PROFILES, {"child": CHILD}, Choices())
    lab = Lab(answer=lambda _: '{"a": 1}')
    return in_virtual_time(lab.carried_out(plan, "input")), plan


def answering(after: str, **more: Any) -> tuple[Profile, Sequence[Profile], int] | None:
    run, plan = many()
    like = speaker(run, after, plan, {})
    if like is None and not more:
        return None
    turn = turn_plan("turn-1", Speaking(like, **more), PROFILES).agents["turn-1"]
    assert turn.profile is not None
    return turn.profile, turn.fallbacks, turn.attempts


def test_the_model_and_the_role_of_whom_it_goes_on_from() -> None:
    strict = PROFILES["big"].model_copy(update={"system_prompt": "You are strict.", "temperature": 0.5, "options": {"n": 1}})
    fallback = PROFILES["spare"].model_copy(update={"system_prompt": "You are strict.", "temperature": 0.5, "options": {"n": 1}})
    assert answering("role") == (strict, (fallback,), 3)
    assert answering("format") == (strict, (fallback,), 3), "the last model of those that led to a program"
    assert answering("own") == (Profile(model="x", provider="lab"), (), 1)
    assert answering("sub") == (PROFILES["big"], (PROFILES["spare"],), 3)
    assert answering("sub/in") == (PROFILES["big"], (PROFILES["spare"],), 3)
    assert answering("both[0]") == (PROFILES["default"], (), 3)
    assert answering("both") == (PROFILES["spare"], (), 3)
    assert answering("each") == answering("each[1]") == (PROFILES["spare"], (), 3)
    assert answering("alone") is None


def test_another_profile_in_the_same_role() -> None:
    found = answering("role", profile="spare")
    assert found is not None
    assert (found[0].model, found[0].system_prompt, found[0].temperature, found[1]) == ("s", "You are strict.", 0.5, ())
    found = answering("alone", profile="spare")
    assert found == (PROFILES["spare"], (), 3)


def test_a_turn_takes_no_longer_than_the_run_might() -> None:
    for most, seconds in ((None, 50), (20.0, 20), (90.0, 50)):
        found = answering("role", timeout_seconds=most)
        assert found is not None
        assert found[0].timeout_seconds == seconds
    found = answering("each", timeout_seconds=20.0)
    assert found is not None
    assert found[0].timeout_seconds == 20


def test_a_turn_can_go_on_from_a_turn() -> None:
    run, plan = many()
    turn = turn_plan("turn-1", Speaking(profile="big"), PROFILES)
    fold(run, Submitted("turn-1", "model", ("alone",), turn=SPEC))
    run.nodes["turn-1"].reply = run.nodes["role"].reply
    found = speaker(run, "turn-1", plan, {"turn-1": turn})
    assert found is not None
    assert found.profile == PROFILES["big"]


def test_the_system_prompt_comes_first_and_once() -> None:
    lab = Lab(profiles={"default": Profile(name="default", model="m", provider="lab", system_prompt="Be brief.")})

    async def talk(whole: OpenRun) -> None:
        await said(lab, whole, "well", "a")

    lab.run(ONE, talk=talk)
    assert lab.requests[-1].messages[0] == Message("system", "Be brief.")
    assert [message.role for message in lab.requests[-1].messages] == ["system", "user", "assistant", "user"]
