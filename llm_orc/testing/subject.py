"""A provider under test, and the frame that every check runs in."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from llm_orc.domain.event import Delta, Happening, Loaded, Loading, Warned
from llm_orc.domain.message import FailedError, Kind, Message, Reply, Request
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Open, Provider, Reach

NODE = "conformance"
LONGEST = 60.0
"""Seconds that a check may take."""
SETTLING = 2.0
"""Seconds in which what was let go of has to be gone."""
SECONDS = 0.01
"""Between two looks at what is waited for."""
MOMENTS = 20
_OPEN = Path("/dev/fd")
"""Lists what this process has open."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider to check, and what is known about it: the more is given, the more is checked."""

    provider: Open
    """What the entry point names."""
    profile: Profile
    """One whose model answers every prompt."""
    reach: Reach = field(default_factory=Reach)
    """What it may use: environment, keys, trusted hosts."""
    secrets: Sequence[str] = field(default=(), repr=False)
    """The keys that it uses here; they may show nowhere."""
    sent: Callable[[], Sequence[str | bytes]] | None = None
    """The bodies of all requests for a reply that its server has seen so far."""
    endless: Profile | None = None
    """A profile whose reply never comes, or begins and never ends."""
    failing: Mapping[Kind, Profile] = field(default_factory=dict)
    """Profiles whose every call fails, by how."""
    wrong: Sequence[Profile] = ()
    """Profiles that cannot be asked, as for an option of the wrong type."""
    takes: frozenset[Capability] = frozenset()
    """What it passes on: vision (images), files (documents), structured_output (a JSON Schema)."""
    lists: bool = False
    """Whether it lists models, the profile's among them."""


class Opened:
    """A subject's provider during one check."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.provider: Provider = subject.provider(subject.profile.provider, subject.reach)
        self.told: list[Happening] = []
        self._seen = len(subject.sent()) if subject.sent else 0

    async def ask(
        self,
        *messages: Message,
        profile: Profile | None = None,
        stream: bool = False,
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask once; what is told stands in `told`."""
        asked = profile or self.subject.profile
        request = Request(NODE, messages or (Message("user", "Say hello to the conformance suite."),), asked, stream, schema)
        return await self.provider.ask(asked)(request, self.told.append)

    async def failure(self, *messages: Message, **how: Any) -> FailedError | ProblemError | None:
        """How a call fails, None if it does not; anything but these two is no way to fail."""
        try:
            await self.ask(*messages, **how)
        except (FailedError, ProblemError) as error:
            return error
        return None

    def pieces(self, *, thinking: bool = False) -> list[str]:
        """The texts of the deltas told so far."""
        return [event.text for event in self.told if isinstance(event, Delta) and event.thinking is thinking]

    def warned(self, word: str) -> bool:
        """Whether a warning names it."""
        return any(isinstance(event, Warned) and word in event.what for event in self.told)

    def requests(self) -> list[str]:
        """The bodies that the server has seen since this was last asked; skips the check where there is no server to ask."""
        if self.subject.sent is None:
            raise not_checked("give Subject(sent=...), a function that tells what the server has seen")
        bodies = self.subject.sent()[self._seen :]
        self._seen += len(bodies)
        return [body.decode(errors="replace") if isinstance(body, bytes) else body for body in bodies]

    async def begun(self, call: "asyncio.Task[Reply]") -> None:
        """Wait until a call has told something or its server has seen it; a moment where neither can be known."""
        seen, moments = self.subject.sent, 0
        while not (call.done() or self.told or (len(seen()) > self._seen if seen else moments > MOMENTS)):
            moments += 1
            await asyncio.sleep(SECONDS)


Check = Callable[[Opened], Awaitable[None]]


def checked(subject: Subject, check: Check) -> None:
    """Run a check, and see that the provider prints nothing, tells only what is its to tell, and leaves nothing behind."""
    __tracebackhide__ = True
    before = _open_files()
    with _quiet():
        asyncio.run(_within_time(subject, check))
    _settled(lambda: _open_files() <= before, "connections or files are open after close()")


async def _within_time(subject: Subject, check: Check) -> None:
    __tracebackhide__ = True
    opened = Opened(subject)
    try:
        async with asyncio.timeout(LONGEST):
            await check(opened)
    except TimeoutError:
        raise AssertionError(f"it took more than {LONGEST:g} s") from None
    finally:
        await opened.provider.close()
    _check_told(opened.told)
    await _no_tasks_left()


def _check_told(told: Sequence[Happening]) -> None:
    loading = 0
    for event in told:
        expect(isinstance(event, (Delta, Warned, Loading, Loaded)), f"a provider tells Delta, Warned, Loading and Loaded, not {event}")
        expect(getattr(event, "node", NODE) == NODE, f"an event names another node than the request: {event}")
        loading += isinstance(event, Loading) - isinstance(event, Loaded)
    expect(loading == 0, "each Loading is followed by a Loaded")


async def _no_tasks_left() -> None:
    deadline = time.monotonic() + SETTLING
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        expect(time.monotonic() < deadline, f"tasks are left after close(): {left}")
        await asyncio.sleep(SECONDS)


@contextmanager
def _quiet() -> Iterator[None]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        yield
    printed = out.getvalue() + err.getvalue()
    expect(not printed, f"a provider prints nothing, and this one printed: {printed[:200]!r}")


def _open_files() -> int:
    return sum(1 for _ in _OPEN.iterdir())


def _settled(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + SETTLING
    while not true():
        expect(time.monotonic() < deadline, otherwise)
        time.sleep(SECONDS)


def expect(condition: object, otherwise: str) -> None:
    """Raise AssertionError with these words unless it holds; written out, because nobody rewrites an installed package's asserts."""
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(otherwise)


def not_checked(why: str) -> Exception:
    """What a check raises that cannot be made; pytest and unittest show it as skipped."""
    from unittest import SkipTest

    return SkipTest(f"not checked: {why}")
