"""A store of any earlier version is brought up to this one, and each step is taken once."""

import sqlite3
from pathlib import Path

import pytest

from llm_orc.store.runs import Store
from llm_orc.store.schema import MIGRATIONS, VERSION
from tests.store.conftest import folded, kept
from tests.store.test_store import events


def shape(file: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("version", range(VERSION + 1))
def test_every_earlier_version_becomes_this_one(tmp_path: Path, version: int) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    connection = sqlite3.connect(old / "store.db")
    connection.executescript("".join(MIGRATIONS[:version]) + f"PRAGMA user_version = {version};")
    connection.close()
    for folder in (old, new):
        with Store.open(folder) as store:
            assert store.connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
            run, warnings = kept(store, events())
            assert warnings == []
            assert folded(store.events("r")) == run
    assert shape(old / "store.db") == shape(new / "store.db")


def test_what_was_kept_by_version_1_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    connection = sqlite3.connect(folder / "store.db")
    connection.executescript(MIGRATIONS[0])
    connection.executescript(
        """
        INSERT INTO runs (id, ensemble, status, cause, started_at, last_at, tokens, agents, failed, input)
            VALUES ('r', 'test', 'succeeded', '', 1.0, 2.0, 0, 0, 0, 'hello');
        INSERT INTO events VALUES (1, 1, '', '{"event": "run_started", "at": 1.0, "run": "r", "ensemble": "test", "phases": [],
            "leaves": [], "input": "hello"}');
        INSERT INTO events VALUES (1, 2, '', '{"event": "run_ended", "at": 2.0, "result": "done"}');
        PRAGMA user_version = 1;
        """
    )
    connection.close()
    with Store.open(folder) as store:
        run = folded(store.events(store.find("last")))
    assert (run.id, run.input, run.result, run.seconds) == ("r", "hello", "done", 1.0)
