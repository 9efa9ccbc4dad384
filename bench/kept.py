"""Keeps a run of many nodes in a store, an event per turn of the loop; prints the CPU milliseconds that keeping took per node.

python -m bench.kept FOLDER
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_orc.domain.event import Answered, Happening, Received, RunEnded, RunStarted, Sent, Started, Submitted
from llm_orc.domain.message import Reply, Usage
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store

NODES = 2_000
TEXT = "a sentence of some words, " * 20


def events() -> Iterator[Happening]:
    """What happens in a run of models at once."""
    names = [f"agent{number}" for number in range(NODES)]
    yield RunStarted("bench", "bench", (tuple(names),), tuple(names), TEXT, seq=1)
    for number, name in enumerate(names):
        at = 5 * number
        yield Submitted(name, "model", seq=at + 2)
        yield Started(name, TEXT, "fast", "openai-compatible", "bench", seq=at + 3)
        yield Sent(name, "localhost", "fast", "openai-compatible", "bench", 128_000, seq=at + 4)
        yield Received(name, "localhost", "bench", Usage(100, 100), 0.001, seq=at + 5)
        yield Answered(name, Reply(TEXT, usage=Usage(100, 100), model="bench"), seq=at + 6)
    yield RunEnded(TEXT, seq=5 * NODES + 7)


async def told(happened: list[Happening], run: Run, tell: Callable[[Happening], None]) -> float:
    """CPU seconds of telling it all, an event per turn."""
    start = time.process_time()
    for event in happened:
        fold(run, event)
        tell(event)
        await asyncio.sleep(0)
    return time.process_time() - start


def main(folder: str) -> None:
    """With the store, and without."""
    happened, warned = list(events()), list[object]()
    alone = asyncio.run(told(happened, Run(), lambda _: None))
    with TemporaryDirectory(dir=folder) as place, Store.open(Path(place)) as store:
        run = Run()
        journal = store.begin("bench", run, None, warned.append)
        kept = asyncio.run(told(happened, run, journal.tell))
        journal.close()
        rows = store.connection.execute("SELECT count(*) FROM events").fetchone()[0]
    if warned or rows != len(happened):
        sys.exit(f"{rows} of {len(happened)} events are kept {warned}")
    print(json.dumps({"ms": (kept - alone) / NODES * 1000, "events": rows}))


if __name__ == "__main__":
    main(sys.argv[1])
