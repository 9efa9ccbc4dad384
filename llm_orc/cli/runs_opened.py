"""The store that `llm-orc runs` reads, and the words that say which runs are meant."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llm_orc.domain.problem import Problem, ProblemError, nearest

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.store.runs import Store

_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"([0-9]{1,12})\s*(KB|MB|GB)")
_AGE = re.compile(r"([0-9]{1,12})\s*(s|min|h|d|w)")
_NUMBER = re.compile(r"[0-9]{1,12}")
"""No store has more rows than that, and SQLite counts further."""


def opened(terminal: "Terminal") -> "Store":
    """The store of where we are; raises ProblemError where there is none."""
    from llm_orc.config.keeping import store_folder
    from llm_orc.config.layers import read_layers
    from llm_orc.store.runs import Store

    return Store.open(store_folder(read_layers(terminal.where)), make=False)


def moment(text: str, flag: str, now: float) -> float:
    """A time, as `2h` before now or as a date, in seconds since 1970; raises ProblemError."""
    if found := _AGE.fullmatch(text.strip()):
        return now - int(found[1]) * _SECONDS[found[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        hint = f"{flag} 2h, {flag} 30min, {flag} 7d, or a date: {flag} 2026-01-31"
        raise ProblemError(Problem(f"{flag}: '{text}' is no time", hint=hint)) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def number(text: str, flag: str, least: int = 1) -> int:
    """A whole number; raises ProblemError."""
    if _NUMBER.fullmatch(text) and int(text) >= least:
        return int(text)
    raise ProblemError(Problem(f"{flag}: '{text}' is no number", hint=f"a whole number, {least} or more"))


def size(text: str, flag: str) -> int:
    """Bytes, as in `500MB`; raises ProblemError."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise ProblemError(Problem(f"{flag}: '{text}' is no size", hint=f"{flag} 500MB, {flag} 2GB"))
    return int(found[1]) * _BYTES[found[2]]


def one_of(text: str, known: Sequence[str], flag: str) -> str:
    """A word that is known, or nothing; raises ProblemError."""
    if text and text not in known:
        raise ProblemError(Problem(f"{flag}: nothing is '{text}'", hint=nearest(text, known) or f"there are: {', '.join(known)}"))
    return text
