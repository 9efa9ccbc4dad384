"""Every fault, in every wire format, through the true command line: what comes of it, and how many requests the server sees."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llm_orc.domain.message import Kind
from tests.matrix.cells import BY_NAME, CELLS, FAULTS, FORMATS, MODEL, RETRY_AFTER, WAYS, Cell
from tests.matrix.playing import OUT_OF_TIME, PLENTY, Event, play
from tests.servers.matrix import SOUND, MatrixServer


@dataclass(frozen=True, slots=True)
class Seen:
    """What was told of one cell."""

    events: Sequence[Event]
    requests: int
    """As its server counted them."""
    fallback_requests: int

    @property
    def partial(self) -> str:
        """What had come of the last attempt's reply."""
        kept = ""
        for event in self.events:
            if event["event"] in ("retrying", "fell_back"):
                kept = ""
            elif event["event"] == "delta":
                kept += event["text"]
        return kept

    def all(self, name: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == name]


Look = Callable[[Cell], Seen]


@dataclass
class Runs:
    """Each wire format is run twice, streamed and whole, when a cell of it is first looked at."""

    server: MatrixServer
    home: Path
    ran: dict[tuple[str, bool], Mapping[str, Sequence[Event]]] = field(default_factory=dict)

    def look(self, cell: Cell) -> Seen:
        """What came of a cell."""
        key = wire_format, streamed = cell.wire_format, cell.way != "whole"
        if key not in self.ran:
            cells = [each for each in CELLS if (each.wire_format, each.way != "whole") == key]
            profiles = dict(pair for each in cells for pair in profiles_of(each, self.server))
            folder = self.home / f"{wire_format}-{'streamed' if streamed else 'whole'}"
            self.ran[key] = play(folder, [each.name for each in cells], profiles, streamed=streamed)
        return Seen(self.ran[key][cell.name], self.server.counts[cell.name], self.server.counts[fallback(cell)])


def profiles_of(cell: Cell, server: MatrixServer) -> Iterator[tuple[str, dict[str, Any]]]:
    """That of a cell, and that which it falls back to."""
    met = {"times": 1} if cell.way == "once" else {}
    after = {"retry_after": RETRY_AFTER} if cell.fault.name == "429-after" else {}
    common = {"provider": cell.wire_format, "model": MODEL}
    yield (
        cell.name,
        {
            **common,
            "base_url": server.url(cell.wire_format, cell.fault.name.removesuffix("-after"), cell.name, **met, **after),
            "timeout_seconds": OUT_OF_TIME if cell.fault.out_of_time else PLENTY,
            "fallback": [fallback(cell)] if cell.way == "fallback" else [],
        },
    )
    yield fallback(cell), {**common, "base_url": server.url(cell.wire_format, "ok", fallback(cell))}


def fallback(cell: Cell) -> str:
    """The profile that a cell falls back to."""
    return f"{cell.name}-instead"


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    with MatrixServer() as server:
        yield Runs(server, tmp_path_factory.mktemp("matrix")).look


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS])
def test_what_comes_of_a_fault(cell: Cell, look: Look) -> None:
    seen = look(cell)

    assert seen.requests == cell.requests
    check_retries(cell, seen)
    if cell.recovers or cell.falls_back:
        check_answered(cell, seen)
    else:
        check_failed(cell, seen)


def check_retries(cell: Cell, seen: Seen) -> None:
    waits = seen.all("retrying")
    assert [wait["failure"]["kind"] for wait in waits] == [cell.fault.kind] * (cell.requests - 1)
    if cell.fault.name == "429-after":
        assert [wait["seconds"] for wait in waits] == [RETRY_AFTER] * len(waits)
    else:
        assert all(0.5 * 2**number <= wait["seconds"] <= 60 for number, wait in enumerate(waits))


def check_answered(cell: Cell, seen: Seen) -> None:
    [answered] = seen.all("answered")
    assert answered["reply"]["text"].strip() == SOUND
    assert answered["reply"]["profile"] == (fallback(cell) if cell.falls_back else "")
    assert seen.fallback_requests == int(cell.falls_back)
    assert [event["failure"]["kind"] for event in seen.all("fell_back")] == [cell.fault.kind] * cell.falls_back


def check_failed(cell: Cell, seen: Seen) -> None:
    [failed] = seen.all("failed")
    assert failed["failure"]["kind"] == cell.fault.kind
    assert cell.fault.hint_of(cell.wire_format) in failed["failure"]["hint"]
    assert bool(failed["partial"] or seen.partial) is (cell.fault.partial and cell.way != "whole")
    assert seen.fallback_requests == 0
    assert not seen.all("fell_back")


def test_the_matrix_is_whole() -> None:
    assert {(cell.wire_format, cell.fault.name) for cell in CELLS} == {(form, name) for form in FORMATS for name in BY_NAME}
    assert (len(FORMATS), len(FAULTS), len(WAYS), len(CELLS)) == (4, 18, 4, 4 * (18 * 4 - 2))


def test_each_kind_that_a_server_can_cause_is_met() -> None:
    ours = {Kind.CANCELLED, Kind.BUDGET, Kind.SCRIPT, Kind.OFFLINE, Kind.INVALID_REQUEST}
    assert {fault.kind for fault in FAULTS} == set(Kind) - ours
