"""Things by their ids in one SQLite file, which any number of threads and processes may use at once."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.store.trouble import trouble

VERSION = 1
PATIENCE = 30.0
"""Seconds that one waits for another."""
_TABLE = "CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, head TEXT NOT NULL, body BLOB NOT NULL)"


class Collection:
    """Each thing is a head, which is small, and a body; opened anew for every call."""

    def __init__(self, file: Path) -> None:
        """Made where it is not there; raises ProblemError."""
        self.file = file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise self._trouble(error) from None
        with self._opened() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise ProblemError(Problem("was written by a newer llm-orc", Place(str(file)), "update this one, or take another file"))
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def put(self, id_: str, head: str, body: bytes) -> None:
        """Add a thing, or replace it; raises ProblemError."""
        with self._opened() as connection:
            connection.execute("INSERT OR REPLACE INTO things (id, head, body) VALUES (?, ?, ?)", (id_, head, body))

    def get(self, id_: str) -> tuple[str, bytes] | None:
        """Its head and its body; None where there is none. Raises ProblemError."""
        with self._opened() as connection:
            row: tuple[str, bytes] | None = connection.execute("SELECT head, body FROM things WHERE id = ?", (id_,)).fetchone()
            return row

    def remove(self, id_: str) -> bool:
        """Whether there was such a thing; raises ProblemError."""
        with self._opened() as connection:
            return connection.execute("DELETE FROM things WHERE id = ?", (id_,)).rowcount == 1

    def heads(self) -> list[tuple[str, str]]:
        """The id and the head of each; raises ProblemError."""
        with self._opened() as connection:
            return connection.execute("SELECT id, head FROM things").fetchall()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def _trouble(self, error: sqlite3.Error | OSError) -> ProblemError:
        return ProblemError(Problem(trouble(error, self.file).what, Place(str(self.file))))
