"""What a run was made of: how many nodes of which kind, how deep, and which of them it had to wait for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from llm_orc.domain.graph import phases_of
from llm_orc.domain.kept import KeptNode
from llm_orc.domain.message import Status

_ORDER: tuple[Status, ...] = ("succeeded", "failed", "skipped", "cancelled", "running", "pending")


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one run."""

    bodies: Mapping[str, Mapping[Status, int]] = field(default_factory=dict)
    """model, script, command, ensemble -> status -> nodes, children included."""
    depth: int = 0
    """Phases of the ensemble's own agents."""
    edges: int = 0
    longest: Sequence[KeptNode] = ()
    """The agents that the run waited for, one after the other."""


def summary(counts: Mapping[tuple[str, Status], int], top: Iterable[KeptNode], edges: Iterable[tuple[str, str]]) -> Summary:
    """`top` are the ensemble's own agents."""
    agents = {node.id: node for node in top}
    known = list(edges)
    needs: dict[str, list[str]] = {id_: [] for id_ in agents}
    for source, target in known:
        if source in agents and target in agents:
            needs[target].append(source)
    bodies: dict[str, dict[Status, int]] = {}
    for (body, status), count in sorted(counts.items(), key=lambda each: (each[0][0], _ORDER.index(each[0][1]))):
        bodies.setdefault(body, {})[status] = count
    return Summary(bodies, len(phases_of(needs)), len(known), _longest(agents, needs))


def _longest(agents: Mapping[str, KeptNode], needs: Mapping[str, Sequence[str]]) -> list[KeptNode]:
    """From the one that ended last back to what it began after."""
    way: list[KeptNode] = []
    begun = [node for node in agents.values() if node.started_at is not None]
    while begun:
        way.append(max(begun, key=lambda node: inf if node.ended_at is None else node.ended_at))
        begun = [agents[id_] for id_ in needs[way[-1].id] if agents[id_].started_at is not None]
    return way[::-1]
