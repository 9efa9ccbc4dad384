"""Runs are forgotten whole, and nothing that another run needs goes with them."""

import pytest

from llm_orc.domain.problem import ProblemError
from llm_orc.domain.run import Run, fold
from llm_orc.store.kept import Kept
from llm_orc.store.pages import Sought, listed
from llm_orc.store.pruned import Bounds, beyond, pin, prune, size_of
from llm_orc.store.runs import Store
from tests.store.conftest import folded, kept, unwarned
from tests.store.test_store import LONG, events

NAMES = ["one", "two", "three", "four"]


@pytest.fixture
def four(store: Store) -> Store:
    """One run each 100 seconds, of which the second and the last hold a long text of their own, and all the same input."""
    for number, name in enumerate(NAMES):
        reply = f"{name} {LONG}" if number in (1, 3) else name
        kept(store, events(name, text=LONG, reply=reply, at=100.0 * number), name)
    return store


def left(store: Store) -> list[str]:
    return [run.id for run in reversed(listed(store, Sought(), 10)[0])]


def texts(store: Store) -> int:
    return len(list((store.folder / "blobs").iterdir()))


@pytest.mark.parametrize(
    ("bounds", "forgotten"),
    [
        (Bounds(newest=3), ["one"]),
        (Bounds(newest=0), ["four", "three", "two", "one"]),
        (Bounds(since=200.0), ["two", "one"]),
        (Bounds(since=103.0), ["one"]),
        (Bounds(newest=3, since=200.0), ["two", "one"]),
        (Bounds(size=10**9), []),
        (Bounds(size=200_000), ["two", "one"]),
        (Bounds(size=0), ["four", "three", "two", "one"]),
        (Bounds.of(2), ["two", "one"]),
        (Bounds.of("1h", now=3_600.0 + 203.0), ["two", "one"]),
    ],
)
def test_what_is_beyond_the_bounds(four: Store, bounds: Bounds, forgotten: list[str]) -> None:
    assert [run.id for run in beyond(four, bounds)] == forgotten


def test_what_is_forgotten_is_gone_and_the_rest_is_whole(four: Store) -> None:
    before = {name: folded(four.events(name)) for name in NAMES}
    assert texts(four) == 3
    prune(four, beyond(four, Bounds(newest=2)))
    assert left(four) == ["three", "four"]
    assert {name: folded(four.events(name)) for name in ("three", "four")} == {name: before[name] for name in ("three", "four")}
    assert texts(four) == 2, "the input is needed still"
    for table in ("events", "nodes", "edges", "texts"):
        numbers = four.connection.execute(f"SELECT DISTINCT run FROM {table}").fetchall()
        assert set(numbers) <= {(four.number("three"),), (four.number("four"),)}
    with pytest.raises(ProblemError):
        four.find("one")
    prune(four, beyond(four, Bounds(newest=0)))
    assert (left(four), texts(four)) == ([], 0)


def test_what_is_pinned_or_runs_stays(four: Store) -> None:
    pin(four, "two", pinned=True)
    run = Run()
    journal = four.begin("five", run, None, unwarned)
    for event in events("five", at=50.0)[:1]:
        fold(run, event)
        journal.tell(event)
    assert [run.id for run in beyond(four, Bounds(newest=0))] == ["four", "three", "one"]
    prune(four, beyond(four, Bounds(size=0)))
    assert left(four) == ["five", "two"]
    journal.close()
    pin(four, "two", pinned=False)
    assert [run.id for run in beyond(four, Bounds(newest=0))] == ["two", "five"]


def test_a_run_takes_up_what_its_texts_do(four: Store) -> None:
    assert len(LONG) < size_of(four, "one") < len(LONG) + 2_000
    assert 2 * len(LONG) < size_of(four, "two") < 2 * len(LONG) + 2_000


def test_as_many_as_are_wanted_are_kept(four: Store) -> None:
    keeping = Kept(four.folder, 2)
    keeping.close()
    assert keeping.warnings == []
    assert left(four) == ["three", "four"]
