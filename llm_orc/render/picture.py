"""The graph of a run as a part of a page, and its nodes as rows beside the time that each took."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.render.graph import Box, Drawing
from llm_orc.render.kept import progress, spent, took
from llm_orc.render.layout import DOWN, HEIGHT, WIDTH, Layout, Point, laid_out
from llm_orc.render.page import escaped

_EDGE = 6
"""Pixels around it all."""


def picture(drawing: Drawing, places: Mapping[str, str]) -> Iterator[str]:
    """The drawing; `places` are the anchors of boxes in the page."""
    layout = laid_out(drawing)
    wide, high = layout.width + 2 * _EDGE, layout.height + 2 * _EDGE
    yield f'<div class="graph"><div class="drawing" style="width:{wide:.0f}px;height:{high:.0f}px">\n'
    yield f'<svg viewBox="{-_EDGE} {-_EDGE} {wide:.0f} {high:.0f}">'
    yield from _lines(layout)
    yield "</svg>\n"
    for box in drawing.boxes:
        yield _box(box, layout.spots[box.id], places.get(box.id, ""))
    yield "</div></div>\n"


def _lines(layout: Layout) -> Iterator[str]:
    for arrow, (start, *rest) in layout.lines:
        way, (x, y) = f"M{start[0]:.0f} {start[1]:.0f}", start
        for to_x, to_y in rest:
            bend = min(DOWN, (to_y - y) / 2)
            way += f"C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
            x, y = to_x, to_y
        dashed = ' stroke-dasharray="4 4"' if arrow.dashed else ""
        yield f'<path d="{way}"{dashed}/>' + (
            "" if arrow.dashed else f'<path d="M{x - 4:.0f} {y - 7:.0f}L{x:.0f} {y:.0f}L{x + 4:.0f} {y - 7:.0f}"/>'
        )


def _box(box: Box, spot: Point, place: str) -> str:
    title = escaped("\n".join((box.id, box.status, *box.lines)))
    lines = "".join(f"<span>{escaped(line)}</span>" for line in box.lines)
    kinds = f"box {escaped(box.body)} {box.status}{' several' if box.several else ''}"
    style = f"left:{spot[0] + _EDGE:.0f}px;top:{spot[1] + _EDGE:.0f}px;width:{WIDTH}px;height:{HEIGHT}px"
    link = f' href="#{place}"' if place else ""
    return f'<a class="{kinds}"{link} style="{style}" title="{title}"><b>{escaped(box.name)}</b>{lines}</a>\n'


def row(run: KeptRun, node: KeptNode, now: float) -> str:
    """What a line of the table says of a node: its name, status, time, tokens and cost."""
    tokens, cost = spent(node)
    name = f'<span class="name" style="padding-left:{node.depth * 18}px" title="{escaped(node.id)}">{escaped(node.name)}</span>'
    numbers = "".join(f'<span class="number">{escaped(text)}</span>' for text in (took(node, now), tokens, cost))
    rest = "  ".join(filter(None, ("cached" if node.cached else "", progress(node), node.cause, node.model or node.body)))
    state = f'<span class="state">{node.status}</span>'
    return f'{name}{state}{_bar(run, node, now)}{numbers}<span class="dim" title="{escaped(rest)}">{escaped(rest)}</span>'


def squares(nodes: Sequence[KeptNode], places: Mapping[str, str]) -> str:
    """Many nodes, a square each."""
    return f'<div class="squares">{"".join(_squares(nodes, places))}</div>\n'


def _squares(nodes: Iterable[KeptNode], places: Mapping[str, str]) -> Iterator[str]:
    for node in nodes:
        link = f' href="#{places[node.id]}"' if node.id in places else ""
        title = escaped("  ".join(filter(None, (node.id, node.status, took(node, 0.0), node.cause))))
        yield f'<a class="{node.status}"{link} title="{title}"></a>'


def _bar(run: KeptRun, node: KeptNode, now: float) -> str:
    """When it was at work, of the whole time of the run."""
    if node.started_at is None:
        return '<span class="bar"></span>'
    whole = max((now if run.status == "running" else run.last_at) - run.started_at, 1e-9)
    end = node.ended_at if node.ended_at is not None else now
    left, wide = ((at / whole) * 100 for at in (node.started_at - run.started_at, end - node.started_at))
    left = min(max(left, 0.0), 100.0)
    return f'<span class="bar"><i style="left:{left:.2f}%;width:{min(max(wide, 0.0), 100.0 - left):.2f}%"></i></span>'
