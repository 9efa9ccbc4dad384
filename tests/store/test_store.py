"""What happens in a run is written as it happens, and is there again whoever looks."""

import asyncio
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import Answered, Delta, Failed, Happening, Resumed, RunEnded, RunStarted, Started, Submitted
from llm_orc.domain.message import Failure, Kind, Reply
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import Run, fold
from llm_orc.domain.secret import remember
from llm_orc.store.nodes import tree
from llm_orc.store.pages import Sought, kept_run, listed
from llm_orc.store.runs import Store
from tests.engine.runs import Lab
from tests.engine.test_any_graph import Graph, graphs
from tests.store.conftest import folded, kept, unwarned

LONG = "a long text, " * 5_000


def events(run: str = "r", text: str = "input", reply: str = "reply", at: float = 100.0) -> list[Happening]:
    return [
        RunStarted(run, "test", (("a",),), ("a",), text, {"language": "en"}, seq=1, at=at),
        Submitted("a", "model", seq=2, at=at),
        Started("a", text, "p", "lab", "m", seq=3, at=at + 1),
        Delta("a", "re", seq=4, at=at + 1),
        Answered("a", Reply(reply), seq=5, at=at + 2),
        RunEnded(reply, seq=6, at=at + 3),
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(), moment=st.none() | st.integers(0, 30), number=st.integers(0, 2**60))
def test_what_is_kept_is_the_run(store: Store, graph: Graph, moment: int | None, number: int) -> None:
    lab = Lab(seconds=graph.seconds, failing=graph.failing)
    lab.run({"agents": list(graph.agents)}, stop_after=None if moment is None else (moment + 0.5, "interrupt"))
    run_id = f"run-{number}-{os.urandom(4).hex()}"
    run, warnings = kept(store, [RunStarted(run_id, *_rest(lab.events[0]), seq=1), *lab.events[1:]], run_id)

    assert warnings == []
    assert folded(store.events(run_id)) == run
    row = kept_run(store, run_id)
    assert (row.status, row.cause, row.cost, row.tokens, row.agents) == (run.status, run.cause, run.cost, run.usage.total, len(run.nodes))
    assert (row.failed, row.last_at, row.input) == (run.count("failed"), run.ended_at, run.input)
    nodes = tree(store, run_id, limit=100, children=100)
    assert [node.id for node in nodes] == list(run.nodes)
    assert all((node.status, node.ended_at) == (run.nodes[node.id].status, run.nodes[node.id].ended_at) for node in nodes)


def _rest(event: Happening) -> tuple[str, tuple[tuple[str, ...], ...], tuple[str, ...], str]:
    assert isinstance(event, RunStarted)
    return event.ensemble, event.phases, event.leaves, event.input


def test_a_fan_out_is_a_tree(store: Store) -> None:
    lab = Lab(seconds={"each": 1.0}, failing=frozenset({"each[1]"}))
    lab.run({"agents": [{"name": "each", "fan_out": {"items": list(range(30))}}, {"name": "last", "depends_on": ["each"]}]})
    kept(store, lab.events)
    nodes = tree(store, "r", limit=5, children=3)
    assert [(node.id, node.depth) for node in nodes] == [("each", 0), ("each[0]", 1), ("each[1]", 1), ("each[2]", 1), ("last", 0)]
    assert (nodes[0].items, nodes[0].children, nodes[0].ended, nodes[0].failed) == (30, 30, 30, 1)
    assert [node.id for node in tree(store, "r", below="each", limit=2, children=0, offset=7)] == ["each[7]", "each[8]"]


def test_of_one_node_only_what_it_takes_is_read(store: Store) -> None:
    lab = Lab()
    lab.run({"agents": [{"name": "each", "fan_out": {"items": ["x", "y"]}}, {"name": "last", "depends_on": ["each"]}]})
    run, _ = kept(store, lab.events)
    one = folded(store.events_around("r", "each[1]", below=False))
    assert one.nodes["each[1]"] == run.nodes["each[1]"]
    assert set(one.nodes) == {"each", "each[1]"}
    assert folded(store.events_around("r", "each", below=True)).nodes["each"] == run.nodes["each"]


def test_long_texts_are_files_once_each(store: Store) -> None:
    run, _ = kept(store, events(text=LONG, reply=LONG))
    files = list((store.folder / "blobs").iterdir())
    assert [file.read_text() for file in files] == [LONG]
    assert folded(store.events("r")) == run
    rows = store.connection.execute("SELECT sum(length(event)) FROM events").fetchone()[0]
    assert rows < 2_000


def test_a_long_value_is_a_file(store: Store) -> None:
    value = [f"number {number}" for number in range(5_000)]
    reply = Reply(json.dumps(value), value, structured=True)
    run, _ = kept(store, [*events()[:3], Answered("a", reply, seq=4)])
    assert len(list((store.folder / "blobs").iterdir())) == 1, "text and value are the same"
    assert folded(store.events("r")) == run


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_text_that_is_lost_is_a_problem(store: Store, damage: str) -> None:
    kept(store, events(text=LONG))
    (file,) = (store.folder / "blobs").iterdir()
    file.unlink()
    if damage == "cut":
        file.write_text(LONG[:-1])
    with pytest.raises(ProblemError, match="is lost"):
        list(store.events("r"))


def test_only_its_owner_reads_a_store(store: Store) -> None:
    kept(store, events(text=LONG))
    for path in [store.folder, *store.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    Store.open(tmp_path / "store").close()
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_it_is_written_at_the_end_of_the_turn(store: Store) -> None:
    def count() -> int:
        return int(store.connection.execute("SELECT count(*) FROM events").fetchone()[0])

    async def turns() -> list[int]:
        run = Run()
        journal = store.begin("r", run, None, unwarned)
        counts = []
        for event in events()[:5]:
            fold(run, event)
            journal.tell(event)
            counts.append(count())
            if isinstance(event, RunStarted):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        counts.append(count())
        fold(run, events()[5])
        journal.tell(events()[5])
        counts.append(count())
        journal.close()
        return counts

    assert asyncio.run(turns()) == [0, 1, 1, 1, 1, 4, 5]


def test_a_run_is_found_by_its_beginning_its_end_or_as_the_last(store: Store) -> None:
    for number, run_id in enumerate(["20260101-120000-aaaaaa", "20260101-120000-bbbbbb", "20260102-120000-cccccc", "20260102"]):
        kept(store, events(run_id, at=100.0 * (number != 3) + number), run_id)
    assert store.find("20260101-120000-a") == "20260101-120000-aaaaaa"
    assert store.find("bbbbbb") == "20260101-120000-bbbbbb"
    assert store.find("last") == "20260102-120000-cccccc"
    assert store.find("last~1") == "20260101-120000-bbbbbb"
    assert store.find("20260102") == "20260102", "a whole id is no beginning"
    for word, what in (("2026010", "several runs"), ("x", "no run 'x'"), ("%", "no run '%'"), ("2026010_", "no run")):
        with pytest.raises(ProblemError, match=what):
            store.find(word)


def test_the_spec_comes_back(store: Store) -> None:
    spec = {"ensemble": {"name": "test"}, "long": [LONG]}
    journal = store.begin("r", Run(), spec, unwarned)
    journal.tell(events()[0])
    journal.close()
    assert store.spec("r") == spec
    kept(store, events("other"), "other")
    with pytest.raises(ProblemError, match="without what it takes"):
        store.spec("other")


def test_a_run_that_nobody_works_on_is_cancelled(store: Store) -> None:
    run = Run()
    journal = store.begin("r", run, None, unwarned)
    for event in events()[:3]:
        fold(run, event)
        journal.tell(event)
    assert store.alive("r")
    assert kept_run(store, "r").status == "running"
    assert [run.id for run in listed(store, Sought(status="running"), 5)[0]] == ["r"]
    journal.close()
    assert not store.alive("r")
    row = kept_run(store, "r")
    assert (row.status, row.cause) == ("cancelled", "lost")
    assert [node.status for node in tree(store, "r", limit=5, children=5)] == ["cancelled"]
    assert [run.id for run in listed(store, Sought(status="cancelled"), 5)[0]] == ["r"]


def test_a_run_is_gone_on_with_by_one_at_a_time(store: Store) -> None:
    whole = [*events()[:3], Failed("a", Failure(Kind.SERVER, "broke"), seq=5, at=105.0)]
    run = Run()
    journal = store.begin("r", run, {"x": 1}, unwarned)
    for event in whole:
        fold(run, event)
        journal.tell(event)
    with Store.open(store.folder) as other, pytest.raises(ProblemError, match="another process works on the run 'r'"):
        other.begin("r", Run(), None, unwarned)
    journal.close()
    assert kept_run(store, "r").failed == 1
    with Store.open(store.folder) as other:
        again = folded(other.events("r"))
        assert again == run
        journal = other.begin("r", again, None, unwarned)
        assert kept_run(store, "r").status == "running"
        for event in (
            Resumed("r", seq=6, at=110.0),
            Submitted("a", "model", seq=7, at=110.0),
            Started("a", "again", seq=8, at=110.0),
            Answered("a", Reply("done"), seq=9, at=111.0),
            RunEnded("done", seq=10, at=112.0),
        ):
            fold(again, event)
            journal.tell(event)
        journal.close()
    assert folded(store.events("r")) == again
    assert store.spec("r") == {"x": 1}
    row = kept_run(store, "r")
    assert (row.status, row.agents, row.failed, row.last_at) == ("succeeded", 1, 0, 112.0)
    (node,) = tree(store, "r", limit=9, children=9)
    assert (row.seconds, again.seconds) == (7.0, 7.0)  # nobody worked on it from 105 to 110
    assert (node.seconds, again.nodes["a"].seconds) == (5.0, 5.0)


def test_listings_choose(store: Store) -> None:
    for number, (name, reply) in enumerate([("one", "100% of it"), ("two", 'say "hi"\nthere'), ("three", "nothing"), ("four", LONG)]):
        kept(store, events(name, reply=reply, at=100.0 * number), name)

    def ids(limit: int = 10, **sought: object) -> list[str]:
        return [run.id for run in listed(store, Sought(**sought), limit)[0]]  # type: ignore[arg-type]

    assert ids() == ["four", "three", "two", "one"]
    assert listed(store, Sought(), 2)[1] is True
    assert listed(store, Sought(), 4)[1] is False
    assert ids(since=150.0) == ["four", "three"]
    assert ids(ensemble="other") == []
    assert ids(status="succeeded", limit=1) == ["four"]
    assert ids(text="100% OF") == ["one"]
    assert ids(text="0_%") == []
    assert ids(text='"hi"\nthere') == ["two"]
    assert ids(text="a LONG text, a long") == ["four"]
    assert ids(text="nowhere") == []


def test_two_stores_write_at_once(store: Store) -> None:
    with Store.open(store.folder) as other:
        runs = {}
        for name, at in (("one", store), ("two", other)):
            run = Run()
            runs[name] = run, at.begin(name, run, None, unwarned)
        for first, second in zip(events("one"), events("two"), strict=True):
            for name, event in (("one", first), ("two", second)):
                fold(runs[name][0], event)
                runs[name][1].tell(event)
        for _, journal in runs.values():
            journal.close()
        assert folded(store.events("two")) == runs["two"][0]
        assert folded(other.events("one")) == runs["one"][0]


def test_whatever_is_left_of_a_dead_process_is_swept_away(store: Store) -> None:
    left = store.folder / "running" / "4194304-0123abcd"
    left.write_bytes(b"")
    kept(store, events()[:3])
    store.connection.execute("UPDATE runs SET owner = ?", (left.name,))
    assert not store.alive("r")
    assert not left.exists()


@pytest.mark.parametrize("owner", ["../store.db", "", "x"])
def test_an_owner_is_no_path(store: Store, owner: str) -> None:
    kept(store, events()[:3])
    store.connection.execute("UPDATE runs SET owner = ?", (owner,))
    assert not store.alive("r")
    assert (store.folder / "store.db").exists()


def test_the_database_is_sound_when_a_writer_stops_in_the_middle(store: Store) -> None:
    run = Run()
    journal = store.begin("r", run, None, unwarned)
    for event in events()[:2]:
        fold(run, event)
        journal.tell(event)
    reader = sqlite3.connect(store.folder / "store.db")
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader.close()


def test_warnings_are_problems(store: Store) -> None:
    warned: list[Problem] = []
    journal = store.begin("r", Run(), None, warned.append)
    store.connection.execute("DROP TABLE events")
    journal.tell(events()[0])
    journal.tell(events()[1])
    journal.close()
    (problem,) = warned
    assert problem.warning
    assert problem.what == "is broken: this run is not kept"


def test_a_full_disk_ends_the_keeping_and_not_the_run(store: Store) -> None:
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    reply = "not a long text, " * 500
    run, warnings = kept(store, [*events()[:3], *(Answered("a", Reply(reply), seq=seq) for seq in range(4, 20))])
    assert run.nodes["a"].text == reply
    assert [(each.what, each.warning) for each in warnings] == [("the disk is full: this run is kept only up to here", True)]
    assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(list(store.events("r"))) >= 1


def test_who_holds_the_store_for_a_while_delays_nothing(store: Store) -> None:
    async def turns() -> Run:
        run = Run()
        journal = store.begin("r", run, None, unwarned)
        with Store.open(store.folder) as other:
            other.connection.execute("BEGIN IMMEDIATE")
            for event in events()[:5]:
                fold(run, event)
                journal.tell(event)
            await asyncio.sleep(0)
            assert store.connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
            other.connection.execute("COMMIT")
        fold(run, events()[5])
        journal.tell(events()[5])
        journal.close()
        return run

    assert asyncio.run(turns()) == folded(store.events("r"))


def test_secrets_are_not_kept(store: Store) -> None:
    secret = "s3cr3t/" + os.urandom(16).hex()
    remember(secret)
    quoted = f'say "{secret}" and \\{secret}\\'
    value = {"deep": [{secret: quoted}]}
    told = [
        RunStarted("r", "test", (("a",),), ("a",), f"{secret} {LONG}", {"key": secret}, seq=1, at=1.0),
        *events()[1:2],
        Started("a", quoted, seq=3, at=1.0),
        Answered("a", Reply(f"{LONG}{secret}", value, structured=True), seq=4, at=1.0),
        RunEnded(secret, seq=5, at=1.0),
    ]
    run = Run()
    journal = store.begin("r", run, {"input": secret}, unwarned)
    for event in told:
        fold(run, event)
        journal.tell(event)
    journal.close()
    assert [file for file in store.folder.rglob("*") if file.is_file() and secret[:20].encode() in file.read_bytes()] == []
    assert len(list(store.events("r"))) == 5
    assert folded(store.events("r")).nodes["a"].prompt == 'say "[key]" and \\[key]\\'
    assert store.spec("r") == {"input": "[key]"}
