"""Runs that are kept, as people read them and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from llm_orc.domain.event import Happening
from llm_orc.domain.kept import KeptArtifact, KeptNode, KeptRun
from llm_orc.domain.record import name_of
from llm_orc.domain.run import Node, Run
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import STATE_COLORS, changes, counted, dollars, how_shortened, ink, seconds, size_text

AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))
LOST = "its process was gone before its end"
HEAD = 4_000
"""Characters of a result that are shown with a whole run."""


def run_row(run: KeptRun, now: float) -> tuple[str, ...]:
    """What a listing says of a run."""
    agents = counted(run.agents, "agent") + (f", {run.failed:,} failed" if run.failed else "") + (", pinned" if run.pinned else "")
    cost = dollars(run.cost) if run.cost is not None else ""
    return run.id, run.ensemble, _state(run), age(now - run.started_at), _lasted(run, now), agents, cost, run.input


def age(passed: float) -> str:
    """`3 min ago`, `2 d ago`."""
    found = next(((size, unit) for size, unit in AGES if passed >= size), (1, "s"))
    return f"{max(int(passed / found[0]), 0)} {found[1]} ago"


def run_document(run: KeptRun) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "run": run.id,
        "ensemble": run.ensemble,
        "status": run.status,
        "cause": run.cause or None,
        "started_at": utc(run.started_at),
        "last_at": utc(run.last_at),
        "seconds": round(run.seconds, 3),
        "agents": run.agents,
        "failed": run.failed,
        "tokens": run.tokens,
        "cost": run.cost,
        "input": run.input,
        "pinned": bool(run.pinned),
    }


def utc(at: float) -> str:
    """A time as ISO 8601 has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def head(run: KeptRun, now: float, *, color: bool) -> Iterator[str]:
    """The first lines about a run."""
    yield f"{ink(run.id, 'bold', color=color)}  {one_line(run.ensemble)}  {ink(_state(run), _ink(run.status), color=color)}"
    parts = (utc(run.started_at), _lasted(run, now), counted(run.agents, "agent"), f"{run.failed:,} failed" if run.failed else "")
    spent = (counted(run.tokens, "token") if run.tokens else "", dollars(run.cost) if run.cost is not None else "")
    yield "  ".join(filter(None, (*parts, *spent, "pinned" if run.pinned else "")))
    if run.cause == "lost":
        yield f"{LOST}; what had come by then is kept"
    if run.input:
        yield f"input  {one_line(run.input)}"


def node_rows(nodes: Sequence[KeptNode], now: float, *, color: bool, whole: bool = False) -> Iterator[str]:
    """A line per node, its children below it; with `whole` ids where they may be from anywhere in the run."""
    names = [one_line(node.id) if whole else f"{'  ' * node.depth}{one_line(node.name)}" for node in nodes]
    widest = max(map(len, names), default=0)
    for name, node in zip(names, nodes, strict=True):
        state = ink(f"{node.status:<9}", _ink(node.status), color=color)
        rest = ("cached" if node.cached else "", took(node, now), node.model or node.body, progress(node), *spent(node), node.cause)
        yield "  ".join((f"{name:<{widest}}", state, *filter(None, map(one_line, rest)))).rstrip()


def took(node: KeptNode, now: float) -> str:
    """`4.2 s`; of a node that somebody works on `4.2 s so far`."""
    if node.status == "running" and node.started_at is not None:
        return f"{seconds(now - node.started_at)} so far"
    return seconds(node.seconds)


def progress(node: KeptNode) -> str:
    """How far its children are: `7/10 done, 1 failed`; nothing where it has none."""
    expected = max(node.children, node.items or 0)
    if not expected:
        return ""
    return f"{node.ended:,}/{expected:,} done" + (f", {node.failed:,} failed" if node.failed else "")


def spent(node: KeptNode) -> tuple[str, str]:
    """Its tokens and dollars in words; nothing where it took none."""
    return counted(node.tokens, "token") if node.tokens else "", dollars(node.cost) if node.cost is not None else ""


def node_text(run: Run, node: Node, *, color: bool) -> Iterator[str]:
    """All about one node: what it was sent, and what came of it."""
    yield f"{ink(node.id, 'bold', color=color)}  {ink(node.status, _ink(node.status), color=color)}"
    model = "/".join(filter(None, (node.provider, node.model))) or node.body
    waited = f"waited {seconds(node.waited)}" if node.waited else ""
    sent = counted(node.sent, "request") if node.sent else ""
    used = (counted(node.usage.total, "token") if node.usage.total else "", dollars(node.cost) if node.cost is not None else "")
    anew = f"asked anew: {changes(node.changed)}" if node.changed else ""
    known = "cached" if node.cached else anew
    yield "  ".join(filter(None, map(one_line, (known, model, node.profile, seconds(node.seconds), waited, sent, *used))))
    if node.depends_on:
        yield f"after {one_line(', '.join(node.depends_on))}"
    for profile, failure in node.fell_back:
        yield f"fell back from {one_line(profile)}: {one_line(str(failure))}"
    for at, what in run.warnings:
        if at == node.id:
            yield f"warning  {one_line(what)}"
    yield from _part("prompt", node.prompt, color=color)
    if node.shortened:
        yield from _part(f"sent {how_shortened(node.shortened)}", node.shortened.prompt, color=color)
    if node.cause:
        yield from _part("no reply", node.cause, color=color)
    if node.failure and node.failure.hint:
        yield f"hint: {one_line(node.failure.hint)}"
    yield from _part("reply" if node.reply else "what had come of its reply", node.text, color=color)


def artifact_rows(artifacts: Sequence[KeptArtifact], *, color: bool) -> Iterator[str]:
    """The files that programs left."""
    widest = max((len(each.node) for each in artifacts), default=0)
    if artifacts:
        yield from ("", ink("artifacts", "dim", color=color))
    for each in artifacts:
        yield f"{one_line(each.node):<{widest}}  {one_line(each.name)}  {each.media_type}  {size_text(each.size)}"


def result(text: str, *, color: bool) -> Iterator[str]:
    """The result, or how it begins."""
    cut = f"\n... {counted(len(text) - HEAD, 'character')} more: --result" if len(text) > HEAD else ""
    yield from _part("result", text[:HEAD] + cut, color=color)


def event_row(event: Happening, began: float) -> str:
    """An event on a line: its number, when it happened, what it was and to whom."""
    said = {"reply": "text", "failure": "what"}
    node = getattr(event, "node", "")
    details = []
    for key in ("cause", "limit", "endpoint", "model", "seconds", "what", "failure", "reply"):
        value = getattr(event, key, None)
        if key in said and value is not None:
            value = getattr(value, said[key])
        if value not in (None, ""):
            details.append(one_line(f"{value:.1f} s" if isinstance(value, float) else str(value))[:120])
    return f"{event.seq:>6}  +{event.at - began:8.3f}  {name_of(event):<12}  {one_line(node):<24}  {'  '.join(details)}".rstrip()


def node_document(node: KeptNode) -> dict[str, Any]:
    """A node as JSON, without what it was sent and what came of it."""
    return {
        "id": node.id,
        "name": node.name,
        "parent": node.parent or None,
        "body": node.body,
        "status": node.status,
        "cause": node.cause or None,
        "model": node.model or None,
        "started_at": None if node.started_at is None else utc(node.started_at),
        "ended_at": None if node.ended_at is None else utc(node.ended_at),
        "seconds": None if node.seconds is None else round(node.seconds, 3),
        "tokens": node.tokens,
        "cost": node.cost,
        "children": {"expected": max(node.items or 0, node.children), "done": node.ended, "failed": node.failed},
    }


def _part(title: str, text: str, *, color: bool) -> Iterable[str]:
    return ("", ink(title, "dim", color=color), *harmless(text.rstrip("\n")).split("\n")) if text else ()


def _state(run: KeptRun) -> str:
    return f"{run.status} ({run.cause})" if run.cause else run.status


def _lasted(run: KeptRun, now: float) -> str:
    return f"{seconds(now - run.started_at - run.paused)} so far" if run.status == "running" else seconds(run.seconds)


def _ink(status: str) -> str:
    return STATE_COLORS.get(status, "yellow")
