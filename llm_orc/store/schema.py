"""The tables, made by migrations that are only ever added to; and how the file is opened."""

import fcntl
import os
import sqlite3
from pathlib import Path

from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.store.places import FILE, made
from llm_orc.store.trouble import trouble

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ensemble TEXT NOT NULL, status TEXT NOT NULL, cause TEXT NOT NULL,
        started_at REAL NOT NULL, last_at REAL NOT NULL, cost REAL, tokens INTEGER NOT NULL, agents INTEGER NOT NULL,
        failed INTEGER NOT NULL, input TEXT NOT NULL, owner TEXT, pinned INTEGER NOT NULL DEFAULT 0, spec TEXT);
    CREATE INDEX runs_by_start ON runs (started_at);
    CREATE INDEX runs_at_work ON runs (owner) WHERE owner IS NOT NULL;
    CREATE TABLE nodes (
        run INTEGER NOT NULL, parent TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, status TEXT NOT NULL,
        cause TEXT NOT NULL, started_at REAL, ended_at REAL, cost REAL, tokens INTEGER NOT NULL, model TEXT NOT NULL,
        PRIMARY KEY (run, parent, number)) WITHOUT ROWID;
    CREATE TABLE edges (
        run INTEGER NOT NULL, target TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
        PRIMARY KEY (run, target, source, kind)) WITHOUT ROWID;
    CREATE TABLE events (
        run INTEGER NOT NULL, seq INTEGER NOT NULL, node TEXT NOT NULL, event TEXT NOT NULL,
        PRIMARY KEY (run, seq)) WITHOUT ROWID;
    CREATE TABLE texts (run INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;
    """,
    """
    ALTER TABLE nodes ADD COLUMN items INTEGER;
    CREATE INDEX events_by_node ON events (run, node);
    """,
    """
    CREATE TABLE artifacts (
        run INTEGER NOT NULL, node TEXT NOT NULL, name TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY (run, node, name)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE replies (key TEXT PRIMARY KEY, kept_at REAL NOT NULL, parts TEXT NOT NULL, reply TEXT NOT NULL);
    CREATE TABLE uses (node TEXT NOT NULL, run INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (node, run, key)) WITHOUT ROWID;
    CREATE INDEX uses_by_run ON uses (run);
    CREATE INDEX uses_by_key ON uses (key);
    CREATE TABLE reply_texts (key TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (key, name)) WITHOUT ROWID;
    ALTER TABLE nodes ADD COLUMN cached INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE runs ADD COLUMN paused REAL NOT NULL DEFAULT 0;
    ALTER TABLE nodes ADD COLUMN earlier REAL NOT NULL DEFAULT 0;
    """,
)
"""What each version adds to the one before it."""
VERSION = len(MIGRATIONS)
PATIENCE = 5.0
"""Seconds that who opens it waits for another process."""


class _Lasting(sqlite3.Connection):
    """Closed, it leaves what was written in the log beside the file: writing it through takes 15 ms, and is done at every 1,000th page.

    SQLite does it for the last connection that is closed, unless that one may only read.
    """

    last: sqlite3.Connection | None = None

    def close(self) -> None:
        super().close()
        if self.last is not None:
            self.last.close()


def opened(folder: Path) -> sqlite3.Connection:
    """The store in a folder, to be written; raises ProblemError."""
    file = folder / FILE
    try:
        made(folder)
        connection = sqlite3.connect(file, timeout=PATIENCE, isolation_level=None, factory=_Lasting)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA trusted_schema = OFF")  # it may have come with somebody's repository
            if _version(connection, file) < VERSION:
                _migrate(connection, folder)
            connection.last = _readable(file, "mode=ro")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise ProblemError(trouble(error, file)) from None
    return connection


def opened_to_read(folder: Path) -> sqlite3.Connection:
    """The store in a folder that may not be written; raises ProblemError, also where there is none."""
    file = folder / FILE
    try:
        if not file.exists():
            raise ProblemError(Problem("no run is kept here", Place(str(folder)), "run something: llm-orc invoke ENSEMBLE"))
        if os.access(folder, os.W_OK):
            return opened(folder)
        try:
            return _readable(file, "mode=ro")
        except sqlite3.OperationalError:  # what other processes have not written through to it cannot be seen then
            return _readable(file, "mode=ro&immutable=1")
    except (sqlite3.Error, OSError) as error:
        raise ProblemError(trouble(error, file)) from None


def _readable(file: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, timeout=PATIENCE, isolation_level=None)
    if _version(connection, file) < VERSION:
        connection.close()
        raise ProblemError(
            Problem("was written by an earlier llm-orc", Place(str(file)), "make it writable: it is brought up to date then")
        )
    return connection


def _version(connection: sqlite3.Connection, file: Path) -> int:
    """Which migrations it has seen; raises ProblemError for those that we do not know."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        connection.close()
        raise ProblemError(Problem("was written by a newer llm-orc", Place(str(file)), "update this one, or keep runs elsewhere"))
    return version


def _migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring it up to date, which only one process does at a time."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection.execute("PRAGMA journal_mode = WAL")
        for number in range(_version(connection, folder / FILE), VERSION):
            connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
    finally:
        os.close(lock)
