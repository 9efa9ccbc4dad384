"""Listings as people read them."""

from collections.abc import Iterable, Sequence

from llm_orc.render.safe import one_line


def table(rows: Iterable[Sequence[str]], width: int | None, indent: str = "") -> str:
    """Rows with their columns aligned; on a terminal each is cut to one line."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column), default=0) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        row = indent + "  ".join(f"{cell:<{wide}}" for cell, wide in zip(line, widths, strict=True)).rstrip()
        text += (row if width is None or len(row) <= width else row[: width - 1] + "…") + "\n"
    return text
