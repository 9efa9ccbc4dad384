"""Graphs as Mermaid, as DOT and in plain characters; and what of a plan is drawn. What a plan and a run share is a `Drawing`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from llm_orc.domain.ensemble import CommandAgent, EnsembleAgent, ScriptAgent
from llm_orc.domain.graph import phases_of
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.render.safe import one_line

LANE = 5
"""Columns from one line downwards to the next."""
IMPLIED = "a template reads the reply, depends_on does not name it"
_NEEDS_CODE = re.compile(r"[^\w .,:/+()-]")
_FILLS = {
    "succeeded": "#d9f2df",
    "failed": "#fbdcdc",
    "running": "#d8e9fb",
    "skipped": "#f6efd2",
    "partial": "#f6efd2",
    "cancelled": "#f6e3d2",
    "pending": "#eeeeee",
}
"""Of a run: what a node's status looks like where colours are light."""


@dataclass(frozen=True)
class Box:
    """A node as it is drawn."""

    id: str
    name: str
    lines: tuple[str, ...]
    """What else stands in it."""
    body: str
    status: str = ""
    """Of a run."""
    several: bool = False
    """Whether it stands for many nodes that are alike."""
    inside: str = ""
    """The box of the node that it is a child of."""


@dataclass(frozen=True)
class Arrow:
    """From what is needed, or from what holds it, to who needs it."""

    source: str
    target: str
    dashed: bool = False


@dataclass(frozen=True)
class Drawing:
    """Nodes and edges, ready to be drawn in any form."""

    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    dashed: str = IMPLIED
    """What a dashed arrow means."""

    @cached_property
    def needs(self) -> Mapping[str, list[str]]:
        """Box -> the boxes it needs."""
        needs: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        for arrow in self.arrows:
            needs[arrow.target].append(arrow.source)
        return needs


def graph(plan: Plan, form: str) -> str:
    """The graph of a plan in this form, ended by a newline; raises ProblemError for a form that is not there."""
    if form not in FORMS:
        hint = nearest(form, FORMS) or f"there are: {', '.join(FORMS)}"
        raise ProblemError(Problem(f"no form of graph '{form}'", hint=hint))
    return drawn(of_plan(plan), form)


def drawn(drawing: Drawing, form: str) -> str:
    """A drawing in one of the forms, ended by a newline."""
    return "".join(f"{line}\n" for line in FORMS[form](drawing))


def of_plan(plan: Plan) -> Drawing:
    """The agents of a plan, and what each waits for."""
    boxes = tuple(Box(name, name, (_body(planned),), planned.agent.body) for name, planned in plan.agents.items())
    arrows = (Arrow(needed, name, needed in planned.implied) for name, planned in plan.agents.items() for needed in planned.depends_on)
    return Drawing(plan.ensemble.name, boxes, tuple(arrows))


def _mermaid(drawing: Drawing) -> Iterator[str]:
    yield "flowchart TD"
    ids = {box.id: f"n{index}" for index, box in enumerate(drawing.boxes)}
    for box in drawing.boxes:
        opening, closing = ("[[", "]]") if box.several or box.body == "ensemble" else ("(", ")") if box.body == "model" else ("[", "]")
        label = "<br/>".join(_NEEDS_CODE.sub(lambda found: f"#{ord(found[0])};", text) for text in (box.name, *box.lines))
        yield f'  {ids[box.id]}{opening}"{label}"{closing}'
    for arrow in drawing.arrows:
        yield f"  {ids[arrow.source]} {'-.->' if arrow.dashed else '-->'} {ids[arrow.target]}"
    for status, fill in _FILLS.items():
        if having := [ids[box.id] for box in drawing.boxes if box.status == status]:
            yield f"  classDef {status} fill:{fill},color:#222"
            yield f"  class {','.join(having)} {status}"


def _dot(drawing: Drawing) -> Iterator[str]:
    yield f"digraph {_quoted(drawing.name)} {{"
    yield '  node [shape=box, style=rounded, fontname="sans-serif"];'
    for box in drawing.boxes:
        styles = [] if box.status == "" else ["filled"]
        shape = ", peripheries=2" if box.several or box.body == "ensemble" else ""
        if box.body in ("model", "ensemble"):
            styles.append("rounded")
        fill = f', style="{",".join(styles)}", fillcolor="{_FILLS[box.status]}"' if box.status else ', style=""' if not styles else ""
        yield f"  {_quoted(box.id)} [label={_quoted(box.name, *box.lines)}{shape}{fill}];"
    for arrow in drawing.arrows:
        yield f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)}{' [style=dashed]' if arrow.dashed else ''};"
    yield "}"


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def _ascii(drawing: Drawing) -> Iterator[str]:
    """One row per box, phase by phase: a line goes down from each, and to the right to each that waits for it."""
    boxes = {box.id: box for box in drawing.boxes}
    dashed = {(arrow.source, arrow.target) for arrow in drawing.arrows if arrow.dashed}
    left = dict.fromkeys(boxes, 0)
    for arrow in drawing.arrows:
        left[arrow.source] += 1
    lanes: dict[str, int] = {}
    for name in (name for phase in phases_of(drawing.needs) for name in phase):
        needed = drawing.needs[name]
        column = max(lanes.values(), default=-LANE) + LANE
        row = _row({source: (source, name) in dashed for source in needed}, lanes, column)
        box = boxes[name]
        yield "  ".join(filter(None, (f"{row}{box.name}", box.status, *box.lines)))
        for source in needed:
            left[source] -= 1
        lanes = {each: at for each, at in lanes.items() if left[each]}
        if left[name]:
            lanes[name] = column
    if dashed:
        yield ""
        yield f"..> {drawing.dashed}"


def _row(needed: Mapping[str, bool], lanes: Mapping[str, int], column: int) -> str:
    """What stands before a name: the lines that pass, and those that come from what it needs, by whether each is dashed."""
    row = [" "] * column
    sources = sorted((lanes[name], name) for name in needed)
    for index, (at, _) in enumerate(sources):
        dashed = all(needed[name] for _, name in sources[: index + 1])
        row[at:] = ("." if dashed else "-") * (column - at)
    for name, at in lanes.items():
        row[at] = "|" if name not in needed else ":" if needed[name] else "+"
    if needed:
        row[-2:] = "> "
    return "".join(row)


def _body(planned: PlannedAgent) -> str:
    """In a few words: what answers."""
    agent = planned.agent
    match agent:
        case ScriptAgent():
            what = agent.script
        case CommandAgent():
            what = agent.command[0]
        case EnsembleAgent():
            what = f"ensemble {agent.ensemble}"
        case _:
            profiles = [planned.profile, *(variant.profile for variant in planned.variants)]
            what = " | ".join(profile.name for profile in profiles if profile) or agent.body
    return f"{one_line(what)}{', fan-out' if agent.fan_out else ''}"


FORMS: Mapping[str, Callable[[Drawing], Iterator[str]]] = {"ascii": _ascii, "dot": _dot, "mermaid": _mermaid}
