"""Forgetting whole runs, so that what is left of a run always hangs together."""

import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass

from llm_orc.domain.keeping import seconds_of
from llm_orc.domain.kept import KeptRun
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.store.pages import Sought, listed
from llm_orc.store.runs import Store
from llm_orc.store.trouble import is_full

_TABLES = ("events", "nodes", "edges", "texts", "artifacts", "uses")
_REPLIES = "SELECT coalesce(sum(length(reply)), 0) FROM replies WHERE key IN (SELECT key FROM uses WHERE run = ?)"
_NAMES = """
    SELECT name FROM texts WHERE run = ?
    UNION SELECT sha256 FROM artifacts WHERE run = ?
    UNION SELECT name FROM reply_texts WHERE key IN (SELECT key FROM uses WHERE run = ?)"""
_NEEDED = "SELECT name FROM texts UNION SELECT sha256 FROM artifacts UNION SELECT name FROM reply_texts"
_UNUSED = (
    "DELETE FROM replies WHERE key NOT IN (SELECT key FROM uses)",
    "DELETE FROM reply_texts WHERE key NOT IN (SELECT key FROM replies)",
)
"""Replies go with the last run that was given them."""
_EVERY = 1_000_000_000
"""Runs at once: all of them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may stay; runs that are pinned and those that a process works on stay whatever is said here."""

    newest: int | None = None
    """So many runs, the last ones."""
    since: float | None = None
    """Those that something happened in since then, in seconds since 1970 UTC."""
    size: int | None = None
    """The last ones that take up so many bytes together."""

    @classmethod
    def of(cls, keep: int | str, now: float | None = None) -> "Bounds":
        """The bounds that `keep` stands for: a number of runs or an age."""
        if isinstance(keep, int):
            return cls(newest=keep)
        return cls(since=(time.time() if now is None else now) - seconds_of(keep))


def beyond(store: Store, bounds: Bounds) -> list[KeptRun]:
    """The runs that are too many, too old or too large, the newest first; raises ProblemError."""
    runs, _ = listed(store, Sought(), _EVERY)
    taken = 0
    found = []
    for number, run in enumerate(runs):
        taken += size_of(store, run.id) if bounds.size is not None else 0
        too_many = bounds.newest is not None and number >= bounds.newest
        too_old = bounds.since is not None and run.last_at < bounds.since
        too_large = bounds.size is not None and taken > bounds.size
        if (too_many or too_old or too_large) and not run.pinned and run.status != "running":
            found.append(run)
            taken -= size_of(store, run.id) if bounds.size is not None else 0
    return found


def size_of(store: Store, run_id: str) -> int:
    """Bytes that a run takes up, texts and replies that it shares with others included; raises ProblemError."""
    number = store.number(run_id)
    with store.asked():
        rows: int = store.connection.execute("SELECT coalesce(sum(length(event)), 0) FROM events WHERE run = ?", (number,)).fetchone()[0]
        rows += store.connection.execute(_REPLIES, (number,)).fetchone()[0]
        names = store.connection.execute(_NAMES, (number,) * 3).fetchall()
        return rows + sum(file.stat().st_size for (name,) in names if (file := store.texts.file(name)).exists())


def prune(store: Store, runs: list[KeptRun], *, shrink: bool = True) -> None:
    """Forget these runs, and the replies and texts that no other needs; `shrink` gives the room back to the disk. Raises ProblemError."""
    with store.asked():
        numbers = [store.number(run.id) for run in runs]
        if not _forgotten(store, numbers):
            _make_room(store, numbers)
            if not _forgotten(store, numbers):
                hint = "free some space on it by other means"
                raise ProblemError(Problem("the disk is too full even to forget a run", Place(str(store.folder)), hint))
        if shrink and runs:
            with suppress(sqlite3.OperationalError):  # it takes as much room again; what was forgotten is used anew in any case
                store.connection.execute("VACUUM")


def _forgotten(store: Store, numbers: list[int]) -> bool:
    """Forget them; whether there was room enough to do that."""
    try:
        _forget(store, numbers)
    except sqlite3.Error as error:
        if is_full(error):
            return False
        raise
    return True


def _forget(store: Store, numbers: list[int]) -> None:
    with store.alone():
        for table in _TABLES:
            store.connection.executemany(f"DELETE FROM {table} WHERE run = ?", ((number,) for number in numbers))  # noqa: S608 - our own words
        store.connection.executemany("DELETE FROM runs WHERE number = ?", ((number,) for number in numbers))
    with store.alone():  # so that nobody takes a text for kept that is just removed
        for unused in _UNUSED:
            store.connection.execute(unused)
        needed = {name for (name,) in store.connection.execute(_NEEDED)}
        store.texts.sweep(needed)


def _make_room(store: Store, numbers: list[int]) -> None:
    """Where the disk is full even forgetting needs room first: the texts that only these runs have go before the runs do."""
    others = [number for (number,) in store.connection.execute("SELECT number FROM runs") if number not in numbers]
    with store.alone():
        needed = {name for number in others for (name,) in store.connection.execute(_NAMES, (number,) * 3)}
        store.texts.sweep(needed)


def pin(store: Store, run_id: str, *, pinned: bool) -> None:
    """Keep a run whatever is pruned, or no more; raises ProblemError."""
    with store.asked():
        store.connection.execute("UPDATE runs SET pinned = ? WHERE number = ?", (pinned, store.number(run_id)))
