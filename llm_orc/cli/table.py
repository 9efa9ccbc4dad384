"""Listings as people read them."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from llm_orc.render.safe import one_line

LEAST = 20
"""Columns that the last cell has beside the others; where fewer are left, it stands on a line below, with all that does not fit."""


def table(rows: Iterable[Sequence[str]], width: int | None, indent: str = "", *, folds: bool = False) -> str:
    """Rows with their columns aligned; on a terminal each is cut at its edge, or with `folds` goes on below."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column), default=0) for column in zip(*lines, strict=True)]
    beside = _beside(widths, width - len(indent)) if folds and width is not None else len(widths)
    text = ""
    for line in lines:
        first = "  ".join(f"{cell:<{wide}}" for cell, wide in zip(line[:beside], widths, strict=False))
        below = "  ".join(filter(None, line[beside:]))
        text += "".join(cut(f"{indent}{part}".rstrip(), width) + "\n" for part in (first, *([f"  {below}"] if below else [])))
    return text


def _beside(widths: Sequence[int], width: int) -> int:
    """How many columns stand on the first line: all, unless that leaves too little of the last one."""
    ends = [end + 2 * number for number, end in enumerate(accumulate(widths))]
    if len(widths) < 2 or ends[-2] + 2 + min(LEAST, widths[-1]) <= width:
        return len(widths)
    return max(sum(end <= width for end in ends[:-1]), 1)


def cut(line: str, width: int | None) -> str:
    """What a terminal of that width shows of a line."""
    return line if width is None or len(line) <= width else line[: width - 1] + "…"
