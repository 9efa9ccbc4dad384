"""Nothing loads a large run to show a page of it, and whoever reads no further is left alone."""

import os
import subprocess
import sys

import pytest

from tests.project import Project
from tests.store.large import TEXT, keep

ITEMS, SMALL = 20_000, 200
UNIT = 1 if sys.platform == "darwin" else 1024


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run of 20,000 nodes, which holds 60 MB of texts, and one of 200."""
    here = Project(tmp_path_factory.mktemp("home"), "project", {".llm-orc/config.yaml": ""}, trusted=True)
    keep(here.path / ".llm-orc/store", "large", ITEMS, 1e9)
    keep(here.path / ".llm-orc/store", "small", SMALL, 2e9)
    return here


def peak_of(here: Project, *args: str) -> tuple[float, bytes]:
    """MB that a command takes at most, and what it prints."""
    with here.start(*args, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * UNIT / 1e6, out


@pytest.fixture(scope="module")
def usual(runs: Project) -> float:
    """MB that it takes to show a small run."""
    return peak_of(runs, "runs", "show", "small")[0]


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (["show"], b"20,000/20,000 done, 20 failed"),
        (["show", "--agent", "each", "--offset", "19000"], b"each[19000]"),
        (["show", "--agent", "each[7]"], b"prompt 7 a sentence"),
        (["show", "--status", "failed"], b"each[19000]"),
        (["show", "--events"], b"run_ended"),
        (["graph"], b"+--> last"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_page_of_a_large_run_takes_no_more_than_one_of_a_small_run(runs: Project, usual: float, command: list[str], shows: bytes) -> None:
    name, *flags = command
    peak, shown = peak_of(runs, "runs", name, "large", *flags)
    assert shows in shown
    assert peak - usual < ITEMS * len(TEXT) * 2 / 1e6 / 6, f"{usual} MB, then {peak} MB"


def test_a_page_of_a_large_run_is_short(runs: Project) -> None:
    outcome = runs.run("runs", "show", "large", "--agent", "each", "--limit", "3")
    assert [line.split()[0] for line in outcome.out.splitlines()[-3:]] == ["each[0]", "each[1]", "each[2]"]
    assert outcome.err == "there are more: --limit 6, or --offset to leave some out\n"
    assert len(runs.run("runs", "show", "large").out.splitlines()) == 19


@pytest.mark.parametrize(
    "command", [["show", "--events"], ["export"], ["export", "--output-format", "page"], ["graph", "--output-format", "html"]]
)
def test_who_reads_no_further_is_left_alone(runs: Project, command: list[str]) -> None:
    name, *rest = command
    with runs.start("runs", name, "small", *rest) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
