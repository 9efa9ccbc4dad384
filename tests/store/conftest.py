"""A store in a folder of its own, and runs of the engine's lab in it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from llm_orc.domain.event import Happening
from llm_orc.domain.problem import Problem
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def unwarned(problem: Problem) -> None:
    """Hears of what is in the way of a journal where nothing should be."""
    raise AssertionError(problem)


def kept(store: Store, events: Iterable[Happening], run_id: str = "r") -> tuple[Run, list[Problem]]:
    """The run that these events add up to, told to a journal one by one, and what the journal warned of."""
    run, warnings = Run(), list[Problem]()
    journal = store.begin(run_id, run, None, warnings.append)
    for event in events:
        fold(run, event)
        journal.tell(event)
    journal.close()
    return run, warnings


def folded(events: Iterable[Happening]) -> Run:
    """What they add up to."""
    run = Run()
    for event in events:
        fold(run, event)
    return run
