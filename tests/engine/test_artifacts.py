"""The folder of a program, while the program is us."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from llm_orc.domain.event import Happening, Produced, Warned
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.secret import remember
from llm_orc.engine.artifacts import MOST, VARIABLE, folder_of
from llm_orc.engine.means import Keep


def keep(chunks: Iterable[bytes]) -> str:
    return sha256(b"".join(chunks)).hexdigest()


def full(chunks: Iterable[bytes]) -> str:
    raise ProblemError(Problem(f"the disk is full after {len(b''.join(chunks))} bytes"))


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    for name, data in files.items():
        (folder / name).write_bytes(data)


def left(tmp_path: Path, files: Mapping[str, bytes], keep: Keep | None = keep) -> list[Happening]:
    told: list[Happening] = []

    async def work() -> None:
        async with folder_of("n", {"TMPDIR": str(tmp_path)}, keep, told.append) as env:
            fill(Path(env[VARIABLE]), files)

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []
    return told


def test_each_file_is_told_of_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    told = left(tmp_path, {"b": data, "a.csv": "é".encode() * 40_000})
    assert told == [
        Produced("n", "a.csv", "text/csv", 80_000, sha256("é".encode() * 40_000).hexdigest()),
        Produced("n", "b", "application/octet-stream", 3_000_000, sha256(data).hexdigest()),
    ]


def test_what_cannot_be_kept_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    assert left(tmp_path, {"a": b"xyz"}, full) == [
        Produced("n", "a", "text/plain", 3),
        Warned("n", "left a as artifacts, not kept: the disk is full after 3 bytes"),
    ]


def test_a_file_that_holds_a_key_is_not_kept(tmp_path: Path) -> None:
    key = "k3y-of-somebody-that-is-known"
    remember(key)
    split = b"\xff" * ((1 << 20) - 9) + key.encode() + b"\xff"
    told = left(tmp_path, {"a": f"it is {key}".encode(), "b": split, "c": b"it is secret"})
    assert [event.sha256 != "" for event in told if isinstance(event, Produced)] == [False, False, True]
    assert told[-1] == Warned("n", "left a, b as artifacts, not kept: holds a key")


def test_no_more_than_so_many_files_are_kept(tmp_path: Path) -> None:
    told = left(tmp_path, {f"{number:04}": b"" for number in range(MOST + 6)})
    assert len([event for event in told if isinstance(event, Produced) and event.sha256]) == MOST
    assert told[-1] == Warned("n", "left 1000, 1001, 1002, 1003 and 2 more as artifacts, not kept: more than 1,000 files")


@pytest.mark.parametrize("cuts", [1, 3])
def test_who_is_cut_off_keeps_what_is_there(tmp_path: Path, cuts: int) -> None:
    told: list[Happening] = []

    async def work(there: asyncio.Event) -> None:
        async with folder_of("n", {"TMPDIR": str(tmp_path)}, keep, told.append) as env:
            fill(Path(env[VARIABLE]), {"a": b"x"})
            there.set()
            await asyncio.Event().wait()

    async def cut_off() -> None:
        there = asyncio.Event()
        task = asyncio.create_task(work(there))
        await there.wait()
        for _ in range(cuts):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut_off())
    assert [event.name for event in told if isinstance(event, Produced)] == ["a"]
    assert list(tmp_path.iterdir()) == []
