"""What is written of an event is read again as an equal one."""

import dataclasses
import json
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import Answered, Delta, Event, Failed, Happening, Received, RunEnded, RunStarted, Started, Submitted
from llm_orc.domain.message import Failure, Kind, Reply, Usage
from llm_orc.domain.record import event_of, record_of, text_of
from tests.engine.runs import Lab
from tests.engine.test_any_graph import Graph, graphs
from tests.store.conftest import folded

KINDS: tuple[type[Event], ...] = get_args(Happening)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def again(event: Happening) -> Happening:
    return event_of(json.loads(text_of(record_of(event)).encode()), event.seq)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_every_event_comes_back(kind: type[Event], data: st.DataObject) -> None:
    given_fields = {
        each.name: data.draw(JSON if each.type is Any else st.from_type(cast("type[Any]", each.type)), label=each.name)
        for each in dataclasses.fields(kind)
        if each.name not in {"variables", "reply", "turn"}
    }
    if kind is Submitted:
        given_fields["turn"] = data.draw(st.none() | st.dictionaries(st.text(), JSON))
    if kind is RunStarted:
        given_fields["variables"] = data.draw(st.dictionaries(st.text(), JSON))
    if kind is Answered:
        usage = data.draw(st.builds(Usage))
        given_fields["reply"] = data.draw(st.builds(Reply, text=st.text(), value=JSON, usage=st.just(usage), model=st.none() | st.text()))
    event: Any = kind(**given_fields)
    assert repr(again(event)) == repr(event), "equal, NaN too"


@settings(max_examples=40, deadline=None)
@given(graphs(), st.none() | st.integers(0, 30))
def test_a_run_is_the_fold_of_what_was_written(graph: Graph, moment: int | None) -> None:
    lab = Lab(seconds=graph.seconds, failing=graph.failing)
    stop = None if moment is None else (moment + 0.5, "interrupt")
    run = lab.run({"agents": list(graph.agents)}, stop_after=stop)  # type: ignore[arg-type]
    assert folded(again(event) for event in lab.events if not isinstance(event, Delta)) == run


@pytest.mark.parametrize("text", ["half \ud83d of a letter", "\x00\x1b[31m", "\u2028 and \r\n", "é" * 3])
def test_any_text_comes_back(text: str) -> None:
    event = Started("a", text)
    assert again(event) == event


def itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: "one"}, {"1": "one"}),
        ({(1, 2): "pair"}, "{(1, 2): 'pair'}"),
        (itself(), "[[...]]"),
        (Kind.SERVER, "server"),
    ],
)
def test_what_json_cannot_say_is_said_as_text(value: object, read: object) -> None:
    event = Answered("a", Reply("x", value, structured=True))
    back = again(event)
    assert isinstance(back, Answered)
    assert back.reply == Reply("x", read, structured=True)


def test_what_is_usual_takes_no_room() -> None:
    assert record_of(Submitted("a", "model", seq=3, at=1.5)) == {"event": "submitted", "at": 1.5, "node": "a", "body": "model"}
    assert record_of(Received("a", "s", usage=Usage(3), seq=3)) == {
        "event": "received",
        "at": 0.0,
        "node": "a",
        "endpoint": "s",
        "usage": {"input": 3},
    }


@pytest.mark.parametrize(
    "record", [{}, {"event": "x", "at": 1.0}, {"event": "started", "at": 1.0}, {"event": "failed", "at": 0, "node": 1}]
)
def test_what_is_no_event_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        event_of(record, 1)


def test_a_failure_is_whole() -> None:
    failure = Failure(Kind.RATE_LIMIT, "too much", "wait", 3.5)
    assert again(Failed("a", failure, "so far", seq=7)) == Failed("a", failure, "so far", seq=7)
    assert again(RunEnded("x", "budget", failure, seq=8)) == RunEnded("x", "budget", failure, seq=8)
