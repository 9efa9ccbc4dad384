"""Graphs: nodes, edges, order, and pruning that keeps the lineage."""

from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llm_orc.library.graph import BaseEdge, BaseGraph, BaseNode, GraphError
from llm_orc.library.unknown import UnknownError

Plain = BaseGraph[BaseNode]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def graph(*edges: tuple[str, str], nodes: str = "") -> Plain:
    """`("b", "a")`: b depends on a. Each letter is a second younger than the one before."""
    made = Plain("g")
    for name in sorted({*chain.from_iterable(edges), *nodes}):
        made.add_node(BaseNode(id=name, created_at=NOON + timedelta(seconds=ord(name))))
    for source, target in edges:
        made.add_edge(BaseEdge(source_id=source, target_id=target))
    return made


def line(letters: str) -> Plain:
    """Each depends on the one before."""
    return graph(*((behind, before) for before, behind in pairwise(letters)))


def pairs(made: Plain) -> list[tuple[str, str]]:
    return sorted((edge.source_id, edge.target_id) for edge in made.edges)


def test_dependencies_are_the_direct_ones_or_all() -> None:
    made = graph(("b", "a"), ("c", "b"), ("d", "a"), ("c", "d"), ("e", "c"))
    assert made.get_node_dependencies("c") == ["b", "d"]
    assert made.get_node_dependencies("e", transitive=True) == ["a", "b", "d", "c"]
    assert made.get_node_dependents(made.get_node("a")) == ["b", "d"]
    assert made.get_node_dependents("b", transitive=True) == ["c", "e"]


def test_the_order_is_in_groups() -> None:
    assert graph(("b", "a"), ("c", "b"), ("d", "a"), nodes="x").get_execution_order() == [["a", "x"], ["b", "d"], ["c"]]


def test_a_cycle_is_named() -> None:
    with pytest.raises(GraphError, match="a -> b -> c -> a"):
        graph(("a", "b"), ("b", "c"), ("c", "a")).get_execution_order()


def test_an_id_is_taken_once_and_an_edge_is_there_once() -> None:
    made = graph(("b", "a"))
    with pytest.raises(GraphError, match="there is a node 'a' already"):
        made.add_node(BaseNode(id="a"))
    made.add_edge(BaseEdge(source_id="b", target_id="a"))
    assert len(made.edges) == 1
    made.add_edge(BaseEdge(source_id="b", target_id="a", edge_type="response_to"))
    assert [edge.edge_type for edge in made.get_edges("a")] == ["depends_on", "response_to"]
    assert made.get_edges(edge_type="response_to") == made.get_edges("b", "response_to") == made.edges[1:]


def test_an_edge_needs_both_of_its_ends_and_a_type_that_there_is() -> None:
    with pytest.raises(GraphError, match="no edge from 'x' to 'y': there is no node 'x' and no node 'y'"):
        graph(("b", "a")).add_edge(BaseEdge(source_id="x", target_id="y"))
    with pytest.raises(ValidationError, match="'depends_on' or 'response_to'"):
        BaseEdge(source_id="x", target_id="y", edge_type="likes")  # type: ignore[arg-type]


def test_an_unknown_node_is_said_with_the_nearest() -> None:
    made = graph()
    made.add_node(BaseNode(id="setup"))
    with pytest.raises(KeyError) as caught:
        made.get_node("setpu")
    assert isinstance(caught.value, UnknownError)
    assert str(caught.value) == "no node 'setpu'\nhint: did you mean 'setup'?"


def test_a_node_is_the_same_after_json() -> None:
    node = BaseNode(metadata={"deep": [1, None, {"a": "ü"}]})
    assert BaseNode.model_validate_json(node.model_dump_json()) == node
    assert node.created_at.tzinfo is UTC
    with pytest.raises(ValidationError, match="timezone"):
        BaseNode(created_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is wrong


def test_what_is_pruned_leaves_a_bridge() -> None:
    made = line("abcd")
    assert made.prune_nodes(max_nodes=2, keep=["a"]) == ["b", "c"]
    assert pairs(made) == [("d", "a")]
    assert made.get_node_dependencies("d") == ["a"]


def test_by_age_and_without_doing_it() -> None:
    made = line("abc")
    assert made.prune_nodes(older_than=NOON + timedelta(seconds=ord("c")), dry_run=True) == ["a", "b"]
    assert set(made.nodes) == {"a", "b", "c"}
    assert made.prune_nodes(older_than=60) == ["a", "b", "c"]
    assert made.prune_nodes(older_than=timedelta(0)) == []
    assert made.get_graph_summary()["nodes"] == 0


def test_what_is_kept_counts_towards_the_limit_and_keeps_what_it_needs() -> None:
    assert line("abcd").prune_nodes(max_nodes=2, keep=["b"]) == ["c", "d"]


def test_who_is_to_be_kept_has_to_be_there() -> None:
    with pytest.raises(UnknownError, match="no node 'q'"):
        line("ab").prune_nodes(max_nodes=0, keep=["q"])


def test_a_summary_counts() -> None:
    summary = line("abc").get_graph_summary()
    assert (summary["nodes"], summary["edges"], summary["depth"], summary["edge_types"]) == (3, 2, 3, {"depends_on": 2})
    assert summary["last"] - summary["first"] == timedelta(seconds=2)


@given(edges=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9))), kept=st.sets(st.integers(0, 9)), most=st.integers(0, 10))
def test_survivors_need_what_they_needed(edges: set[tuple[int, int]], kept: set[int], most: int) -> None:
    made = graph(*((str(source), str(target)) for source, target in edges if source > target), nodes="0123456789")
    before = {node: made.get_node_dependencies(node, transitive=True) for node in made.nodes}
    gone = made.prune_nodes(max_nodes=most, keep=map(str, kept))
    assert set(map(str, kept)).isdisjoint(gone)
    assert len(made.nodes) <= max(most, len(before) - len(gone))
    for node in made.nodes:
        assert made.get_node_dependencies(node, transitive=True) == [each for each in before[node] if each in made.nodes]
