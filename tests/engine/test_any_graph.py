"""What holds for every graph, whatever fails and however long it takes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import RunEnded, RunStarted, Submitted
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.run import Run, fold
from tests.engine.reference import reference
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
        rule = draw(st.sampled_from(["any", "all", draw(st.integers(0, len(needs)))]))
        when = {"when": False} if draw(st.integers(0, 9)) == 9 else {}
        agents.append({"name": name, "depends_on": needs, "require": rule, **when})
    seconds = {name: float(draw(st.integers(1, 9))) for name in names}
    failing = frozenset(draw(st.sets(st.sampled_from(names))))
    return Graph(tuple(draw(st.permutations(agents))), seconds, failing)


def server(graph: Graph) -> Ask:
    """Counts a token more for each agent than for the one before it, replied or not."""

    async def answer(request: Request, tell: Tell) -> Reply:
        usage = used(request.node)
        if request.node in graph.failing:
            raise FailedError(Failure(Kind.INVALID_REQUEST, "it broke"), usage=usage)
        return Reply(f"{request.node} says: {request.messages[-1].text}", usage=usage)

    return answer


def used(name: str) -> Usage:
    """What asking it takes."""
    return Usage(int(name[1:]) + 1, 100 * int(name[1:]))


@settings(max_examples=300, deadline=None)
@given(graphs(), st.sampled_from(["overlapping", "phased"]), st.none() | st.integers(1, 4))
def test_every_graph(graph: Graph, execution: str, bound: int | None) -> None:
    # No two agents are done at one moment: their seconds have fractions whose sums all differ.
    seconds = {name: whole + 2.0 ** -(int(name[1:]) + 1) for name, whole in graph.seconds.items()}
    lab = Lab(seconds=seconds, server=server(graph))
    run = lab.run({"execution": execution, "agents": list(graph.agents)}, max_parallel=bound)
    expected = reference(graph.agents, seconds, graph.failing, bound=bound or math.inf, phased=execution == "phased")
    assert [list(phase) for phase in run.phases] == expected.phases
    assert {name: node.status for name, node in run.nodes.items()} == expected.statuses
    assert {name: (node.started_at, node.ended_at) for name, node in run.nodes.items()} == expected.times
    assert lab.peak == expected.peak
    begun = [name for name, (start, _) in expected.times.items() if start is not None]
    assert sorted(request.node for request in lab.requests) == sorted(begun), "everybody once"
    assert run.usage == sum(map(used, begun), NO_USAGE)
    assert run.seconds == max(end for _, end in expected.times.values())
    failed, leaves = "failed" in expected.statuses.values(), [expected.statuses[leaf] for leaf in run.leaves]
    if {*leaves} <= {"succeeded", "failed"}:
        assert run.exit_code == (1 if "succeeded" not in leaves else 3 if failed else 0)
    _is_the_fold_of_its_events(run, lab)


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
