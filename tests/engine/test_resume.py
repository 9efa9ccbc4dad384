"""A run that is gone on with: what stands, what is decided again, and that nobody sees the difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Answered, Delta, Happening, Resumed, RunEnded, RunStarted, Sent, Submitted
from llm_orc.domain.message import Usage
from llm_orc.domain.past import is_whole
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import Run, fold
from tests.engine.runs import Lab, names
from tests.engine.test_any_graph import Graph, graphs
from tests.engine.test_budgets import ONE, PRICE, using


def folded(events: Iterable[Happening]) -> Run:
    run = Run()
    for event in events:
        if not isinstance(event, Delta):
            fold(run, event)
    return run


@dataclass
class Twice:
    """A run that is cut off after so many events, and gone on with in another process."""

    ensemble: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)

    def whole(self) -> tuple[Lab, Run]:
        lab = Lab(**self.more)
        return lab, lab.run(self.ensemble, **self.choices)

    def resumed(self, events: Sequence[Happening], **changed: Any) -> tuple[Lab, Run]:
        lab = Lab(**{**self.more, **changed})
        run = lab.run(self.ensemble, past=folded(events), **self.choices)
        again = folded([*events, *lab.events])
        assert again == run, "the fold of all events is what is shown"
        last = events[-1].seq if events else 0
        assert [event.seq for event in lab.events] == list(range(last + 1, last + len(lab.events) + 1))
        return lab, run


def asked(lab: Lab) -> list[str]:
    return [request.node for request in lab.requests]


def replied(events: Iterable[Happening]) -> set[str]:
    return {event.node for event in events if isinstance(event, Answered)}


def seen(run: Run) -> dict[str, Any]:
    """What a run came to, without how long it took and how often somebody was asked."""
    return {
        "result": run.result,
        "status": run.status,
        "nodes": {
            node.id: (node.status, node.text, node.cause, node.depends_on, tuple(node.children), node.prompt) for node in run.nodes.values()
        },
    }


def never_twice(events: Sequence[Happening], lab: Lab) -> None:
    assert not replied(events) & set(asked(lab)), "who has replied is not asked again"


CHILD = Ensemble.model_validate(
    {"name": "child", "agents": [{"name": "in"}, {"name": "mid", "depends_on": ["in"]}, {"name": "out", "depends_on": ["mid"]}]}
)
NESTED = {
    "agents": [
        {"name": "list"},
        {"name": "each", "fan_out": {"items": ["a", "b", "c"]}, "ensemble": "child", "depends_on": ["list"]},
        {"name": "one", "fan_out": {"items": ["x", "y"]}, "depends_on": ["list"]},
        {"name": "sub", "ensemble": "child", "depends_on": ["one"]},
    ],
    "synthesis": {"prompt": "all of it"},
}


def test_whatever_the_moment_a_run_is_cut_off_at_it_ends_alike() -> None:
    twice = Twice(NESTED, {"ensembles": {"child": CHILD}, "failing": frozenset({"one[1]", "each[2]/mid"})})
    lab, undisturbed = twice.whole()
    for number in range(1, len(lab.events)):
        events = lab.events[:number]
        again, run = twice.resumed(events)
        never_twice(events, again)
        assert seen(run) == seen(undisturbed), f"cut off after {lab.events[number - 1]}"
        assert isinstance(again.events[0], Resumed)
        assert isinstance(again.events[-1], RunEnded)


@settings(max_examples=100, deadline=None)
@given(graphs(), st.floats(0, 1), st.none() | st.integers(1, 4), st.booleans())
def test_any_graph_goes_on_from_anywhere(graph: Graph, share: float, bound: int | None, phased: bool) -> None:  # noqa: FBT001
    ensemble = {"execution": "phased" if phased else "overlapping", "agents": list(graph.agents)}
    twice = Twice(ensemble, {"seconds": graph.seconds, "failing": graph.failing}, {"max_parallel": bound})
    lab, undisturbed = twice.whole()
    number = 1 + int(share * (len(lab.events) - 1))
    again, run = twice.resumed(lab.events[:number])
    never_twice(lab.events[:number], again)
    assert bound is None or again.peak <= bound
    assert seen(run) == seen(undisturbed)
    # A third time, from the middle of the second.
    events = [*lab.events[:number], *again.events[: 1 + len(again.events) // 2]]
    third, last = twice.resumed(events)
    never_twice(events, third)
    assert seen(last) == seen(undisturbed)


def test_what_failed_is_asked_again_and_what_was_skipped_is_decided_again() -> None:
    twice = Twice({"agents": [{"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["a", "b"], "require": "all"}]})
    first, run = Twice(twice.ensemble, {"failing": frozenset({"b"})}).whole()
    assert (names(run, "failed"), names(run, "skipped"), is_whole(run)) == ({"b"}, {"c"}, False)
    lab, run = twice.resumed(first.events)
    assert asked(lab) == ["b", "c"]
    assert names(run, "succeeded") == {"a", "b", "c"}
    assert (run.status, is_whole(run)) == ("succeeded", True)
    assert [event.node for event in lab.events if isinstance(event, Submitted)] == ["b", "c"]


def test_what_stands_though_it_did_not_hear_a_new_reply_is_told() -> None:
    ensemble = {"agents": [{"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["a", "b"]}]}
    first, _ = Twice(ensemble, {"failing": frozenset({"b"})}).whole()
    lab, run = Twice(ensemble).resumed(first.events)
    assert asked(lab) == ["b"]
    assert run.warnings == [("c", "stands as it was made, without the new reply of b")]
    lab, run = Twice(ensemble, {"failing": frozenset({"b"})}).resumed(first.events)
    assert run.warnings == []


def test_children_go_on_by_index_and_only_on_the_same_item() -> None:
    ensemble = {"agents": [{"name": "list"}, {"name": "each", "fan_out": True, "depends_on": ["list"]}]}

    def said(items: str, failing: Iterable[str] = ()) -> Twice:
        def answer(request: Any) -> str:
            return items if request.node == "list" else f"{request.node} read {request.messages[-1].text}"

        return Twice(ensemble, {"answer": answer, "failing": frozenset(failing)})

    first, _ = said('["p", "q", "r"]', ["each[1]"]).whole()
    lab, run = said('["p", "q", "r"]').resumed(first.events)
    assert asked(lab) == ["each[1]"]
    assert run.nodes["each"].text == '["each[0] read p", "each[1] read q", "each[2] read r"]'
    assert run.nodes["each"].children == ["each[0]", "each[1]", "each[2]"]
    # The list itself is made anew, and is another.
    events = [event for event in first.events if not (isinstance(event, Answered) and event.node == "list")]
    lab, run = said('["p", "Q", "R"]').resumed(events)
    assert asked(lab) == ["list", "each[1]", "each[2]"]
    assert run.nodes["each"].text == '["each[0] read p", "each[1] read Q", "each[2] read R"]'


def test_a_child_run_goes_on_inside_and_begins_again_on_another_input() -> None:
    ensemble = {"agents": [{"name": "a"}, {"name": "sub", "ensemble": "child", "depends_on": ["a"]}]}
    more = {"ensembles": {"child": CHILD}}
    first, _ = Twice(ensemble, {**more, "failing": frozenset({"sub/out"})}).whole()
    lab, run = Twice(ensemble, more).resumed(first.events)
    assert asked(lab) == ["sub/out"]
    assert run.status == "succeeded"
    forgotten = [event for event in first.events if not (isinstance(event, Answered) and event.node == "a")]
    lab, run = Twice(ensemble, {**more, "answer": lambda request: f"new {request.node}"}).resumed(forgotten)
    assert asked(lab) == ["a", "sub/in", "sub/mid", "sub/out"]


def test_what_was_skipped_offline_is_run_when_it_may_be() -> None:
    ensemble = {"agents": [{"name": "a"}]}
    first, run = Twice(ensemble, choices={"offline": True}).whole()
    assert names(run, "skipped") == {"a"}
    assert not is_whole(run)
    lab, run = Twice(ensemble).resumed(first.events)
    assert (asked(lab), run.status) == (["a"], "succeeded")


def test_a_run_that_skipped_by_when_is_whole() -> None:
    _, run = Twice({"agents": [{"name": "a"}, {"name": "b", "when": False}, {"name": "c", "depends_on": ["b"]}]}).whole()
    assert names(run, "skipped") == {"b", "c"}
    assert is_whole(run)


def test_an_interrupted_run_goes_on() -> None:
    lab = Lab(seconds={"a": 1, "b": 5})
    ensemble = {"agents": [{"name": "a"}, {"name": "b"}]}
    run = lab.run(ensemble, stop_after=(2.0, "interrupt"))
    assert (run.cause, names(run, "cancelled")) == ("interrupt", {"b"})
    again, run = Twice(ensemble).resumed(lab.events)
    assert (asked(again), run.cause, run.status, run.exit_code) == (["b"], "", "succeeded", 0)


def test_times_add_up_and_the_time_between_does_not_count() -> None:
    lab = Lab(seconds={"a": 3, "b": 4}, failing=frozenset({"b"}))
    ensemble = {"agents": [{"name": "a"}, {"name": "b", "depends_on": ["a"]}]}
    run = lab.run(ensemble)
    assert run.seconds == 7
    later = [*lab.events, Resumed("r", seq=len(lab.events) + 1, at=1000.0)]
    _, run = Twice(ensemble, {"seconds": {"b": 2}}).resumed(lab.events)
    assert (run.nodes["b"].seconds, run.nodes["a"].seconds) == (6, 3)
    assert folded(later).paused == 993


def test_a_clock_that_was_set_back_meanwhile_does_not_count_either() -> None:
    begun = RunStarted("r", "e", (("a",),), ("a",), "x", seq=1, at=1000.0)
    run = folded([begun, Submitted("a", "model", seq=2, at=1004.0), Resumed("r", seq=3, at=500.0), RunEnded("", seq=4, at=503.0)])
    assert run.seconds == 7


def test_max_cost_counts_what_was_spent_before_and_what_was_under_way() -> None:
    agents = [{"name": "a"}, {"name": "b", "depends_on": ["a"]}, {"name": "c", "depends_on": ["b"], "require": 0}]
    profiles = {"default": Profile(name="default", model="m", provider="lab", price=PRICE, max_tokens=100)}
    more = {"profiles": profiles, "pricing": None, "server": using(10, 10)}
    twice = Twice({"agents": agents}, more, {"max_cost": 1.5 * ONE})
    lab, run = twice.whole()
    assert names(run, "succeeded") == {"a", "b", "c"}
    sent = next(event for event in lab.events if isinstance(event, Sent) and event.node == "b")
    under_way = sent.seq
    _, run = twice.resumed(lab.events[: under_way - 1])
    assert names(run, "succeeded") == {"a", "b", "c"}
    assert run.cost == pytest.approx(3 * PRICE.cost(Usage(10, 10)))
    _, run = twice.resumed(lab.events[:under_way])
    assert (names(run, "succeeded"), run.cause, run.exit_code) == ({"a"}, "budget", 4)
    assert "are left" in run.nodes["b"].cause
    assert run.charged == pytest.approx(PRICE.cost(Usage(10, 10)) + sent.most)


def test_a_run_without_a_single_event_simply_begins() -> None:
    lab, run = Twice({"agents": [{"name": "a"}]}).resumed([])
    assert isinstance(lab.events[0], RunStarted)
    assert run.status == "succeeded"
