"""Replies in a store: what is in the way of keeping them is said once, and costs nothing but calls."""

import asyncio
import sqlite3

import pytest

from llm_orc.domain.message import Reply, Usage
from llm_orc.domain.problem import Problem
from llm_orc.domain.reuse import hashed, key_of
from llm_orc.store.places import FILE
from llm_orc.store.pruned import Bounds, beyond, prune
from llm_orc.store.replies import KeptReplies
from llm_orc.store.runs import Store
from tests.store.conftest import kept, unwarned
from tests.store.test_store import LONG, events

PARTS = hashed({"prompt": "hello", "model": "m"})
KEY = key_of(PARTS)
REPLY = Reply(
    "so", {"a": [1, None]}, structured=True, usage=Usage(1, 2, 3, 4, cache_write=5), cost=0.5, finish="length", model="n", attempts=2
)


def one(store: Store, reply: Reply = REPLY, run_id: str = "r") -> list[Problem]:
    """Keep a reply as a run of its own; what was warned of."""
    warned: list[Problem] = []
    kept(store, events(run_id), run_id)

    async def keep() -> None:
        replies = KeptReplies(store, run_id, "test", warned.append)
        replies.keep(KEY, PARTS, reply, "a")
        assert replies.find(KEY) == reply, "also before it is written"
        await asyncio.sleep(0)
        replies.close()

    asyncio.run(keep())
    return warned


@pytest.mark.parametrize("reply", [REPLY, Reply(""), Reply(LONG, [LONG], structured=True), Reply("\ud800 half a letter")])
def test_a_reply_comes_back_as_it_was(store: Store, reply: Reply) -> None:
    assert one(store, reply) == []
    with Store.open(store.folder) as other:
        found = KeptReplies(other, "s", "test", unwarned)
        assert found.find(KEY) == reply
        assert found.find("no such key") is None
        assert list(found.kept_of("a")) == [PARTS]
        assert list(found.kept_of("b")) == list(KeptReplies(other, "s", "another", unwarned).kept_of("a")) == []


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, float("nan"), object()])
def test_what_json_would_change_is_not_kept(store: Store, value: object) -> None:
    assert one(store, Reply("so", value, structured=True)) == []
    assert KeptReplies(store, "s", "test", unwarned).find(KEY) is None


def test_a_store_that_cannot_be_written_is_said_once(store: Store) -> None:
    warned: list[Problem] = []
    kept(store, events())
    store.connection.execute("PRAGMA query_only = 1")

    async def keep() -> None:
        replies = KeptReplies(store, "r", "test", warned.append)
        for number in range(3):
            replies.keep(f"{number}", PARTS, REPLY, "a")
            await asyncio.sleep(0)
        assert replies.find("0") == REPLY
        replies.close()

    asyncio.run(keep())
    assert [(each.what, each.warning) for each in warned] == [("cannot be written: replies are reused within this run only", True)]


def test_a_store_that_cannot_be_read_is_said_once(store: Store) -> None:
    warned: list[Problem] = []
    store.connection.execute("DROP TABLE replies")
    replies = KeptReplies(store, "r", "test", warned.append)
    assert (replies.find(KEY), replies.find("x"), list(replies.kept_of("a"))) == (None, None, [])
    assert [each.what for each in warned] == ["is broken: replies are reused within this run only"]


def test_who_writes_at_the_same_time_is_waited_for(store: Store) -> None:
    kept(store, events())
    other = sqlite3.connect(store.folder / FILE, isolation_level=None)

    async def keep() -> None:
        replies = KeptReplies(store, "r", "test", unwarned)
        store.connection.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        replies.keep(KEY, PARTS, REPLY, "a")
        await asyncio.sleep(0)
        assert other.execute("SELECT count(*) FROM replies").fetchone() == (0,)
        other.execute("COMMIT")
        replies.close()

    asyncio.run(keep())
    other.close()
    assert KeptReplies(store, "s", "test", unwarned).find(KEY) == REPLY


def test_a_reply_goes_with_the_last_run_that_was_given_it(store: Store) -> None:
    for run_id in ("r", "s"):
        one(store, Reply(LONG), run_id)
    first, second = beyond(store, Bounds(newest=0))
    for run, there in ((first, 1), (second, 0)):
        prune(store, [run])
        for table in ("replies", "reply_texts"):
            assert store.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (there,)
        assert len(list((store.folder / "blobs").iterdir())) == there


def test_a_reply_that_a_run_was_not_kept_for_is_swept_away(store: Store) -> None:
    async def keep() -> None:
        replies = KeptReplies(store, "no such run", "test", unwarned)
        replies.keep(KEY, PARTS, REPLY, "a")
        replies.close()

    asyncio.run(keep())
    assert KeptReplies(store, "s", "test", unwarned).find(KEY) == REPLY
    prune(store, [])
    assert KeptReplies(store, "s", "test", unwarned).find(KEY) is None
