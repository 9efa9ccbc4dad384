"""What of a run is drawn: its nodes with what became of each, a fan-out and agents that are alike folded into one."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from llm_orc.domain.graph import with_all_needed
from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.summary import Summary
from llm_orc.render.graph import Arrow, Box, Drawing
from llm_orc.render.kept import node_document, progress, run_document, spent, took
from llm_orc.render.safe import one_line
from llm_orc.render.words import counted, seconds

FOLDED = 12
"""Children of a fan-out, or agents that are alike, from which on they are drawn as one."""
INSIDE = "inside of it"
_CAUSE = 60
_ENDS = 4
"""Agents at either end of a long way that are named."""
Edges = Sequence[tuple[str, str]]
"""What is needed, and who needs it."""


def drawing(run: KeptRun, nodes: Sequence[KeptNode], edges: Edges, now: float, *, whole: bool = False) -> Drawing:
    """The graph of a run, each node after the one that it is inside of; `whole` folds nothing."""
    nodes = nodes if whole else _without_items(nodes)
    drawn = {node.id for node in nodes}
    edges = [edge for edge in dict.fromkeys(edges) if drawn.issuperset(edge)]
    alike = {} if whole else _alike(nodes, edges)
    groups: dict[str, list[KeptNode]] = defaultdict(list)
    for node in nodes:
        groups[alike.get(node.id, node.id)].append(node)
    boxes = tuple(_box(group[0], drawn, now) if len(group) == 1 else _fold(id_, group, drawn) for id_, group in groups.items())
    follows = {target for source, target in edges if _above(source) == _above(target)}
    inside = ((node.parent, node.id, True) for node in nodes if node.parent in drawn and node.id not in follows)
    known = [*inside, *((source, target, False) for source, target in edges)]
    arrows = dict.fromkeys(Arrow(alike.get(source, source), alike.get(target, target), dashed) for source, target, dashed in known)
    return Drawing(run.ensemble, boxes, tuple(arrows), INSIDE)


def around(node: str, nodes: Iterable[KeptNode], edges: Edges) -> list[KeptNode]:
    """A node, all that it needed, directly or not, all who needed it, and what is inside of it."""
    nodes = list(nodes)
    needs: dict[str, list[str]] = {each.id: [each.parent] if each.parent else [] for each in nodes}
    feeds: dict[str, list[str]] = {id_: list(parents) for id_, parents in needs.items()}
    for source, target in edges:
        if source in needs and target in needs:
            needs[target].append(source)
            feeds[source].append(target)
    found = with_all_needed([node], needs) | with_all_needed([node], feeds)
    return [each for each in nodes if each.id in found or each.id.startswith((f"{node}/", f"{node}["))]


def text(run: KeptRun, summary: Summary) -> Iterable[str]:
    """The lines that say what the run was made of."""
    for body, count in summary.bodies.items():
        states = ", ".join(f"{number:,} {status}" for status, number in count.items())
        yield f"{counted(sum(count.values()), f'{body} node')}  {states}"
    way = [f"{one_line(node.name)} {seconds(node.seconds)}".rstrip() for node in summary.longest]
    way[_ENDS:-_ENDS] = [f"{len(way) - 2 * _ENDS:,} more"] if len(way) > 2 * _ENDS + 1 else way[_ENDS:-_ENDS]
    yield f"{counted(summary.depth, 'phase')}  {counted(summary.edges, 'edge')}  {seconds(run.seconds)}"
    if summary.longest:
        yield f"longest way  {' -> '.join(way)}"


def graph_document(run: KeptRun, summary: Summary, nodes: Iterable[KeptNode], edges: Edges) -> dict[str, Any]:
    """The graph as JSON."""
    needs: Mapping[str, list[str]] = defaultdict(list)
    for source, target in edges:
        needs[target].append(source)
    return {
        "version": 1,
        **run_document(run),
        "summary": {
            "bodies": {body: dict(count) for body, count in summary.bodies.items()},
            "phases": summary.depth,
            "edges": summary.edges,
            "longest": [node.id for node in summary.longest],
        },
        "nodes": [{**node_document(node), "depends_on": needs.get(node.id, [])} for node in nodes],
    }


def _above(id_: str) -> str:
    return id_.rpartition("/")[0]


def is_item(node: KeptNode) -> bool:
    """Whether it is a child of a fan-out."""
    return bool(node.parent) and node.id.startswith(f"{node.parent}[")


def _without_items(nodes: Sequence[KeptNode]) -> list[KeptNode]:
    """All but what is inside of fan-outs that are too wide."""
    items = Counter(node.parent for node in nodes if is_item(node))
    gone: set[str] = set()
    left = []
    for node in nodes:
        if node.parent in gone or (items[node.parent] > FOLDED and is_item(node)):
            gone.add(node.id)
        else:
            left.append(node)
    return left


def _alike(nodes: Sequence[KeptNode], edges: Edges) -> dict[str, str]:
    """Nodes that many others are like, having the same neighbours -> the first of them."""
    needs, feeds = defaultdict(set), defaultdict(set)
    for source, target in edges:
        needs[target].add(source)
        feeds[source].add(target)
    groups: dict[object, list[str]] = defaultdict(list)
    for node in nodes:
        if not node.children:
            groups[node.parent, is_item(node), node.body, frozenset(needs[node.id]), frozenset(feeds[node.id])].append(node.id)
    return {id_: group[0] for group in groups.values() if len(group) > FOLDED for id_ in group}


def _box(node: KeptNode, drawn: Container[str], now: float) -> Box:
    times = "  ".join(filter(None, ("cached" if node.cached else "", took(node, now), *spent(node))))
    cause = one_line(node.cause)
    cause = cause if len(cause) <= _CAUSE else f"{cause[:_CAUSE]}…"
    lines = tuple(filter(None, (one_line(node.model or node.body), times, progress(node), cause)))
    return Box(node.id, one_line(node.name), lines, node.body, node.status, bool(node.items), node.parent if node.parent in drawn else "")


def _fold(id_: str, group: Sequence[KeptNode], drawn: Container[str]) -> Box:
    """Many nodes as one."""
    first, states = group[0], Counter(node.status for node in group)
    open_, failed = states["running"] + states["pending"], states["failed"]
    status = "running" if states["running"] else "partial" if len(states) > 1 else first.status
    done = f"{len(group) - open_:,}/{len(group):,} done" + (f", {failed:,} failed" if failed else "")
    lines = one_line(first.model or first.body), done
    name = f"{one_line(first.name)} … {one_line(group[-1].name)}"
    return Box(id_, name, lines, first.body, status, several=True, inside=first.parent if first.parent in drawn else "")
