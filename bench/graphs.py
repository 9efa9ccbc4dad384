"""The graphs that are run: who waits for whom, and how long each call takes."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

LATENCIES = (0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 3.0)
"""Seconds that the server can be asked to take, by a mark in the prompt."""


@dataclass(frozen=True, slots=True)
class Call:
    """One agent: its latency in seconds, and the agents it waits for."""

    latency: float
    depends_on: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """What the server reads its latency from."""
        return mark(self.latency)


Graph = Mapping[str, Call]


def mark(latency: float) -> str:
    """The words that make the server take this long."""
    return f"<wait {latency}>"


def wide(count: int, latency: float) -> Graph:
    """Agents that know nothing of one another."""
    return {f"a{number}": Call(latency) for number in range(count)}


def chain(count: int, latency: float) -> Graph:
    """Each waits for the one before it."""
    return {f"a{number}": Call(latency, (f"a{number - 1}",) if number else ()) for number in range(count)}


def skewed(lanes: int, fast: float, slow: float) -> Graph:
    """Square lanes, each slow at another step: with a barrier after each phase the run would take `lanes` times `slow`."""
    return {
        f"lane{lane}_{step}": Call(slow if step == lane else fast, (f"lane{lane}_{step - 1}",) if step else ())
        for step in range(lanes)
        for lane in range(lanes)
    }


def tangled(count: int, seed: int) -> Graph:
    """A random graph: up to three edges back from each agent, random latencies; the same for the same seed."""
    chance = random.Random(seed)
    names = [f"a{number}" for number in range(count)]
    return {
        name: Call(chance.choice(LATENCIES[:4]), tuple(sorted(chance.sample(names[:place], min(place, chance.randint(0, 3))))))
        for place, name in enumerate(names)
    }


def critical_path(graph: Graph) -> float:
    """Seconds that the longest chain of calls takes; agents are named after those they wait for."""
    ends: dict[str, float] = {}
    for name, call in graph.items():
        ends[name] = call.latency + max((ends[other] for other in call.depends_on), default=0.0)
    return max(ends.values())


def as_yaml(name: str, graph: Graph) -> str:
    """The ensemble; every prompt is another one, as in a file that a person wrote, so that no template is compiled for two."""
    lines = [f"name: {name}", "description: Made by the bench", "agents:"]
    for agent, call in graph.items():
        lines += [f"  - name: {agent}", "    model_profile: bench", f'    prompt: "{call.prompt} You are {agent}. {{{{ input }}}}"']
        lines += [f"    depends_on: [{', '.join(call.depends_on)}]"] if call.depends_on else []
    return "\n".join(lines) + "\n"
