"""Phases and cycles."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.graph import cycles_of, phases_of, with_all_needed


def test_phases_keep_the_order_of_the_file() -> None:
    assert phases_of({"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": [], "z": []}) == (("a", "z"), ("c", "b"), ("d",))


def test_a_cycle_is_a_path_from_its_first_name() -> None:
    assert cycles_of({"x": [], "a": ["b"], "b": ["c"], "c": ["a", "x"]}) == [("a", "b", "c", "a")]


def test_every_cycle_is_told() -> None:
    assert cycles_of({"a": ["a"], "b": ["c"], "c": ["b"]}) == [("a", "a"), ("b", "c", "b")]


def test_what_is_needed_is_found_once() -> None:
    layers = {f"{layer}.{i}": [f"{layer - 1}.{j}" for j in range(8)] if layer else [] for layer in range(30) for i in range(8)}
    assert len(with_all_needed(["29.0"], layers)) == 29 * 8 + 1


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), unique=True)))
def test_a_cycle_told_is_one_that_is_there(graph: dict[str, list[str]]) -> None:
    needs = {name: [need for need in needed if need in graph] for name, needed in graph.items()}
    cycles = cycles_of(needs)
    for cycle in cycles:
        assert all(after in needs[before] for before, after in pairwise(cycle))
    if not cycles:
        place = {name: index for index, phase in enumerate(phases_of(needs)) for name in phase}
        assert all(place[need] < place[name] for name, needed in needs.items() for need in needed)
