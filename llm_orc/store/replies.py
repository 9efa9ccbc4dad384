"""The cache: replies by what was asked, and which nodes of which runs were given them."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from llm_orc.domain.message import Reply
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.record import json_of, record_of_reply, reply_of, text_of
from llm_orc.domain.reuse import Parts
from llm_orc.domain.secret import LONG, without_secrets
from llm_orc.store.journal import AGAIN, AT_MOST, AT_THE_END, LONGEST
from llm_orc.store.lifted import lifted, whole
from llm_orc.store.places import FILE
from llm_orc.store.runs import Store
from llm_orc.store.trouble import is_busy, trouble

BACK = 20
"""Of a node the calls, the last ones, among which the one is looked for that is nearest to another."""
_REPLY = "reply"
"""The key that a reply has in its record."""
_FIND = "SELECT reply FROM replies WHERE key = ?"
_KEEP = "INSERT OR REPLACE INTO replies (key, kept_at, parts, reply) VALUES (?, ?, ?, ?)"
_TEXT = "INSERT OR IGNORE INTO reply_texts (key, name) VALUES (?, ?)"
_USE = "INSERT OR IGNORE INTO uses (node, run, key) SELECT ?, number, ? FROM runs WHERE id = ?"
_OF_NODE = """
    SELECT parts FROM uses JOIN runs ON runs.number = uses.run JOIN replies ON replies.key = uses.key
    WHERE uses.node = ? AND runs.ensemble = ? ORDER BY uses.run DESC LIMIT ?"""


class KeptReplies:
    """The replies of a store, as one run of an ensemble uses them. What is in the way of that is a warning, and the run goes on."""

    def __init__(self, store: Store, run_id: str, ensemble: str, warn: Callable[[Problem], None]) -> None:
        self._store, self._run, self._ensemble, self._warn = store, run_id, ensemble, warn
        self._known: dict[str, Reply] = {}
        """What was kept or used in this run."""
        self._new: dict[str, Parts] = {}
        self._used: list[tuple[str, str]] = []
        """Node and key."""
        self._next: asyncio.Handle | None = None
        self._soon = False
        self._hindered_since: float | None = None
        self._off = False

    def find(self, key: str) -> Reply | None:
        """The reply to this very call, with what it took when it was made."""
        if key not in self._known and (row := self._read(_FIND, key)):
            with suppress(ProblemError, LookupError, TypeError, ValueError):  # what is lost is asked for anew
                self._known[key] = reply_of(whole(row[0][0], self._store.texts.read)[_REPLY])
        return self._known.get(key)

    def kept_of(self, node: str) -> Iterator[Parts]:
        """The calls of this node whose replies are kept, the last first."""
        for (parts,) in self._read(_OF_NODE, node, self._ensemble, BACK):
            with suppress(ValueError):
                yield json.loads(parts)

    def keep(self, key: str, parts: Parts, reply: Reply, node: str) -> None:
        """Keep it at the end of this turn of the event loop; not one that would not be the same when it is read again."""
        self._known[key] = reply
        if _lasts(reply):
            self._new[key] = parts
            self._used.append((node, key))
            self._later(0.0)

    def use(self, key: str, node: str) -> None:
        """A node uses what is kept."""
        self._used.append((node, key))
        self._later(AT_MOST)

    def close(self) -> None:
        """Write what is left; never raises."""
        if self._next is not None:
            self._next.cancel()
        with suppress(sqlite3.Error):
            self._store.connection.execute(f"PRAGMA busy_timeout = {AT_THE_END}")
        self._hindered_since = 0.0  # there is no later
        self._write()

    def _read(self, query: str, *values: object) -> list[tuple[str]]:
        if self._off:
            return []
        try:
            return self._store.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._stop(error)
            return []

    def _later(self, seconds: float) -> None:
        if self._off or (self._next is not None and (self._soon or seconds)):
            return
        if self._next is not None:
            self._next.cancel()
        self._soon = not seconds
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(seconds, self._write) if seconds else loop.call_soon(self._write)

    def _write(self) -> None:
        self._next = None
        if self._off or not (self._new or self._used):
            return
        try:
            with self._store.alone():
                self._put()
        except (sqlite3.Error, OSError) as error:
            self._hindered(error)
        else:
            self._hindered_since = None
            self._new.clear()
            self._used.clear()

    def _put(self) -> None:
        execute, now = self._store.connection.executemany, time.time()
        replies, names = [], []
        for key, parts in self._new.items():

            def keep(text: str, key: str = key) -> str:
                names.append((key, self._store.texts.keep(text)))
                return names[-1][1]

            row = lifted({_REPLY: record_of_reply(self._known[key])}, keep)
            replies.append((key, now, json.dumps(dict(parts)), row))
        execute(_KEEP, replies)
        execute(_TEXT, names)
        execute(_USE, [(node, key, self._run) for node, key in self._used])

    def _hindered(self, error: sqlite3.Error | OSError) -> None:
        now = time.monotonic()
        if self._hindered_since is None:
            self._hindered_since = now
        if is_busy(error) and now - self._hindered_since < LONGEST:
            self._later(AGAIN)
        else:
            self._stop(error)

    def _stop(self, error: sqlite3.Error | OSError) -> None:
        self._off = True
        problem = trouble(error, self._store.folder / FILE, warning=True)
        self._warn(replace(problem, what=f"{problem.what}: replies are reused within this run only"))


class SeenReplies(KeptReplies):
    """The same, looked at from outside: nothing is kept."""

    def keep(self, key: str, parts: Parts, reply: Reply, node: str) -> None:
        """There is no run that it would be kept for."""

    def use(self, key: str, node: str) -> None:
        """Likewise."""


def _lasts(reply: Reply) -> bool:
    """Whether it is the same when it is read again: no secret is kept, nor a value that JSON does not know."""
    text = text_of({_REPLY: record_of_reply(replace(reply, value=None))})
    if without_secrets(text, LONG) != text:
        return False
    value = json_of(reply.value)
    return without_secrets(value, LONG) == value and bool(json.loads(value) == reply.value)
