"""An input far beyond any window through `summarize-long`: does it take more per megabyte the longer it is, and how much of it is held."""

from pathlib import Path

from bench.results import Result
from bench.samples import Command, Sample, median
from bench.taken import Taken, held
from bench.workshop import Workshop

SENTENCE = "The council met on a Tuesday and spoke of the harbour, the bridge and the school for an hour or so. "
SHORT, LONG = 5, 50
"""Megabytes."""
ASKED = "question=<words 150 0.0> What was decided?"
"""The server answers every prompt with so many words."""
AT_ONCE = 64
"""What is in flight is held beside what has come."""


def long_input(at: Workshop) -> list[Result]:
    """Ten times the length: time and memory that each more megabyte takes, against a program that only holds the text and its pieces."""
    commands, floors = zip(*(_commands(at, megabytes) for megabytes in (SHORT, LONG)), strict=True)
    short, long = ([at.run(command) for _ in range(at.times(2))] for command in commands)
    short_floor, long_floor = ([at.run(floor)] for floor in floors)
    taken = Taken(commands[1], [*short, *long], floors[1], [*short_floor, *long_floor])
    each, each_of_long = median(short) / SHORT, median(long) / LONG
    note = f"{each_of_long:.2f} s per MB against {each:.2f} s, some 96 calls each; {AT_ONCE} at once"
    time = Result("long", f"{LONG} MB through summarize-long: time per MB / that of {SHORT} MB", 1.1, "x", each_of_long / each, note=note)
    more, bare = _more(short, long), _more(short_floor, long_floor)
    note = f"each more MB adds {more:.2f} MB to the peak, which is {median(long, 'peak_mb'):.0f} MB; the floor adds {bare:.2f} MB"
    what = f"{LONG} MB through summarize-long: memory per MB / that of the text and its pieces alone"
    memory = Result("long-memory", what, 2.0, "x", more / bare, tolerance=0.3, note=note)
    return [held(result, at, taken) for result in (time, memory)]


def _more(short: list[Sample], long: list[Sample]) -> float:
    return (median(long, "peak_mb") - median(short, "peak_mb")) / (LONG - SHORT)


def _commands(at: Workshop, megabytes: int) -> tuple[Command, Command]:
    file = at.project / f"long{megabytes}.txt"
    _write(file, megabytes)
    flags = ("--profile", "bench", "--max-parallel", str(AT_ONCE), "--var", ASKED)
    return at.program("invoke", "summarize-long", "-f", file.name, *flags), at.floor("pieces.py", file.name)


def _write(file: Path, megabytes: int) -> None:
    paragraph = SENTENCE * 10 + "\n\n"
    with file.open("w") as written:
        for number in range(megabytes * 1_000_000 // (len(paragraph) + 13)):
            written.write(f"Item {number:6}. {paragraph}")
