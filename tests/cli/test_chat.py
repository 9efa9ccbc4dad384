"""`llm-orc invoke --chat`: a person at a terminal talks in a run that is kept open."""

import os
import pty
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.talk import Parrot, kept, talkative
from tests.project import NewProject, Project, read

TALK = ("invoke", "chain", "--chat")


@pytest.fixture
def server() -> Any:
    with Parrot() as parrot:
        yield parrot


@pytest.fixture
def here(project: NewProject, server: Parrot) -> Project:
    return talkative(project, server)


class Person:
    """Types into a terminal that is stdin and stderr, and reads there; stdout is a pipe."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process, self.terminal = process, terminal
        self.seen = ""

    def waits_for(self, text: str) -> None:
        """Read until this is there, and forget what came before it."""
        while text not in self.seen:
            piece = read(self.terminal)
            assert piece, f"ended before {text!r}: {self.seen!r}"
            self.seen += piece.decode()
        self.seen = self.seen.partition(text)[2]

    def types(self, text: str) -> None:
        self.waits_for("> ")
        os.write(self.terminal, text.encode())

    def ended(self) -> tuple[str, int]:
        """What was on stdout, and the exit code."""
        out, _ = self.process.communicate(timeout=60)
        while piece := read(self.terminal):
            self.seen += piece.decode()
        return out.decode(), self.process.returncode


@contextmanager
def person(here: Project, *words: str) -> Iterator[Person]:
    ours, theirs = pty.openpty()
    process = here.start(*words, stdin=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Person(process, ours)
    finally:
        os.close(ours)


def statuses(here: Project) -> Sequence[tuple[str, str, tuple[str, ...]]]:
    return [(node.id, node.status, node.depends_on) for node in kept(here).nodes.values()][3:]


def test_a_chat_on_a_terminal(here: Project, server: Parrot) -> None:
    keys = [("Ctrl-D the chat", "and now?\n"), ("re and now?", "and this?\n"), ("re and this?\r\n> ", "\x04")]
    outcome = here.run_pty(*TALK, "hi", keys=keys)
    assert outcome.code == 0
    lines = [line for line in outcome.out.replace("\x1b[?2004h", "").replace("\x1b[?2004l\r", "").splitlines() if not line.startswith("> ")]
    assert lines == ["re sum", "re and now?", "re and this?"]
    assert server.last == [
        ("system", "Be good."),
        ("user", "sum: re look re hi"),
        ("assistant", "re sum"),
        ("user", "and now?"),
        ("assistant", "re and now?"),
        ("user", "and this?"),
    ]
    said = outcome.err.replace("\r", "").splitlines()
    assert [line.split()[0] for line in said[:3]] == ["a", "b", "c"]
    assert "you talk with openai-compatible/m; Ctrl-C ends a reply, Ctrl-D the chat" in said[3]
    assert all("15 tokens  $0.005" in line for line in said[4:6])
    run = kept(here)
    assert said[-1] == f"to go on with it: llm-orc continue {run.id} TEXT"
    assert statuses(here) == [("turn-1", "succeeded", ("c",)), ("turn-2", "succeeded", ("turn-1",))]
    assert (run.status, run.result) == ("succeeded", "re and this?")
    assert here.run("continue", "last", "more").out == "re more\n"


def test_only_replies_are_on_stdout_and_the_first_line_is_the_input(here: Project, server: Parrot) -> None:
    with person(here, *TALK) as she:
        she.types("hi\n")
        she.types("one\n")
        she.types("  \n\x04")
        assert she.ended() == ("re sum\nre one\n", 0)
    assert kept(here).input == "hi"


def test_who_says_nothing_runs_nothing(here: Project, server: Parrot) -> None:
    with person(here, *TALK) as she:
        she.types("\x04")
        assert she.ended() == ("", 0)
    assert server.chats == []


def test_ctrl_c_ends_a_reply_and_not_the_chat(here: Project, server: Parrot) -> None:
    with person(here, *TALK, "hi") as she:
        she.types("wait a moment\n")
        server.gate.wait_for(1)
        she.process.send_signal(signal.SIGINT)
        she.waits_for("cancelled")
        she.types("in short\n")
        she.waits_for("15 tokens")
        she.waits_for("> ")
        she.process.send_signal(signal.SIGINT)
        she.waits_for("Ctrl-D ends the chat")
        she.types("\x04")
        out, code = she.ended()
        assert code == 0
    server.gate.release()
    assert out.splitlines()[-1] == "re in short"
    assert statuses(here) == [("turn-1", "cancelled", ("c",)), ("turn-2", "succeeded", ("c",))]
    assert [text for _, text in server.last] == ["Be good.", "sum: re look re hi", "re sum", "in short"]


def test_a_reply_that_fails_is_told_and_the_chat_goes_on_before_it(here: Project, server: Parrot) -> None:
    with person(here, *TALK, "hi") as she:
        she.types("trouble\n")
        she.waits_for("warning: invalid_request")
        she.types("again\n\x04")
        assert she.ended() == ("re sum\nre again\n", 3)
    assert statuses(here) == [("turn-1", "failed", ("c",)), ("turn-2", "succeeded", ("c",))]
    assert kept(here).status == "partial"


def test_after_several_replies_it_goes_on_from_all_of_them(here: Project, server: Parrot) -> None:
    with person(here, "invoke", "pair", "hi", "--chat") as she:
        she.types("both?\n\x04")
        assert she.ended() == ("## a\n\nre hi\n\n## b\n\nre hi\nre both?\n", 0)
    assert [text for _, text in server.last] == ["You are strict.", "hi", "re hi", "hi", "re hi", "both?"]


def test_where_nothing_was_answered_there_is_nothing_to_talk_of(here: Project) -> None:
    with person(here, *TALK, "trouble") as she:
        she.waits_for("'c' has no reply to go on from")
        assert she.ended() == ("", 1)
        assert "llm-orc continue" not in she.seen


def test_a_terminal_that_is_closed_or_a_process_that_is_ended_leaves_the_run_whole(here: Project) -> None:
    with person(here, *TALK, "hi") as she:
        she.types("one\n")
        she.waits_for("15 tokens")
        she.waits_for("> ")
        she.process.send_signal(signal.SIGTERM)
        assert she.ended() == ("re sum\nre one\n", 143)
    run = kept(here)
    assert (run.status, run.cause, run.result) == ("cancelled", "terminate", "re one")
    assert here.run("continue", "last", "two").out == "re two\n"


def test_a_chat_that_was_killed_is_gone_on_with(here: Project, server: Parrot) -> None:
    with person(here, *TALK, "hi") as she:
        she.types("one\n")
        she.types("wait for it\n")
        server.gate.wait_for(1)
        assert here.run("continue", "last", "too early").code == 2
        she.process.kill()
        she.process.wait(60)
    server.gate.release()
    before = len(server.chats)
    outcome = here.run("runs", "resume", "last")
    assert (outcome.out, outcome.code) == ("re wait for it\n", 0)
    assert len(server.chats) == before + 1
    assert [text for _, text in server.last][-3:] == ["one", "re one", "wait for it"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "error: --chat needs a terminal to type at\nhint: go on with a run from a script: llm-orc continue RUN TEXT\n"),
        (("-o", "x.md", "--fail-on", "x"), "--chat needs a terminal to type at"),
    ],
)
def test_who_cannot_talk(here: Project, server: Parrot, flags: tuple[str, ...], said: str) -> None:
    outcome = here.run(*TALK, "hi", *flags)
    assert (outcome.out, outcome.code, server.chats) == ("", 2, [])
    assert said in outcome.err
    for flag in flags[::2]:
        assert f"error: {flag} does nothing with --chat\nhint: leave one of them out" in outcome.err
