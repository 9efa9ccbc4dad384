"""Numbers and states in words, and words in colour: what every line on stderr is made of."""

import re
from collections.abc import Iterable, Iterator, Sequence

from llm_orc.domain.event import Shortened
from llm_orc.domain.message import Usage
from llm_orc.domain.run import Node, Run
from llm_orc.domain.use import Spending

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
STATE_COLORS = {"pending": "dim", "running": "cyan", "succeeded": "green", "failed": "red", "skipped": "yellow", "cancelled": "yellow"}
HANGING = "  "
"""Before each row of a line but the first."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
SHOWN = 4
"""Names in a row before the rest is counted."""


def ink(text: str, *styles: str, color: bool) -> str:
    """The text in these styles, or as it is."""
    return f"\x1b[{';'.join(CODES[style] for style in styles)}m{text}\x1b[0m" if color and text else text


def folded(line: str, width: int | None) -> Iterator[str]:
    """The line in rows of this many columns, broken between words; a longer word, such as a place, stays whole."""
    row, *words = line.split(" ")
    for word in words:
        if width is not None and row.strip() and len(_STYLE.sub("", f"{row} {word}")) > width:
            yield row.rstrip()
            row = f"{HANGING}{word}"
        else:
            row += f" {word}"
    yield row


def seconds(value: float | None) -> str:
    """`0.4 s`, `2m 05s`, `1h 02m`; nothing where it is not known."""
    if value is None:
        return ""
    if value < 59.95:
        return f"{max(value, 0.0):.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def tokens(usage: Usage) -> str:
    """`1,240 tokens`, with `~` where it is our own count; nothing where none were used."""
    if not usage.total:
        return ""
    return f"{'~' if usage.estimated else ''}{counted(usage.total, 'token')}"


def counted(number: int, noun: str) -> str:
    """`1 call`, `1,240 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_text(size: int) -> str:
    """`120 bytes`, `3.1 kB`, `2.4 MB`."""
    if size < 1000:
        return counted(size, "byte")
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def dollars(cost: float) -> str:
    """`$0`, `$0.0031`, `$1.20`: two significant digits at least, never a cost rounded to nothing."""
    if cost == 0:
        return "$0"
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.2g}" if cost >= 0.0001 else "under $0.0001"


def cost_of(spent: Run | Node | Spending, *, unpriced: bool) -> str:
    """What it cost: `at least` where the price of some call is not known, `~` where tokens are our own count, nothing where no price is."""
    if spent.cost is None or (unpriced and not spent.cost):
        return ""
    return f"{'at least ' if unpriced else ''}{'~' if spent.usage.estimated and spent.cost else ''}{dollars(spent.cost)}"


def how_shortened(event: Shortened) -> str:
    """`without its oldest part: ~9,800 tokens of ~64,000`."""
    how = "with a summary of" if event.policy == "summarize" else "without"
    return f"{how} its oldest part: ~{counted(event.after, 'token')} of ~{event.before:,}"


def listed(names: Iterable[str], shown: int = SHOWN) -> str:
    """`a, b, c, d and 12 more`."""
    known = list(names)
    return ", ".join(known[:shown]) + (f" and {len(known) - shown:,} more" if len(known) > shown else "")


def saved_of(run: Run) -> str:
    """`3 cached (1,240 tokens, $0.0031 saved)`: what was there already is no part of what the run took."""
    if run.saved is None:
        return ""
    spent = ", ".join(filter(None, (tokens(run.saved.usage), dollars(run.saved.cost) if run.saved.cost else "")))
    return f"{run.reused:,} cached" + (f" ({spent} saved)" if spent else "")


def changes(parts: Sequence[str]) -> str:
    """`prompt and temperature changed`; nothing where nothing did."""
    *most, last = parts or ("",)
    return f"{' and '.join(filter(None, (', '.join(most), last)))} changed" if last else ""
