"""Artifacts in the store: whole, each once, and forgotten with the last run that has them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_orc.domain.event import Happening, Produced, Resumed, RunEnded, RunStarted, Submitted
from llm_orc.domain.kept import KeptArtifact
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.run import Run, fold
from llm_orc.store.artifacts import artifact, artifacts, chunks
from llm_orc.store.journal import Journal
from llm_orc.store.pruned import Bounds, beyond, prune, size_of
from llm_orc.store.runs import Store
from tests.store.conftest import folded, unwarned


class Told:
    """A run that is told by hand."""

    def __init__(self, store: Store, run_id: str, run: Run | None = None) -> None:
        self.run = run or Run()
        self.journal: Journal = store.begin(run_id, self.run, None, unwarned)
        self.tell(Resumed(run_id) if run else RunStarted(run_id, "e", (("a", "b"),), ("b",), "x"))
        for node in "ab":
            self.tell(Submitted(node, "script"))

    def tell(self, event: Happening) -> None:
        object.__setattr__(event, "seq", self.run.last_seq + 1)
        fold(self.run, event)
        self.journal.tell(event)

    def leave(self, node: str, name: str, data: bytes) -> str:
        sha256 = self.journal.keep(iter([data[:3], data[3:]]))
        self.tell(Produced(node, name, "text/plain", len(data), sha256))
        return sha256

    def end(self) -> Run:
        self.tell(RunEnded("done"))
        self.journal.close()
        return self.run


def blobs(store: Store) -> set[str]:
    return {file.name for file in (store.folder / "blobs").iterdir()}


def test_it_is_there_again_byte_for_byte(store: Store) -> None:
    told, data = Told(store, "r"), bytes(range(256))
    names = {told.leave("a", "x", data), told.leave("b", "x", b"other"), told.leave("b", "y", data)}
    run = told.end()
    assert folded(store.events("r")) == run
    assert [(each.node, each.name, each.size) for each in artifacts(store, "r")] == [("a", "x", 256), ("b", "x", 5), ("b", "y", 256)]
    assert artifacts(store, "r", limit=1) == [artifact(store, "r", "x", "a")]
    assert b"".join(chunks(store, artifact(store, "r", "y"))) == data
    assert blobs(store) == names
    assert len(names) == 2
    with pytest.raises(ProblemError, match="several agents have an artifact 'x': a, b"):
        artifact(store, "r", "x")


def test_nothing_is_in_the_store_before_its_event_is_written(store: Store) -> None:
    told = Told(store, "r")
    told.journal.keep([b"never told"])
    assert [name.startswith(f"{os.getpid()}-") for name in blobs(store)] == [True]
    told.end()
    assert blobs(store) == set()


def test_what_cannot_be_read_to_its_end_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError

    told = Told(store, "r")
    with pytest.raises(ZeroDivisionError):
        told.journal.keep(broken())
    assert blobs(store) == set()
    told.end()


def test_many_threads_may_keep_the_same(store: Store) -> None:
    told = Told(store, "r")
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(lambda number: told.journal.keep([b"ab"[number % 2 :][:1] * 10_000]), range(40)))
    for number, name in enumerate(sorted(names)):
        told.tell(Produced("a", str(number), "text/plain", 10_000, name))
    told.end()
    assert blobs(store) == names
    assert len(names) == 2


def test_it_is_forgotten_with_the_last_run_that_has_it(store: Store) -> None:
    for name, data in (("one", b"same" * 999), ("two", b"same" * 999), ("three", b"other")):
        told = Told(store, name)
        told.leave("a", "x", data)
        told.end()
    assert 4_000 < size_of(store, "one") < 5_000
    assert len(blobs(store)) == 2
    for newest, left in ((2, 2), (1, 1), (0, 0)):
        prune(store, beyond(store, Bounds(newest=newest)))
        assert len(blobs(store)) == left
    assert store.connection.execute("SELECT count(*) FROM artifacts").fetchone() == (0,)


def test_what_is_on_its_way_is_left_alone_unless_its_process_is_gone(store: Store) -> None:
    told = Told(store, "r")
    told.journal.keep([b"on its way"])
    (store.folder / "blobs" / "123-0123abcd.89ab").write_bytes(b"of one that was killed")
    with Store.open(store.folder) as other:
        prune(other, [], shrink=False)
    assert [name.startswith(f"{os.getpid()}-") for name in blobs(store)] == [True]
    told.end()


def test_what_is_made_anew_replaces_what_was_there(store: Store) -> None:
    told = Told(store, "r")
    told.leave("a", "x", b"first")
    told.leave("b", "y", b"stays no more")
    before = told.end()
    again = Told(store, "r", before)
    again.leave("a", "x", b"second")
    run = again.end()
    assert [KeptArtifact(each.node, each.name, each.media_type, each.size, each.sha256) for each in run.nodes["a"].artifacts] == artifacts(
        store, "r"
    )
    assert b"".join(chunks(store, artifact(store, "r", "x"))) == b"second"
    assert folded(store.events("r")) == run
