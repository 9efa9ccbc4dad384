"""Processes that write at once, and processes that are killed."""

import json
import random
import sqlite3

import pytest

from tests.project import NewProject, Project

CHAIN = 12
LINES = "\n".join(
    f"  - {{name: a{number}, command: [sh, -c, 'sleep 0.03; echo done {number} >> done.txt; echo said {number}'], "
    f"depends_on: [{f'a{number - 1}' if number else ''}]}}"
    for number in range(CHAIN)
)


@pytest.fixture
def here(project: NewProject) -> Project:
    echo = "agents: [{name: echo, command: [cat]}]\n"
    files = {".llm-orc/ensembles/chain.yaml": f"agents:\n{LINES}\n", ".llm-orc/ensembles/echo.yaml": echo}
    return project(files, trusted=True)


def rows(here: Project, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(here.path / ".llm-orc/store/store.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_several_processes_write_at_once(here: Project) -> None:
    started = [here.start("invoke", "chain" if number % 2 else "echo", str(number)) for number in range(8)]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert b"warning" not in err
    assert rows(here, "PRAGMA integrity_check") == [("ok",)]
    assert rows(here, "SELECT status, count(*) FROM runs GROUP BY status") == [("succeeded", 8)]
    assert rows(here, "SELECT count(*) FROM nodes WHERE status = 'succeeded'") == [(4 * CHAIN + 4,)]
    assert list((here.path / ".llm-orc/store/running").iterdir()) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_is_killed_leaves_what_was_done(here: Project, seed: int) -> None:
    done = here.path / "done.txt"
    moment = random.Random(seed).randrange(1, CHAIN)
    process = here.start("invoke", "chain", "go")
    while not (done.exists() and len(done.read_text().splitlines()) >= moment):
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)

    finished = len(done.read_text().splitlines())
    assert rows(here, "PRAGMA integrity_check") == [("ok",)]
    run = json.loads(here.run("runs", "list", "--json").out)[0]
    assert (run["status"], run["cause"]) == ("cancelled", "lost")
    answered = here.run("runs", "show", "last", "--events").out.count("  answered  ")
    assert finished - 1 <= answered <= finished
    shown = here.run("runs", "show", "last", "--json")
    statuses = [agent["status"] for agent in json.loads(shown.out)["agents"]]
    if statuses or answered:  # killed in its very first moment, a run is known by its name only
        assert statuses == ["succeeded"] * answered + ["cancelled"] * (CHAIN - answered)
    assert not list((here.path / ".llm-orc/store/running").iterdir()), "swept away by whoever looked"
