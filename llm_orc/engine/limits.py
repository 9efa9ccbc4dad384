"""Bounds on how many things go on at once, and clocks that stand still while an agent waits for its turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.profile import Endpoint


class Slots:
    """A fair bound: first come, first served. Where calls are grouped, those of one model go first and no other model runs beside it."""

    def __init__(self, label: str, size: int | None, *, grouped: bool = False) -> None:
        self.label = label
        self.size = size
        self._grouped = grouped
        self._running = 0
        self._group = ""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def _open_to(self, group: str) -> bool:
        free = self.size is None or self._running < self.size
        return free and (not self._grouped or not self._running or group == self._group)

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return any(self._waiting.values())

    def resize(self, size: int | None) -> None:
        """Let more in from now on, or fewer; who is in stays in."""
        self.size = size
        self._next()

    def free(self, group: str = "") -> bool:
        """Whether one could begin at once."""
        return self._open_to(group) and not self.crowded

    @asynccontextmanager
    async def one(self, group: str = "") -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        group = group if self._grouped else ""
        if self.free(group):
            self._begin(group)
        else:
            await self._turn(group)
        try:
            yield
        finally:
            self._running -= 1
            self._next()

    def _begin(self, group: str) -> None:
        self._running += 1
        self._group = group

    async def _turn(self, group: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(group, deque())
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was ours already
                self._running -= 1
            elif turn in queue:
                queue.remove(turn)
            self._next()
            raise

    def _next(self) -> None:
        """Give every free slot to whoever is first."""
        while True:
            groups = [self._group, *self._waiting]
            group = next((each for each in groups if self._waiting.get(each) and self._open_to(each)), None)
            if group is None:
                return
            queue = self._waiting[group]
            turn = queue.popleft()
            if not queue:
                del self._waiting[group]
            if not turn.done():
                self._begin(group)
                turn.set_result(None)


class Bounds:
    """The bounds that belong to this machine and to the servers it talks to: shared by every run of an event loop."""

    def __init__(self, programs: int) -> None:
        self.programs = Slots("programs", programs)
        self._endpoints: dict[str, Slots] = {}
        self._wishes: dict[str, list[int]] = {}

    def of(self, endpoint: Endpoint) -> Slots:
        """The slots of an endpoint."""
        if endpoint.key not in self._endpoints:
            self._endpoints[endpoint.key] = Slots(endpoint.label, endpoint.max_parallel, grouped=endpoint.one_model)
        return self._endpoints[endpoint.key]

    @contextmanager
    def wished(self, wishes: Iterable[tuple[Endpoint, int | None]]) -> Iterator[None]:
        """As long as a run goes on, the smallest bound that any of its profiles wishes for replaces the endpoint's own."""
        ours = [(endpoint, wish) for endpoint, wish in wishes if wish is not None]
        for endpoint, wish in ours:
            self._wishes.setdefault(endpoint.key, []).append(wish)
            self._resize(endpoint)
        try:
            yield
        finally:
            for endpoint, wish in ours:
                self._wishes[endpoint.key].remove(wish)
                self._resize(endpoint)

    def _resize(self, endpoint: Endpoint) -> None:
        self.of(endpoint).resize(min(self._wishes[endpoint.key], default=endpoint.max_parallel))


class Stopwatch:
    """An agent's clock: runs only while one of its calls holds its slots."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._left = seconds or 0.0
        self._since = 0.0
        self._holding = 0
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            hint = "a longer 'timeout_seconds', or a faster model"
            raise FailedError(Failure(Kind.TIMEOUT, f"no reply within {self._seconds:g} s", hint)) from None

    def run(self) -> None:
        """A call begins."""
        self._holding += 1
        if self._seconds is not None and self._holding == 1:
            self._since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._since + self._left)

    def rest(self) -> None:
        """A call ended."""
        self._holding -= 1
        if self._seconds is not None and not self._holding and not self._timeout.expired():
            self._left -= asyncio.get_running_loop().time() - self._since
            self._timeout.reschedule(None)


@asynccontextmanager
async def turn(slots: Iterable[tuple[Slots, str]], watches: Iterable[Stopwatch], on_wait: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold every slot, taken in the order given, while the watches run; `on_wait` hears which limit has to be waited for."""
    watches = tuple(watches)
    async with AsyncExitStack() as held:
        for bound, group in slots:
            if not bound.free(group):
                on_wait(bound.label)
            await held.enter_async_context(bound.one(group))
        for watch in watches:
            watch.run()
        try:
            yield
        finally:
            for watch in watches:
                watch.rest()
