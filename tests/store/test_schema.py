"""A store of any earlier version is brought up to this one, and each step is taken once."""

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from llm_orc.domain.event import Resumed, RunEnded, Submitted
from llm_orc.domain.problem import Problem
from llm_orc.domain.run import fold
from llm_orc.store.nodes import tree
from llm_orc.store.pages import Sought, listed
from llm_orc.store.runs import Store
from llm_orc.store.schema import MIGRATIONS, VERSION
from tests.store.conftest import folded, kept
from tests.store.test_store import events

TAKEN = ["efff82baf2d7", "7143b33b3816", "7c89b120b3a1", "24447e442539", "161742ee7386"]
"""The steps that are out in the world; what has to change is a step of its own, appended to them and then to this."""
BY_VERSION_1 = """
INSERT INTO runs (id, ensemble, status, cause, started_at, last_at, tokens, agents, failed, input, owner, spec)
    VALUES ('r', 'test', 'running', '', 1.0, 2.0, 0, 1, 0, 'hello', 'gone', '{"value": {"x": 1}}');
INSERT INTO nodes (run, parent, number, id, body, status, cause, started_at, tokens, model)
    VALUES (1, '', 0, 'a', 'model', 'running', '', 2.0, 0, '');
INSERT INTO events VALUES (1, 1, '', '{"event": "run_started", "at": 1.0, "run": "r", "ensemble": "test", "phases": [["a"]],
    "leaves": ["a"], "input": "hello"}');
INSERT INTO events VALUES (1, 2, 'a', '{"event": "submitted", "at": 1.0, "node": "a", "body": "model"}');
INSERT INTO events VALUES (1, 3, 'a', '{"event": "started", "at": 2.0, "node": "a", "prompt": "hello"}');
"""


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


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_what_was_kept_by_an_earlier_version_is_there_and_is_gone_on_with(tmp_path: Path, version: int) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript("".join(MIGRATIONS[:version]) + BY_VERSION_1 + f"PRAGMA user_version = {version};")
    connection.close()
    with Store.open(tmp_path) as store:
        run_id = store.find("last")
        run = folded(store.events(run_id))
        assert (run.id, run.input, run.nodes["a"].status, store.spec(run_id)) == ("r", "hello", "running", {"x": 1})
        assert [(each.id, each.status, each.cause) for each in listed(store, Sought(), 9)[0]] == [("r", "cancelled", "lost")]
        assert [(each.id, each.status) for each in tree(store, run_id, limit=9, children=9)] == [("a", "cancelled")]
        warned: list[Problem] = []
        journal = store.begin(run_id, run, None, warned.append)
        for event in (Resumed("r", seq=4, at=3.0), Submitted("a", "model", seq=5, at=3.0), RunEnded("done", seq=6, at=4.0)):
            fold(run, event)
            journal.tell(event)
        journal.close()
        assert (warned, folded(store.events(run_id))) == ([], run)


def test_a_step_that_somebody_has_taken_is_never_changed() -> None:
    assert [sha256(step.encode()).hexdigest()[:12] for step in MIGRATIONS[: len(TAKEN)]] == TAKEN
