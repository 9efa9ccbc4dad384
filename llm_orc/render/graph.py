"""The graph of a plan: as Mermaid, as DOT, and drawn in plain characters. Edges that templates imply are dashed."""

import re
from collections.abc import Callable, Iterator, Mapping

from llm_orc.domain.ensemble import CommandAgent, EnsembleAgent, ScriptAgent
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.render.safe import one_line

LANE = 5
"""Columns from one line downwards to the next."""
_NEEDS_CODE = re.compile(r"[^\w .,:/+()-]")


def graph(plan: Plan, form: str) -> str:
    """The graph in this form, ended by a newline; raises ProblemError for a form that is not there."""
    if form not in FORMS:
        hint = nearest(form, FORMS) or f"there are: {', '.join(FORMS)}"
        raise ProblemError(Problem(f"no form of graph '{form}'", hint=hint))
    return "".join(f"{line}\n" for line in FORMS[form](plan))


def _mermaid(plan: Plan) -> Iterator[str]:
    yield "flowchart TD"
    ids = {name: f"n{index}" for index, name in enumerate(plan.agents)}
    for name, planned in plan.agents.items():
        opening, closing = ("[[", "]]") if planned.agent.body == "ensemble" else ("(", ")") if planned.agent.body == "model" else ("[", "]")
        label = "<br/>".join(_NEEDS_CODE.sub(lambda found: f"#{ord(found[0])};", text) for text in (name, _body(planned)))
        yield f'  {ids[name]}{opening}"{label}"{closing}'
    for needed, name, implied in _edges(plan):
        yield f"  {ids[needed]} {'-.->' if implied else '-->'} {ids[name]}"


def _dot(plan: Plan) -> Iterator[str]:
    yield f"digraph {_quoted(plan.ensemble.name)} {{"
    yield '  node [shape=box, style=rounded, fontname="sans-serif"];'
    for name, planned in plan.agents.items():
        shape = {"model": "", "ensemble": ", peripheries=2"}.get(planned.agent.body, ', style=""')
        yield f"  {_quoted(name)} [label={_quoted(name, _body(planned))}{shape}];"
    for needed, name, implied in _edges(plan):
        yield f"  {_quoted(needed)} -> {_quoted(name)}{' [style=dashed]' if implied else ''};"
    yield "}"


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def _ascii(plan: Plan) -> Iterator[str]:
    """One row per agent, phase by phase: a line goes down from each, and to the right to each that waits for it."""
    order = [name for phase in plan.phases for name in phase]
    left = {name: sum(name in each.depends_on for each in plan.agents.values()) for name in order}
    lanes: dict[str, int] = {}
    for name in order:
        planned = plan.agents[name]
        column = max(lanes.values(), default=-LANE) + LANE
        row = _row(planned, lanes, column)
        yield f"{row}{name}  {_body(planned)}"
        for needed in planned.depends_on:
            left[needed] -= 1
        lanes = {each: at for each, at in lanes.items() if left[each]}
        if left[name]:
            lanes[name] = column
    if any(planned.implied for planned in plan.agents.values()):
        yield ""
        yield "..> a template reads the reply, depends_on does not name it"


def _row(planned: PlannedAgent, lanes: Mapping[str, int], column: int) -> str:
    """What stands before a name: the lines that pass, and those that come from what it depends on."""
    row = [" "] * column
    needed = sorted((lanes[name], name) for name in planned.depends_on)
    for index, (at, _) in enumerate(needed):
        dashed = all(name in planned.implied for _, name in needed[: index + 1])
        row[at:] = ("." if dashed else "-") * (column - at)
    for name, at in lanes.items():
        row[at] = "|" if name not in planned.depends_on else ":" if name in planned.implied else "+"
    if needed:
        row[-2:] = "> "
    return "".join(row)


def _edges(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """What is needed, by whom, and whether only a template says so."""
    for name, planned in plan.agents.items():
        yield from ((needed, name, needed in planned.implied) for needed in planned.depends_on)


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


FORMS: Mapping[str, Callable[[Plan], Iterator[str]]] = {"ascii": _ascii, "dot": _dot, "mermaid": _mermaid}
