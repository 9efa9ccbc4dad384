"""Calls that are equal share one, and who does not wait any more takes nothing from those who do."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Answered, Delta, Happening, Queued, Received, Reused, Sent, Started
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.price import Price
from llm_orc.domain.profile import Profile
from llm_orc.domain.reuse import Unkept
from llm_orc.domain.run import Run
from tests.engine.runs import Lab

PRICE = Price(input=1.0, output=1.0)


def agent(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "prompt": "{{ input }}", "cache": True, **keys}


def lab(**keys: Any) -> Lab:
    return Lab(**{"replies": Unkept(), "answer": lambda _: "so", **keys})


def counting(failures: Mapping[int, Failure] | None = None, tokens: int = 10) -> Any:
    """A server that takes so many tokens for each request, and fails some by their number."""
    seen: list[str] = []

    async def answer(request: Request, tell: Tell) -> Reply:
        seen.append(request.node)
        if (failure := (failures or {}).get(len(seen))) is not None:
            raise FailedError(failure, usage=Usage(tokens))
        return Reply("so", usage=Usage(tokens))

    return answer


def kinds(it: Lab, node: str) -> list[str]:
    return [type(event).__name__ for event in it.events if getattr(event, "node", "") == node]


def adds_up(it: Lab, run: Run) -> None:
    """What was counted is what was told, and nothing is under way."""
    told = sum((event.usage for event in it.events if isinstance(event, Received)), NO_USAGE)
    assert run.usage == told
    assert all((use.running, use.waiting) == (0, 0) for use in run.endpoints.values())
    assert sum(use.requests for use in run.endpoints.values()) == len(it.requests)
    assert run.usage == sum((node.usage for node in run.nodes.values() if not node.children), NO_USAGE)


def test_one_call_serves_all_who_ask_the_same() -> None:
    it = lab(server=counting(), pricing=PRICE)
    run = it.run({"agents": [agent(name) for name in "abc"]})
    assert len(it.requests) == 1
    assert {node.text for node in run.nodes.values()} == {"so"}
    assert [node.cached for node in run.nodes.values()] == [False, True, True]
    assert kinds(it, "a") == ["Submitted", "Started", "Sent", "Received", "Answered"]
    assert kinds(it, "b") == ["Submitted", "Queued", "Started", "Reused", "Answered"]
    assert (run.seconds, run.usage, run.saved and run.saved.usage, run.nodes["b"].cost) == (1, Usage(10), Usage(20), 0.0)
    adds_up(it, run)


def test_a_call_that_comes_later_finds_the_reply() -> None:
    it = lab()
    run = it.run({"agents": [agent("a"), agent("b", depends_on=["a"]), agent("c", depends_on=["a"], cache=False)]})
    assert [request.node for request in it.requests] == ["a", "c"]
    assert kinds(it, "b") == ["Submitted", "Started", "Reused", "Answered"]
    assert run.nodes["b"].prompt == "input"


def test_what_is_not_to_be_reused_is_not() -> None:
    it = lab()
    it.run({"agents": [agent("a", cache=False), agent("b", cache=False), {"name": "c", "prompt": "{{ input }}"}]})
    assert len(it.requests) == 3


@pytest.mark.parametrize(("first", "second", "times"), [(0.5, 5.0, (0.5, 1.0)), (5.0, 0.5, (1.0, 0.5))])
def test_who_has_no_time_left_takes_nothing_from_the_others(first: float, second: float, times: tuple[float, float]) -> None:
    it = lab(server=counting())
    run = it.run({"agents": [agent("a", timeout_seconds=first), agent("b", timeout_seconds=second)]})
    assert len(it.requests) == 1
    assert [node.seconds for node in run.nodes.values()] == list(times)
    assert sorted(node.status for node in run.nodes.values()) == ["failed", "succeeded"]
    assert run.usage == Usage(10)
    adds_up(it, run)


def test_nobody_left_is_the_end_of_the_call() -> None:
    it = lab(seconds={"a": 100.0}, server=counting())
    run = it.run({"agents": [agent("a", timeout_seconds=1), agent("b", timeout_seconds=2)]})
    assert {node.status for node in run.nodes.values()} == {"failed"}
    assert (len(it.requests), it.running, run.seconds) == (1, 0, 2)
    assert run.usage.estimated
    assert [type(event).__name__ for event in it.events][-3:] == ["Received", "Failed", "RunEnded"]


@pytest.mark.parametrize("moment", [0.0, 0.5])
def test_an_interrupt_leaves_no_task(moment: float) -> None:
    it = lab()
    run = it.run({"agents": [agent(name) for name in "abc"]}, stop_after=(moment, "interrupt"))
    assert {node.status for node in run.nodes.values()} == {"cancelled"}
    assert run.endpoints == {} or run.endpoints["lab"].running == 0


def test_who_comes_after_a_call_was_given_up_makes_another() -> None:
    it = lab(seconds={"a": 100.0, "late": 1.0})
    agents = [agent("a", timeout_seconds=2), {"name": "slow", "prompt": "{{ input }} is other"}, agent("late", depends_on=["a"], require=0)]
    run = it.run({"agents": agents})
    assert run.nodes["late"].status == "succeeded"
    assert [request.node for request in it.requests] == ["slow", "a", "late"]


def test_attempts_are_shared_too() -> None:
    it = lab(server=counting({1: Failure(Kind.SERVER, "no"), 2: Failure(Kind.SERVER, "no")}))
    run = it.run({"agents": [agent("a"), agent("b")]})
    assert len(it.requests) == 3
    assert {node.status for node in run.nodes.values()} == {"succeeded"}
    assert run.saved is not None
    assert run.saved.usage == run.usage == Usage(30), "what failed cost something, too"
    adds_up(it, run)


def test_a_failure_is_shared_and_forgotten() -> None:
    it = lab(server=counting({1: Failure(Kind.INVALID_REQUEST, "no")}))
    run = it.run({"agents": [agent("a"), agent("b"), agent("c", depends_on=["a", "b"], require=0)]})
    assert [(node.id, node.status) for node in run.nodes.values()] == [("a", "failed"), ("b", "failed"), ("c", "succeeded")]
    assert [request.node for request in it.requests] == ["a", "c"]
    adds_up(it, run)


def test_the_first_to_leave_hands_the_call_on() -> None:
    it = lab(server=counting({1: Failure(Kind.SERVER, "no", retry_after=5.0)}))
    run = it.run({"agents": [agent("a", timeout_seconds=2), agent("b", timeout_seconds=60)]})
    assert (run.nodes["a"].status, run.nodes["b"].status) == ("failed", "succeeded")
    assert (run.nodes["a"].sent, run.nodes["b"].sent) == (1, 1)
    assert [event.node for event in it.events if isinstance(event, Sent)] == ["a", "b"]
    assert (run.nodes["b"].cached, run.seconds) == (False, 7)
    adds_up(it, run)


def test_the_budget_of_a_child_run_binds_nobody_else() -> None:
    poor = Ensemble.model_validate(
        {"name": "poor", "agents": [{"name": "y", "prompt": "other {{ input }}"}, agent("x")], "limits": {"max_cost": 1.5e-3}}
    )
    profiles = {"default": Profile(name="default", model="m", provider="lab", max_tokens=1_000)}
    it = lab(ensembles={"poor": poor}, server=counting(tokens=900), pricing=PRICE, profiles=profiles, seconds={"p/y": 2.0})
    agents = [{"name": "p", "ensemble": "poor"}, {"name": "z", "prompt": "{{ input }}?"}, agent("rich", depends_on=["z"])]
    run = it.run({"agents": agents})
    # While the call in the child run waits for its budget, another node wants the same.
    assert [event.limit for event in it.events if isinstance(event, Queued)] == ["max_cost", "an equal call"]
    assert {node.id: node.status for node in run.nodes.values()} == {
        "p": "succeeded",
        "z": "succeeded",
        "rich": "succeeded",
        "p/y": "succeeded",
        "p/x": "failed",
    }
    assert run.nodes["rich"].cached is False


def test_tokens_reach_all_who_wait_for_them() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "so "))
        tell(Delta(request.node, "it is"))
        return Reply("so it is")

    it = lab(server=answer, shown="b")
    it.run({"agents": [agent("a"), agent("b")]})
    for node in "ab":
        assert "".join(event.text for event in it.events if isinstance(event, Delta) and event.node == node) == "so it is"


def test_who_joins_late_is_told_what_has_come_of_the_last_attempt() -> None:
    failed: list[str] = []

    async def answer(request: Request, tell: Tell) -> Reply:
        if request.node == "z":
            return Reply("other")
        tell(Delta(request.node, f"try {len(failed)}, "))
        if not failed:
            failed.append(request.node)
            raise FailedError(Failure(Kind.SERVER, "no", retry_after=1.0))
        await asyncio.sleep(3)
        tell(Delta(request.node, "so it is"))
        return Reply("so it is")

    it = lab(server=answer, shown="b", seconds={"z": 4.0})
    it.run({"agents": [agent("a"), {"name": "z", "prompt": "{{ input }}?"}, agent("b", depends_on=["z"])]})
    assert [event.text for event in it.events if isinstance(event, Delta) and event.node == "b"] == ["try 1, ", "so it is"]


def test_who_comes_while_a_call_is_being_given_up_makes_another() -> None:
    async def slow_to_end(request: Request, tell: Tell) -> Reply:
        try:
            await asyncio.sleep(100 if request.node == "a" else 0)
        finally:
            await asyncio.sleep(5)
        return Reply("so")

    it = lab(server=slow_to_end, seconds={"z": 0.0})
    agents = [agent("a", timeout_seconds=2), {"name": "z", "prompt": "{{ input }}?"}, agent("late", depends_on=["z"])]
    run = it.run({"agents": agents})
    assert (run.nodes["a"].status, run.nodes["late"].status) == ("failed", "succeeded")
    assert [request.node for request in it.requests] == ["z", "a", "late"]


def test_what_is_on_stdout_is_not_asked_again_for_anybody() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "so "))
        raise FailedError(Failure(Kind.SERVER, "it broke"))

    it = lab(server=answer, shown="b")
    run = it.run({"agents": [agent("a"), agent("b")]})
    assert len(it.requests) == 1
    assert {node.status for node in run.nodes.values()} == {"failed"}


def test_clocks_stand_still_in_the_queue() -> None:
    it = lab(profiles={"default": Profile(name="default", model="m", provider="lab")})
    agents = [{"name": "before", "prompt": "{{ input }} is other"}, agent("a", timeout_seconds=1.5), agent("b", timeout_seconds=1.5)]
    run = it.run({"agents": agents}, max_parallel=1)
    assert {node.status for node in run.nodes.values()} == {"succeeded"}
    assert run.seconds == 2
    queued = {(event.node, event.limit) for event in it.events if isinstance(event, Queued)}
    assert queued == {("a", "max_parallel"), ("b", "an equal call")}


def test_a_reply_that_follows_another_schema_is_another() -> None:
    it = lab(answer=lambda _: '{"x": 1}')
    schema = {"type": "object", "required": ["x"]}
    run = it.run({"agents": [agent("a", output_schema=schema), agent("b"), agent("c", output_schema=schema)]})
    assert [request.node for request in it.requests] == ["a", "b"]
    assert run.nodes["c"].reply is not None
    assert run.nodes["c"].reply.value == {"x": 1}


def test_options_that_json_does_not_know_are_simply_sent() -> None:
    profiles = {"default": Profile(name="default", model="m", provider="lab", options={"x": object()})}
    it = lab(profiles=profiles)
    it.run({"agents": [agent("a"), agent("b")]})
    assert len(it.requests) == 2


def test_everything_of_a_node_is_told_in_order() -> None:
    it = lab()
    it.run({"agents": [agent(name) for name in "abcdefgh"]}, max_parallel=2)
    told: dict[str, list[Happening]] = {}
    for event in it.events:
        told.setdefault(getattr(event, "node", ""), []).append(event)
    for name in "bcdefgh":
        order = [type(event) for event in told[name] if isinstance(event, Started | Reused | Answered)]
        assert order == [Started, Reused, Answered]
