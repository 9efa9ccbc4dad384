"""The faults that aimock can make: the matrix's rows hold for a server that somebody else wrote, too."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.matrix.cells import FAULTS, FORMATS, Fault
from tests.matrix.playing import OUT_OF_TIME, PLENTY, Event, play
from tests.servers.aimock import Aimock, missing
from tests.servers.matrix import FORMATS as WIRE

pytestmark = [pytest.mark.node, pytest.mark.skipif(bool(missing()), reason=missing())]

SOUND = "all is well"
STATUSES = {
    "401": "authentication_error",
    "403": "permission_error",
    "404": "not_found_error",
    "429": "rate_limit_error",
    "500": "server_error",
    "503": "server_error",
    "529": "overloaded_error",
}
WORDS = "one two three four five six seven eight nine ten"
FILTERED = {"openai-compatible": "content_filter", "anthropic": "refusal", "google": "content_filter"}
"""aimock's Ollama has no filter."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A fault of aimock in one wire format; without one all is well."""

    wire_format: str
    fault: Fault | None

    @property
    def name(self) -> str:
        """Its agent, and what its prompt is known by."""
        return f"{self.wire_format}_{self.fault.name if self.fault else 'ok'}"

    @property
    def model(self) -> str:
        """One for each format, because each says its faults in its own words."""
        return "matrix:latest" if self.wire_format == "ollama" else self.wire_format


CELLS = [
    Cell(wire_format, fault)
    for wire_format in FORMATS
    for fault in (None, *(fault for fault in FAULTS if fault.aimock))
    if not (fault and fault.name == "filter" and wire_format not in FILTERED)
]


def fixture(cell: Cell) -> dict[str, Any]:
    """What aimock does for a cell."""
    match = {"userMessage": f"cell {cell.name}.", "model": cell.model}
    return {"match": match, **response(cell.wire_format, cell.fault.name if cell.fault else "ok")}


def response(wire_format: str, fault: str) -> dict[str, Any]:
    """What it does for a fault."""
    status = fault.partition("-")[0]
    if status in STATUSES:
        error = {"message": f"refused with {status}", "type": STATUSES[status]}
        return {"response": {"error": error, "status": int(status), "retryAfter": 1}}
    others: dict[str, dict[str, Any]] = {
        "ok": {"response": {"content": SOUND}},
        "reset-before": {"response": {"content": WORDS}, "chaos": {"disconnectRate": 1}},
        "reset-during": {"response": {"content": WORDS}, "latency": 20, "chunkSize": 4, "truncateAfterChunks": 4},
        "malformed": {"response": {"content": WORDS}, "chaos": {"malformedRate": 1}},
        "empty": {"response": {"content": ""}},
        "slow": {"response": {"content": WORDS * 10}, "latency": 400, "chunkSize": 4},
        "context": {"response": {"error": {"message": "prompt is too long", "code": "context_length_exceeded"}, "status": 400}},
        "filter": {"response": {"content": "", "finishReason": FILTERED.get(wire_format, "")}},
    }
    return others[fault]


Look = Callable[[Cell], tuple[Sequence[Event], int]]


def profile_of(cell: Cell, origin: str) -> dict[str, Any]:
    return {
        "provider": cell.wire_format,
        "model": cell.model,
        "base_url": f"{origin}{WIRE[cell.wire_format].base}",
        "max_parallel": 50,
        "timeout_seconds": OUT_OF_TIME if cell.fault and cell.fault.out_of_time else PLENTY,
    }


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """What was told of a cell, and how many requests came; each wire format is run once, when a cell of it is first looked at."""
    home = tmp_path_factory.mktemp("aimock")
    ran: dict[str, Mapping[str, Sequence[Event]]] = {}

    with Aimock(home, [fixture(cell) for cell in CELLS]) as server:

        def look(cell: Cell) -> tuple[Sequence[Event], int]:
            if cell.wire_format not in ran:
                cells = {each.name: profile_of(each, server.origin) for each in CELLS if each.wire_format == cell.wire_format}
                ran[cell.wire_format] = play(home / cell.wire_format, list(cells), cells)
            requests = [entry for entry in server.journal() if f"cell {cell.name}." in json.dumps(entry["body"])]
            return ran[cell.wire_format][cell.name], len(requests)

        yield look


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS])
def test_what_comes_of_a_fault_of_aimock(cell: Cell, look: Look) -> None:
    events, requests = look(cell)
    last = [event for event in events if event["event"] in ("answered", "failed")]

    assert requests == (cell.fault.requests if cell.fault else 1)
    if cell.fault is None:
        assert last[0]["reply"]["text"].strip() == SOUND
    else:
        assert last[0]["failure"]["kind"] == cell.fault.kind


def test_the_faults_of_aimock_are_counted() -> None:
    assert len(CELLS) == 4 * (13 + 1) - 1
