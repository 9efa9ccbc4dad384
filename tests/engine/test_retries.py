"""How often a request is made again, and how long it waits before that."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Delta, Loaded, Loading, Retrying, Sent
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.run import ExitCode
from tests.engine.runs import Lab

RETRYABLE = {Kind.NETWORK, Kind.TIMEOUT, Kind.RATE_LIMIT, Kind.SERVER, Kind.EMPTY, Kind.MALFORMED}
A = {"name": "a"}


def failed(kind: Kind = Kind.SERVER, what: str = "oh no", after: float | None = None, **keys: Any) -> FailedError:
    return FailedError(Failure(kind, what, retry_after=after), **{"usage": NO_USAGE, **keys})


def saying(*lines: FailedError | str) -> Ask:
    """One line after the other, the last for ever."""
    left = list(lines)

    async def answer(request: Request, tell: Tell) -> Reply:
        line = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(line, FailedError):
            raise line
        return Reply(line, usage=Usage(2, 1))

    return answer


def lab(server: Ask, *, size: int | None = None, **keys: Any) -> Lab:
    return Lab(server=server, endpoint=Endpoint("lab", "lab", size, local=True), **keys)


def agent(attempts: int | None = None, **keys: Any) -> dict[str, Any]:
    return {"agents": [{**A, **({"retry": {"attempts": attempts}} if attempts else {}), **keys}]}


def waits(it: Lab) -> list[float]:
    return [event.seconds for event in it.events if isinstance(event, Retrying)]


@pytest.mark.parametrize("attempts", [None, 1, 2, 5])
@pytest.mark.parametrize("kind", Kind)
def test_exactly_so_many_requests_reach_the_server_and_one_where_another_cannot_help(kind: Kind, attempts: int | None) -> None:
    it = lab(saying(failed(kind)))
    run = it.run(agent(attempts))
    assert len(it.requests) == ((attempts or 3) if kind in RETRYABLE else 1)
    assert run.nodes["a"].sent == len(it.requests)
    assert run.nodes["a"].status == ("skipped" if kind is Kind.OFFLINE else "failed")


def test_a_retry_that_succeeds_is_a_success_that_says_how_many_there_were() -> None:
    it = lab(saying(failed(), failed(Kind.NETWORK), "fine"))
    run = it.run(agent())
    reply = run.nodes["a"].reply
    assert reply is not None
    assert (reply.text, reply.attempts, run.exit_code) == ("fine", 3, ExitCode.OK)


def test_the_first_wait_is_half_a_second_and_it_doubles_with_jitter_to_a_minute() -> None:
    seen: list[list[float]] = []
    for _ in range(20):
        different = [failed(what=str(number)) for number in range(12)]
        it = lab(saying(*different))
        it.run(agent(10))
        seen.append(waits(it))
    for number, column in enumerate(zip(*seen, strict=True)):
        least = min(0.5 * 2**number, 60)
        assert all(least <= wait <= min(least + 0.5, 60) for wait in column)
        assert len(set(column)) > 1 or least == 60
    assert len(seen[0]) == 9


def test_a_wait_that_the_server_asks_for_is_the_wait_each_time_anew() -> None:
    it = lab(saying(failed(Kind.RATE_LIMIT, after=7.0), failed(Kind.RATE_LIMIT, after=0.0), failed(Kind.RATE_LIMIT, after=100.0), "fine"))
    run = it.run(agent(4))
    assert waits(it) == [7, 0, 100]
    assert run.nodes["a"].waited == 107
    assert run.seconds == 4 + 107


def test_the_failure_that_is_told_is_the_last() -> None:
    run = lab(saying(failed(what="first"), failed(what="second"), failed(Kind.NETWORK, what="third"))).run(agent())
    assert run.nodes["a"].cause == "network: third"


def test_who_waits_for_another_attempt_holds_no_slot() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        if len(it.requests) == 1:
            raise failed(after=30.0)
        return Reply("fine")

    it = lab(answer, size=1)
    run = it.run({"agents": [A, {"name": "b"}, {"name": "c"}]}, max_parallel=1)
    assert [(run.nodes[name].ended_at) for name in "bca"] == [2, 3, 32]


def test_ten_failures_that_are_the_same_are_enough() -> None:
    it = lab(saying(failed(after=0.0)))
    it.run(agent(100))
    assert len(it.requests) == 10
    it = lab(saying(failed(after=0.0, what="other"), *[failed(after=0.0)] * 5, failed(Kind.NETWORK, after=0.0), failed(after=0.0)))
    it.run(agent(100))
    assert len(it.requests) == 7 + 10, "one after the other"


def test_a_server_that_wants_to_be_left_alone_for_longer_than_an_hour_is() -> None:
    it = lab(saying(failed(Kind.RATE_LIMIT, after=3_601.0)))
    run = it.run(agent())
    assert (len(it.requests), run.seconds, run.nodes["a"].cause) == (1, 1, "rate_limit: oh no")
    it = lab(saying(failed(Kind.RATE_LIMIT, after=3_600.0), "fine"))
    run = it.run(agent())
    assert (len(it.requests), run.seconds) == (2, 3_602)


# The agent's clock


def test_a_wait_that_is_longer_than_the_agent_has_ends_it_at_once() -> None:
    it = lab(saying(failed(Kind.RATE_LIMIT, after=60.0)))
    run = it.run(agent(timeout_seconds=30))
    assert (len(it.requests), run.seconds) == (1, 1)
    assert run.nodes["a"].cause == "rate_limit: oh no"


def test_a_wait_that_is_longer_than_the_ensemble_has_ends_its_agent_too() -> None:
    child = Ensemble.model_validate({"name": "child", "agents": [A]})
    it = lab(saying(failed(Kind.RATE_LIMIT, after=60.0)), ensembles={"child": child})
    run = it.run({"agents": [{"name": "n", "ensemble": "child", "timeout_seconds": 30}]})
    assert run.seconds == 1
    assert run.nodes["n"].cause.startswith("rate_limit: no agent of 'child' came to a result; first: oh no")


def test_the_clock_of_an_agent_runs_while_it_waits_for_another_attempt() -> None:
    it = lab(saying(failed(after=2.0)))
    run = it.run(agent(9, timeout_seconds=5.5))
    assert (len(it.requests), run.seconds) == (2, 4), "1 + 2 + 1, and then there is less than 2 left"
    it = lab(saying(failed(after=2.0), "fine"), seconds={"a": 1.2})
    run = it.run(agent(9, timeout_seconds=4.0))
    assert (run.nodes["a"].cause, run.seconds) == ("timeout: no reply within 4 s", 4)


def test_it_covers_every_fallback_and_the_repair() -> None:
    profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "p")}
    it = lab(saying(failed(Kind.AUTHENTICATION)), profiles=profiles)
    run = it.run(agent(fallback=["p"], timeout_seconds=1.5))
    assert (run.nodes["a"].cause, run.seconds, len(it.requests)) == ("timeout: no reply within 1.5 s", 1.5, 2)
    it = lab(saying("no json"))
    run = it.run(agent(output_schema={"type": "object"}, timeout_seconds=1.5))
    assert (run.nodes["a"].cause, run.seconds, len(it.requests)) == ("timeout: no reply within 1.5 s", 1.5, 2)


@pytest.mark.parametrize(
    ("queue", "choices"),
    [
        ({"max_parallel": 1}, {}),
        ({}, {"max_parallel": 1}),
        ({"requests_per_minute": 1}, {}),
        ({"tokens_per_minute": 1}, {}),
    ],
    ids=["endpoint", "run", "requests", "tokens"],
)
def test_it_stands_still_in_every_queue(queue: dict[str, Any], choices: dict[str, Any]) -> None:
    it = lab(saying("fine"), size=64, profiles={"default": Profile(name="default", model="m", provider="lab", **queue)})
    run = it.run({"agents": [{"name": f"a{number}", "timeout_seconds": 1.5} for number in range(3)]}, **choices)
    assert [node.status for node in run.nodes.values()] == ["succeeded"] * 3
    assert run.seconds >= 3


def test_it_stands_still_in_the_queue_before_a_second_attempt_too() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        if request.node == "a" and len(it.requests) == 1:
            raise failed(after=0.5)
        return Reply("fine")

    it = lab(answer, size=1, seconds={"b": 50.0})
    run = it.run({"agents": [{**A, "timeout_seconds": 3}, {"name": "b"}]})
    assert (run.nodes["a"].status, run.nodes["a"].ended_at) == ("succeeded", 52)


def loads(seconds: float, then: Callable[[], Any] = lambda: None) -> Ask:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Loading(request.node, "m"))
        tell(Loading(request.node, "m"))
        await asyncio.sleep(seconds)
        then()
        tell(Loaded(request.node))
        tell(Loaded(request.node))
        await asyncio.sleep(1)
        return Reply("fine")

    return answer


def test_it_stands_still_while_a_model_is_loaded() -> None:
    it = lab(loads(100))
    run = it.run(agent(timeout_seconds=2.5))
    assert (run.nodes["a"].status, run.seconds) == ("succeeded", 102)
    assert run.nodes["a"].waited == 100
    run = lab(loads(100)).run(agent(timeout_seconds=1.5))
    assert (run.nodes["a"].cause, run.seconds) == ("timeout: no reply within 1.5 s", 101.5)


def test_a_failure_while_a_model_is_loaded_lets_the_clock_run_again() -> None:
    def breaks() -> None:
        raise failed(after=1.0)

    it = lab(loads(100, breaks))
    run = it.run(agent(9, timeout_seconds=2.5))
    assert (len(it.requests), run.seconds) == (2, 102.5), "1, and 100 of loading, 1 of waiting, and 0.5 are too little for another"
    assert run.nodes["a"].cause == "timeout: no reply within 2.5 s"


def test_an_ensemble_whose_time_is_up_while_one_of_its_models_is_loaded() -> None:
    child = Ensemble.model_validate({"name": "child", "agents": [{"name": "slow"}, {"name": "other"}]})

    async def answer(request: Request, tell: Tell) -> Reply:
        if request.node == "n/slow":
            return await loads(100)(request, tell)
        await asyncio.sleep(30)
        return Reply("fine")

    it = lab(answer, ensembles={"child": child})
    run = it.run({"agents": [{"name": "n", "ensemble": "child", "timeout_seconds": 5}, {"name": "b", "depends_on": ["n"], "require": 0}]})
    assert run.nodes["n"].cause == "timeout: no reply within 5 s"
    assert {node.status for node in run.nodes.values() if node.parent} == {"cancelled"}


# What had come


def test_what_had_come_before_the_last_failure_is_kept_and_never_a_reply() -> None:
    it = lab(saying(failed(Kind.NETWORK, partial="half a", usage=None), failed(Kind.NETWORK, partial="half b", usage=None)))
    run = it.run(agent(2))
    assert (run.nodes["a"].text, run.nodes["a"].reply, run.result) == ("half b", None, "")


def test_what_had_come_by_pieces_is_kept_where_the_time_is_up_and_void_where_it_is_asked_again() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "first " if len(it.requests) == 1 else "second "))
        if len(it.requests) == 1:
            raise failed(after=0.0, usage=None)
        await asyncio.sleep(100)
        return Reply("never")

    it = lab(answer, shown="nobody")
    run = it.run(agent(timeout_seconds=10))
    assert (run.nodes["a"].text, run.nodes["a"].cause) == ("second ", "timeout: no reply within 10 s")


def test_once_a_word_is_on_stdout_no_other_reply_follows() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "hm", thinking=True))
        if len(it.requests) == 1:
            raise failed(after=0.0, usage=None)
        tell(Delta(request.node, "word"))
        raise failed(after=0.0, usage=None)

    it = lab(answer, shown="a", profiles={name: Profile(name=name, model=name, provider="lab") for name in ("default", "p")})
    run = it.run(agent(9, fallback=["p"], output_schema={"type": "object"}))
    assert len(it.requests) == 2, "thinking is not on stdout, words are"
    assert (run.nodes["a"].status, run.nodes["a"].text) == ("failed", "word")


@pytest.mark.parametrize("moment", [0.5, 1.2, 1.9, 2.5])
def test_a_run_that_is_stopped_between_attempts_leaves_nothing(moment: float) -> None:
    it = lab(saying(failed(after=1.0)), size=1)
    run = it.run(agent(9), stop_after=(moment, "interrupt"))
    assert (run.nodes["a"].status, run.seconds, it.running) == ("cancelled", moment, 0)
    assert it.bounds.of(it.endpoint).idle
    assert run.endpoints["lab"].running == 0


def test_each_attempt_is_told_with_where_it_went_and_what_it_took() -> None:
    it = lab(saying(failed(usage=Usage(5, 1)), failed(usage=None, partial="12345678"), "fine"))
    run = it.run(agent(), "x" * 40)
    assert _kinds(it) == ["Sent", "Received", "Retrying", "Sent", "Received", "Retrying", "Sent", "Received"]
    assert run.nodes["a"].usage == Usage(5 + 10 + 2, 1 + 2 + 1, estimated=True)
    assert run.endpoints["lab"].requests == 3
    assert all(first.at <= second.at for first, second in pairwise(it.events))


def _kinds(it: Lab) -> Sequence[str]:
    return [type(event).__name__ for event in it.events if isinstance(event, Sent | Retrying) or type(event).__name__ == "Received"]
