"""What a run has to come to, worked out in the plainest way: no task, no future, no event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

Times = tuple[float | None, float]
"""When it began, if it did, and when it ended."""


@dataclass
class Expected:
    """Who ends how and when, and how many were in flight at most."""

    phases: list[list[str]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)
    peak: int = 0


def reference(
    agents: Sequence[Mapping[str, Any]], seconds: Mapping[str, float], failing: frozenset[str], *, bound: float, phased: bool
) -> Expected:
    """Places are taken in the order in which agents come to be ready."""
    known, run, now = {agent["name"]: agent for agent in agents}, Expected(), 0.0
    rest = list(known)
    while rest:
        run.phases.append([name for name in rest if not {*known[name]["depends_on"]} & {*rest}])
        rest = [name for name in rest if name not in run.phases[-1]]
    todo, waiting, running = list(chain(*run.phases)), list[str](), dict[str, float]()
    barrier = {name: before for before, phase in zip([[], *run.phases], run.phases, strict=False) for name in phase}
    while todo or waiting or running:
        ready = [name for name in todo if {*known[name]["depends_on"], *(barrier[name] if phased else ())} <= run.statuses.keys()]
        for name in ready:
            todo.remove(name)
            needs = known[name]["depends_on"]
            there = sum(run.statuses[need] == "succeeded" for need in needs)
            required = {"all": len(needs), "any": min(1, len(needs))}.get(known[name]["require"], known[name]["require"])
            if there < required or known[name].get("when") is False:
                run.statuses[name], run.times[name] = "skipped", (None, now)
            else:
                waiting.append(name)
        while waiting and len(running) < bound:
            running[waiting[0]] = now + seconds[waiting[0]]
            run.times[waiting.pop(0)] = now, 0.0
            run.peak = max(run.peak, len(running))
        if not ready:  # nobody is left who need not wait
            now = min(running.values())
            for name in [name for name, end in running.items() if end == now]:
                run.statuses[name], run.times[name] = "failed" if name in failing else "succeeded", (run.times[name][0], running.pop(name))
    return run
