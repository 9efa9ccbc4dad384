"""`configure_logging` sets up our logger and nobody else's; runs are records of it."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_orc
from llm_orc import Ensemble, FunctionAgent, ProblemError, Run
from llm_orc.domain.event import RunStarted

OURS = logging.getLogger("llm_orc")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is of the whole process."""
    before = OURS.level, OURS.propagate, list(OURS.handlers)
    yield
    for each in set(OURS.handlers) - set(before[2]):
        OURS.removeHandler(each)
        each.close()
    OURS.setLevel(before[0])
    OURS.propagate = before[1]


async def shout(prompt: str) -> str:
    await asyncio.sleep(0)
    logging.getLogger("somebody").warning("shouting %s", prompt)
    return prompt.upper()


def shouted(**options: Any) -> Run:
    return llm_orc.run(
        Ensemble(name="loud", agents=(FunctionAgent(name="shout", function=shout, prompt="{{ input }}"),)), "hush", **options
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_file_gets_json_lines_of_the_level(tmp_path: Path) -> None:
    log = llm_orc.configure_logging(level="INFO", file=tmp_path / "log.jsonl")
    run = shouted()
    log.info("done with %s", "it", extra={"run": run.id})
    log.debug("not at this level")
    logged = lines(tmp_path / "log.jsonl")
    assert [record.get("event") for record in logged] == ["run_started", "answered", "run_ended", None]
    assert {record["run"] for record in logged} == {run.id}
    assert logged[-1]["message"] == "done with it"


def test_without_a_file_it_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    llm_orc.configure_logging("debug")
    run = shouted()
    out, err = capsys.readouterr()
    assert out == ""
    assert f"  info  {run.id}  loud begins: 1 agent, an input of 4 bytes\n" in err
    assert f"  debug  {run.id}  shout  begins: a prompt of 4 bytes\n" in err
    assert "HUSH" not in err


def test_only_our_logger_is_touched(tmp_path: Path) -> None:
    def others() -> list[object]:
        known = [logging.getLogger(), *(logging.getLogger(name) for name in logging.Logger.manager.loggerDict if name != "llm_orc")]
        return [(each.name, each.level, each.propagate, each.disabled, list(each.handlers)) for each in known]

    before = others()
    llm_orc.configure_logging("DEBUG", tmp_path / "log")
    assert others() == before


def test_called_again_it_is_set_up_anew(tmp_path: Path) -> None:
    kept = logging.StreamHandler(io.StringIO())
    OURS.addHandler(kept)
    for name in ("one", "two"):
        llm_orc.configure_logging("INFO", tmp_path / name)
    shouted()
    assert (tmp_path / "one").read_text() == ""
    assert len(lines(tmp_path / "two")) == 3
    assert kept in OURS.handlers, "what others have added stays"


def test_a_module_has_a_logger_below_ours(tmp_path: Path) -> None:
    log = llm_orc.configure_logging("INFO", tmp_path / "log", module="shop.reports")
    log.info("begun")
    assert (log.name, llm_orc.configure_logging(module="llm_orc.shop").name) == ("llm_orc.shop.reports", "llm_orc.shop")
    assert [(record["logger"], record["message"]) for record in lines(tmp_path / "log")] == [("llm_orc.shop.reports", "begun")]


def test_who_has_set_up_logging_otherwise_hears_of_runs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "llm_orc"):
        run = shouted()
    records = [record for record in caplog.records if record.name == "llm_orc"]
    assert [record.__dict__["event"] for record in records] == ["run_started", "answered", "run_ended"]
    assert {record.__dict__["run"] for record in records} == {run.id}


def test_a_listener_that_raises_is_logged_with_its_run(tmp_path: Path) -> None:
    def broken(event: object) -> None:
        if isinstance(event, RunStarted):
            raise ZeroDivisionError("it broke")

    llm_orc.configure_logging("ERROR", tmp_path / "log")
    run = shouted(listeners=[broken])
    (record,) = lines(tmp_path / "log")
    assert (record["run"], record["message"]) == (run.id, "a listener failed and is not told anything more")
    assert record["traceback"].endswith("ZeroDivisionError: it broke")


def test_what_is_said_within_a_run_has_its_id(tmp_path: Path) -> None:
    llm_orc.configure_logging("INFO", tmp_path / "log")
    (listener,) = OURS.handlers
    logging.getLogger("somebody").addHandler(listener)
    try:
        run = shouted()
        logging.getLogger("somebody").warning("after it")
    finally:
        logging.getLogger("somebody").removeHandler(listener)
    said = [record for record in lines(tmp_path / "log") if record["logger"] == "somebody"]
    assert [(record["run"], record["message"]) for record in said] == [(run.id, "shouting hush"), (None, "after it")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": "inform"}, "level: 'inform' is no level\nhint: did you mean 'info'?"),
        ({"file": "/nowhere/log"}, "/nowhere/log: the log cannot be written: no such file or directory"),
    ],
)
def test_what_cannot_be_set_up_is_a_problem(settings: dict[str, str], said: str) -> None:
    before = list(OURS.handlers)
    with pytest.raises(ProblemError) as raised:
        llm_orc.configure_logging(**settings)
    assert str(raised.value).startswith(said)
    assert OURS.handlers == before


def test_nothing_is_set_up_and_nothing_is_said_by_itself() -> None:
    code = (
        "import asyncio, llm_orc, logging\n"
        "async def f(prompt): return prompt\n"
        "llm_orc.run(llm_orc.Ensemble(name='e', agents=(llm_orc.FunctionAgent(name='a', function=f),)), 'x')\n"
        "import sys; print('llm_orc.render.log' in sys.modules, logging.getLogger('llm_orc').handlers, logging.getLogger().handlers)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False [] []\n", "")
