"""One call with all that goes round it: what is told of it, and what it adds up to."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble, FunctionAgent
from llm_orc.domain.event import Answered, Delta, Event, Failed, Happening, Queued, Received, Sent, Started
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import FREE, Price
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.run import Node, Run
from llm_orc.domain.use import Spending
from tests.engine.runs import Lab

PRICES = {"m0": Price(input=1.0, output=2.0, cached_input=0.1), "m1": Price(input=3.0, output=5.0), "m2": None, "m3": FREE}


@dataclass
class Ledger:
    """A server that writes down what it counted for whom, and fails in between."""

    seed: int
    rows: list[tuple[str, str, Usage, float]] = field(default_factory=list)
    """Node, model, tokens, dollars where there is a price."""
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    async def ask(self, request: Request, tell: Tell) -> Reply:
        chance, profile = self._chance, request.profile
        self.requests.append(request.node)
        tell(Delta(request.node, "so"))
        if chance.random() < 0.2:
            raise FailedError(Failure(Kind.RATE_LIMIT, "slow down", retry_after=1.0), usage=NO_USAGE)
        sent, got = chance.randint(1, 1_000), chance.randint(1, 500)
        usage = Usage(sent, got, chance.randint(0, sent), chance.randint(0, got))
        model = profile.model if chance.random() < 0.7 else f"{profile.model}-2026"
        failed = chance.random() < 0.3
        price = PRICES[profile.model]
        own = None if price or failed or chance.random() < 0.7 else 0.25
        cost = own or (price.cost(usage) if price else 0.0)
        self.rows.append((request.node, profile.model if failed else model, usage, cost))
        if failed:
            kind = chance.choice([Kind.EMPTY, Kind.MALFORMED, Kind.NETWORK, Kind.CONTENT_FILTER, Kind.AUTHENTICATION])
            raise FailedError(Failure(kind, "no"), usage=usage)
        return Reply(chance.choice(["{}", "no json"]), usage=usage, model=model, cost=own)

    def sum(self, which: Callable[[str, str], bool]) -> tuple[Usage, float]:
        """Tokens and dollars of some rows."""
        rows = [(usage, cost) for node, model, usage, cost in self.rows if which(node, model)]
        total = NO_USAGE
        for usage, _ in rows:
            total += usage
        return total, sum(cost for _, cost in rows)


def _agents(chance: Random, ensembles: Iterable[str]) -> list[dict[str, Any]]:
    agents = []
    for number in range(chance.randint(1, 4)):
        agent: dict[str, Any] = {
            "name": f"a{number}",
            "require": 0,
            "depends_on": [f"a{need}" for need in range(number) if chance.random() < 0.3],
        }
        if (names := list(ensembles)) and chance.random() < 0.5:
            agent["ensemble"] = chance.choice(names)
        else:
            agent["model_profile"] = f"p{chance.randint(0, 3)}"
            agent["retry"] = {"attempts": chance.randint(1, 3)}
            agent |= chance.choice([{}, {"fallback": ["p1", "p2"]}, {"output_schema": {"type": "object"}}])
        if chance.random() < 0.4:
            agent["fan_out"] = {"items": ["x", "y", "z"][: chance.randint(1, 3)]}
        agents.append(agent)
    return agents


def same(told: Run | Node | Reply | Spending, usage: Usage, cost: float) -> None:
    assert told.usage == usage
    assert (told.cost or 0.0) == pytest.approx(cost)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_what_a_run_adds_up_is_what_the_server_counted(seed: int) -> None:
    chance, ledger = Random(seed), Ledger(seed)
    children = {
        "inner": Ensemble.model_validate({"name": "inner", "agents": _agents(chance, [])}),
        "outer": Ensemble.model_validate({"name": "outer", "agents": _agents(chance, ["inner"])}),
    }
    profiles = {
        f"p{number}": Profile(name=f"p{number}", model=f"m{number}", provider="lab", price=PRICES[f"m{number}"]) for number in range(4)
    }
    it = Lab(profiles=profiles, ensembles=children, server=ledger.ask, pricing=None)
    run = it.run({"agents": _agents(chance, ["inner", "outer"])}, max_parallel=chance.choice([None, 1, 3]))
    same(run, *ledger.sum(lambda *_: True))
    for name, node in run.nodes.items():
        below = (f"{name}/", f"{name}[")
        usage, cost = ledger.sum(lambda row, _, name=name, below=below: row == name or row.startswith(below))  # type: ignore[misc]
        same(node, usage, cost)
        assert node.sent == ledger.requests.count(name)
        if node.reply is not None and node.body == "model" and not node.children:
            same(node.reply, usage, cost)
            assert node.reply.attempts == node.sent
    for model, spending in run.models.items():
        usage, cost = ledger.sum(lambda _, row, model=model: row == model)  # type: ignore[misc]
        same(spending, usage, cost)
    assert set(run.models) == {model for _, model, _, _ in ledger.rows}
    assert run.unpriced == {model for _, model, _, cost in ledger.rows if model.startswith("m2") and not cost}
    assert (run.endpoints["lab"].requests, run.endpoints["lab"].running, run.endpoints["lab"].waiting) == (len(ledger.requests), 0, 0)
    assert run.endpoints["lab"].peak == it.peak


def lab(**keys: Any) -> Lab:
    return Lab(**{"endpoint": Endpoint("lab", "lab", 1, local=True), **keys})


def told(it: Lab, *kinds: type[Event]) -> list[Happening]:
    return [event for event in it.events if isinstance(event, kinds)]


def test_a_call_is_told_step_by_step() -> None:
    run_of = lab()
    run_of.run({"agents": [{"name": "a"}, {"name": "b"}]})
    assert [
        (type(event).__name__, getattr(event, "node", ""), event.at) for event in told(run_of, Queued, Started, Sent, Received, Answered)
    ] == [
        ("Started", "a", 0),
        ("Sent", "a", 0),
        ("Queued", "b", 0),
        ("Received", "a", 1),
        ("Answered", "a", 1),
        ("Started", "b", 1),
        ("Sent", "b", 1),
        ("Received", "b", 2),
        ("Answered", "b", 2),
    ]


def test_a_price_without_tokens_is_still_a_price() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        return Reply("ok", cost=0.5)

    run = lab(server=answer).run({"agents": [{"name": "a"}]})
    assert (run.cost, run.models["m"].cost, run.unpriced) == (0.5, 0.5, set())


def test_a_call_that_took_nothing_is_no_use_of_a_model() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        raise FailedError(Failure(Kind.AUTHENTICATION, "no"), usage=NO_USAGE)

    run = lab(server=answer, pricing=None).run({"agents": [{"name": "a"}]})
    assert (run.models, run.unpriced, run.cost) == ({}, set(), None)


@pytest.mark.parametrize(("window", "sent"), [(100, 1), (99, 0), (None, 1)])
def test_what_cannot_fit_is_not_sent(window: int | None, sent: int) -> None:
    it = lab(card=ModelCard(context_window=window))
    run = it.run({"agents": [{"name": "a", "prompt": "{{ input }}"}]}, "x" * 800 + " " * 10_000)
    assert len(it.requests) == sent
    assert (run.nodes["a"].status == "succeeded") == bool(sent)


def test_a_window_that_is_nearly_full_is_a_warning() -> None:
    for tokens, warned in ((91, True), (90, False)):

        async def answer(request: Request, tell: Tell, tokens: int = tokens) -> Reply:
            return Reply("ok", usage=Usage(tokens - 1, 1))

        run = lab(server=answer, card=ModelCard(context_window=100)).run({"agents": [{"name": "a"}]})
        assert run.warnings == ([("a", "91 tokens are 91% of the window of m")] if warned else [])
        assert (run.nodes["a"].taken, run.nodes["a"].context_window) == (tokens, 100)


@pytest.mark.parametrize("moment", [0.5, 1.5, 2.5])
def test_a_call_that_is_cut_off_is_told_with_what_it_must_have_taken(moment: float) -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "x" * 40))
        raise FailedError(Failure(Kind.SERVER, "no", retry_after=100.0))

    it = lab(server=answer, shown="nobody", seconds={"a": 1.0, "b": 1.0, "c": 1.0})
    run = it.run({"agents": [{"name": name} for name in "abc"]}, "y" * 40, stop_after=(moment, "interrupt"))
    assert {node.status for node in run.nodes.values()} == {"cancelled"}
    began = len(it.requests)
    assert len(told(it, Received)) == len(told(it, Sent)) == began
    assert run.usage == Usage(10 * began, 10 * (began - 1), estimated=True)
    assert (run.endpoints["lab"].running, run.endpoints["lab"].waiting) == (0, 0)
    assert it.bounds.of(it.endpoint).idle


def test_functions_and_programs_are_bounded_by_their_run_as_models_are() -> None:
    run = _functions(3, max_parallel=1)
    assert run.seconds == 3
    assert _functions(3).seconds == 1


def _functions(count: int, **choices: Any) -> Run:
    async def slow(prompt: str) -> str:
        await asyncio.sleep(1)
        return prompt

    return Lab().run({"agents": [FunctionAgent(name=f"f{number}", function=slow) for number in range(count)]}, **choices)


def test_what_had_come_is_kept_where_the_clock_ends_it() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "half a "))
        tell(Delta(request.node, "loaf"))
        await asyncio.sleep(60)
        return Reply("never")

    lab = Lab(server=answer, shown="a")
    lab.run({"agents": [{"name": "a", "timeout_seconds": 5}]})
    (failed,) = [event for event in lab.events if isinstance(event, Failed)]
    assert (failed.failure.kind, failed.partial) == (Kind.TIMEOUT, "half a loaf")
