"""What holds for every graph, whatever fails and however long it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import RunEnded, RunStarted, Submitted
from llm_orc.domain.run import Run, fold
from tests.engine.runs import Lab

ENDED = {"succeeded", "failed", "skipped"}


@dataclass(frozen=True)
class Graph:
    """Agents with their dependencies, each with its seconds; some of them fail."""

    agents: tuple[Mapping[str, Any], ...]
    seconds: Mapping[str, float]
    failing: frozenset[str]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"a{i}" for i in range(draw(st.integers(1, 12)))]
    agents = []
    for index, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        rule = draw(st.sampled_from(["any", "all", 0]))
        agents.append({"name": name, "depends_on": needs, "require": rule})
    seconds = {name: float(draw(st.integers(1, 9))) for name in names}
    failing = frozenset(draw(st.sets(st.sampled_from(names))))
    return Graph(tuple(draw(st.permutations(agents))), seconds, failing)


@settings(max_examples=300, deadline=None)
@given(graphs(), st.sampled_from(["overlapping", "phased"]), st.none() | st.integers(1, 4))
def test_every_graph(graph: Graph, execution: str, bound: int | None) -> None:
    lab = Lab(seconds=graph.seconds, failing=graph.failing)
    run = lab.run({"execution": execution, "agents": list(graph.agents)}, max_parallel=bound)
    by_name = {agent["name"]: agent for agent in graph.agents}
    asked = [request.node for request in lab.requests]
    assert len(asked) == len(set(asked)), "nobody is asked twice"
    assert bound is None or lab.peak <= bound
    for name, node in run.nodes.items():
        needs = by_name[name]["depends_on"]
        there = sum(run.nodes[need].status == "succeeded" for need in needs)
        required = {"all": len(needs), "any": min(1, len(needs)), 0: 0}[by_name[name]["require"]]
        expected = "skipped" if there < required else "failed" if name in graph.failing else "succeeded"
        assert node.status == expected
        assert (name in asked) == (expected != "skipped")
        assert all((node.started_at or run.seconds) >= (run.nodes[need].ended_at or 0) for need in needs)
    if bound is None and execution == "overlapping":
        assert run.seconds == max((_end(name, run, by_name, graph.seconds) for name in run.nodes), default=0)
    if execution == "phased":
        for before, after in zip(run.phases, run.phases[1:], strict=False):
            barrier = max(run.nodes[name].ended_at or 0 for name in before)
            assert all((run.nodes[name].started_at or barrier) >= barrier for name in after)
    _is_the_fold_of_its_events(run, lab)


def _end(name: str, run: Run, by_name: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]) -> float:
    """When an agent can be done at the earliest: its own critical path."""
    ready = max((_end(need, run, by_name, seconds) for need in by_name[name]["depends_on"]), default=0.0)
    return ready + (0.0 if run.nodes[name].status == "skipped" else seconds[name])


def _is_the_fold_of_its_events(run: Run, lab: Lab) -> None:
    again = Run()
    for event in lab.events:
        fold(again, event)
    assert again == run
    assert [event.seq for event in lab.events] == list(range(1, len(lab.events) + 1))
    assert isinstance(lab.events[0], RunStarted)
    assert isinstance(lab.events[-1], RunEnded)
    assert sum(isinstance(event, Submitted) for event in lab.events) == len(run.nodes)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 30))
def test_a_run_cut_short_at_any_moment_has_an_end_for_every_node(graph: Graph, moment: int) -> None:
    lab = Lab(seconds=graph.seconds, failing=graph.failing)
    run = lab.run({"agents": list(graph.agents)}, stop_after=(moment and moment - 0.5, "interrupt"))
    assert {node.status for node in run.nodes.values()} <= ENDED | {"cancelled"}
    assert lab.running == 0
    if run.cause:
        assert run.exit_code == 130
        answered = [node for node in run.nodes.values() if node.status == "succeeded"]
        assert bool(run.result) == bool(answered)
