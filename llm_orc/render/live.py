"""The live view on stderr: what a run is doing, redrawn at most twelve times a second and erased at the end."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self, TextIO

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live as Area

from llm_orc.domain.event import Happening
from llm_orc.domain.run import Run
from llm_orc.render.frame import Frame, View

FRAMES_PER_SECOND = 12
SMALLEST = (40, 6)
"""Columns and rows below which nothing useful can be shown."""


def can_show(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether this is a terminal that can be drawn on."""
    return stream.isatty() and env.get("TERM", "dumb") != "dumb" and all(map(int.__ge__, _size(stream), SMALLEST))


class Live:
    """Hears every event after the run does, and draws the run. Used as `async with`: the area is gone when that ends."""

    def __init__(self, stream: TextIO, run: Run, *, color: bool, clock: Callable[[], float] = time.time) -> None:
        """Draw on `stream`; the clock is that of the events: seconds since 1970."""
        self._stream, self._clock = stream, clock
        self._console = Console(file=stream, force_terminal=True, color_system="standard" if color else None, no_color=not color)
        self._area = Area(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._view = View(run)
        self._drawn = float("-inf")
        self._beat: asyncio.Task[None] | None = None
        self.frames = 0
        """How many were drawn so far."""

    async def __aenter__(self) -> Self:
        self.open()
        self._beat = asyncio.create_task(self._beats())
        return self

    async def __aexit__(self, *_: object) -> None:
        # A beat that ended by itself met a fault in a drawing: asyncio reports it, and it does not cost the result of the run.
        if self._beat and not self._beat.done():
            self._beat.cancel()
            await asyncio.wait((self._beat,))
        self._beat = None
        self.close()

    def open(self) -> None:
        """Take the area; draws nothing yet."""
        with suppress(OSError):
            self._area.start()

    def close(self) -> None:
        """Erase the area and show the cursor again."""
        with suppress(OSError):  # the terminal is gone: nobody is looking
            self._area.update(Group())
            self._area.stop()

    def tell(self, event: Happening) -> None:
        """Remember what happened: constant work, and no drawing."""
        self._view.tell(event)

    def tick(self) -> None:
        """Draw, if the last frame is old enough."""
        now = self._clock()
        if 0 <= now - self._drawn < 1 / FRAMES_PER_SECOND:
            return
        self._drawn = now
        self.frames += 1
        width, height = _size(self._stream)
        self._console.size = ConsoleDimensions(width, height)
        self._area.update(Frame(self._view, now, width, height - 1, plain=self._console.options.ascii_only), refresh=True)

    async def _beats(self) -> None:
        with suppress(OSError):
            while True:
                self.tick()
                await asyncio.sleep(1 / FRAMES_PER_SECOND)


def _size(stream: TextIO) -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        return 80, 24
    return columns or 80, rows or 24
