"""Bounds on how many things go on at once, and clocks that stand still while an agent waits for its turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from threading import RLock
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.profile import Endpoint
from llm_orc.engine.slots import Sending, Slots


class Wish(NamedTuple):
    """What a profile wants of its endpoint; None is no wish."""

    max_parallel: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Bounds:
    """The bounds that belong to this machine and to the servers it talks to: shared by every run of this process, in whatever thread."""

    closed = False
    """Whether they let nothing through."""

    def __init__(self, programs: int) -> None:
        self.programs = Slots("programs", programs)
        self._endpoints: dict[str, Slots] = {}
        self._wishes: dict[str, list[Wish]] = {}
        self._lock = RLock()

    def of(self, endpoint: Endpoint) -> Slots:
        """The slots of an endpoint."""
        with self._lock:
            if endpoint.key not in self._endpoints:
                self._endpoints[endpoint.key] = Slots(endpoint.label, endpoint.max_parallel, grouped=endpoint.one_model)
            return self._endpoints[endpoint.key]

    @contextmanager
    def wished(self, wishes: Iterable[tuple[Endpoint, Wish]]) -> Iterator[None]:
        """As long as a run goes on, the smallest bound that any of its profiles wishes for replaces the endpoint's own."""
        ours = [(endpoint, wish) for endpoint, wish in wishes if wish != Wish()]
        for endpoint, wish in ours:
            with self._lock:
                self._wishes.setdefault(endpoint.key, []).append(wish)
                self._resize(endpoint)
        try:
            yield
        finally:
            for endpoint, wish in ours:
                with self._lock:
                    self._wishes[endpoint.key].remove(wish)
                    self._resize(endpoint)

    def _resize(self, endpoint: Endpoint) -> None:
        size, requests, tokens = map(_smallest, zip(*(Wish(), *self._wishes[endpoint.key]), strict=True))
        self.of(endpoint).resize(endpoint.max_parallel if size is None else size, requests, tokens)


def _smallest(wishes: Iterable[int | None]) -> int | None:
    return min((wish for wish in wishes if wish is not None), default=None)


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

    @property
    def left(self) -> float | None:
        """Seconds until it ends the agent; None where there is no end."""
        if self._seconds is None:
            return None
        gone = asyncio.get_running_loop().time() - self._since if self._holding else 0.0
        return self._left - gone

    def run(self) -> None:
        """A call begins."""
        self._holding += 1
        if self._seconds is not None and self._holding == 1 and not self._timeout.expired():
            self._since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._since + self._left)

    def rest(self) -> None:
        """A call ended."""
        self._holding -= 1
        if self._seconds is not None and not self._holding and not self._timeout.expired():
            self._left -= asyncio.get_running_loop().time() - self._since
            self._timeout.reschedule(None)


class Watch(Protocol):
    """A clock, or several that are one for those who start and stop it."""

    @property
    def left(self) -> float | None:
        """Seconds until it ends what it is the clock of; None where there is no end."""
        ...

    def run(self) -> None:
        """A call begins."""
        ...

    def rest(self) -> None:
        """A call ended."""
        ...


class Watches:
    """The clocks of all who wait for one call: each ends only whose it is."""

    def __init__(self) -> None:
        self._holding = 0
        self._of: dict[object, tuple[Watch, ...]] = {}

    def join(self, who: object, watches: tuple[Watch, ...]) -> None:
        """One more waits for it."""
        self._of[who] = watches
        for watch in watches * self._holding:
            watch.run()

    def leave(self, who: object) -> None:
        """One does not wait any more."""
        for watch in self._of.pop(who) * self._holding:
            watch.rest()

    @property
    def left(self) -> float | None:
        """Seconds until nobody waits any more; None where somebody always does."""
        ends = [min((left for watch in watches if (left := watch.left) is not None), default=None) for watches in self._of.values()]
        return None if None in ends else max(filter(None, ends), default=0.0)

    def run(self) -> None:
        """The call begins."""
        self._holding += 1
        for watches in self._of.values():
            for watch in watches:
                watch.run()

    def rest(self) -> None:
        """The call ended."""
        self._holding -= 1
        for watches in self._of.values():
            for watch in watches:
                watch.rest()


class Place(NamedTuple):
    """A bound that a call has to pass, the group that it belongs to there, and the tokens it may take of a minute's."""

    slots: Slots
    group: str = ""
    tokens: int = 0


@asynccontextmanager
async def turn(places: Iterable[Place], watches: Iterable[Watch], on_wait: Callable[[str], None]) -> AsyncIterator[Sending | None]:
    """Hold a slot of each at once, waiting in the line of the first, while the watches run; `on_wait` hears which limit is waited for."""
    places = tuple(places)
    async with AsyncExitStack() as held:
        sending = None
        if places:
            (slots, group, tokens), *outer = places
            within = tuple(place.slots for place in outer)
            sending = await held.enter_async_context(slots.one(group, tokens, within, on_wait))
        with running(watches):
            yield sending


@contextmanager
def running(watches: Iterable[Watch]) -> Iterator[None]:
    """The watches run meanwhile."""
    watches = tuple(watches)
    for watch in watches:
        watch.run()
    try:
        yield
    finally:
        for watch in watches:
            watch.rest()
