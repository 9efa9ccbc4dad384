"""A run that is large, made by the store's own writer."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llm_orc.domain.event import Answered, Failed, Happening, RunEnded, RunStarted, Started, Submitted
from llm_orc.domain.message import Failure, Kind, Reply
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store
from tests.store.conftest import unwarned

TEXT = "a sentence of some words, " * 60
EVERY = 1_000
"""One of so many items fails."""


def happened(run_id: str, items: int) -> Iterator[Happening]:
    """What happens in a wide fan-out, and in one agent after it."""
    yield RunStarted(run_id, run_id, (("each",), ("last",)), ("last",), "input")
    yield Submitted("each", "model")
    yield Started("each", items=items)
    for number in range(items):
        node = f"each[{number}]"
        yield Submitted(node, "model", (), "each")
        yield Started(node, f"prompt {number} {TEXT}")
        yield Answered(node, Reply(f"reply {number} {TEXT}")) if number % EVERY else Failed(node, Failure(Kind.SERVER, "it broke"))
    yield Answered("each", Reply("all of it"))
    yield Submitted("last", "model", ("each",))
    yield Started("last", "the last prompt")
    yield Answered("last", Reply("done"))
    yield RunEnded("done")


def keep(folder: Path, run_id: str, items: int, at: float) -> None:
    """Write it in one turn of a loop."""

    async def kept() -> None:
        with Store.open(folder) as store:
            run = Run()
            journal = store.begin(run_id, run, None, unwarned)
            for seq, event in enumerate(happened(run_id, items), 1):
                numbered = replace(event, seq=seq, at=at + seq / 1000)
                fold(run, numbered)
                journal.tell(numbered)
            journal.close()

    asyncio.run(kept())
