"""The journal of one run: what is sent and what comes back is written down at the end of the turn of the event loop in which it happens."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    Happening,
    Loaded,
    Loading,
    Produced,
    Queued,
    Repairing,
    Resumed,
    Retrying,
    RunEnded,
    RunStarted,
    Shortened,
    Skipped,
    Started,
    Submitted,
)
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.record import record_of
from llm_orc.domain.run import Run
from llm_orc.domain.secret import LONG, without_secrets
from llm_orc.store.lifted import lifted, record_of_spec
from llm_orc.store.places import FILE, Texts
from llm_orc.store.trouble import is_busy, trouble

HEAD = 200
"""Characters of an input or a cause that listings show."""
AT_MOST = 0.05
"""Seconds that what costs nothing to lose waits for what does."""
PATIENCE = 100
"""Milliseconds that a run stands still because another process writes."""
AGAIN = 0.2
"""Seconds until it is tried again."""
LONGEST = 30.0
"""Seconds of trying after which a run is not kept any further."""
AT_THE_END = 5_000
"""Milliseconds of patience when nothing else is left to do."""
_MINOR = (Submitted, Queued, Started, Loading, Loaded, Retrying, Repairing, Shortened)
"""What is simply told anew when a run is gone on with."""
_RUN = (
    "INSERT INTO runs (id, ensemble, status, cause, started_at, last_at, tokens, agents, failed, input, owner, spec)"
    " VALUES (?, ?, 'running', '', ?, ?, 0, 0, 0, ?, ?, ?)"
)
_EVENT = "INSERT INTO events (run, seq, node, event) VALUES (?, ?, ?, ?)"
_NODE = (
    "INSERT OR REPLACE INTO nodes"
    " (run, parent, number, id, body, status, cause, started_at, ended_at, cost, tokens, model, items, cached, earlier)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EDGE = "INSERT OR IGNORE INTO edges (run, target, source, kind) VALUES (?, ?, ?, 'depends_on')"
_TEXT = "INSERT OR IGNORE INTO texts (run, name) VALUES (?, ?)"
_ARTIFACT = "INSERT OR REPLACE INTO artifacts (run, node, name, media_type, size, sha256) VALUES (?, ?, ?, ?, ?, ?)"
_ANEW = "DELETE FROM artifacts WHERE run = ? AND node = ?"
_SO_FAR = "UPDATE runs SET status = ?, cause = ?, last_at = ?, paused = ?, cost = ?, tokens = ?, agents = ?, failed = ? WHERE number = ?"
_CUT = "UPDATE nodes SET status = 'cancelled', cause = 'cancelled', ended_at = ? WHERE run = ? AND status IN ('pending', 'running')"
_LET_GO = "UPDATE runs SET owner = NULL WHERE number = ?"


class Journal:
    """Writes the events of one run down as they come. A listener: `run` has folded each event before it is told here."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        folder: Path,
        run: Run,
        owner: str,
        spec: Mapping[str, Any] | None,
        warn: Callable[[Problem], None],
        number: int | None = None,
    ) -> None:
        """`number` is that of a run which is gone on with."""
        self._connection, self._folder, self._run, self._owner, self._spec, self._warn = connection, folder, run, owner, spec, warn
        self._number = number
        self._again = number is not None
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
        self._texts = Texts(folder)
        self._waiting: list[Happening] = []
        self._places: dict[str, tuple[str, int]] = {}
        """Node -> its parent, and its number among that one's children."""
        self._children: Counter[str] = Counter()
        self._failed: set[str] = set()
        for id_, node in run.nodes.items():
            self._place(id_, node.parent)
            if node.status == "failed":
                self._failed.add(id_)
        self._next: asyncio.Handle | None = None
        self._soon = False
        """Whether that is at the end of this turn."""
        self._hindered_since: float | None = None
        self._off = False

    def tell(self, event: Happening) -> None:
        """It is written at the end of this turn of the event loop, or soon after where that is enough; never raises."""
        if self._off or isinstance(event, Delta):
            return
        self._waiting.append(event)
        match event:
            case Submitted():
                self._place(event.node, event.parent)
                self._failed.discard(event.node)  # of a run that is gone on with
            case Failed():
                self._failed.add(event.node)
            case _:
                pass
        if isinstance(event, RunEnded):
            self._write()
        elif self._next is None or not (self._soon or isinstance(event, _MINOR)):
            self._later(AT_MOST if isinstance(event, _MINOR) else 0.0)

    def close(self) -> None:
        """Write what is left, and let the run go: whoever looks sees that nobody works on it any more. Never raises."""
        if self._next is not None:
            self._next.cancel()
        with suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout = {AT_THE_END}")
        self._hindered_since = 0.0  # there is no later
        self._write()
        with suppress(OSError):  # it is swept away sooner or later
            self._texts.forget()
        if self._number is not None:
            with suppress(sqlite3.Error):  # the lock that is let go says the same
                self._connection.execute(_LET_GO, (self._number,))

    def keep(self, chunks: Iterable[bytes]) -> str:
        """Take an artifact in, whose `Produced` is told next, and give its SHA-256; in any thread. Raises ProblemError."""
        if self._off:
            raise ProblemError(Problem("this run is not kept any further"))
        try:
            return self._texts.receive(chunks, self._owner)
        except OSError as error:
            raise ProblemError(trouble(error, self._folder / FILE)) from None

    def _place(self, node: str, parent: str) -> None:
        if node not in self._places:
            self._places[node] = parent, self._children[parent]
            self._children[parent] += 1

    def _later(self, seconds: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._soon = not seconds
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write()
            return
        self._next = loop.call_later(seconds, self._write) if seconds else loop.call_soon(self._write)

    def _write(self) -> None:
        self._next = None
        if self._off or not self._waiting:
            return
        before = self._number
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._put(self._waiting)
                self._connection.execute("COMMIT")
            except BaseException:
                self._number = before
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self._hindered(error)
        except Exception:
            self._off = True
            raise
        else:
            self._hindered_since = None
            self._waiting.clear()

    def _hindered(self, error: sqlite3.Error | OSError) -> None:
        now = time.monotonic()
        if self._hindered_since is None:
            self._hindered_since = now
        if is_busy(error) and now - self._hindered_since < LONGEST:
            self._later(AGAIN)
            return
        self._off = True
        self._waiting.clear()
        problem = trouble(error, self._folder / FILE, warning=True)
        kept = "is not kept" if self._number is None else "is kept only up to here"
        self._warn(replace(problem, what=f"{problem.what}: this run {kept}"))

    def _put(self, events: Iterable[Happening]) -> None:
        """What happened as rows: the events themselves, and what they change of the run and its nodes."""
        rows: list[tuple[Any, ...]] = []
        touched: dict[str, None] = {}
        edges: list[tuple[Any, ...]] = []
        names: list[str] = []

        def keep(text: str) -> str:
            names.append(self._texts.keep(text))
            return names[-1]

        at = 0.0
        for event in events:
            at = event.at
            self._make_way(event, keep)
            rows.append((self._number, event.seq, getattr(event, "node", ""), lifted(record_of(event), keep)))
            if isinstance(event, Submitted | Started | Answered | Failed | Skipped | Cancelled):
                touched[event.node] = None
            if isinstance(event, Submitted):
                edges += [(self._number, event.node, source) for source in event.depends_on]
        execute = self._connection.executemany
        execute(_EVENT, rows)
        execute(_NODE, [self._node(each) for each in touched])
        if edges:
            execute(_EDGE, edges)
        if names:
            execute(_TEXT, [(self._number, name) for name in names])
        self._sum_up(at)

    def _make_way(self, event: Happening, keep: Callable[[str], str]) -> None:
        """Write what an event changes besides the rows of its node."""
        match event:
            case RunStarted() if self._number is None:
                self._number = self._begun(event, keep)
            case Resumed():
                self._connection.execute(_CUT, (event.at, self._number))
            case Submitted() if self._again:
                self._connection.execute(_ANEW, (self._number, event.node))
            case Produced() if event.sha256:
                self._texts.settle(event.sha256)
                artifact = (event.node, event.name, event.media_type, event.size, event.sha256)
                self._connection.execute(_ARTIFACT, (self._number, *artifact))
            case _:
                pass

    def _begun(self, event: RunStarted, keep: Callable[[str], str]) -> int | None:
        head = without_secrets(event.input[: 4 * HEAD], LONG)[:HEAD]
        spec = None if self._spec is None else lifted(record_of_spec(self._spec), keep)
        values = (event.run, event.ensemble, event.at, event.at, head, self._owner, spec)
        return self._connection.execute(_RUN, values).lastrowid

    def _node(self, node_id: str) -> tuple[Any, ...]:
        node, (parent, number) = self._run.nodes[node_id], self._places[node_id]
        cause = node.cause[:HEAD]
        spent = (node.cost, node.usage.total)
        known = (
            node.body,
            node.status,
            cause,
            node.started_at,
            node.ended_at,
            *spent,
            node.model,
            node.expected,
            node.cached,
            node.earlier,
        )
        return (self._number, parent, number, node_id, *known)

    def _sum_up(self, at: float) -> None:
        run = self._run
        counts = (run.cost, run.usage.total, len(self._places), len(self._failed))
        self._connection.execute(_SO_FAR, (run.status, run.cause, at, run.paused, *counts, self._number))
        if run.ended_at is not None:
            self._connection.execute(_CUT, (at, self._number))
            self._connection.execute(_LET_GO, (self._number,))
