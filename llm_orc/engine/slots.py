"""One bound on how many calls go on at once, and how many begin in a minute."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from threading import RLock
from typing import Any

MINUTE = 60.0
_NUMBERS = count()


_LOCK = RLock()
"""Of all slots together: who waits may need several of them at the same moment."""


class Rate:
    """Requests and tokens in any 60 seconds; None is no bound."""

    def __init__(self) -> None:
        self.requests: int | None = None
        self.tokens: int | None = None
        self._log: deque[Sending] = deque()
        self._sum = 0

    def lack(self, now: float, tokens: int) -> tuple[str, float]:
        """What one more of so many tokens has to wait for, and for how many seconds; nothing where it may begin."""
        while self._log and self._log[0].at <= now - MINUTE:
            self._forget(self._log.popleft())
        if self.requests is not None and len(self._log) >= self.requests:
            return "requests_per_minute", self._log[len(self._log) - self.requests].at + MINUTE - now
        if self.tokens is None or self._sum + tokens <= self.tokens:
            return "", 0.0
        rest = self._sum
        for sending in self._log if rest else ():
            rest -= sending.tokens
            if not rest or rest + tokens <= self.tokens:
                return "tokens_per_minute", sending.at + MINUTE - now
        return "", 0.0  # where nothing was taken there is room for one, however large

    def begin(self, now: float, tokens: int) -> "Sending":
        """One is sent."""
        sending = Sending(now, tokens, counted=self.requests is not None or self.tokens is not None)
        if sending.counted:
            self._log.append(sending)
            self._sum += tokens
        return sending

    def correct(self, sending: "Sending", tokens: int) -> None:
        """It took so many tokens, and not as many as was thought."""
        if sending.counted:
            self._sum += tokens - sending.tokens
            sending.tokens = tokens

    def withdraw(self, sending: "Sending") -> None:
        """It was not sent after all."""
        if sending.counted:
            self._log.remove(sending)
            self._forget(sending)

    def _forget(self, sending: "Sending") -> None:
        sending.counted = False
        self._sum -= sending.tokens


@dataclass(slots=True, eq=False)
class Sending:
    """One request within the last minute."""

    at: float
    tokens: int
    counted: bool
    """Whether it is within the minute, and there is a limit that it counts for."""


Within = tuple["Slots", ...]
"""The bounds of the runs that a call belongs to."""
_Line = tuple[str, Within]
"""Calls of one group and one run: when one of them has to wait for something else than its turn, so do those behind it."""


@dataclass(slots=True, eq=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    number: int
    """Who came first has the smaller."""
    tokens: int
    sending: Sending | None = None
    """Set with its turn."""
    timed: bool = False


class Slots:
    """A fair bound: first come, first served, whatever thread they come from.

    A call that is bounded by its run too waits here for both, and holds neither before it has both: it keeps no stranger waiting.
    Where calls are grouped, those of one model go first and no other model runs beside it. Where the server refuses calls for their number,
    no more are let in than it bears.
    """

    def __init__(self, label: str, size: int | None, *, grouped: bool = False) -> None:
        self.label = label
        self.size = size
        self.rate = Rate()
        self._bearable: float | None = None
        """How many at once the server was seen to bear, where it has refused any."""
        self._grouped = grouped
        self.running = 0
        """How many hold a slot."""
        self._group = ""
        self._waiting: dict[_Line, deque[_Waiter]] = {}
        self.lines_at: set[Slots] = {self}
        """Where calls wait that are bounded by these slots."""

    @property
    def idle(self) -> bool:
        """Whether nobody holds a slot or waits for one."""
        return not self.running and not self._waiting

    def lack(self, group: str = "", tokens: int = 0, within: Within = ()) -> str:
        """The limit that one would have to wait for; nothing where it could begin at once."""
        line = self._line(group, within)
        with _LOCK:
            for slots in (self, *within):
                if not slots.has_room():
                    return slots.label if slots.size is not None and slots.running >= slots.size else "rate_limit"
            if not self._open_to(line):
                return self.label
            first = self._first()
            return self.rate.lack(asyncio.get_running_loop().time(), first[1].tokens if first else tokens)[0]

    def resize(self, size: int | None, requests: int | None = None, tokens: int | None = None) -> None:
        """Let more in from now on, or fewer; who is in stays in."""
        with _LOCK:
            self.size, self.rate.requests, self.rate.tokens = size, requests, tokens
            self.serve()

    def refused(self) -> None:
        """The server took one for one too many: what it lets stay with it is what it bears."""
        with _LOCK:
            others = max(self.running - 1, 1)
            self._bearable = others if self._bearable is None else max(1.0, min(self._bearable, others))

    def accepted(self) -> None:
        """The server took one: after as many as are let in, one more may try."""
        with _LOCK:
            if self._bearable is not None:
                self._bearable += 1 / self._bearable
                if self.size is not None and self._bearable >= self.size:
                    self._bearable = None
                self.serve()

    @asynccontextmanager
    async def one(
        self, group: str = "", tokens: int = 0, within: Within = (), on_wait: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[Sending]:
        """Wait for a slot, and one of each bound that it is within, and hold them; the tokens are what the call may take of the minute's.

        `on_wait` hears which limit has to be waited for.
        """
        line, loop = self._line(group, within), asyncio.get_running_loop()
        with _LOCK:
            limit = self.lack(group, tokens, within)
            waiter = _Waiter(loop, loop.create_future(), next(_NUMBERS), tokens)
            self._waiting.setdefault(line, deque()).append(waiter)
            for slots in within:
                slots.lines_at.add(self)
            self.serve()
        try:
            if waiter.sending is None:
                on_wait(limit)
            await waiter.turn
        except BaseException:
            self._give_up(waiter, line)
            raise
        if waiter.sending is None:
            raise RuntimeError("a turn without a slot")
        try:
            yield waiter.sending
        finally:
            self._end(within)

    def _line(self, group: str, within: Within) -> _Line:
        return group if self._grouped else "", within

    def has_room(self) -> bool:
        """Whether one more may hold one of these slots."""
        bearable = self._bearable is None or self.running < max(1, int(self._bearable))
        return bearable and (self.size is None or self.running < self.size)

    def _open_to(self, line: _Line) -> bool:
        group, within = line
        fits = not self._grouped or not self.running or group == self._group
        return fits and all(slots.has_room() for slots in (self, *within))

    def _first(self) -> tuple[_Line, _Waiter] | None:
        """Who is next of those that wait for nothing but their turn: one of the group that runs, else who came first."""
        if not self.has_room():
            return None
        firsts = ((line, queue[0]) for line, queue in self._waiting.items() if self._open_to(line))
        return min(firsts, key=lambda first: (first[0][0] != self._group, first[1].number), default=None)

    def serve(self) -> None:
        """Give every free slot to whoever is first."""
        with _LOCK:
            while (first := self._first()) is not None:
                line, waiter = first
                now = waiter.loop.time()
                if (pause := self.rate.lack(now, waiter.tokens)[1]) > 0:
                    self._call_again(waiter, pause)
                    return
                self._leave(waiter, line)
                for slots in (self, *line[1]):
                    slots.running += 1
                self._group = line[0]
                waiter.sending = self.rate.begin(now, waiter.tokens)
                if not _in_loop(waiter.loop, _grant, waiter.turn):
                    self._give_up(waiter, line)

    def _leave(self, waiter: _Waiter, line: _Line) -> None:
        queue = self._waiting[line]
        queue.remove(waiter)
        if not queue:
            del self._waiting[line]

    def _give_up(self, waiter: _Waiter, line: _Line) -> None:
        """It does not wait any more, or does not use the slot that it was given."""
        with _LOCK:
            if waiter.sending is not None:
                self.rate.withdraw(waiter.sending)
                self._end(line[1])
            elif waiter in self._waiting.get(line, ()):
                self._leave(waiter, line)
                self.serve()

    def _end(self, within: Within) -> None:
        with _LOCK:
            held = (self, *within)
            for each in held:
                each.running -= 1
            for slots in dict.fromkeys(line for each in held for line in each.lines_at):
                slots.serve()

    def _call_again(self, waiter: _Waiter, seconds: float) -> None:
        if not waiter.timed:
            waiter.timed = True

            def later() -> None:
                waiter.timed = False
                self.serve()

            _in_loop(waiter.loop, waiter.loop.call_later, seconds, later)


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *args: Any) -> bool:
    """Call it in that loop, which may be another thread's; whether the loop is still there."""
    try:
        if asyncio.get_running_loop() is loop:
            call(*args)
        else:
            loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        return False
    return True


def _grant(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
