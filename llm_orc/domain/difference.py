"""In what two runs differ: what they were begun with, and what each node was sent and replied."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_orc.domain.event import Happening, Submitted
from llm_orc.domain.run import Node, Run, fold

MISSING = object()
"""Stands for what is not there."""
_ELSEWHERE = ("version", "input")
"""Keys of a spec that are no choice, or are compared as a text."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what two runs were begun with that is not the same: `agents.review.prompt`."""

    path: str
    a: Any
    b: Any


def parts(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Part]:
    """What two specs differ in, in the order of the first."""
    return _parts("", _shown(a), _shown(b))


def alone(events: Iterable[Happening]) -> Node | None:
    """A node as its own events tell of it; None where none does."""
    run = Run()
    for event in events:
        if isinstance(event, Submitted):
            fold(run, replace(event, parent=""))
        elif run.nodes:
            fold(run, event)
    return next(iter(run.nodes.values()), None)


def differing(a: Node | None, b: Node | None) -> tuple[str, ...]:
    """In what two nodes of that id differ, but for time and cost."""
    if a is None or b is None:
        return ("only in B" if a is None else "only in A",) if a is not b else ()
    pairs = {
        "status": (a.status, b.status),
        "model": (a.model, b.model),
        "prompt": (a.prompt, b.prompt),
        "reply": (a.text, b.text),
        "cause": (a.cause, b.cause),
    }
    return tuple(what for what, (ours, theirs) in pairs.items() if ours != theirs)


def _shown(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ensemble itself at the top, those that it calls below it."""
    whole = dict(spec)
    ensembles = {name: _ensemble(kept) for name, kept in whole.pop("ensembles", {}).items()}
    own = ensembles.pop("", {})
    return {**own, **({"ensembles": ensembles} if ensembles else {}), **{key: each for key, each in whole.items() if key not in _ELSEWHERE}}


def _ensemble(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {**kept.get("data", {}), **{key: value for key, value in kept.items() if key != "data"}}


def _parts(path: str, a: Any, b: Any) -> Iterator[Part]:
    if a is b or (type(a) is type(b) and a == b):
        return
    ours, theirs = _keyed(a), _keyed(b)
    if ours is None or theirs is None:
        yield Part(path, a, b)
        return
    orders = _order(ours, theirs), _order(theirs, ours)
    if isinstance(a, list) and orders[0] != orders[1]:
        yield Part(f"{path}: order", *orders)
    for key in dict.fromkeys((*ours, *theirs)):
        yield from _parts(f"{path}.{key}" if path else str(key), ours.get(key, MISSING), theirs.get(key, MISSING))


def _keyed(value: Any) -> Mapping[str, Any] | None:
    """What is below a value, by key; what has a name in a list is known by that. None where it is compared as a whole."""
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "name" in each for each in value):
        return {each["name"]: each for each in value}
    return value if isinstance(value, Mapping) else None


def _order(names: Iterable[str], others: Mapping[str, Any]) -> list[str]:
    return [name for name in names if name in others]
