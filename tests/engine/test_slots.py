"""Who may begin when: bounds on calls at once and in a minute, shared by all that runs in the process."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Queued, Received, Sent
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.run import Run
from llm_orc.engine.limits import Bounds, Place, Stopwatch, Wish, turn
from llm_orc.engine.slots import Slots
from tests.engine.runs import Lab, names
from tests.engine.virtual import in_virtual_time

MINUTE = 60.0


def profile(name: str = "default", **keys: Any) -> Profile:
    return Profile(name=name, model=keys.pop("model", "m"), provider=keys.pop("provider", "lab"), **keys)


def lab(*profiles: Profile, **keys: Any) -> Lab:
    """Servers by the provider of each profile."""
    at = {each.provider: Endpoint(each.provider, each.provider, keys.pop("size", 64), local=True) for each in profiles}
    return Lab(profiles={each.name: each for each in profiles}, at=at, **keys)


def many(count: int, name: str = "a", **keys: Any) -> list[dict[str, Any]]:
    return [{"name": f"{name}{number}", **keys} for number in range(count)]


def sent(lab: Lab, endpoint: str) -> list[float]:
    """When each request left for a server."""
    return [event.at for event in lab.events if isinstance(event, Sent) and event.endpoint == endpoint]


def most_in_a_minute(times: Sequence[float], weights: Iterable[int] | None = None) -> int:
    """The most, of requests or of what they weigh, that left in any 60 seconds."""
    weighed = list(zip(times, weights or [1] * len(times), strict=True))
    return max((sum(weight for at, weight in weighed if start <= at < start + MINUTE) for start in times), default=0)


# Requests and tokens in a minute


def test_no_more_requests_in_a_minute_than_wished_for_and_they_go_out_as_early_as_that_allows() -> None:
    it = lab(profile(requests_per_minute=3))
    run = it.run({"agents": many(8)})
    assert sent(it, "lab") == [0, 0, 0, 60, 60, 60, 120, 120]
    assert {event.limit for event in it.events if isinstance(event, Queued)} == {"requests_per_minute"}
    assert names(run, "succeeded") == set(run.nodes)


def test_a_minute_counts_from_when_a_request_is_sent_and_not_from_when_it_got_into_line() -> None:
    it = lab(profile(requests_per_minute=4), profile("other", provider="other"), seconds={"o": 59.0, **{f"o{i}": 59.0 for i in range(4)}})
    it.run({"agents": [*many(4, "o", model_profile="other"), *many(8)]}, max_parallel=4)
    assert sent(it, "lab") == [59, 59, 59, 59, 119, 119, 119, 119]


def test_tokens_of_a_minute_are_thought_first_and_counted_then() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        return Reply("ok", usage=Usage(100, 100))

    it = lab(profile(tokens_per_minute=1_000, max_tokens=700), server=answer)
    it.run({"agents": many(6)}, "x" * 400)
    assert sent(it, "lab") == [0, 1, 60, 61, 120, 121], "800 are thought, 200 come of it"


def test_a_request_larger_than_a_minute_goes_alone() -> None:
    it = lab(profile(tokens_per_minute=100, max_tokens=500), server=_failing_for_nothing)
    it.run({"agents": [{"name": "a", "retry": {"attempts": 1}}, {"name": "b", "retry": {"attempts": 1}}]})
    assert sent(it, "lab") == [0, 1], "what was refused took nothing"
    it = lab(profile(tokens_per_minute=100, max_tokens=500), server=_counting(450))
    it.run({"agents": many(2)})
    assert sent(it, "lab") == [0, 60]


async def _failing_for_nothing(request: Request, tell: Tell) -> Reply:
    raise FailedError(Failure(Kind.AUTHENTICATION, "no"), usage=NO_USAGE)


def _counting(tokens: int) -> Ask:
    async def answer(request: Request, tell: Tell) -> Reply:
        return Reply("ok", usage=Usage(tokens, 0))

    return answer


def test_limits_that_come_and_go_with_runs_leave_nothing_behind() -> None:
    """A call that no limit counted when it began is not counted when it ends, under a limit that came meanwhile."""

    async def answer(request: Request, tell: Tell) -> Reply:
        return Reply("ok", usage=Usage(5_000 if request.node == "free" else 10, 0))

    it = lab(profile(), profile("bound", tokens_per_minute=100, max_tokens=10), server=answer, seconds={"free": 4.0, "second": 10.0})

    async def go() -> None:
        free, bound = {"agents": [{"name": "free"}]}, "bound"
        first = asyncio.create_task(it.performed({"agents": many(1, "first", model_profile=bound)}))
        await first
        slow = asyncio.create_task(it.performed(free))
        await asyncio.sleep(1)
        await asyncio.gather(slow, it.performed({"agents": [{"name": "second", "model_profile": bound}]}))
        await asyncio.sleep(100)
        await it.performed({"agents": many(8, "last", model_profile=bound)})

    in_virtual_time(go())
    assert sent(it, "lab")[-8:] == [112] * 8


@st.composite
def crowds(draw: st.DrawFn) -> "Crowd":
    sizes = st.integers(1, 5)
    profiles = [
        profile(
            f"p{number}",
            provider=draw(st.sampled_from(["one", "two"])),
            max_tokens=draw(st.integers(1, 50)),
            max_parallel=draw(st.none() | sizes),
            requests_per_minute=draw(st.none() | sizes),
            tokens_per_minute=draw(st.none() | st.integers(20, 200)),
        )
        for number in range(3)
    ]
    runs = [
        (
            tuple(
                {"name": f"r{run}a{number}", "model_profile": draw(st.sampled_from(["p0", "p1", "p2"]))}
                for number in range(draw(sizes) * 2)
            ),
            draw(st.none() | st.integers(1, 4)),
            float(draw(st.integers(0, 50))),
        )
        for run in range(draw(st.integers(1, 3)))
    ]
    seconds = {agent["name"]: float(draw(st.sampled_from([0, 1, 20, 59, 60, 61]))) for agents, _, _ in runs for agent in agents}
    return Crowd(profiles, runs, seconds, draw(st.randoms(use_true_random=False)).random)


@dataclass
class Crowd:
    """Runs that begin at different times and share two servers."""

    profiles: Sequence[Profile]
    runs: Sequence[tuple[Sequence[Mapping[str, Any]], int | None, float]]
    """Agents, the run's max_parallel, the second in which it begins."""
    seconds: Mapping[str, float]
    chance: Callable[[], float]
    labs: list[Lab] = field(default_factory=list)

    def perform(self) -> list[Run]:
        bounds = Bounds(4)
        wishes = [(Endpoint(each.provider, each.provider, 64, local=True), self._wish(each)) for each in self.profiles]

        async def one(agents: Sequence[Mapping[str, Any]], bound: int | None, second: float) -> Run:
            it = lab(*self.profiles, seconds=self.seconds, server=self._answer, bounds=bounds)
            self.labs.append(it)
            await asyncio.sleep(second)
            return await it.performed({"agents": list(agents)}, "x" * 40, max_parallel=bound)

        async def go() -> list[Run]:
            with bounds.wished(wishes):  # so that they hold from the first second to the last
                return await asyncio.gather(*(one(*run) for run in self.runs))

        runs = in_virtual_time(go())
        for name in ("one", "two"):
            assert bounds.of(Endpoint(name, name, 64)).idle, "nobody holds a slot or waits for one"
        return runs

    async def _answer(self, request: Request, _: Tell) -> Reply:
        if self.chance() < 0.1:
            raise FailedError(Failure(Kind.RATE_LIMIT, "slow down", retry_after=1.0), usage=NO_USAGE)
        return Reply("ok", usage=Usage(int(10 * self.chance()), int((request.profile.max_tokens or 0) * self.chance())))

    @staticmethod
    def _wish(each: Profile) -> Wish:
        return Wish(each.max_parallel, each.requests_per_minute, each.tokens_per_minute)

    def smallest(self, provider: str, key: str) -> int | None:
        said = [getattr(each, key) for each in self.profiles if each.provider == provider and getattr(each, key) is not None]
        return min(said, default=None)


@settings(max_examples=150, deadline=None)
@given(crowds())
def test_whatever_shares_a_server_keeps_to_the_smallest_bound_that_anybody_wishes(crowd: Crowd) -> None:
    runs = crowd.perform()
    for provider in ("one", "two"):
        told = sorted((event for it in crowd.labs for event in it.events if _is_of(event, provider)), key=lambda event: event.at)
        times = [event.at for event in told if isinstance(event, Sent)]
        requests, tokens = crowd.smallest(provider, "requests_per_minute"), crowd.smallest(provider, "tokens_per_minute")
        assert requests is None or most_in_a_minute(times) <= requests
        left, weights = _weighed(crowd.labs, provider)
        assert tokens is None or most_in_a_minute(left, weights) <= max(tokens, *weights, 0), "one that is larger goes alone"
    for run, it, (_, bound, _) in zip(runs, crowd.labs, crowd.runs, strict=True):
        assert bound is None or it.peak <= bound
        assert {node.status for node in run.nodes.values()} <= {"succeeded", "failed"}


def _is_of(event: object, provider: str) -> bool:
    return isinstance(event, Sent | Received) and event.endpoint == provider


def _weighed(labs: Iterable[Lab], provider: str) -> tuple[list[float], list[int]]:
    """When each request of a server left, and the tokens that the server counted for it."""
    times, weights = [], []
    for it in labs:
        left: dict[str, float] = {}
        for event in it.events:
            if isinstance(event, Sent) and event.endpoint == provider:
                left[event.node] = event.at
            elif isinstance(event, Received) and event.endpoint == provider:
                times.append(left.pop(event.node))
                weights.append(event.usage.total)
    return times, weights


# At once


def test_never_more_at_once_than_the_smallest_wish_and_first_come_first_served() -> None:
    it = lab(profile(max_parallel=3), profile("p", max_parallel=2), seconds={f"a{i}": 1.0 for i in range(10)})
    it.run({"agents": [*many(9), {"name": "last", "model_profile": "p"}]})
    assert it.peak == 2
    assert [request.node for request in it.requests] == [*(f"a{number}" for number in range(9)), "last"]
    assert sent(it, "lab") == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_run_that_may_do_little_at_once_leaves_the_server_to_others() -> None:
    it = lab(profile(max_parallel=4))

    async def go() -> tuple[Run, Run]:
        narrow = asyncio.create_task(it.performed({"agents": many(8, "narrow")}, max_parallel=1))
        await asyncio.sleep(0.5)
        wide = await it.performed({"agents": many(6, "wide")})
        return await narrow, wide

    narrow, wide = in_virtual_time(go())
    assert (narrow.seconds, wide.seconds) == (8, 2)
    assert it.peak == 4


def test_who_waits_for_a_server_keeps_nobody_of_its_run_from_another() -> None:
    it = lab(profile(max_parallel=1), profile("other", provider="other"))
    run = it.run({"agents": [*many(4), *many(4, "o", model_profile="other")]}, max_parallel=2)
    assert run.seconds == 4
    assert it.peak == 2


@pytest.mark.parametrize("shape", ["agents", "fan_out", "nested", "nested fan_out"])
def test_the_bound_of_a_run_holds_in_children_and_in_fan_outs(shape: str) -> None:
    body: dict[str, Any] = {"fan_out": {"items": list("abcdef"), "max_parallel": 6}} if "fan_out" in shape else {}
    child = Ensemble.model_validate({"name": "child", "agents": [{"name": "c", **body}, {"name": "d"}]})
    it = lab(profile(), ensembles={"child": child})
    agents = [{"name": f"n{i}", "ensemble": "child"} for i in range(3)] if "nested" in shape else [*many(3), {"name": "f", **body}]
    run = it.run({"agents": agents}, max_parallel=2)
    assert it.peak == 2
    assert run.exit_code == 0


def test_the_bound_of_a_child_is_its_own_and_holds_within_that_of_its_parent() -> None:
    child = Ensemble.model_validate({"name": "child", "limits": {"max_parallel": 1}, "agents": many(4, "c")})
    it = lab(profile(), ensembles={"child": child})
    run = it.run({"agents": [{"name": f"n{i}", "ensemble": "child"} for i in range(3)]})
    assert (it.peak, run.seconds) == (3, 4)
    it = lab(profile(), ensembles={"child": child})
    run = it.run({"agents": [{"name": f"n{i}", "ensemble": "child"} for i in range(3)]}, max_parallel=2)
    assert (it.peak, run.seconds) == (2, 8), "the third comes after the first two"


def test_calls_of_one_model_are_grouped_and_the_other_comes_when_they_are_done() -> None:
    models = [profile("p", model="small"), profile("q", model="large")]
    server = Endpoint("lab", "lab", 2, one_model=True, local=True)
    it = Lab(profiles={each.name: each for each in models}, endpoint=server)
    agents = [{"name": f"a{number}", "model_profile": "pq"[number % 2]} for number in range(8)]
    it.run({"agents": agents})
    assert [request.profile.model for request in it.requests] == ["small"] * 4 + ["large"] * 4


# A server that says it is too much


@dataclass
class Bearing:
    """A server that takes so many at once and refuses the others."""

    most: int
    seconds: float = 1.0
    running: int = 0
    refused: int = 0
    taken: list[float] = field(default_factory=list)

    async def __call__(self, *_: object) -> Reply:
        if self.running >= self.most:
            self.refused += 1
            raise FailedError(Failure(Kind.RATE_LIMIT, f"at most {self.most} at once", retry_after=1.0), usage=NO_USAGE)
        self.running += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        self.taken.append(asyncio.get_running_loop().time())
        return Reply("ok", usage=Usage(1, 1))


def test_a_server_that_refuses_more_than_ten_at_once_is_sent_about_ten_and_all_come_through() -> None:
    server = Bearing(10)
    it = lab(profile(), seconds={f"a{i}": 0.0 for i in range(100)}, server=server)
    run = it.run({"agents": many(100)})
    assert names(run, "succeeded") == set(run.nodes)
    assert server.refused <= 54 + 2 * 10, "those beyond ten of the first 64, and then one now and again"
    assert run.seconds <= 20, "ten a second, so that the server is kept busy"
    assert max(Counter(server.taken).values()) == 10


def test_what_a_server_bears_comes_up_again() -> None:
    server = Bearing(2)
    it = lab(profile(), seconds={f"a{i}": 0.0 for i in range(600)}, server=server)

    async def go() -> Run:
        asyncio.get_running_loop().call_later(30, setattr, server, "most", 64)
        return await it.performed({"agents": [{**agent, "retry": {"attempts": 10}} for agent in many(600)]})

    run = in_virtual_time(go())
    assert names(run, "succeeded") == set(run.nodes)
    rates = Counter(server.taken)
    assert max(count for at, count in rates.items() if at < 30) == 2
    assert max(rates.values()) > 15
    assert server.refused < 62 + 40


def test_the_wait_that_a_server_asks_for_is_for_that_call_alone() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        if request.node == "a0" and not refused:
            refused.append(request)
            raise FailedError(Failure(Kind.RATE_LIMIT, "later", retry_after=50.0), usage=NO_USAGE)
        return Reply("ok")

    refused: list[Request] = []
    it = lab(profile(max_parallel=2), server=answer)
    run = it.run({"agents": many(9)})
    assert run.nodes["a0"].ended_at == 52
    assert max(node.ended_at or 0 for name, node in run.nodes.items() if name != "a0") <= 9
    assert run.nodes["a0"].waited == 50


def test_the_limit_that_is_waited_for_is_named_by_what_it_is() -> None:
    async def labels() -> list[str]:
        slots, bound = Slots("server", 2), Slots("max_parallel", 1)
        found = [slots.lack()]
        async with slots.one(), slots.one():
            found.append(slots.lack())
            slots.resize(1)
            found.append(slots.lack())
            slots.resize(10)
            slots.refused()
            found.append(slots.lack())
        slots.accepted()
        async with slots.one(within=(bound,)):
            found.append(slots.lack(within=(bound,)))
        return found

    assert in_virtual_time(labels()) == ["", "server", "server", "rate_limit", "max_parallel"]


# Cut off anywhere


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 12), st.booleans()), min_size=1, max_size=14),
    st.integers(1, 3),
    st.none() | st.integers(1, 3),
)
def test_who_is_cut_off_in_a_queue_or_in_a_call_leaves_no_slot(
    calls: list[tuple[int, int, int, bool]], size: int, requests: int | None
) -> None:
    slots, bound = Slots("server", size), Slots("max_parallel", 2)
    running: list[int] = []
    peaks = [0]

    async def call(number: int, start: int, seconds: int, within: bool) -> None:  # noqa: FBT001
        await asyncio.sleep(start)
        places = [Place(slots, "", 1), *([Place(bound)] if within else [])]
        async with Stopwatch(None) as watch, turn(places, [watch], lambda _: None):
            running.append(number)
            peaks.append(len(running))
            try:
                await asyncio.sleep(seconds)
            finally:
                running.remove(number)

    async def go() -> None:
        slots.resize(size, requests)
        tasks = []
        for number, (start, seconds, cut, within) in enumerate(calls):
            task = asyncio.create_task(call(number, start, seconds, within))
            asyncio.get_running_loop().call_later(cut + (0.5 if cut % 2 else 0.0), task.cancel)
            tasks.append(task)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in done)
        assert max(peaks) <= size
        assert slots.idle
        assert bound.idle
        slots.resize(size)
        async with asyncio.timeout(1), turn([Place(slots), Place(bound)], [], lambda _: None):
            pass  # there is room again, at once

    in_virtual_time(go())


def test_who_is_cut_off_at_the_very_moment_of_its_turn_sent_nothing_in_that_minute() -> None:
    async def go() -> float:
        loop, slots = asyncio.get_running_loop(), Slots("server", 1)
        slots.resize(1, 2)

        async def call(then: Callable[[], object] = lambda: None) -> None:
            async with slots.one():
                await asyncio.sleep(1)
            then()

        def cut_off() -> None:
            second.cancel()  # its turn has come, and it does not know yet

        first = asyncio.create_task(call(cut_off))
        second = asyncio.create_task(call())
        with suppress(asyncio.CancelledError):
            await second
        await first
        await call()
        return loop.time()

    assert in_virtual_time(go()) == 2


def test_a_clock_that_has_run_out_ends_the_agent_and_not_the_program() -> None:
    """The child's time is up at the very moment at which one of its agents gets its slot."""
    items = {"name": "c", "fan_out": {"items": list("abc"), "max_parallel": 3}}
    child = Ensemble.model_validate({"name": "child", "limits": {"max_parallel": 1}, "agents": [items]})
    it = lab(profile(), ensembles={"child": child}, seconds={"n/c": 5.0})
    run = it.run({"agents": [{"name": "n", "ensemble": "child", "timeout_seconds": 5}, {"name": "other"}]})
    assert run.nodes["n"].cause == "timeout: no reply within 5 s"
    assert run.nodes["other"].status == "succeeded"
