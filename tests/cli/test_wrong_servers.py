"""Servers that do it wrong: one clear line, the right exit code, and what was answered is still shown."""

import re

import pytest

from tests.project import Project
from tests.servers.faults import FaultServer

NOBODY = "http://127.0.0.1:9/v1"
WHOLE = ["html", "malformed", "wrong-shape", "no-choices", "list", "error-body", "nothing", "empty", "null", "content-filter"]
WIRE = ["reset-before", "closed", "half-header", "not-http", "short-body", "hang", "context-length", "redirect-loop", "redirect-away"]
STREAMED = ["early-end", "cut", "reset-middle", "malformed-event", "error-event", "hang-middle"]


def ask(here: Project, url: str, *flags: str) -> tuple[str, str, int]:
    here.write(".llm-orc/profiles/faulty.yaml", f"provider: openai-compatible\nmodel: m\nbase_url: {url}\n")
    here.write(
        ".llm-orc/ensembles/mixed.yaml",
        """
        agents:
          - name: sound
            command: [cat]
          - name: faulty
            model_profile: faulty
            timeout_seconds: 1
        synthesis: {agent: faulty}
        """,
    )
    return here.run("invoke", "mixed", "hello", *flags)


@pytest.mark.parametrize("fault", [*WHOLE, *WIRE])
def test_one_clear_line(here: Project, faults_server: FaultServer, fault: str) -> None:
    check(*ask(here, faults_server.url(fault)))


def test_a_server_that_is_not_there(here: Project) -> None:
    check(*ask(here, NOBODY))


def check(out: str, err: str, code: int) -> None:
    assert code == 3
    assert "hello" in out
    failures = [line for line in err.splitlines() if line.startswith("failed")]
    assert len(failures) == 1
    assert re.match(r"failed  faulty: [a-z_]+: \S.{5,}$", failures[0])
    assert not re.search(r"Traceback|Exception|Error\(|aiohttp|httpx|object at 0x", err)


@pytest.mark.parametrize("fault", STREAMED)
def test_a_stream_that_breaks_is_said_to_be_cut(here: Project, faults_server: FaultServer, fault: str) -> None:
    out, err, code = ask(here, faults_server.url(fault), "--stream")
    assert code == 3
    assert out.strip()
    assert "the text on stdout is cut: its agent failed while it was streaming\n" in err
    assert "Traceback" not in err
