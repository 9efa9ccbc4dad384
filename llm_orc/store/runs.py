"""The store: runs by id."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llm_orc.domain.event import Happening, RunEnded
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.record import event_of
from llm_orc.domain.run import Run
from llm_orc.store.lifted import spec_of_record, whole
from llm_orc.store.places import FILE, Owner, Texts, lives
from llm_orc.store.schema import opened, opened_to_read
from llm_orc.store.trouble import trouble

if TYPE_CHECKING:
    from llm_orc.store.journal import Journal

LAST = "last"
"""Stands for the run that began last, `last~1` for the one before it."""
_BEFORE = re.compile(rf"{LAST}(?:~([0-9]{{1,9}}))?")
SEE = "see: llm-orc runs list"
_LAST = "SELECT number, owner, (SELECT coalesce(max(seq), 0) FROM events WHERE run = number) FROM runs WHERE id = ?"
_SHOWN = 3
_BELOW = "/["
"""What stands between the id of a node and what else is in the ids of those below it."""
_OF = "SELECT seq FROM events INDEXED BY events_by_node WHERE run = :run AND"
_KIND = '{{"event": "{}"%'


class TakenError(ProblemError):
    """A run that cannot be gone on with now, because another process does."""


class Store:
    """An open store; used as `with`, it is closed at the end. It belongs to one thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        """See `open`."""
        self.folder, self.connection = folder, connection
        self.texts = Texts(folder)
        self._owner: Owner | None = None

    @classmethod
    def open(cls, folder: Path, *, make: bool = True) -> Self:
        """Open it, made where it is not there; raises ProblemError where it is broken, newer, somebody else's or cannot be used.

        Without `make` one that is not there is a problem, and one that may not be written is read.
        """
        return cls(folder, opened(folder) if make else opened_to_read(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self.connection.close()
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def begin(self, run_id: str, run: Run, spec: Mapping[str, Any] | None, warn: Callable[[Problem], None]) -> "Journal":
        """The journal of a new run, or of one that is gone on with (its spec stays); raises TakenError where a process works on it.

        `run` is folded by the caller; of a run that is gone on with it has folded `events(run_id)`, and new events have higher numbers.
        `warn` hears of what keeps the store from being written, once.
        """
        from llm_orc.store.journal import Journal  # imports asyncio, which nobody needs who only reads

        with self.asked():
            if self._owner is None:
                self._owner = Owner(self.folder)
            number = self._taken_over(run_id, run, self._owner.name)
        return Journal(self.connection, self.folder, run, self._owner.name, spec, warn, number)

    def _taken_over(self, run_id: str, run: Run, owner: str) -> int | None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            row = self.connection.execute(_LAST, (run_id,)).fetchone()
            if row is None:
                return None
            if lives(self.folder, row[1]):
                raise TakenError(Problem(f"another process works on the run '{run_id}'", hint="wait until it is done, or end it"))
            if row[2] != run.last_seq:
                raise TakenError(Problem(f"the run '{run_id}' has gone on meanwhile", hint="look at it again: llm-orc runs show last"))
            self.connection.execute("UPDATE runs SET owner = ?, status = 'running', cause = '' WHERE number = ?", (owner, row[0]))
            number: int = row[0]
            return number
        finally:
            self.connection.execute("COMMIT")

    def find(self, word: str) -> str:
        """The id of the run that begins with this, or ends with it, or is the `last`; raises ProblemError for none and for several."""
        if not word:
            raise ProblemError(Problem("the run is not named", hint=f"its id, the beginning of one, or {LAST}; {SEE}"))
        with self.asked():
            if before := _BEFORE.fullmatch(word):
                query = "SELECT id FROM runs ORDER BY started_at DESC, number DESC LIMIT 1 OFFSET ?"
                rows = self.connection.execute(query, (int(before[1] or 0),)).fetchall()
            else:
                like = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
                query = "SELECT id FROM runs WHERE id LIKE ? ESCAPE '\\' OR id LIKE ? ESCAPE '\\' ORDER BY id = ? DESC, id DESC LIMIT ?"
                rows = self.connection.execute(query, (f"{like}%", f"%-{like}", word, _SHOWN + 1)).fetchall()
        found = [row[0] for row in rows]
        if not found:
            raise ProblemError(Problem("no run is kept here" if word == LAST else f"no run '{word}'", hint=SEE))
        if len(found) > 1 and found[0] != word:
            several = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            raise ProblemError(Problem(f"several runs begin with '{word}': {several}", hint="write more of its id"))
        return str(found[0])

    def __contains__(self, run_id: str) -> bool:
        with self.asked():
            return self.connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is not None

    def number(self, run_id: str) -> int:
        """Under which its rows stand; raises ProblemError."""
        with self.asked():
            row = self.connection.execute("SELECT number FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise ProblemError(Problem(f"no run '{run_id}'", hint=SEE))
        return int(row[0])

    def alive(self, run_id: str) -> bool:
        """Whether a process works on it."""
        with self.asked():
            row = self.connection.execute("SELECT owner FROM runs WHERE id = ?", (run_id,)).fetchone()
        return row is not None and lives(self.folder, row[0])

    def spec(self, run_id: str) -> Mapping[str, Any]:
        """What it was begun with; raises ProblemError where it was begun without, or a part of it is lost."""
        if (spec := self.kept_spec(run_id)) is None:
            raise ProblemError(Problem(f"the run '{run_id}' was kept without what it takes to go on with it", hint=SEE))
        return spec

    def kept_spec(self, run_id: str) -> Mapping[str, Any] | None:
        """The same; None where it was begun without."""
        with self.asked():
            row = self.connection.execute("SELECT spec FROM runs WHERE number = ?", (self.number(run_id),)).fetchone()
            return None if row[0] is None else spec_of_record(whole(row[0], self.texts.read))

    def events(self, run_id: str, after: int = 0, node: str | None = None) -> Iterator[Happening]:
        """What was told of it, in order, those after a number, or of one node only; `Delta` is never kept. Raises ProblemError."""
        where = "seq > :after" if node is None else f"seq > :after AND seq IN ({_OF} node = :node)"
        return self._events(run_id, where, after=after, node=node)

    def events_around(self, run_id: str, node: str, *, below: bool) -> Iterator[Happening]:
        """What it takes to fold one node: what was told of it, of the run as a whole and, if wanted, of all that is `below` it."""
        above = {f"above{at}": node[:at] for at, letter in enumerate(node) if letter in _BELOW}
        parts = [f"{_OF} node IN ('', :node)", *(f"{_OF} node = :{key}" for key in above)]
        if below:
            parts += (f"{_OF} node >= :node || '{letter}' AND node < :node || '{chr(ord(letter) + 1)}'" for letter in _BELOW)
        others = "".join(f" AND (node <> :{key} OR event LIKE '{_KIND.format('submitted')}')" for key in above)
        return self._events(run_id, f"seq IN ({' UNION ALL '.join(parts)}){others}", node=node, **above)

    def events_below(self, run_id: str, node: str) -> Iterator[tuple[str, tuple[Happening, ...]]]:
        """What was told of each node below one, node by node, sorted by their ids."""
        where = " OR ".join(f"node >= :node || '{letter}' AND node < :node || '{chr(ord(letter) + 1)}'" for letter in _BELOW)
        number = self.number(run_id)
        with self.asked():
            query = f"SELECT node, seq, event FROM events INDEXED BY events_by_node WHERE run = :run AND ({where}) ORDER BY node, seq"  # noqa: S608
            rows = self.connection.execute(query, {"run": number, "node": node})
            for id_, group in groupby(rows, key=itemgetter(0)):
                yield id_, tuple(event_of(whole(row, self.texts.read), seq) for _, seq, row in group)

    def end(self, run_id: str) -> RunEnded | None:
        """How it ended last; None where it goes on. Raises ProblemError."""
        kinds = " OR ".join(f"event LIKE '{_KIND.format(kind)}'" for kind in ("run_ended", "resumed"))
        last = next(self._events(run_id, f"seq IN ({_OF} node = '') AND ({kinds})", order="seq DESC LIMIT 1"), None)
        return last if isinstance(last, RunEnded) else None

    def _events(self, run_id: str, where: str, order: str = "seq", **values: object) -> Iterator[Happening]:
        number = self.number(run_id)
        with self.asked():
            query = f"SELECT seq, event FROM events WHERE run = :run AND {where} ORDER BY {order}"  # noqa: S608 - no word of others
            for seq, row in self.connection.execute(query, {"run": number, **values}):
                yield event_of(whole(row, self.texts.read), seq)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write alone meanwhile: all of it or nothing; raises sqlite3.Error."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # what went wrong says it
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Whatever goes wrong meanwhile is told as a problem."""
        file = self.folder / FILE
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ProblemError(trouble(error, file)) from None
        except (LookupError, TypeError, ValueError):
            hint = "move the folder away, and a new store is made"
            raise ProblemError(Problem("holds what no llm-orc has written", Place(str(file)), hint)) from None
