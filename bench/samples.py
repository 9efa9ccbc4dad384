"""One command, one process, one sample: seconds, CPU, memory, and what it printed about itself."""

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit in which the system tells the peak of a process' memory."""
Facts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, where, and how its output is read; it is shown as a person would type it."""

    arguments: tuple[str, ...]
    cwd: Path = ROOT
    read: Callable[[bytes], Facts] = field(default=lambda _: {})
    silent: float | None = None
    """Seconds after which a pipe on its stdin says something; None: there is none."""

    @property
    def argv(self) -> list[str]:
        """With this very Python."""
        return [sys.executable, *self.arguments]

    def __str__(self) -> str:
        typed = shlex.join(["python", *(argument.replace(str(ROOT) + os.sep, "") for argument in self.arguments)])
        return typed if self.silent is None else f"(sleep {self.silent:g}; echo go) | {typed}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of the process from start to end, its CPU seconds, its peak memory in MB, and the facts it printed."""

    wall: float
    cpu: float
    peak_mb: float
    facts: Facts = field(default_factory=dict)


class BrokenRunError(Exception):
    """A command that did not end well: its message says which and why. There is no number then."""


def measured(command: Command, home: Path) -> Sample:
    """Run it once, in an environment that holds nothing but a home."""
    environ = {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        stdin = subprocess.DEVNULL if command.silent is None else subprocess.PIPE
        process = subprocess.Popen(command.argv, cwd=command.cwd, env=environ, stdin=stdin, stdout=out, stderr=err)
        if process.stdin and command.silent is not None:
            time.sleep(command.silent)
            process.stdin.write(b"go\n")
            process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            tail = err.read().decode(errors="replace").strip().splitlines()[-3:] or ["nothing on stderr"]
            raise BrokenRunError(f"{command} ended with {process.returncode}: {' / '.join(tail)[:400]}")
        peak = usage.ru_maxrss * PEAK_UNIT / 1e6
        return Sample(round(wall, 4), round(usage.ru_utime + usage.ru_stime, 4), round(peak, 2), command.read(out.read()))


def in_turn(commands: Sequence[Command], times: int, home: Path, warm: int = 1) -> list[list[Sample]]:
    """Samples of each command, A B A B ..., so that a noisy minute falls on all alike; the first `warm` rounds are thrown away."""
    rounds = [[measured(command, home) for command in commands] for _ in range(times + warm)]
    return [list(samples) for samples in zip(*rounds[warm:], strict=True)]


def median(samples: Sequence[Sample], what: str = "wall") -> float:
    """The median of a field, or of a printed fact."""
    return statistics.median(getattr(sample, what) if hasattr(sample, what) else sample.facts[what] for sample in samples)


def printed_facts(out: bytes) -> Facts:
    """A floor prints its facts as one JSON object."""
    facts: Facts = json.loads(out)
    return facts


def run_facts(out: bytes) -> Facts:
    """What `invoke --output-format json` says about its run: seconds, agents (children of a fan-out each), and how many succeeded."""
    run = json.loads(out)
    agents = [leaf for agent in run["agents"] for leaf in (agent.get("children") or [agent])]
    return {
        "seconds": run["totals"]["seconds"],
        "succeeded": sum(agent["status"] == "succeeded" for agent in agents),
        "agents": len(agents),
    }


def as_json(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Raw, for the results."""
    return [asdict(sample) for sample in samples]
