"""Where memory goes: `python -m bench.traced OUT MODULE ARGS...` runs a module and writes the lines that held most when it held most."""

import runpy
import sys
import threading
import tracemalloc
from pathlib import Path

TOP = 20
EVERY = 0.2
"""Seconds between looks."""
GROWN = 1.3
"""A new snapshot is taken when this much more is held than at the last one: a snapshot is dear."""


class Watch:
    """Looks from a thread at how much is held and keeps the largest snapshot."""

    def __init__(self) -> None:
        self.snapshot: tracemalloc.Snapshot | None = None
        self._held = 1_000_000.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        held = tracemalloc.get_traced_memory()[0]
        if held > self._held * GROWN:
            self._held, self.snapshot = held, tracemalloc.take_snapshot()

    def lines(self) -> list[str]:
        """The lines that held most, largest first."""
        self._over.set()
        self._thread.join()
        self._look()
        if self.snapshot is None:
            return ["never more than a megabyte"]
        top = self.snapshot.statistics("lineno")[:TOP]
        total = sum(trace.size for trace in self.snapshot.traces)
        said = [
            f"{each.size / 1e6:8.3f} MB {each.count:7d} pieces  {each.traceback[0].filename}:{each.traceback[0].lineno}" for each in top
        ]
        return [f"{total / 1e6:8.3f} MB in all", *said]


def main(out: str, module: str, *arguments: str) -> None:
    """Run the module as `python -m` would."""
    tracemalloc.start()
    watch = Watch()
    sys.argv = [module, *arguments]
    left: dict[str, object] = {}
    try:
        left = runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(out).write_text("\n".join(watch.lines()))
        left.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
