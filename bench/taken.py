"""What a row hands over: its commands and samples, and a result that holds them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.profiled import profiled, traced
from bench.results import Result
from bench.samples import BrokenRunError, Command, Sample, as_json
from bench.workshop import Workshop

Row = Callable[[Workshop], list[Result]]


@dataclass(frozen=True, slots=True)
class Taken:
    """The commands of a row, and the samples that came of them."""

    command: Command
    ours: list[Sample]
    floor: Command | None = None
    beside: list[Sample] = field(default_factory=list)


def held(result: Result, at: Workshop, taken: Taken) -> Result:
    """A result with its samples and the commands they came from; a miss comes with its profile."""
    shown = str(taken.floor) if taken.floor else ""
    explain = traced if result.unit == "MB" else profiled
    profile = explain(taken.command, at.home) if result.verdict == "MISSED" else []
    ours, floor = as_json(taken.ours), as_json(taken.beside)
    return replace(result, command=str(taken.command), floor_command=shown, ours=ours, floor=floor, profile=profile)


def all_well(samples: list[Sample]) -> None:
    """A run in which an agent failed has no number."""
    for sample in samples:
        if sample.facts["succeeded"] != sample.facts["agents"]:
            raise BrokenRunError(f"{sample.facts['succeeded']:g} of {sample.facts['agents']:g} agents succeeded")
