"""`--max-cost` and `limits.max_cost`: the bill of a true server that charges as much as it may is never above it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.project import NewProject, Project
from tests.servers.billing import BillingServer, Meter, Rates

RATES = {"cheap": Rates(1.0, 5.0, 0.5), "dear": Rates(20.0, 60.0, 30.0)}
KIND = ("ok", "long", "uncounted", "limited", "broken", "garbage", "empty", "filtered", "cut")


class NewBilling(Protocol):
    """Start a server that bills."""

    def __call__(self, seed: int = 0, *fates: str) -> BillingServer: ...


@pytest.fixture
def billing() -> Iterator[NewBilling]:
    with ExitStack() as running:
        yield lambda seed=0, *fates: running.enter_context(BillingServer(Meter(RATES, seed, fates or KIND)))


def profile(server: BillingServer, model: str, **keys: Any) -> str:
    rates = RATES[model]
    price = {"input": rates.input, "output": rates.output, "cached_input": rates.cached}
    return json.dumps({"provider": "openai-compatible", "model": model, "base_url": server.base_url, "price": price, **keys})


def shop(project: NewProject, server: BillingServer, agents: list[dict[str, Any]], **limits: float) -> Project:
    child = [ask("c0", "dear"), ask("c1", fallback=["dear"]), ask("c2", depends_on=["c0"], require=0)]
    return project(
        {
            ".llm-orc/profiles/cheap.yaml": profile(server, "cheap", max_tokens=200),
            ".llm-orc/profiles/dear.yaml": profile(server, "dear"),
            ".llm-orc/profiles/free.yaml": json.dumps({"provider": "openai-compatible", "model": "cheap", "base_url": server.base_url}),
            ".llm-orc/ensembles/child.yaml": json.dumps({"agents": child, "limits": {"max_cost": 0.02}}),
            ".llm-orc/ensembles/x.yaml": json.dumps({"agents": agents, **({"limits": limits} if limits else {})}),
        }
    )


def ask(name: str, model: str = "cheap", **keys: Any) -> dict[str, Any]:
    return {"name": name, "model_profile": model, **keys}


CROWD = [
    *(ask(f"a{number}") for number in range(6)),
    ask("long", "dear"),
    ask("either", "dear", fallback=["cheap"], retry={"attempts": 4}),
    ask("each", fan_out={"items": list(range(6))}, prompt="Say something of {{ item }}: {{ input }}"),
    ask("json", output_schema={"type": "object"}),
    {"name": "nested", "ensemble": "child"},
    {"name": "nests", "ensemble": "child", "fan_out": {"items": ["x", "y"]}},
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dollars", [0.003, 0.03, 0.3])
def test_the_bill_is_never_above_the_limit(project: NewProject, billing: NewBilling, seed: int, dollars: float) -> None:
    server = billing(seed)
    here = shop(project, server, CROWD)
    outcome = here.run("invoke", "x", "Some words, with ümläuts.", "--max-cost", str(dollars), "--output-format", "json")
    run = json.loads(outcome.out)
    assert 0 < server.meter.bill <= dollars
    refused = any((agent["cause"] or "").startswith("budget") for agent in run["agents"])
    assert outcome.code == 4 or not refused
    assert len(server.meter.served) == len(server.requests)


def test_the_bill_of_a_call_that_hangs_is_reckoned_with(project: NewProject, billing: NewBilling) -> None:
    server = billing(1, "hang")
    agents = [ask("a", timeout_seconds=1, retry={"attempts": 1}), ask("b", depends_on=["a"], require=0, timeout_seconds=1)]
    outcome = shop(project, server, agents).run("invoke", "x", "hi", "--max-cost", "0.0015", "--output-format", "json")
    causes = [agent["cause"].partition(":")[0] for agent in json.loads(outcome.out)["agents"]]
    assert (causes, outcome.code, len(server.requests)) == (["timeout", "budget"], 4, 1)


def test_what_the_limit_in_the_file_says_holds_and_the_flag_goes_over_it(project: NewProject, billing: NewBilling) -> None:
    server = billing(2, "ok")
    here = shop(project, server, [ask("a"), ask("b", depends_on=["a"])], max_cost=0.0001)
    outcome = here.run("invoke", "x", "hi")
    assert (outcome.code, server.requests) == (4, [])
    assert "budget: a call may cost $0.00113, and $0.0001 of max_cost $0.0001 are left" in " ".join(outcome.err.split())
    assert here.run("invoke", "x", "hi", "--max-cost", "0.1").code == 0
    assert len(server.requests) == 2


def test_the_money_of_a_child_that_ran_out_is_not_that_of_the_run(project: NewProject, billing: NewBilling) -> None:
    server = billing(3, "ok")
    here = shop(project, server, [{"name": "n", "ensemble": "child"}, ask("a")])
    here.write(
        ".llm-orc/ensembles/child.yaml",
        json.dumps({"agents": [ask("c0"), ask("c1", "dear", max_tokens=100_000)], "limits": {"max_cost": 0.01}}),
    )
    outcome = here.run("invoke", "x", "hi", "--max-cost", "100", "--output-format", "json")
    run = json.loads(outcome.out)
    assert (outcome.code, run["status"], len(server.requests)) == (3, "partial", 2)


def test_a_fallback_that_costs_nothing_needs_no_money(project: NewProject, billing: NewBilling) -> None:
    server = billing(4, "ok")
    outcome = shop(project, server, [ask("a", "dear", max_tokens=9_000, fallback=["free"])]).run("invoke", "x", "hi", "--max-cost", "0.01")
    assert (outcome.code, len(server.requests)) == (0, 1)
    assert "free answered instead of dear (dear: budget: " in outcome.err


def test_a_model_on_this_machine_is_free_unless_its_profile_has_a_price(project: NewProject, billing: NewBilling) -> None:
    server = billing(5, "ok")
    here = shop(project, server, [ask("a", "free"), ask("b", "dear", max_tokens=9_000)])
    outcome = here.run("invoke", "x", "hi", "--max-cost", "0.0001", "--output-format", "json")
    assert [agent["status"] for agent in json.loads(outcome.out)["agents"]] == ["succeeded", "failed"]
    assert outcome.code == 4
    assert json.loads(server.requests[0].body).get("max_tokens") is None, "what is free needs no bound"


def test_without_max_tokens_the_server_is_told_how_much_still_fits(project: NewProject, billing: NewBilling) -> None:
    server = billing(6, "long")
    outcome = shop(project, server, [ask("a", "dear")]).run("invoke", "x", "hi", "--max-cost", "0.05", "--output-format", "json")
    longest = json.loads(server.requests[0].body)["max_tokens"]
    assert (outcome.code, 700 < longest < 0.05 / 60e-6) == (0, True)
    assert json.loads(outcome.out)["totals"]["cost"] == pytest.approx(server.meter.bill)
    assert 0.8 * 0.05 < server.meter.bill <= 0.05


def test_what_is_said_of_the_cost_is_what_the_server_billed(project: NewProject, billing: NewBilling) -> None:
    server = billing(7, "ok", "long", "limited", "broken", "empty", "filtered")
    outcome = shop(project, server, CROWD).run("invoke", "x", "hi", "--max-cost", "100", "--output-format", "json")
    assert json.loads(outcome.out)["totals"]["cost"] == pytest.approx(server.meter.bill)
