"""Where the boxes of a drawing stand, and how the lines between them run: in layers from top to bottom."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from llm_orc.domain.graph import phases_of
from llm_orc.render.graph import Arrow, Drawing

WIDTH, HEIGHT = 200, 84
"""Pixels of a box."""
ACROSS, DOWN = 24, 56
"""Pixels between boxes, and between layers."""
WIDEST = 7
"""Boxes beside one another; a wider layer goes on in another row."""
BENDS = 2_000
"""Up to so many, lines go round the boxes of the layers that they pass."""
_PASSING = 20
_SWEEPS = 5
Point = tuple[float, float]


@dataclass(slots=True)
class Layout:
    """Pixels from the upper left corner."""

    width: float = 0.0
    height: float = 0.0
    spots: dict[str, Point] = field(default_factory=dict)
    """Box -> its upper left corner."""
    lines: list[tuple[Arrow, list[Point]]] = field(default_factory=list)
    """Each arrow by the points that it goes through."""


def laid_out(drawing: Drawing) -> Layout:
    """The drawing with few lines crossing."""
    layers = [list(layer) for layer in phases_of(_order(drawing))]
    level = {name: index for index, layer in enumerate(layers) for name in layer}
    ways = _ways(drawing, level, layers)
    _sort(layers, ways)
    layout = Layout()
    centres = _place(layers, {box.id for box in drawing.boxes}, layout)
    for arrow, way in zip(drawing.arrows, ways, strict=True):
        (x, y), (end_x, end_y) = centres[way[0]], centres[way[-1]]
        passing = (point for x, y in (centres[each] for each in way[1:-1]) for point in ((x, y - HEIGHT / 2), (x, y + HEIGHT / 2)))
        layout.lines.append((arrow, [(x, y + HEIGHT / 2), *passing, (end_x, end_y - HEIGHT / 2)]))
    return layout


def _order(drawing: Drawing) -> dict[str, list[str]]:
    """What stands above what: also what is inside of a box above those who need that box."""
    order = {id_: list(needed) for id_, needed in drawing.needs.items()}
    users = defaultdict(list)
    for arrow in drawing.arrows:
        if not arrow.dashed:
            users[arrow.source].append(arrow.target)
    for box in drawing.boxes:  # each comes after the one that it is inside of
        if box.inside:
            for user in users[box.inside]:
                order[user].append(box.id)
            users[box.id] = list(dict.fromkeys((*users[box.id], *users[box.inside])))
    return order


def _ways(drawing: Drawing, level: Mapping[str, int], layers: list[list[str]]) -> list[list[str]]:
    """Of each arrow what it goes through: its ends, and a place in each layer between them."""
    bends = sum(level[arrow.target] - level[arrow.source] - 1 for arrow in drawing.arrows)
    ways = []
    for number, arrow in enumerate(drawing.arrows):
        way = [arrow.source]
        for index in range(level[arrow.source] + 1, level[arrow.target]) if bends <= BENDS else ():
            way.append(f"{number} {index}")  # no id has a space in it
            layers[index].append(way[-1])
        ways.append([*way, arrow.target])
    return ways


def _sort(layers: list[list[str]], ways: Sequence[Sequence[str]]) -> None:
    """Bring each layer near to what it is joined to."""
    above, below = defaultdict(list), defaultdict(list)
    for way in ways:
        for upper, lower in pairwise(way):
            above[lower].append(upper)
            below[upper].append(lower)
    at: dict[str, float] = {}
    for layer in layers:
        at |= _spread(layer)
    for sweep in range(_SWEEPS):
        joined = below if sweep % 2 else above
        for layer in reversed(layers) if sweep % 2 else layers:
            middle = {name: _middle([at[each] for each in joined[name]], at[name]) for name in layer}
            layer.sort(key=middle.__getitem__)
            at |= _spread(layer)


def _spread(layer: Sequence[str]) -> Iterator[tuple[str, float]]:
    return ((name, index - len(layer) / 2) for index, name in enumerate(layer))


def _middle(places: Sequence[float], own: float) -> float:
    return sum(places) / len(places) if places else own


def _place(layers: Sequence[Sequence[str]], boxes: set[str], layout: Layout) -> dict[str, Point]:
    """Give each box its spot; the centres of all, of what only passes too."""
    rows = [row for layer in layers for row in _rows(layer, boxes)]
    layout.width = max((_wide(row, boxes) for row in rows), default=0.0)
    centres: dict[str, Point] = {}
    y = 0.0
    for row in rows:
        x = (layout.width - _wide(row, boxes)) / 2
        for name in row:
            wide = WIDTH if name in boxes else _PASSING
            centres[name] = x + wide / 2, y + HEIGHT / 2
            if name in boxes:
                layout.spots[name] = x, y
            x += wide + ACROSS
        y += HEIGHT + DOWN
    layout.height = max(y - DOWN, 0.0)
    return centres


def _rows(layer: Sequence[str], boxes: set[str]) -> Iterator[list[str]]:
    row: list[str] = []
    for name in layer:
        if sum(each in boxes for each in row) == WIDEST:
            yield row
            row = []
        row.append(name)
    yield row


def _wide(row: Sequence[str], boxes: set[str]) -> float:
    return sum(WIDTH if name in boxes else _PASSING for name in row) + ACROSS * (len(row) - 1)
