"""What is known before a run of the replies that it will use again."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from llm_orc.domain.reuse import SAME
from llm_orc.domain.run import Node, Run

_INDEX = re.compile(r"\[[0-9]+\]")
_OPEN = ("pending", "running")
State = Literal["cached", "shared", "asked", "unknown", "decided"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What will become of one node."""

    state: State
    """Its reply is there, an equal call brings it, it will be asked for, that depends on what is not there yet, or there will be none."""
    changed: tuple[str, ...] = ()
    """Of what is asked, the parts that differ from the nearest call whose reply is kept."""
    waits_for: tuple[str, ...] = ()
    """The agents whose replies are not there."""


Foresight = Mapping[str, tuple[Foreseen, ...]]
"""By the place of an agent, which is the id of its node without the numbers of items: of a fan-out one for each child."""


def place_of(node: str) -> str:
    """`agent/child` of `agent[2]/child`."""
    return _INDEX.sub("", node)


def has_settled(run: Run, *, phased: bool) -> bool:
    """Whether nothing more will happen in a run in which no call is let through."""
    return bool(run.nodes) and all(_stands(run, node, phased=phased) for node in run.nodes.values())


def foreseen(run: Run) -> Foresight:
    """What has been found out in a run that has settled."""
    found: dict[str, list[Foreseen]] = {}
    for node in run.nodes.values():
        if node.expected is None and not (node.children and node.body == "ensemble"):
            found.setdefault(place_of(node.id), []).append(_foreseen(run, node))
    return {place: tuple(each) for place, each in found.items()}


def needs_nothing(found: Iterable[Foreseen]) -> bool:
    """Whether nothing will be sent for it."""
    return all(each.state in {"cached", "shared"} for each in found)


def in_short(all_of_them: Iterable[Foreseen]) -> tuple[Mapping[State, int], tuple[str, ...], tuple[str, ...]]:
    """How many of each state, and of all of them what changed and what they wait for."""
    counts: dict[State, int] = {}
    changed: dict[str, None] = {}
    waits_for: dict[str, None] = {}
    for each in all_of_them:
        counts[each.state] = counts.get(each.state, 0) + 1
        changed |= dict.fromkeys(each.changed)
        waits_for |= dict.fromkeys(each.waits_for)
    return counts, tuple(changed), tuple(waits_for)


def _foreseen(run: Run, node: Node) -> Foreseen:
    if node.cached:
        return Foreseen("cached")
    if node.status not in _OPEN:
        return Foreseen("decided")
    if node.waiting_for == SAME:
        return Foreseen("shared")
    if node.waiting_for:
        return Foreseen("asked", node.changed)
    open_ones = [run.nodes[name] for name in node.depends_on if run.nodes[name].status in _OPEN]
    return Foreseen("unknown", waits_for=tuple(each.name for each in open_ones))


def _stands(run: Run, node: Node, *, phased: bool) -> bool:
    """Whether nothing more will happen to a node."""
    if node.status not in _OPEN or node.waiting_for or any(run.nodes[name].status in _OPEN for name in node.depends_on):
        return True
    if node.children or node.expected is not None:
        whole = len(node.children) >= (node.expected or 0)
        return whole and any(run.nodes[child].status in _OPEN for child in node.children)
    return phased and any(
        other.status in _OPEN and other.parent == node.parent and other.phase < node.phase for other in run.nodes.values()
    )
