import asyncio
import gc
import io
import os
import pty
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TextIO

import pytest

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Happening,
    Loading,
    Missed,
    Queued,
    Received,
    Retrying,
    Reused,
    RunEnded,
    RunStarted,
    Sent,
    Skipped,
    Started,
    Submitted,
)
from llm_orc.domain.message import Failure, Kind, Reply, Usage
from llm_orc.domain.run import Run, fold
from llm_orc.render.frame import Frame, View
from llm_orc.render.live import FRAMES_PER_SECOND, Live, can_show
from tests.render.runs import answered, begun, numbered
from tests.render.screen import Screen

REFUSED = Failure(Kind.NETWORK, "127.0.0.1:8000 does not answer", "start the server")


@dataclass(slots=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Recording:
    """A true terminal, and everything that is written to it."""

    def __init__(self, columns: int, rows: int) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (rows, columns))
        self._ours, self.stream = ours, os.fdopen(theirs, "w", encoding="utf-8")
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 65536):
                self._chunks.append(chunk)
        except OSError:  # Linux tells the end of a terminal by an error
            return

    def end(self) -> str:
        """All of it, once nobody writes any more."""
        self.stream.close()
        self._reader.join()
        os.close(self._ours)
        return b"".join(self._chunks).decode()


@contextmanager
def terminal(columns: int = 80, rows: int = 24) -> Iterator[Recording]:
    recording = Recording(columns, rows)
    try:
        yield recording
    finally:
        if not recording.stream.closed:
            recording.end()


def thousand() -> Iterator[Happening]:
    """A thousand agents in two phases, 64 at a time, every hundredth failing, and one that reads them all."""
    names = [f"agent-{number}" for number in range(1_000)]
    yield RunStarted("r", "many", (tuple(names), ("last",)), ("last",), "x")
    for name in names:
        yield Submitted(name, "model")
    yield Submitted("last", "model", tuple(names), phase=1)
    for begin in range(0, 1_000, 64):
        batch = names[begin : begin + 64]
        for name in batch:
            yield Queued(name, "requests_per_minute", "api.openai.com")
        for name in batch:
            yield Started(name, "p", "default", "openai", "small")
            yield Sent(name, f"server-{len(name)}.example.com:8000", "default", "openai", "small", 1_000)
        for word in ("one ", "two\n", "three \x1b[2J世界 ") * 3:
            for name in batch:
                yield Delta(name, word)
        for number, name in enumerate(batch, begin):
            if number % 7 == 0:
                yield Received(name, f"server-{len(name)}.example.com:8000", "small", Usage(10, 5), 0.0001, REFUSED)
                yield Retrying(name, REFUSED, 0.5)
            yield Failed(name, REFUSED) if number % 100 == 0 else Answered(name, Reply("done", usage=Usage(10, 5)))
    yield from answered("last", "the end")
    yield RunEnded("the end")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 6)])
def test_a_thousand_agents_stay_within_the_terminal_and_twelve_frames_a_second(columns: int, rows: int) -> None:
    clock, run = Clock(1_000.0), Run()
    with terminal(columns, rows) as recording:
        recording.stream.write("before\r\n")
        live = Live(recording.stream, run, color=True, clock=clock)
        live.open()
        for event in numbered(thousand(), step=0.001):
            fold(run, event)
            live.tell(event)
            clock.now = event.at
            live.tick()
        taken = clock.now - 1_000.0
        frames = live.frames
        live.close()
        recording.stream.write("after\r\n")
        written = recording.end()
    screen = Screen(columns, rows)
    screen.feed(written)
    assert taken > 5
    assert taken * FRAMES_PER_SECOND * 0.9 < frames <= taken * FRAMES_PER_SECOND + 1
    assert len(written) <= (frames + 1) * columns * rows * 4
    assert screen.scrolled == []  # never higher than the terminal
    assert screen.text == "before\nafter"
    assert screen.cursor


@pytest.mark.parametrize("height", [1, 2, 5, 6, 10, 23, 39, 2_000])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_frame_fits(width: int, height: int) -> None:
    run = Run()
    view = View(run)
    for event in numbered(thousand(), step=0.001):
        fold(run, event)
        view.tell(event)
        if event.seq % 500 == 0:
            frame = Frame(view, event.at, width, height)
            assert len(frame.rows()) <= height


def drawn(*events: Happening, width: int = 80, height: int = 24, now: float = 1_010.0) -> str:
    """The last frame."""
    run = Run()
    view = View(run)
    for event in numbered(events):
        fold(run, event)
        view.tell(event)
    frame = Frame(view, now, width, height)
    return "\n".join("".join(segment.text for segment in row).rstrip() for row in frame.rows())


REVIEW = (
    RunStarted("r", "review", (("facts", "lint"), ("security", "style", "per_file"), ("synthesis",)), ("synthesis",), "x"),
    Submitted("facts", "script"),
    Submitted("lint", "command"),
    Submitted("security", "model", ("facts", "lint"), phase=1),
    Submitted("style", "model", ("facts",), phase=1),
    Submitted("per_file", "model", ("facts",), phase=1),
    Submitted("synthesis", "model", ("security", "style", "per_file"), phase=2),
    Started("facts"),
    Answered("facts", Reply("{}")),
    Skipped("lint", "offline"),
    Started("security", "p", "careful", "openai", "large"),
    Started("per_file", items=9),
    Submitted("per_file[0]", "model", parent="per_file"),
    Started("per_file[0]", "p", "fast", "openai", "small"),
    Received("per_file[0]", "", "small", Usage(1_200, 40)),
    Answered("per_file[0]", Reply("ok", usage=Usage(1_200, 40))),
    Started("style", "p", "fast", "openai", "small"),
    Failed("style", REFUSED),
    Delta("security", "Line 12 builds SQL\nfrom a name that was\tgiven.\x1b[2J "),
    Delta("per_file[0]", "late"),
    Delta("security", "That is a way in."),
)


def test_a_small_run_is_drawn_whole() -> None:
    assert drawn(*REVIEW) == (
        "review\n"
        "├─ phase 1\n"
        "│  ├─ ✓ facts             0.5 s                 script\n"
        "│  └─ - lint                                    skipped: offline\n"
        "├─ phase 2\n"
        "│  ├─ ● security          5.0 s     ~17 tokens  large\n"
        "│  ├─ ✗ style             0.5 s                 failed: network: 127.0.0.1:8000 does not answer\n"
        "│  └─ ● per_file          4.5 s   1,240 tokens  1 of 9\n"
        "│     └─ ✓ per_file[0]    0.5 s   1,240 tokens  small\n"
        "└─ phase 3\n"
        "   └─ · synthesis                               after security, per_file\n"
        "\n"
        "security\n"
        "  Line 12 builds SQL\n"
        "  from a name that was    given.␛[2J That is a way in.\n"
        "\n"
        "2 done, 2 running, 1 failed, 1 skipped, 1 pending  1,240 tokens  10.0 s"
    )


def test_a_run_too_high_is_folded() -> None:
    small = drawn(*REVIEW, height=9)
    assert small.count("\n") < 9
    assert "● security" in small
    assert "facts" not in small
    assert "phase 1  1 done, 1 skipped" in small


def test_a_chain_of_a_thousand_phases_fits_too() -> None:
    names = [f"a{number}" for number in range(1_000)]
    chain: tuple[Happening, ...] = (
        RunStarted("r", "chain", tuple((name,) for name in names), (names[-1],), "x"),
        *(Submitted(name, "model", phase=number) for number, name in enumerate(names)),
    )
    for height in (5, 23):
        picture = drawn(*chain, Started("a0"), height=height)
        assert picture.count("\n") < height
        assert "● a0" in picture
        assert "999 more phases" in picture


def test_the_agent_in_focus_keeps_its_place_until_it_ends() -> None:
    both = (*begun("a", "b"), Started("a"), Started("b"), Delta("a", "from a"), Delta("b", "from b"))
    assert "from a" in drawn(*both)
    assert "from b" not in drawn(*both)
    assert "and on" in drawn(*both, Answered("a", Reply("x")), Delta("b", " and on"))


def test_what_waits_and_what_was_cut_off_says_so() -> None:
    picture = drawn(*begun("a", "b"), Queued("a", "api.openai.com"), Started("b"), Cancelled("b"))
    assert "· a                             waits: api.openai.com" in picture
    assert "✗ b" in picture
    assert "1 cancelled, 1 pending" in picture


REFUSED_FOR_NOW = Failure(Kind.RATE_LIMIT, "too many requests", "wait")
BUSY = (
    *begun("a", "b", "c", "d", "e"),
    Started("a", "p", "careful", "openai", "large"),
    Sent("a", "api.openai.com", "careful", "openai", "large"),
    Delta("a", "this does not count " * 20),
    Received("a", "api.openai.com", "large", Usage(100, 20), 0.0031, REFUSED_FOR_NOW),
    Retrying("a", REFUSED_FOR_NOW, 7_180.0),
    Started("b", "p", "local", "ollama", "qwen3:8b"),
    Sent("b", "127.0.0.1:11434", "local", "ollama", "qwen3:8b"),
    Loading("b", "qwen3:8b"),
    *(Queued(name, "requests_per_minute", "api.openai.com") for name in "cd"),
    Queued("e", "127.0.0.1:11434", "127.0.0.1:11434"),
)


def test_waits_servers_and_money_are_shown() -> None:
    assert drawn(*BUSY) == (
        "review\n"
        "├─ ● a       7.0 s     120 tokens  tries again in 1h 59m: rate_limit\n"
        "├─ ● b       5.5 s                 loading qwen3:8b\n"
        "├─ · c                             waits: requests_per_minute\n"
        "├─ · d                             waits: requests_per_minute\n"
        "└─ · e                             waits: 127.0.0.1:11434\n"
        "api.openai.com 0 running, 2 queued (requests_per_minute), peak 1; 127.0.0.1:11434 1 running, 1 queued, peak 1\n"
        "2 running, 3 pending  120 tokens  $0.0031  10.0 s"
    )


def test_what_was_there_already_and_what_changed_is_shown() -> None:
    wide = drawn(
        *begun("facts", "review"),
        Started("facts", "x", "default", "openai-compatible", "small"),
        Reused("facts", Usage(1_000, 200), 0.25, "default", "openai-compatible", "small"),
        Answered("facts", Reply("so it is", cost=0.0)),
        Missed("review", ("prompt", "temperature")),
        Started("review", "y", "default", "openai-compatible", "small"),
        width=120,
    )
    assert "small, cached" in wide
    assert "small, prompt and temperature changed" in wide
    assert "$0  1 cached (1,200 tokens, $0.25 saved)" in wide


def test_money_is_marked_where_it_is_not_all_or_not_exact() -> None:
    unpriced = Received("b", "127.0.0.1:11434", "qwen3:8b", Usage(10, estimated=True))
    assert drawn(*BUSY, unpriced).endswith("~130 tokens  at least ~$0.0031  10.0 s")
    fell_back = (FellBack("a", REFUSED_FOR_NOW, "cheap"), Sent("a", "api.openai.com", "cheap", "openai", "small"), Delta("a", "yes " * 10))
    assert "~130 tokens  small, careful failed\n" in drawn(*BUSY, *fell_back)


def test_thinking_is_shown_until_there_is_text() -> None:
    thinking = (*begun("a"), Started("a"), Delta("a", "let me see", thinking=True))
    assert "let me see" in drawn(*thinking)
    assert "let me see" not in drawn(*thinking, Delta("a", "yes"))


async def test_the_view_beats_by_itself_and_leaves_nothing() -> None:
    run = Run()
    with terminal() as recording:
        async with Live(recording.stream, run, color=False) as live:
            for event in REVIEW:
                event = replace(event, at=1.0)  # noqa: PLW2901
                fold(run, event)
                live.tell(event)
            while not live.frames:  # noqa: ASYNC110 - frames come by themselves
                await asyncio.sleep(0)
        written = recording.end()
    screen = Screen(80, 24)
    screen.feed(written)
    assert "security" in written
    assert (screen.text, screen.cursor, screen.row) == ("", True, 0)
    assert "\x1b[1m" not in written  # no colour was wanted


async def test_a_fault_in_a_drawing_costs_nothing_but_the_view(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def broken() -> float:
        seen.append("asked")
        raise ZeroDivisionError

    with terminal() as recording:
        async with Live(recording.stream, Run(), color=True, clock=broken):
            while not seen:  # noqa: ASYNC110 - the view beats by itself
                await asyncio.sleep(0)
        screen = Screen(80, 24)
        screen.feed(recording.end())
    assert (screen.text, screen.cursor) == ("", True)
    gc.collect()
    assert "ZeroDivisionError" in caplog.text


async def test_a_terminal_that_goes_away_harms_nobody() -> None:
    ours, theirs = pty.openpty()
    os.close(ours)
    with os.fdopen(theirs, "wb", buffering=0) as raw:
        stream = io.TextIOWrapper(raw, write_through=True)
        with pytest.raises(OSError, match="Input/output"):
            stream.write("x")
        async with Live(stream, Run(), color=True) as live:
            live.tell(RunStarted("r", "review", (("a",),), ("a",), "x"))
            for _ in range(3):
                await asyncio.sleep(0)
        stream.detach()


def test_only_a_terminal_that_can_be_drawn_on_is() -> None:
    def able(stream: TextIO, **env: str) -> bool:
        return can_show(stream, env)

    with terminal() as recording, terminal(30, 4) as tiny, open(os.devnull, "w") as null:  # noqa: PTH123
        assert able(recording.stream, TERM="xterm")
        assert not able(recording.stream, TERM="dumb")
        assert not able(recording.stream)
        assert not able(tiny.stream, TERM="xterm")
        assert not able(null, TERM="xterm")
