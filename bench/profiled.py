"""Why a row missed its budget: where the time of one run goes."""

import pstats
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.samples import BrokenRunError, Command, measured

TOP = 15


def profiled(command: Command, home: Path) -> list[str]:
    """The functions with the most cumulative seconds under cProfile, then those with the most of their own; widest first."""
    with tempfile.TemporaryDirectory() as folder:
        stats_file = Path(folder, "stats")
        try:
            measured(replace(command, arguments=("-m", "cProfile", "-o", str(stats_file), *command.arguments)), home)
        except BrokenRunError as why:
            return [f"no profile: {why}"]
        functions = vars(pstats.Stats(str(stats_file)))["stats"]  # known to everybody but typeshed
    rows = [(cumulative, own, calls, shown(*place)) for place, (_, calls, own, cumulative, _) in functions.items()]
    by_cumulative = sorted(rows, reverse=True)[:TOP]
    by_own = sorted(rows, key=lambda row: row[1], reverse=True)[:TOP]
    return ["cumulative      own       calls  function", *map(line, by_cumulative), "-- by own seconds --", *map(line, by_own)]


def traced(command: Command, home: Path) -> list[str]:
    """The lines that held most memory when most was held."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "lines")
        try:
            measured(replace(command, arguments=("-m", "bench.traced", str(lines), *command.arguments[1:])), home)
        except BrokenRunError as why:
            return [f"no profile: {why}"]
        return [without_folders(each) for each in lines.read_text().splitlines()]


def line(row: tuple[float, float, int, str]) -> str:
    """One row of a profile."""
    cumulative, own, calls, place = row
    return f"{cumulative:8.3f} s {own:6.3f} s {calls:>11}  {place}"


def shown(file: str, number: int, function: str) -> str:
    """A function's place without the machine's folders."""
    short = without_folders(file)
    return f"{short}:{number} {function}" if number else re.sub(r" at 0x\w+", "", function)


def without_folders(text: str) -> str:
    """Paths from the package on, or their last three parts."""
    short = re.sub(r"(?<!\S)/\S*/(?:site-packages|python3\.\d+)/", "", text)
    return re.sub(r"(?<!\S)/\S*?((?:[^/\s]+/){0,2}[^/\s]+)(?=\s|$)", r"\1", short)
