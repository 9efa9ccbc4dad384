"""A disk that is really full: a small one of our own, which takes a namespace of users."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sqlite3, sys
from pathlib import Path
from llm_orc.store.pages import Sought, listed
from llm_orc.store.pruned import Bounds, beyond, prune
from llm_orc.store.runs import Store
from tests.store.conftest import kept
from tests.store.test_store import events
folder = Path(sys.argv[1])
store = Store.open(folder / "store")
for name in ("one", "two"):
    kept(store, events(name, text="the same, " * 5_000, reply=f"{name}, " * 6_000), name)
with open(folder / "fill", "wb", buffering=0) as fill:
    try:
        while True:
            fill.write(bytes(512))
    except OSError:
        pass
def left():
    return [run.id for run in listed(store, Sought(), 10)[0]], len(list((folder / "store/blobs").iterdir()))
print(left())
try:
    store.connection.execute("UPDATE runs SET ensemble = 'x'")
except sqlite3.OperationalError as error:
    print(error)
prune(store, beyond(store, Bounds(newest=1)))
print(left())
prune(store, beyond(store, Bounds(newest=0)))
print(left())
"""


def test_runs_can_be_forgotten_on_a_disk_that_is_full(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs namespaces of users: sysctl kernel.unprivileged_userns_clone=1")
    inside = 'mount -t tmpfs -o size=900k tmpfs "$1" && exec "$2" -P -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", inside, "sh", tmp_path, sys.executable, CODE],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    assert (done.stdout.splitlines(), done.stderr) == (["(['two', 'one'], 3)", "database or disk is full", "(['two'], 2)", "([], 0)"], "")
