"""What is foreseen is what happens: looked at before a run, nothing is sent, and each reply that is there is found."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Answered, RunStarted, Started, Submitted
from llm_orc.domain.foresight import Foreseen, has_settled
from llm_orc.domain.message import Reply, Request, Tell
from llm_orc.domain.reuse import Unkept
from llm_orc.domain.run import Run, fold
from tests.engine.runs import Lab
from tests.engine.test_any_graph import Graph, graphs


def agent(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "cache": True, **keys}


def test_replies_are_followed_as_far_as_they_reach() -> None:
    kept = Unkept()
    agents = [
        agent("a"),
        agent("b", prompt="{{ agents.a }}!"),
        agent("each", fan_out=True, depends_on=["a"], prompt="{{ item }}"),
        agent("over", depends_on=["each"]),
        {"name": "kid", "ensemble": "kid"},
        {"name": "plain", "depends_on": ["b"]},
        agent("last", depends_on=["plain", "kid"]),
        agent("never", depends_on=["a"], when=False),
    ]
    kid = Ensemble.model_validate({"name": "kid", "agents": [agent("x", prompt="{{ input }} below")]})

    async def answer(request: Request, tell: Tell) -> Reply:
        return Reply("[1, 2]" if request.node == "a" else request.messages[-1].text)

    it = Lab(replies=kept, ensembles={"kid": kid}, server=answer)
    assert it.foreseen({"agents": agents}) == {
        "a": (Foreseen("asked"),),
        "kid/x": (Foreseen("asked"),),
        **{name: (Foreseen("unknown", waits_for=("a",)),) for name in ("b", "each", "never")},
        "over": (Foreseen("unknown", waits_for=("each",)),),
        "plain": (Foreseen("unknown", waits_for=("b",)),),
        "last": (Foreseen("unknown", waits_for=("plain", "kid")),),
    }
    assert it.requests == []
    it.run({"agents": agents})
    sent = len(it.requests)
    assert it.foreseen({"agents": agents}) == {
        **{name: (Foreseen("cached"),) for name in ("a", "b", "over", "kid/x")},
        "each": (Foreseen("cached"), Foreseen("cached")),
        "never": (Foreseen("decided"),),
        "plain": (Foreseen("asked"),),
        "last": (Foreseen("unknown", waits_for=("plain",)),),
    }
    assert len(it.requests) == sent


def test_a_fan_out_is_looked_at_whole_however_narrow_it_is() -> None:
    it = Lab(replies=Unkept())
    items = {"agents": [agent("each", fan_out={"items": list(range(200)), "max_parallel": 2}, prompt="{{ item }}")]}
    it.run({"agents": [agent("each", fan_out={"items": list(range(100))}, prompt="{{ item }}")]})
    assert it.foreseen({**items, "limits": {"max_parallel": 1}})["each"] == (Foreseen("cached"),) * 100 + (Foreseen("asked"),) * 100


def test_equal_calls_share_one() -> None:
    told = Lab(replies=Unkept()).foreseen({"agents": [agent("a"), agent("b")]})
    assert told == {"a": (Foreseen("asked"),), "b": (Foreseen("shared"),)}


def test_a_phase_waits_for_the_whole_one_before() -> None:
    it = Lab(replies=Unkept())
    it.run({"agents": [agent("a")]})
    agents = [agent("a"), agent("b", prompt="{{ input }}!"), agent("c", depends_on=["a"])]
    told = it.foreseen({"agents": agents, "execution": "phased"})
    assert told == {"a": (Foreseen("cached"),), "b": (Foreseen("asked"),), "c": (Foreseen("unknown"),)}


def test_who_has_yet_to_gather_has_not_settled() -> None:
    run = Run()
    for event in (
        RunStarted("r", "test", (("each",),), ("each",), "input"),
        Submitted("each", "model"),
        Started("each", items=1),
        Submitted("each[0]", "model", parent="each"),
        Started("each[0]"),
        Answered("each[0]", Reply("so")),
    ):
        assert not has_settled(run, phased=False)
        fold(run, event)
    assert not has_settled(run, phased=False)
    fold(run, Answered("each", Reply("[]")))
    assert has_settled(run, phased=False)


@settings(max_examples=30, deadline=None)
@given(graph=graphs(), asked=st.sets(st.integers(0, 20)))
def test_what_is_foreseen_happens(graph: Graph, asked: set[int]) -> None:
    it = Lab(seconds=graph.seconds, replies=Unkept())
    agents = [{**each, "cache": number not in asked} for number, each in enumerate(graph.agents)]
    it.run({"agents": agents})
    told = it.foreseen({"agents": agents})
    before = len(it.requests)
    run = it.run({"agents": agents})
    again = {request.node for request in it.requests[before:]}
    assert set(told) == set(run.nodes)
    for name, (found,) in told.items():
        assert found.state in ("unknown", "asked" if name in again else "cached" if run.nodes[name].cached else "decided")
