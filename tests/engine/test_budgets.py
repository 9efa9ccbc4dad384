"""What a run costs is never more than it may, by the server's own count, whatever happens."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Delta, Queued, Received, Sent, Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Message, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import FREE, Price, Pricing, most_tokens
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import ExitCode, Node, Run
from llm_orc.engine.budgets import Budget, budgeted
from tests.engine.runs import Lab, names
from tests.engine.virtual import in_virtual_time
from tests.servers.billing import Meter, Rates

PRICE = Price(input=1.0, output=10.0)
ONE = PRICE.most(most_tokens((Message("user", "input"),)), 100)
"""US dollars that a call with max_tokens 100 may cost at most."""


def profile(name: str = "default", **keys: Any) -> Profile:
    return Profile(name=name, **{"model": "m", "provider": "lab", "price": PRICE, "max_tokens": 100, **keys})


def lab(*profiles: Profile, **keys: Any) -> Lab:
    return Lab(profiles={each.name: each for each in (profiles or (profile(),))}, pricing=None, **keys)


def many(count: int, name: str = "a", **keys: Any) -> list[dict[str, Any]]:
    return [{"name": f"{name}{number}", **keys} for number in range(count)]


def using(sent: int, got: int, **keys: Any) -> Any:
    async def answer(*_: object) -> Reply:
        return Reply("ok", usage=Usage(sent, got, **keys))

    return answer


def failing(kind: Kind, usage: Usage | None) -> Any:
    async def answer(*_: object) -> Reply:
        raise FailedError(Failure(kind, "no"), usage=usage)

    return answer


def test_what_fits_in_the_worst_case_is_sent_at_once() -> None:
    it = lab(server=using(10, 10))
    run = it.run({"agents": many(5)}, max_cost=5 * ONE)
    assert (it.peak, run.seconds, run.exit_code) == (5, 1, ExitCode.OK)
    assert not run.warnings


def test_what_does_not_fit_beside_the_others_waits_until_they_have_cost_less() -> None:
    it = lab(server=using(10, 10), seconds={f"a{number}": 0.7 for number in range(6)})
    run = it.run({"agents": many(6, timeout_seconds=1.0)}, max_cost=2.5 * ONE)
    assert it.peak == 2
    assert run.seconds == pytest.approx(2.1), "at the very moment"
    assert names(run, "succeeded") == set(run.nodes), "the clock of an agent stands still while it waits for money"
    assert {event.limit for event in it.events if isinstance(event, Queued)} == {"max_cost"}


def test_when_nothing_is_outstanding_and_it_does_not_fit_it_is_not_sent() -> None:
    it = lab(server=using(100, 100))
    run = it.run({"agents": many(3)}, max_cost=1.9 * ONE)
    assert len(it.requests) == 1
    failed = [node for node in run.nodes.values() if node.status == "failed"]
    assert [node.cause for node in failed] == ["budget: a call may cost $0.001133, and $0.001053 of max_cost $0.002153 are left"] * 2
    assert failed[0].failure is not None
    assert "max_cost" in failed[0].failure.hint
    assert (run.exit_code, run.cause, run.result.splitlines()[:3]) == (ExitCode.SPENT, "budget", ["## a0", "", "ok"])


def test_most_of_it_spent_is_said_once() -> None:
    it = lab(server=using(100, 100))
    run = it.run({"agents": [*many(1), {"name": "b", "depends_on": ["a0"]}, {"name": "c", "depends_on": ["b"]}]}, max_cost=0.0036)
    assert run.warnings == [("", "$0.0033 of max_cost $0.0036 are spent")]


@pytest.mark.parametrize(
    ("answer", "worst"),
    [
        (failing(Kind.NETWORK, None), True),
        (failing(Kind.TIMEOUT, None), True),
        (failing(Kind.NETWORK, Usage(10, 5)), True),
        (failing(Kind.MALFORMED, None), True),
        (failing(Kind.SERVER, Usage()), True),
        (using(10, 5, estimated=True), True),
        (failing(Kind.SERVER, NO_USAGE), False),
        (failing(Kind.EMPTY, Usage(10, 5)), False),
        (failing(Kind.CONTENT_FILTER, Usage(10, 5)), False),
        (using(10, 5), False),
    ],
)
def test_what_nobody_counted_to_its_end_is_taken_for_the_worst(answer: Any, worst: bool) -> None:  # noqa: FBT001
    it = lab(server=answer)
    run = it.run(
        {"agents": [{"name": "a", "retry": {"attempts": 1}}, {"name": "b", "depends_on": ["a"], "require": 0, "retry": {"attempts": 1}}]},
        max_cost=1.5 * ONE,
    )
    assert len(it.requests) == (1 if worst else 2)
    assert run.nodes["b"].cause.startswith("budget") == worst


def test_who_is_cut_off_may_have_been_billed() -> None:
    it = lab(seconds={"a": 5.0})
    run = it.run({"agents": [{"name": "a", "timeout_seconds": 1}, {"name": "b", "depends_on": ["a"], "require": 0}]}, max_cost=1.5 * ONE)
    assert len(it.requests) == 1
    assert [run.nodes[name].cause.partition(":")[0] for name in "ab"] == ["timeout", "budget"]


def test_who_is_cut_off_in_a_queue_was_not() -> None:
    it = lab(profile(max_parallel=1), seconds={"a": 5.0}, server=using(1, 1))
    items = {"name": "n", "ensemble": "child"}
    child = Ensemble.model_validate({"name": "child", "limits": {"timeout_seconds": 2}, "agents": [{"name": "c"}]})
    it.ensembles = {"child": child}
    run = it.run({"agents": [{"name": "a"}, items, {"name": "b", "depends_on": ["n"], "require": 0}]}, max_cost=2.2 * ONE)
    assert run.nodes["n"].status == "failed"
    assert run.nodes["b"].status == "succeeded"


# Without max_tokens


def test_without_max_tokens_a_call_is_sent_with_what_still_fits() -> None:
    it = lab(profile(max_tokens=None), server=using(10, 10))
    run = it.run({"agents": [{"name": "a"}]}, max_cost=0.01)
    tokens = most_tokens((Message("user", "input"),))
    assert it.requests[0].profile.max_tokens == int((0.01 - tokens / 1e6) / 10e-6)
    assert run.exit_code == ExitCode.OK


def test_without_max_tokens_no_call_is_longer_than_its_model_can_be() -> None:
    it = lab(profile(max_tokens=None), server=using(10, 10), card=ModelCard(max_output=300))
    run = it.run({"agents": many(2)}, max_cost=1.0)
    assert [request.profile.max_tokens for request in it.requests] == [300, 300]
    assert run.seconds == 1


@pytest.mark.parametrize(("money", "sent"), [(0.0027, 1), (0.0026, 0)])
def test_a_reply_without_a_bound_has_256_tokens_at_least(money: float, sent: int) -> None:
    it = lab(profile(max_tokens=None), server=using(10, 10))
    it.run({"agents": [{"name": "a"}]}, max_cost=money)
    assert [request.profile.max_tokens for request in it.requests] == [256] * sent


def test_a_model_without_a_price_is_refused_and_a_free_one_is_not() -> None:
    it = lab(profile("default", price=None), profile("free", price=FREE, max_tokens=None), server=using(10, 10))
    run = it.run({"agents": [{"name": "a"}, {"name": "b", "model_profile": "free"}]}, max_cost=0.000001)
    assert run.nodes["a"].cause == "budget: m has no known price, and there is a max_cost"
    assert run.nodes["b"].status == "succeeded"
    assert run.exit_code == ExitCode.SOME_FAILED, "no money ran out"
    assert it.requests[0].profile.max_tokens is None


# Options


@pytest.mark.parametrize(
    ("max_tokens", "options", "longest"),
    [
        (50, {"max_completion_tokens": 100}, 100),
        (100, {"max_completion_tokens": 50}, 100),
        (100, {"num_predict": 20}, 100),
        (None, {"num_predict": 100}, 100),
        (None, {"generation_config": {"maxOutputTokens": 100}}, 100),
        (10, {"generationConfig": {"max_output_tokens": 100}}, 100),
        (10, {"generation_config": {"candidateCount": 10}}, 100),
        (50, {"n": 2}, 100),
        (10, {"max_tokens": 25, "n": 2, "best_of": 4}, 100),
        (100, {"metadata": {"n": 5, "tools": 1}}, 100),
    ],
    ids=str,
)
def test_options_that_make_replies_longer_or_more_are_counted(max_tokens: int | None, options: dict[str, Any], longest: int) -> None:
    for money, sent in ((ONE, 1), (0.99 * ONE, 0)):
        it = lab(profile(max_tokens=max_tokens, options=options), server=using(10, 10))
        it.run({"agents": [{"name": "a"}]}, max_cost=money)
        assert len(it.requests) == sent
        assert all(longest % (request.profile.max_tokens or 0) == 0 for request in it.requests), (
            "whoever does not know the option has a bound"
        )


@pytest.mark.parametrize("options", [{"num_predict": -1}, {"generation_config": {"maxOutputTokens": 0}}])
def test_an_option_that_takes_the_bound_away_counts_as_the_longest_reply_that_there_is(options: dict[str, Any]) -> None:
    for money, sent in ((5.0, 0), (11.0, 1)):
        it = lab(profile(options=options), server=using(10, 10))
        it.run({"agents": [{"name": "a"}]}, max_cost=money)
        assert len(it.requests) == sent


def test_a_model_that_takes_no_max_tokens_may_say_all_that_it_can() -> None:
    for money, sent in ((0.49, 0), (0.51, 1)):
        it = lab(server=using(10, 10), card=ModelCard(max_output=50_000, refuses=frozenset({"max_tokens"})))
        it.run({"agents": [{"name": "a"}]}, max_cost=money)
        assert len(it.requests) == sent


@pytest.mark.parametrize(
    "options",
    [
        {"service_tier": "priority"},
        {"tools": []},
        {"models": ["other"]},
        {"prediction": {"type": "content"}},
        {"cached_content": "x"},
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"generation_config": {"responseModalities": ["AUDIO"]}},
    ],
    ids=str,
)
def test_options_whose_price_is_in_no_list_are_refused(options: dict[str, Any]) -> None:
    it = lab(profile(options=options))
    run = it.run({"agents": [{"name": "a"}]}, max_cost=100.0)
    assert (len(it.requests), run.exit_code) == (0, ExitCode.NO_LEAF)
    assert run.nodes["a"].cause.endswith("costs is not known, and there is a max_cost")


def test_a_window_that_is_smaller_than_it_says_makes_nothing_cheaper() -> None:
    it = lab(server=using(10, 10), card=ModelCard(context_window=200))
    it.run({"agents": [{"name": "a"}]}, "x" * 1_000, max_cost=ONE)
    assert not it.requests, "a prompt of 1,000 letters may be 1,000 tokens, whatever we think that the model has room for"


# Whose money


def test_a_fallback_that_is_cheaper_is_asked_and_then_no_money_has_run_out() -> None:
    it = lab(profile(fallback=("free",)), profile("free", price=FREE), server=using(10, 10))
    run = it.run({"agents": [{"name": "a"}]}, max_cost=ONE / 2)
    assert run.exit_code == ExitCode.OK
    assert run.nodes["a"].profile == "free"


def test_the_money_of_a_child_is_its_own() -> None:
    child = Ensemble.model_validate({"name": "child", "limits": {"max_cost": 1.5 * ONE}, "agents": [*many(2, "c"), *many(1, "d")]})
    agents = [{"name": "n", "ensemble": "child"}, {"name": "a"}]
    it = lab(server=using(70, 100), ensembles={"child": child})
    run = it.run({"agents": agents}, max_cost=10 * ONE)
    assert [node.status for node in run.nodes.values() if node.parent] == ["succeeded", "failed", "failed"]
    assert (run.cause, run.exit_code) == ("", ExitCode.SOME_FAILED)
    it = lab(server=using(70, 100), ensembles={"child": child})
    run = it.run({"agents": [{"name": "n", "ensemble": "child"}, {"name": "a", "depends_on": ["n"]}]}, max_cost=1.4 * ONE)
    assert (len(it.requests), run.cause, run.exit_code) == (1, "budget", ExitCode.SPENT), "and within that of its parent"


# For any schedule


@dataclass
class Shop:
    """Servers with different prices, their bill by node, and a clock."""

    meter: Meter
    limit: float
    bills: list[tuple[str, float]] = field(default_factory=list)

    async def ask(self, request: Request, tell: Tell) -> Reply:
        profile = request.profile
        texts = [message.text for message in request.messages]
        served = self.meter.serve(profile.model, texts, profile.max_tokens)
        self.bills.append((request.node, served.cost))
        usage = Usage(served.sent, served.got, min(served.cached, served.sent))
        match served.fate:
            case "limited":
                raise FailedError(Failure(Kind.RATE_LIMIT, "slow down", retry_after=2.0), usage=NO_USAGE)
            case "broken":
                raise FailedError(Failure(Kind.SERVER, "oh no"), usage=NO_USAGE)
            case "cut":
                tell(Delta(request.node, "half"))
                await asyncio.sleep(1)
                raise FailedError(Failure(Kind.NETWORK, "cut"), partial="half", usage=Usage(served.sent, 1) if served.got % 2 else None)
            case "garbage":
                raise FailedError(Failure(Kind.MALFORMED, "a page"))
            case "empty":
                raise FailedError(Failure(Kind.EMPTY, "nothing"), usage=usage)
            case "filtered":
                raise FailedError(Failure(Kind.CONTENT_FILTER, "no"), usage=usage)
            case "hang":
                await asyncio.sleep(30)
                raise FailedError(Failure(Kind.TIMEOUT, "silence"))
            case "uncounted":
                return Reply("ok", usage=Usage(1, 1, estimated=True))
            case _:
                return Reply("word " * min(served.got, 50), usage=usage)

    def billed(self, parent: str = "") -> float:
        """What the calls of a child run cost, or all."""
        return sum(cost for node, cost in self.bills if not parent or node.startswith(f"{parent}/"))


@dataclass
class Trade:
    """An ensemble, what it may cost, what it is asked of whom, and when it is cut off."""

    agents: list[dict[str, Any]]
    children: Mapping[str, Ensemble]
    profiles: Mapping[str, Profile]
    limit: float
    text: str
    bound: int | None
    seconds: Mapping[str, float]
    seed: int
    stop: float | None

    def run(self, limit: float | None = None) -> tuple[Run, Lab, Shop]:
        rates = {
            each.model: Rates(each.price.input, each.price.output, each.price.cached_input) for each in self.profiles.values() if each.price
        }
        shop = Shop(Meter(rates, self.seed), self.limit if limit is None else limit)
        it = Lab(profiles=self.profiles, ensembles=self.children, pricing=None, seconds=self.seconds, server=shop.ask)
        stop = (self.stop, "interrupt") if self.stop is not None else None
        body = {"agents": self.agents, "limits": {"timeout_seconds": 1e6}}  # a deadlock would wait for that
        run = it.run(body, self.text, stop_after=stop, max_cost=shop.limit, max_parallel=self.bound)  # type: ignore[arg-type]
        return run, it, shop


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    chance = Random(draw(st.integers(0, 2**32)))
    profiles = {}
    for number, name in enumerate(("default", "p1", "p2", "p3")):
        price = Price(
            input=chance.choice([0.1, 1, 30]), output=chance.choice([0.1, 5, 75]), cached_input=chance.choice([None, 0.05, 2, 40])
        )
        fallback = tuple(f"p{each}" for each in range(number + 1, 4) if chance.random() < 0.5)
        length = chance.choice([None, 1, 100, 400])
        profiles[name] = Profile(name=name, model=f"m{number}", provider="lab", price=price, max_tokens=length, fallback=fallback)
    children = {
        name: Ensemble.model_validate(
            {
                "name": name,
                "limits": {"max_cost": _money(chance)} if chance.random() < 0.6 else {},
                "agents": _agents(chance, chance.randint(1, 3), below),
            }
        )
        for name, below in (("inner", []), ("outer", ["inner"]))
    }
    agents = _agents(chance, draw(st.integers(1, 6)), ["inner", "outer"])
    seconds = {name: chance.choice([0.0, 1.0, 3.0]) for name in ("a0", "a1", "a2", "a0[0]")}
    text = "é" * chance.randint(0, 60)
    stop = chance.choice([None, None, None, 0.5, 3.0, 20.0])
    return Trade(
        agents, children, profiles, _money(chance), text, chance.choice([None, None, 1, 3]), seconds, chance.randint(0, 2**32), stop
    )


def _money(chance: Random) -> float:
    return chance.choice([1e-5, 1e-4, 1e-3, 0.01, 0.1]) * chance.uniform(1, 10)


def _agents(chance: Random, count: int, ensembles: Sequence[str]) -> list[dict[str, Any]]:
    agents: list[dict[str, Any]] = []
    for number in range(count):
        agent: dict[str, Any] = {"name": f"a{number}", "require": chance.choice(["any", "all", 0])}
        agent["depends_on"] = [f"a{need}" for need in range(number) if chance.random() < 0.3]
        if ensembles and chance.random() < 0.4:
            agent["ensemble"] = chance.choice(ensembles)
        else:
            agent["model_profile"] = chance.choice(["default", "p1", "p2", "p3"])
            agent["retry"] = {"attempts": chance.randint(1, 4)}
            agent |= chance.choice([{}, {"fallback": ["p2", "p1"]}, {"output_schema": {"type": "object"}}, {"max_tokens": 50}])
        if chance.random() < 0.3:
            agent["timeout_seconds"] = chance.choice([0.5, 2, 40])
        if chance.random() < 0.3:
            agent["fan_out"] = {"items": ["x", "yy", "zzz"][: chance.randint(1, 3)]}
        agents.append(agent)
    return agents


@settings(max_examples=250, deadline=None)
@given(trades())
def test_the_bill_of_the_servers_is_never_above_the_limit(trade: Trade) -> None:
    run, it, shop = trade.run()
    assert shop.billed() <= trade.limit
    assert run.cause != "timeout", "nobody waits for money that never comes"
    for node in run.nodes.values():
        assert node.status in {"succeeded", "failed", "skipped", "cancelled"}
        agent = node.name.partition("[")[0]
        for name, child in trade.children.items():
            if node.body == "ensemble" and child.limits.max_cost is not None and _runs(trade, node.id, agent) == name:
                assert shop.billed(node.id) <= child.limits.max_cost
    lacking = [node for node in run.nodes.values() if node.status != "succeeded" and _met_its_limit(node)]
    assert lacking or run.cause != "budget"
    assert it.running == 0


def _met_its_limit(node: Node) -> bool:
    failures = [node.failure, *(failure for _, failure in node.fell_back)]
    return any(failure is not None and failure.kind is Kind.BUDGET for failure in failures)


def _runs(trade: Trade, node: str, agent: str) -> str | None:
    """The ensemble that a node runs."""
    above = node.rpartition("/")[0]
    parent = _runs(trade, above, above.rpartition("/")[2].partition("[")[0]) if above else None
    agents = [each.model_dump() for each in trade.children[parent].agents] if parent else trade.agents
    return next((each.get("ensemble") for each in agents if each["name"] == agent), None)


@settings(max_examples=100, deadline=None)
@given(trades())
def test_a_limit_that_everything_fits_into_changes_nothing(trade: Trade) -> None:
    """Nothing is refused, and nobody waits."""
    trade.stop = None
    trade.profiles = {
        name: each if each.max_tokens else each.model_copy(update={"max_tokens": 500}) for name, each in trade.profiles.items()
    }
    trade.children = {name: each.model_copy(update={"limits": type(each.limits)()}) for name, each in trade.children.items()}
    run, it, _ = trade.run(1e6)
    assert not [event for event in it.events if isinstance(event, Queued) and event.limit == "max_cost"]
    assert not [node for node in run.nodes.values() if node.failure is not None and node.failure.kind is Kind.BUDGET]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 12)), min_size=1, max_size=12), st.floats(0.5, 4))
def test_who_is_cut_off_leaves_nothing_put_aside(calls: Sequence[tuple[int, int, int]], room: float) -> None:
    budgets = [Budget(room * ONE), Budget(2 * room * ONE)]
    begun: list[int] = []

    async def answer(request: Request, tell: Tell) -> Reply:
        await asyncio.sleep(len(request.node) % 2)  # a queue
        tell(Sent(request.node, "lab"))
        begun.append(1)
        await asyncio.sleep(calls[int(request.node)][1])
        return Reply("ok", usage=Usage(1, 1), cost=PRICE.cost(Usage(1, 1)))

    pricing: Pricing = PRICE
    ask = budgeted(answer, budgets, pricing, ModelCard())

    async def call(number: int) -> None:
        await asyncio.sleep(calls[number][0])
        await ask(Request(str(number), (Message("user", "input"),), profile()), lambda _: None)

    async def go() -> None:
        tasks = [asyncio.create_task(call(number)) for number in range(len(calls))]
        for task, (_, _, cut) in zip(tasks, calls, strict=True):
            asyncio.get_running_loop().call_later(cut + 0.5, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)

    in_virtual_time(go())
    for budget in budgets:
        assert budget.reserved == 0
        assert budget.left == budget.limit - budget.spent
        assert len(begun) * PRICE.cost(Usage(1, 1)) <= budget.spent + 1e-12
        assert budget.spent <= budget.limit


def test_what_is_told_of_money_is_what_came_back() -> None:
    it = lab(server=using(10, 5, cached=4))
    run = it.run({"agents": many(2)}, max_cost=1.0)
    told = [event.cost for event in it.events if isinstance(event, Received)]
    assert told == [pytest.approx(60e-6)] * 2
    assert run.cost == pytest.approx(120e-6)
    assert not [event for event in it.events if isinstance(event, Warned)]


def test_no_rounding_is_left_of_what_was_put_aside() -> None:
    budget = Budget(0.6)
    for dollars in (0.1, 0.2, 0.3):
        budget.reserve(dollars)
    for dollars in (0.1, 0.2, 0.3):
        budget.settle(dollars, 0.0)
    assert (budget.reserved, budget.left) == (0, 0.6)
