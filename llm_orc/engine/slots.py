"""One bound on how many calls go on at once, and how many begin in a minute."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

MINUTE = 60.0


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
            self._sum -= self._log.popleft().tokens
        if self.requests is not None and len(self._log) >= self.requests:
            return "requests_per_minute", self._log[len(self._log) - self.requests].at + MINUTE - now
        if self.tokens is None or not self._log or self._sum + tokens <= self.tokens:
            return "", 0.0
        rest = self._sum + tokens
        for sending in self._log:
            rest -= sending.tokens
            if rest <= max(self.tokens, tokens):
                return "tokens_per_minute", sending.at + MINUTE - now
        return "", 0.0  # not reached: without the log there is room for one, however large

    def begin(self, now: float, tokens: int) -> "Sending":
        """One is sent."""
        sending = Sending(now, tokens)
        if self.requests is not None or self.tokens is not None:
            self._log.append(sending)
            self._sum += tokens
        return sending

    def correct(self, sending: "Sending", tokens: int) -> None:
        """It took so many tokens, and not as many as was thought."""
        if self._log and self._log[0].at <= sending.at:
            self._sum += tokens - sending.tokens
            sending.tokens = tokens


@dataclass(slots=True, eq=False)
class Sending:
    """One request within the last minute."""

    at: float
    tokens: int


@dataclass(slots=True, eq=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    tokens: int
    sending: Sending | None = None
    """Set with its turn."""
    timed: bool = False


class Slots:
    """A fair bound: first come, first served, whatever thread they come from.

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
        self._running = 0
        self._group = ""
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._lock = RLock()

    def lack(self, group: str = "", tokens: int = 0) -> str:
        """The limit that one would have to wait for; nothing where it could begin at once."""
        with self._lock:
            group = group if self._grouped else ""
            if not self._room():
                return self.label if self._running == self.size else "rate_limit"
            if any(self._waiting.values()) or not self._open_to(group):
                return self.label
            return self.rate.lack(asyncio.get_running_loop().time(), tokens)[0]

    def resize(self, size: int | None, requests: int | None = None, tokens: int | None = None) -> None:
        """Let more in from now on, or fewer; who is in stays in."""
        with self._lock:
            self.size, self.rate.requests, self.rate.tokens = size, requests, tokens
            self._next()

    def refused(self) -> None:
        """The server took one for one too many: what it lets stay with it is what it bears."""
        with self._lock:
            others = max(self._running - 1, 1)
            self._bearable = others if self._bearable is None else max(1.0, min(self._bearable, others))

    def accepted(self) -> None:
        """The server took one: after as many as are let in, one more may try."""
        with self._lock:
            if self._bearable is not None:
                self._bearable += 1 / self._bearable
                if self.size is not None and self._bearable >= self.size:
                    self._bearable = None
                self._next()

    @asynccontextmanager
    async def one(self, group: str = "", tokens: int = 0) -> AsyncIterator[Sending]:
        """Wait for a slot and hold it; the tokens are what the call may take of the minute's."""
        group = group if self._grouped else ""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self.lack(group, tokens):
                begun: Sending | _Waiter = self._begin(group, loop.time(), tokens)
            else:
                begun = _Waiter(loop, loop.create_future(), tokens)
                self._waiting.setdefault(group, deque()).append(begun)
                self._next()
        sending = await self._turn(begun, group) if isinstance(begun, _Waiter) else begun
        try:
            yield sending
        finally:
            with self._lock:
                self._running -= 1
                self._next()

    def _room(self) -> bool:
        bearable = self._bearable is None or self._running < max(1, int(self._bearable))
        return bearable and (self.size is None or self._running < self.size)

    def _open_to(self, group: str) -> bool:
        return self._room() and (not self._grouped or not self._running or group == self._group)

    def _begin(self, group: str, now: float, tokens: int) -> Sending:
        self._running += 1
        self._group = group
        return self.rate.begin(now, tokens)

    async def _turn(self, waiter: _Waiter, group: str) -> Sending:
        try:
            await waiter.turn
        except asyncio.CancelledError:
            with self._lock:
                if waiter.sending is not None:  # the slot was ours already
                    self._running -= 1
                elif waiter in (queue := self._waiting.get(group, deque())):
                    queue.remove(waiter)
                    if not queue:
                        del self._waiting[group]
                self._next()
            raise
        if waiter.sending is None:
            raise RuntimeError("a turn without a slot")
        return waiter.sending

    def _next(self) -> None:
        """Give every free slot to whoever is first."""
        with self._lock:
            while True:
                groups = [self._group, *self._waiting]
                group = next((each for each in groups if self._waiting.get(each) and self._open_to(each)), None)
                if group is None:
                    return
                queue = self._waiting[group]
                waiter = queue[0]
                now = waiter.loop.time()
                if (pause := self.rate.lack(now, waiter.tokens)[1]) > 0:
                    self._call_again(waiter, pause)
                    return
                queue.popleft()
                if not queue:
                    del self._waiting[group]
                waiter.sending = self._begin(group, now, waiter.tokens)
                if not _in_loop(waiter.loop, _grant, waiter.turn):
                    self._running -= 1

    def _call_again(self, waiter: _Waiter, seconds: float) -> None:
        if not waiter.timed:
            waiter.timed = True

            def later() -> None:
                waiter.timed = False
                self._next()

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
