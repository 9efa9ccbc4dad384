"""What two runs differ in, as people read it and as JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from llm_orc.domain.difference import MISSING, Part
from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.record import json_of
from llm_orc.render.json import plain
from llm_orc.render.kept import run_document, utc
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import counted, dollars, ink, seconds, size_text

LONGEST = 1_000_000
"""Characters of two texts up to which they are laid side by side."""
SHORT = 100
"""Characters of a value up to which it is shown in its line."""
_INKS = {"-": "red", "+": "green", "@": "cyan"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A node in both runs, or in one of them."""

    a: KeptNode | None
    b: KeptNode | None
    differs: tuple[str, ...] = ()
    below: int = 0
    """Nodes inside of it, in either run."""
    below_differ: int = 0

    @property
    def id(self) -> str:
        """Of both."""
        return self.a.id if self.a else self.b.id if self.b else ""

    @property
    def same(self) -> bool:
        """Whether nothing but time and cost is different."""
        return not self.differs and not self.below_differ


def heads(a: KeptRun, b: KeptRun, *, color: bool) -> Iterator[str]:
    """Which runs these are, and what each took."""
    for sign, style, run in (("---", "red", a), ("+++", "green", b)):
        yield ink(f"{sign} {run.id}  {one_line(run.ensemble)}  {run.status}  {utc(run.started_at)}", style, color=color)
    numbers = (
        ("time", _change(seconds(a.seconds), seconds(b.seconds))),
        ("cost", _change(_dollars(a.cost), _dollars(b.cost))),
        ("tokens", _change(f"{a.tokens:,}", f"{b.tokens:,}")),
        ("nodes", _change(f"{a.agents:,}", f"{b.agents:,}")),
        ("failed", _change(f"{a.failed:,}", f"{b.failed:,}")),
    )
    yield "   ".join(f"{name} {change}" for name, change in numbers if change not in ("", "0"))


def part_lines(part: Part, *, color: bool) -> Iterator[str]:
    """A part of the spec: short values in one line, long ones beneath it."""
    a, b = _value(part.a), _value(part.b)
    if max(len(a), len(b)) <= SHORT and "\n" not in a + b:
        yield f"{one_line(part.path)}  {ink(one_line(a), 'red', color=color)} -> {ink(one_line(b), 'green', color=color)}"
    else:
        yield one_line(part.path)
        yield from text_lines(a, b, color=color)


def pair_rows(pairs: Sequence[Pair]) -> Iterator[tuple[str, ...]]:
    """A row for each node: what differs, and what it took."""
    for pair in pairs:
        a, b = pair.a or pair.b, pair.b or pair.a
        what = ", ".join(pair.differs) or ("same" if pair.same else "")
        below = f"{pair.below_differ:,} of {counted(pair.below, 'node')} inside differ" if pair.below_differ else ""
        state = _change(a.status if a else "", b.status if b else "")
        took, cost = _change(_took(a), _took(b)), _change(_cost(a), _cost(b))
        yield pair.id, state, took, cost, "; ".join(filter(None, (what, below)))


def text_lines(a: str, b: str, *, color: bool) -> Iterator[str]:
    """A unified diff of two texts; of JSON in one line, one line for each of its values."""
    for line in unified(a, b):
        yield ink(harmless(line), _INKS.get(line[:1], ""), color=color and line[:1] in _INKS)


def unified(a: str, b: str) -> Iterator[str]:
    """The lines of a unified diff without its first two."""
    if len(a) + len(b) > LONGEST:
        yield f"too long to be laid side by side: {size_text(len(a))}, {size_text(len(b))}"
        return
    ours, theirs = (_lines(a), _lines(b)) if _laid_out(a) is None or _laid_out(b) is None else (_laid_out(a) or [], _laid_out(b) or [])
    for number, line in enumerate(unified_diff(ours, theirs, lineterm="")):
        if number > 1:
            yield line


def diff_document(a: KeptRun, b: KeptRun, *, same: bool, spec: Iterable[Part] | None, texts: dict[str, str | None]) -> dict[str, Any]:
    """What two runs differ in as JSON, without their nodes."""
    return {
        "version": 1,
        "a": run_document(a),
        "b": run_document(b),
        "same": same,
        "spec": None if spec is None else [_part_document(part) for part in spec],
        **texts,
    }


def pair_document(pair: Pair, texts: dict[str, str | None]) -> dict[str, Any]:
    """A node of both runs as JSON."""
    return {
        "id": pair.id,
        "differs": list(pair.differs),
        **{side: _side(node) for side, node in (("a", pair.a), ("b", pair.b))},
        "inside": {"nodes": pair.below, "differ": pair.below_differ},
        **texts,
    }


def _side(node: KeptNode | None) -> dict[str, Any] | None:
    if node is None:
        return None
    took = None if node.seconds is None else round(node.seconds, 3)
    return {"status": node.status, "model": node.model or None, "seconds": took, "tokens": node.tokens, "cost": node.cost}


def _part_document(part: Part) -> dict[str, Any]:
    sides = {side: plain(value) for side, value in (("a", part.a), ("b", part.b)) if value is not MISSING}
    return {"path": part.path, **sides}


def _value(value: Any) -> str:
    return "(not there)" if value is MISSING else value if isinstance(value, str) else json_of(value)


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _laid_out(text: str) -> list[str] | None:
    """JSON that stands in one line, in many; None where it is none."""
    if not text.startswith(("[", "{")) or "\n" in text.rstrip("\n"):
        return None
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).split("\n")
    except (ValueError, RecursionError):
        return None


def _change(a: str, b: str) -> str:
    return a if a == b else f"{a or '-'} -> {b or '-'}"


def _dollars(cost: float | None) -> str:
    return "" if cost is None else dollars(cost)


def _took(node: KeptNode | None) -> str:
    return seconds(node.seconds) if node else ""


def _cost(node: KeptNode | None) -> str:
    return _dollars(node.cost) if node else ""
