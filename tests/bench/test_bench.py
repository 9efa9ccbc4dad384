"""The bench's arithmetic, and that it runs; no number that it measures is held against anything here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.floors.sdk_calls import SDKS
from bench.graphs import Call, as_yaml, chain, critical_path, skewed, tangled, wide
from bench.markdown import written
from bench.profiled import profiled, shown, traced
from bench.providers import first_delta
from bench.results import Result, merged, regressions
from bench.samples import BrokenRunError, Command, in_turn, measured, median, printed_facts, run_facts
from bench.workshop import Workshop, workshop


def row(name: str = "version", value: float | None = 1.1, **more: Any) -> dict[str, Any]:
    return Result(name, "llm-orc --version", 1.3, "x", value, **more).as_json()


def test_quick_writes_rows_with_both_raw_samples_and_both_commands(tmp_path: Path) -> None:
    output, page = tmp_path / "results.json", tmp_path / "docs" / "performance.md"
    command = [sys.executable, "-m", "bench", "--quick", "--only", "version", "--output", str(output), "--markdown", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(output.read_text())
    [version] = [row for row in report["rows"] if row["name"] == "version"]
    assert version["command"] == "python -m llm_orc --version"
    assert version["floor_command"] == "python bench/floors/start.py"
    assert [set(sample) for sample in version["ours"] + version["floor"]] == [{"wall", "cpu", "peak_mb", "facts"}] * 2
    assert version["value"] == pytest.approx(version["ours"][0]["wall"] / version["floor"][0]["wall"])
    assert "| llm-orc --version |" in page.read_text()
    assert str(Path.cwd()) not in output.read_text()


def test_a_worse_sample_is_said_and_a_better_one_is_not() -> None:
    before = [row(value=1.1), row("speed-up", 0.97, at_most=False, tolerance=0.05)]
    assert regressions([row(value=1.4)], before) == ["version: 1.4 x, was 1.1 x (tolerance 15%)"]
    assert regressions([row("speed-up", 0.90, at_most=False, tolerance=0.05)], before) == ["speed-up: 0.9 x, was 0.97 x (tolerance 5%)"]
    assert regressions([row(value=None)], before) == ["version: no number any more, was 1.1 x"]
    assert regressions([row(value=1.2), row("speed-up", 1.2, at_most=False), row("new", 9.0)], before) == []


def test_rows_not_measured_stay_and_a_broken_one_replaces_nothing() -> None:
    before = [row("a", 1.0), row("b", 1.0)]
    assert [each["value"] for each in merged([row("b", 2.0), row("c", 3.0)], before)] == [1.0, 2.0, 3.0]
    assert [each["value"] for each in merged([row("b", None)], before)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(1.3, True, "met"), (1.31, True, "MISSED"), (1.3, False, "met"), (1.2, False, "MISSED"), (None, True, "BROKEN")],
)
def test_verdicts(value: float | None, at_most: bool, verdict: str) -> None:  # noqa: FBT001 - a parameter of the test
    assert row(value=value, at_most=at_most)["verdict"] == verdict


def test_the_table_stands_between_its_marks_and_a_miss_has_its_profile() -> None:
    where = {"date": "2026-01-01", "python": "3.11", "system": "Linux", "machine": "x86_64", "cpus": 2, "load": 0.1}
    page = written({"measured": where, "rows": [row()]}, "")
    assert "| llm-orc --version | 1.1 x | <= 1.3 x | met |  |" in page
    page = page.replace("# Performance", "# Speed") + "Kept.\n"
    again = written({"measured": where, "rows": [row(value=2.0, profile=["0.1 s  slow"])]}, page)
    assert again.startswith("# Speed")
    assert again.endswith("Kept.\n")
    assert "MISSED" in again
    assert "0.1 s  slow" in again
    assert "1.1 x" not in again


def test_critical_paths() -> None:
    assert critical_path(wide(100, 3.0)) == 3.0
    assert critical_path(chain(100, 0.05)) == pytest.approx(5.0)
    assert critical_path(skewed(10, 0.1, 2.0)) == pytest.approx(2.9)
    diamond = {"a": Call(1.0), "b": Call(0.1, ("a",)), "c": Call(0.4, ("a",)), "d": Call(0.2, ("b", "c"))}
    assert critical_path(diamond) == pytest.approx(1.6)


def test_a_random_graph_is_the_same_each_time_and_points_back() -> None:
    graph = tangled(50, seed=7)
    assert graph == tangled(50, seed=7)
    names = list(graph)
    assert all(names.index(other) < names.index(name) for name, call in graph.items() for other in call.depends_on)
    assert any(len(call.depends_on) > 1 for call in graph.values())


def test_an_ensemble_as_a_person_would_write_it() -> None:
    assert as_yaml("two", chain(2, 0.1)).splitlines()[-4:] == [
        "  - name: a1",
        "    model_profile: bench",
        '    prompt: "<wait 0.1> You are a1. {{ input }}"',
        "    depends_on: [a0]",
    ]


def test_facts_of_a_run_count_the_children_of_a_fan_out() -> None:
    failed, fine = {"status": "failed"}, {"status": "succeeded"}
    run = {"agents": [fine, {"status": "succeeded", "children": [fine, failed]}], "totals": {"seconds": 1.5}}
    assert run_facts(json.dumps(run).encode()) == {"seconds": 1.5, "succeeded": 2, "agents": 3}


def test_samples_are_taken_in_turn_and_the_first_round_is_thrown_away(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = [Command(("-c", f"open({str(log)!r}, 'a').write({letter!r})"), tmp_path) for letter in "AB"]
    ours, floor = in_turn(commands, 2, tmp_path)
    assert log.read_text() == "ABABAB"
    assert len(ours) == len(floor) == 2
    assert median(ours) > 0
    assert median(ours, "peak_mb") > 1


def test_a_command_that_fails_has_no_number(tmp_path: Path) -> None:
    with pytest.raises(BrokenRunError, match="ended with 1: no such luck"):
        measured(Command(("-c", "raise SystemExit('no such luck')"), tmp_path), tmp_path)


def test_a_profile_names_functions_without_the_folders_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "spun.py").write_text("def spin():\n    return sum(range(10000))\n\nspin()\n")
    (tmp_path / "hoard.py").write_text("hoard = [bytes(1000) for _ in range(100_000)]\n")
    lines = profiled(Command(("-m", "spun"), tmp_path), tmp_path)
    assert any("spun.py:1 spin" in line for line in lines)
    assert not any(str(tmp_path) in line for line in lines)
    held = traced(Command(("-m", "hoard"), tmp_path), tmp_path)
    assert "hoard.py:1" in held[1]
    assert not any(str(tmp_path) in line for line in held)
    assert shown("/x/lib/python3.11/site-packages/typer/core.py", 7, "main") == "typer/core.py:7 main"
    assert shown("/a/b/c/d/e.py", 7, "main") == "c/d/e.py:7 main"
    assert shown("~", 0, "<built-in method __new__ of type object at 0x7f00>") == "<built-in method __new__ of type object>"


def test_a_row_without_a_budget_is_told() -> None:
    told = Result("import-x", "share of x", None, "", 0.25)
    assert (told.verdict, told.shown, told.shown_budget) == ("told", "0.25", "-")
    assert Result("import-x", "share of x", None, "").verdict == "BROKEN"


def test_a_command_may_have_a_pipe_that_is_silent_for_a_while(tmp_path: Path) -> None:
    command = Command(("-c", "import sys; print(len(sys.stdin.read()))"), tmp_path, lambda out: {"read": float(out)}, silent=0.01)
    assert measured(command, tmp_path).facts == {"read": 3.0}
    assert str(command).startswith("(sleep 0.01; echo go) | python -c")


def test_the_first_token_is_told_from_the_start_of_the_run() -> None:
    lines = [{"event": "run_started", "at": 5.0}, {"event": "submitted", "at": 5.0}, {"event": "delta", "at": 6.5}]
    lines += [{"event": "delta", "at": 7.0}, {"event": "answered", "at": 7.0}, {"event": "run_ended", "at": 7.0}]
    out = "\n".join(map(json.dumps, lines)).encode()
    assert first_delta(out) == {"first": 1.5, "succeeded": 1, "agents": 1}


@pytest.mark.parametrize("mode", [[], ["--stream"]])
@pytest.mark.parametrize("sdk", list(SDKS))
def test_the_floor_and_the_provider_get_the_same_reply_of_each_format(sdk: str, mode: list[str], tmp_path: Path) -> None:
    with workshop(quick=True) as at:
        for command in (at.floor("sdk_calls.py", sdk, at.origin, "2", "<words 3 0>", *mode, read=True), provider_calls(at, sdk, *mode)):
            facts = measured(command, tmp_path).facts
            assert (facts["succeeded"], facts["agents"], facts["words"]) == (3, 3, 9)


def provider_calls(at: Workshop, sdk: str, *mode: str) -> Command:
    return Command(("-m", "bench.provider_calls", sdk, at.origin, "2", "<words 3 0>", *mode), read=printed_facts)
