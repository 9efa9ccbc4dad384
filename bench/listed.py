"""Keeps many short runs in a store, each written as it would be; prints how many.

python -m bench.listed FOLDER RUNS
"""

import json
import sys
from pathlib import Path

from llm_orc.domain.event import Answered, Happening, Received, RunEnded, RunStarted, Sent, Started, Submitted
from llm_orc.domain.message import Reply, Usage
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store

TEXT = "a sentence of some words, " * 20
APART = 60.0
"""Seconds from one run to the next."""


def events(run_id: str, at: float) -> list[Happening]:
    """What happens in a run of one agent."""
    return [
        RunStarted(run_id, "bench", (("only",),), ("only",), TEXT, seq=1, at=at),
        Submitted("only", "model", seq=2, at=at),
        Started("only", TEXT, "fast", "openai-compatible", "bench", seq=3, at=at),
        Sent("only", "localhost", "fast", "openai-compatible", "bench", 128_000, seq=4, at=at),
        Received("only", "localhost", "bench", Usage(100, 100), 0.001, seq=5, at=at + 1),
        Answered("only", Reply(TEXT, usage=Usage(100, 100), model="bench"), seq=6, at=at + 1),
        RunEnded(TEXT, seq=7, at=at + 1),
    ]


def main(folder: str, runs: int) -> None:
    """One run after the other."""
    warned = list[object]()
    with Store.open(Path(folder)) as store:
        for number in range(runs):
            run, run_id = Run(), f"20260101-{number:06}-{number % 4096:06x}"
            journal = store.begin(run_id, run, {"input": TEXT}, warned.append)
            for event in events(run_id, 1.7e9 + APART * number):
                fold(run, event)
                journal.tell(event)
            journal.close()
        kept = store.connection.execute("SELECT count(*) FROM runs WHERE status = 'succeeded'").fetchone()[0]
    if warned or kept != runs:
        sys.exit(f"{kept} of {runs} runs are kept {warned}")
    print(json.dumps({"runs": kept}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
