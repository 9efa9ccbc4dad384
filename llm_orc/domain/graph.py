"""The order of a graph, given for each name the names it needs."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

MOST_CYCLES = 10
"""How many are told at once."""
Needs = Mapping[str, Sequence[str]]


def phases_of(needs: Needs) -> tuple[tuple[str, ...], ...]:
    """Names in groups, each of which needs only names of the groups before it; within a group in the order given. Raises CycleError."""
    order = {name: index for index, name in enumerate(needs)}
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    phases = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=order.__getitem__)
        phases.append(tuple(ready))
        sorter.done(*ready)
    return tuple(phases)


def cycles_of(needs: Needs) -> list[tuple[str, ...]]:
    """Ways from a name back to itself, `a -> b -> a` for "a needs b, b needs a", each from its first name on."""
    left = {name: list(needed) for name, needed in needs.items()}
    order = {name: index for index, name in enumerate(needs)}
    cycles: list[tuple[str, ...]] = []
    while len(cycles) < MOST_CYCLES:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            loop = error.args[1][:0:-1]  # graphlib names each before what needs it, and the first once more at the end
            start = loop.index(min(loop, key=order.__getitem__))
            loop = [*loop[start:], *loop[:start]]
            cycles.append((*loop, loop[0]))
            left[loop[-1]].remove(loop[0])
        else:
            break
    return cycles


def with_all_needed(names: Iterable[str], needs: Needs) -> set[str]:
    """The names, and whatever they need, and whatever that needs."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += needs[name]
    return found
