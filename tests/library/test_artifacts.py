"""What every storage of artifacts does, be it a folder or a database; and what a run has left."""

import asyncio
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import llm_orc
from llm_orc import CommandAgent, Ensemble, FunctionAgent, ProblemError
from llm_orc.library.artifacts import Artifact, ArtifactStorage, DatabaseArtifactStorage, FileSystemArtifactStorage, artifacts_of
from llm_orc.library.unknown import UnknownError

KINDS: dict[str, Callable[[Path], ArtifactStorage]] = {
    "folder": lambda path: FileSystemArtifactStorage(path / "artifacts"),
    "database": lambda path: DatabaseArtifactStorage(path / "artifacts.db"),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ESCAPING = ["../a", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\0b", "a\n", "a b", "~", "-rf", "é", "a" * 201, "C:x", "a\\b"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[Path], ArtifactStorage]:
    return KINDS[request.param]


@pytest.fixture
def storage(kind: Callable[[Path], ArtifactStorage], tmp_path: Path) -> ArtifactStorage:
    return kind(tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.text() | st.binary() | JSON.filter(lambda value: value is not None),
    name=st.text(),
    more=st.dictionaries(st.text(), JSON, max_size=2),
)
def test_what_was_saved_is_loaded(storage: ArtifactStorage, data: Any, name: str, more: dict[str, Any]) -> None:
    artifact = Artifact(name=name, data=data, metadata=more)
    assert storage.save(artifact) == artifact.id
    loaded = storage.load(artifact.id)
    assert loaded == artifact
    assert type(loaded.data) is type(data)
    storage.delete(artifact.id)


@pytest.mark.parametrize(
    ("name", "data", "content_type"),
    [
        ("a", "text", "text/plain"),
        ("a.md", "# text", "text/markdown"),
        ("a", {"k": [1]}, "application/json"),
        ("a.json", b"{}", "application/json"),
        ("a", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("a.zip", b"PK\3\4\0\xff", "application/zip"),
        ("a", b"\0\xff", "application/octet-stream"),
    ],
)
def test_it_says_what_it_is(name: str, data: Any, content_type: str) -> None:
    assert Artifact(name=name, data=data).content_type == content_type
    assert Artifact(name=name, data=data, content_type="x/y").content_type == "x/y"


async def test_sync_and_async_are_the_same_on_disk(
    storage: ArtifactStorage, kind: Callable[[Path], ArtifactStorage], tmp_path: Path
) -> None:
    artifact = Artifact(id="One", name="a", data=b"\0\xff", metadata={"k": 1})
    await storage.save_async(artifact)
    assert kind(tmp_path).load("One") == artifact
    storage.save(artifact)
    assert await storage.load_async("One") == artifact
    assert await storage.list_async() == storage.list() == [artifact]
    await storage.delete_async("One")
    assert storage.list() == []


def test_one_that_is_not_there_is_raised(storage: ArtifactStorage) -> None:
    storage.save(Artifact(id="report", data="x"))
    for wanted in (storage.load, storage.delete):
        with pytest.raises(UnknownError) as raised:
            wanted("reprot")
        assert str(raised.value) == "no artifact 'reprot'\nhint: did you mean 'report'?"
        with pytest.raises(KeyError):
            wanted("nobody")


@pytest.mark.parametrize("wrong", ESCAPING)
def test_no_id_leads_out(storage: ArtifactStorage, tmp_path: Path, wrong: str) -> None:
    FileSystemArtifactStorage(tmp_path).save(Artifact(id="a", data="outside"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValidationError, match="an id is made of letters"):
        Artifact(id=wrong)
    for wanted in (storage.load, storage.delete):
        with pytest.raises(UnknownError):
            wanted(wrong)
    assert sorted(tmp_path.iterdir()) == before


def test_ids_that_some_file_systems_take_for_one_are_two(storage: ArtifactStorage, tmp_path: Path) -> None:
    for id_ in ("a", "A", "aB", "Ab", "a.artifact"):
        storage.save(Artifact(id=id_, data=id_))
    assert {each.data for each in storage.list()} == {"a", "A", "aB", "Ab", "a.artifact"}
    names = [file.name.lower() for file in tmp_path.rglob("*.artifact")]
    assert len(names) == len(set(names))


def test_the_last_to_save_wins_whole(storage: ArtifactStorage) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: storage.save(Artifact(id="one", data=bytes([number]) * 100_000)), range(24)))
        list(threads.map(lambda number: storage.save(Artifact(data=number)), range(24)))
    one = storage.load("one").data
    assert len(one) == 100_000
    assert len(set(one)) == 1
    assert sorted(each.data for each in storage.list({"content_type": "application/json"})) == list(range(24))


def test_several_processes_save_at_once(storage: ArtifactStorage, tmp_path: Path) -> None:
    where = tmp_path / ("artifacts" if isinstance(storage, FileSystemArtifactStorage) else "artifacts.db")
    made = f"s = {type(storage).__name__}({str(where)!r})"
    code = f"from llm_orc.library.artifacts import *\n{made}\n[s.save(Artifact(data='x')) for _ in range(20)]"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert len(storage.list()) == 60


def test_a_listing_can_be_narrowed(storage: ArtifactStorage) -> None:
    began = datetime(2026, 1, 31, tzinfo=UTC)
    for number, name in enumerate(["b.png", "a.txt", "c.txt"]):
        data = b"\x89PNG\r\n\x1a\n" if name.endswith("png") else name
        storage.save(
            Artifact(id=name[0], name=name, data=data, timestamp=began - timedelta(hours=number), metadata={"run": number % 2, "k": "v"})
        )

    def names(wanted: dict[str, Any] | None = None) -> str:
        return "".join(each.id for each in storage.list(wanted))

    assert names() == "cab"
    assert names({"name": "a.txt"}) == "a"
    assert names({"content_type": "text/plain"}) == "ca"
    assert names({"content_type": "image/*"}) == "b"
    assert names({"metadata": {"run": 0}}) == "cb"
    assert names({"metadata": {"run": 0, "k": "v"}, "content_type": "text/*"}) == "c"
    assert names({"metadata": {"none": 1}}) == ""
    assert names({"timestamp": began}) == "b"
    with pytest.raises(ProblemError) as raised:
        storage.list({"contenttype": "x"})
    assert str(raised.value) == "no field 'contenttype' to filter by\nhint: did you mean 'content_type'?"


def test_the_bytes_of_a_file_are_saved(storage: ArtifactStorage, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0\xff\n")
    storage.save(Artifact(id="a", path=tmp_path / "a.bin"))  # type: ignore[arg-type]
    (tmp_path / "a.bin").unlink()
    loaded = storage.load("a")
    assert (loaded.data, loaded.content_type, loaded.path) == (b"\0\xff\n", "application/octet-stream", str(tmp_path / "a.bin"))
    with pytest.raises(ProblemError, match=r"a\.bin"):
        storage.save(Artifact(path=str(tmp_path / "a.bin")))


@pytest.mark.parametrize("data", [{1: "a"}, (1, 2), float("nan"), {"a": object()}, object(), [{1, 2}], datetime.now(UTC)])
def test_what_json_cannot_say_is_refused_and_nothing_is_changed(storage: ArtifactStorage, data: Any) -> None:
    storage.save(Artifact(id="a", data="before"))
    for wrong in (Artifact(id="a", data=data, content_type="x/y"), Artifact(id="a", data="after", metadata={"k": data})):
        with pytest.raises(ProblemError, match="holds what JSON cannot say"):
            storage.save(wrong)
    assert storage.load("a").data == "before"


def test_times_are_the_same_moment(storage: ArtifactStorage) -> None:
    at = datetime(2026, 1, 31, 12, 0, 0, 123456, timezone(timedelta(hours=5)))
    storage.save(Artifact(id="a", data="x", timestamp=at))
    assert storage.load("a").timestamp == at
    with pytest.raises(ValidationError):
        Artifact(timestamp=datetime(2026, 1, 31))  # noqa: DTZ001 - what is wrong with it


def broken(storage: ArtifactStorage, tmp_path: Path, head: bytes, body: bytes) -> None:
    """Something that somebody else has put there under the id `b`."""
    if isinstance(storage, FileSystemArtifactStorage):
        (tmp_path / "artifacts/b.artifact").write_bytes(head + b"\n" + body)
        return
    connection = sqlite3.connect(tmp_path / "artifacts.db")
    with connection:
        connection.execute("INSERT INTO things VALUES ('b', ?, ?)", (head.decode(errors="replace"), body))
    connection.close()


HEADS: dict[str, bytes] = {
    "nothing": b"",
    "a pickle": pickle.dumps({"id": "b"}),
    "a list": b"[1]",
    "no kind": b'{"id": "b", "version": 1}',
    "another kind": b'{"id": "b", "version": 1, "kind": "pickle"}',
    "another field": b'{"id": "b", "version": 1, "kind": "text", "more": 1}',
    "no UTF-8": b'{"id": "b", "version": 1, "kind": "text"}',
    "a newer one": b'{"id": "b", "version": 2, "kind": "text"}',
}


@pytest.mark.parametrize("what", HEADS)
def test_what_is_none_is_told_and_does_not_hide_the_others(
    storage: ArtifactStorage, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage.save(Artifact(id="a", data="x"))
    broken(storage, tmp_path, HEADS[what], b"\xff")
    said = "was written by a newer llm-orc" if "newer" in what else "is no artifact that was saved"
    with pytest.raises(ProblemError, match=said):
        storage.load("b")
    assert [each.id for each in storage.list()] == ["a"]
    assert said in caplog.text
    storage.delete("b")
    assert [each.id for each in storage.list()] == ["a"]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "from llm_orc.library.artifacts import *\n"
        f"s = FileSystemArtifactStorage({str(tmp_path)!r})\n"
        "s.save(Artifact(id='a', data='before'))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: s.save(Artifact(id='a', data=bytes(5000)))\n"
        "except ProblemError as error: print(error)\n"
    ).replace("except ProblemError", "except Exception")
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # whose own file would be too large, too
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.stdout, done.stderr) == (f"{tmp_path}/a.artifact: cannot be read or written\n", "")
    assert FileSystemArtifactStorage(tmp_path).load("a").data == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.artifact"]


def test_only_their_owner_reads_them(storage: ArtifactStorage, tmp_path: Path) -> None:
    storage.save(Artifact(id="a", data="x"))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


@pytest.mark.parametrize("made", KINDS.values())
def test_a_place_that_is_none_is_a_problem(tmp_path: Path, made: Callable[[Path], ArtifactStorage]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProblemError, match="file"):
        made(tmp_path / "file")


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    DatabaseArtifactStorage(tmp_path / "a.db")
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(ProblemError, match="was written by a newer llm-orc"):
        DatabaseArtifactStorage(tmp_path / "a.db")


def test_without_a_path_the_database_is_where_runs_are_kept(tmp_path: Path) -> None:
    code = (
        "from llm_orc.library import Artifact, DatabaseArtifactStorage\n"
        "s = DatabaseArtifactStorage()\ns.save(Artifact(id='a', data={'k': 1}))\nprint(s.path, s.load('a').data)\n"
    )
    (tmp_path / "here/.llm-orc").mkdir(parents=True)
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "here", env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{tmp_path}/here/.llm-orc/store/artifacts.db {{'k': 1}}\n", "")


def test_bytes_of_a_function_are_an_artifact(tmp_path: Path) -> None:
    async def draws(prompt: str) -> bytes:
        await asyncio.sleep(0)
        return b"\x89PNG\r\n\x1a\n" + prompt.encode()

    ensemble = Ensemble(name="e", agents=(FunctionAgent(name="drawing", function=draws, prompt="{{ input }}"),))
    run = llm_orc.run(ensemble, "a house", store=tmp_path / "store")
    (drawing,) = artifacts_of(run, tmp_path / "store")
    assert run.result == "drawing.png"
    assert (drawing.name, drawing.content_type, drawing.data) == ("drawing.png", "image/png", b"\x89PNG\r\n\x1a\na house")
    unkept = llm_orc.run(ensemble, "a house")
    assert [(each.name, each.sha256) for each in unkept.nodes["drawing"].artifacts] == [("drawing.png", "")]
    assert unkept.warnings == [("drawing", "left drawing.png as artifacts, not kept: nothing of this run is kept")]


def test_what_a_run_left_can_be_saved_elsewhere(tmp_path: Path) -> None:
    command = ("sh", "-c", "printf '\\377\\0' > $LLM_ORC_ARTIFACTS/a.bin; cat > $LLM_ORC_ARTIFACTS/said.txt")
    run = llm_orc.run(Ensemble(name="e", agents=(CommandAgent(name="makes", command=command),)), "hello", store=tmp_path / "store")
    raw, text = artifacts_of(run, tmp_path / "store")
    assert (raw.name, raw.data, text.name, text.data, text.content_type) == ("a.bin", b"\xff\0", "said.txt", b"hello", "text/plain")
    assert (raw.metadata["run"], raw.metadata["node"]) == (run.id, "makes")
    assert abs(raw.timestamp.timestamp() - run.started_at) < 600
    storage = FileSystemArtifactStorage(tmp_path / "mine")
    asyncio.run(storage.save_async(raw))
    assert storage.list({"metadata": {"run": run.id}}) == [raw]
    assert json.loads((tmp_path / f"mine/{raw.id}.artifact").read_bytes().split(b"\n")[0])["name"] == "a.bin"
