"""Replies that are there already: kept ones, and those of equal calls under way, of which one is made for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_orc.domain.context import Context
from llm_orc.domain.event import (
    Delta,
    Happening,
    Loaded,
    Loading,
    Missed,
    Produced,
    Queued,
    Received,
    Repairing,
    Retrying,
    Reused,
    Sent,
    Shortened,
    Started,
)
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.profile import Endpoint
from llm_orc.domain.reuse import SAME, Parts, Replies, changed, hashed, key_of, parts_of
from llm_orc.engine.limits import Watches

if TYPE_CHECKING:
    from llm_orc.engine.asks import Turn

Lasting = Callable[[Reply], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """A node that wants a reply."""

    node: str
    turn: "Turn"
    say: Tell
    shown: bool = False
    """Whether its tokens are on stdout as they come."""
    profile: tuple[str, str, str] = ("", "", "")
    """Whose model is to answer: the names of profile, provider and model."""

    def begin(self) -> None:
        """Tell, once, that its call goes on."""
        self.turn.begin(self.say)


class Reuse:
    """The replies of a run that may be used again, and the calls under way."""

    def __init__(self, replies: Replies, *, usually: bool = False) -> None:
        """`usually`: whether replies are used again where nothing says so or not."""
        self._replies, self._usually = replies, usually
        self._under_way: dict[str, _Call] = {}

    def wanted(self, said: bool | None) -> bool:  # noqa: FBT001 - as it was written
        """Whether a reply may be used again, by what the plan says."""
        return self._usually if said is None else said

    async def reply(self, asker: Asker, parts: Parts, ask: Callable[[Tell], Awaitable[Reply]], lasting: Lasting = lambda _: True) -> Reply:
        """The reply that is there already, or comes for another node, or else that of `ask`; raises FailedError.

        One that is not `lasting` serves those who wait for it, and is not kept.
        """
        key = key_of(parts)
        while True:
            if (kept := self._replies.find(key)) is not None:
                self._replies.use(key, asker.node)
                return _reused(asker, kept)
            call = self._under_way.get(key)
            if call is None or call.is_over:
                call = self._under_way[key] = self._begun(asker, key, parts, ask, lasting)
            try:
                return await call.reply(asker)
            except FailedError as error:
                # Another node's budget does not bind this one.
                if error.failure.kind is not Kind.BUDGET or asker.turn.budgets == call.first.turn.budgets:
                    raise

    async def said(self, node: str, turn: "Turn", tell: Tell, parts: Callable[[], Parts], run: Callable[[Tell], Awaitable[Reply]]) -> Reply:
        """What a pure program says; one that leaves files behind does more than reply, and is run each time. Raises FailedError."""
        try:
            found = parts()
        except (OSError, TypeError, ValueError, RecursionError):
            return await run(tell)  # which says what is wrong with it
        left: list[Happening] = []

        def told(event: Happening) -> None:
            left.extend([event] if isinstance(event, Produced) else [])
            tell(event)

        return await self.reply(Asker(node, turn, told), found, run, lambda _: not left)

    def _begun(self, asker: Asker, key: str, parts: Parts, ask: Callable[[Tell], Awaitable[Reply]], lasting: Lasting) -> "_Call":
        if differing := changed(parts, self._replies.kept_of(asker.node)):
            asker.say(Missed(asker.node, differing))
        call = _Call(asker)

        async def made() -> Reply:
            reply = await ask(call.hear)
            whole = replace(reply, usage=call.usage, cost=call.cost, attempts=call.attempts)
            if lasting(reply):
                self._replies.keep(key, parts, whole, asker.node)
                for each in call.askers:
                    self._replies.use(key, each.node)
            return whole

        def ended(_: object) -> None:
            if self._under_way.get(key) is call:
                del self._under_way[key]

        call.begin(made()).add_done_callback(ended)
        return call


class _Call:
    """One call, and those who wait for it: it goes on as long as there is one of them."""

    def __init__(self, first: Asker) -> None:
        self.first = self._sender = first
        self.askers: list[Asker] = []
        self.usage, self.attempts = NO_USAGE, 0
        self.cost: float | None = 0.0
        self._began = False
        self._pieces: list[str] = []
        self._own, self._watches = first.turn.watches, Watches()
        self._task: asyncio.Task[Reply]
        self._given_up = False

    def begin(self, made: Coroutine[None, None, Reply]) -> "asyncio.Task[Reply]":
        """Make it, in the turn of who asks first; its clock is that of all who wait."""
        self.first.turn.watches = (self._watches,)
        self._task = asyncio.create_task(made)
        return self._task

    @property
    def is_over(self) -> bool:
        """Whether it is too late to wait for it."""
        return self._task.done() or self._given_up

    async def reply(self, asker: Asker) -> Reply:
        """Wait for it; raises FailedError."""
        self._join(asker)
        try:
            await asyncio.wait({self._task})
        finally:
            await self._leave(asker)
        if asker is self._sender:
            return self._task.result()
        try:
            return _reused(asker, self._task.result())
        except FailedError as error:
            raise FailedError(error.failure, partial=error.partial, usage=NO_USAGE) from None

    def _join(self, asker: Asker) -> None:
        self.askers.append(asker)
        self._watches.join(asker, self._own if asker is self.first else asker.turn.watches)
        if asker is self.first:
            return
        if not self._began:
            asker.say(Queued(asker.node, SAME))
            return
        asker.begin()
        if self._pieces:
            self._piece(asker, Delta("", "".join(self._pieces)))

    async def _leave(self, asker: Asker) -> None:
        self.askers.remove(asker)
        self._watches.leave(asker)
        if not self.askers and not self._task.done():
            self._given_up = True
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._task.done():
            self.first.turn.watches = self._own
            if not self._task.cancelled():
                self._task.exception()  # so that nobody complains where it was not waited for

    def hear(self, event: Happening) -> None:
        """Something happened to it, or to a summary that it needs first, which is told as it is."""
        if getattr(event, "node", "") == self.first.node:
            self.tell(event)
            return
        if isinstance(event, Received):
            self._add(event.usage, event.cost)
        self._sender.say(event)

    def tell(self, event: Happening) -> None:
        """What happens to the call happens to all who wait for it; what it takes is told of one of them."""
        match event:
            case Started():
                self._began = True
                for asker in self.askers:
                    asker.say(event) if asker is self.first else asker.begin()
            case Sent():
                self._sender = self.askers[0] if self.askers else self._sender
                self.attempts += 1
                self._sender.say(replace(event, node=self._sender.node))
            case Received():
                self._add(event.usage, event.cost)
                self._sender.say(replace(event, node=self._sender.node))
            case Delta():
                self._pieces += [] if event.thinking else [event.text]
                for asker in self.askers:
                    self._piece(asker, event)
            case Queued():
                self._sender.say(replace(event, node=self._sender.node))
            case Retrying() | Repairing() | Shortened() | Loading() | Loaded():
                self._pieces.clear()
                for asker in self.askers:
                    asker.say(replace(event, node=asker.node))
            case _:
                self._sender.say(event)

    def _piece(self, asker: Asker, event: Delta) -> None:
        # The call is in the first one's turn: from now on nothing may take its place.
        self.first.turn.shown = self.first.turn.shown or (asker.shown and not event.thinking)
        asker.say(replace(event, node=asker.node))

    def _add(self, usage: Usage, cost: float | None) -> None:
        self.usage += usage
        self.cost = None if self.cost is None or (cost is None and usage.total) else self.cost + (cost or 0.0)


def _reused(asker: Asker, reply: Reply) -> Reply:
    """The reply as it serves this node, which it costs nothing."""
    asker.begin()
    asker.say(Reused(asker.node, reply.usage, reply.cost, asker.profile[0], asker.profile[1], reply.model or asker.profile[2]))
    return replace(reply, usage=NO_USAGE, cost=0.0, attempts=0)


def remembered(ask: Ask, reuse: Reuse, planned: PlannedAgent, when: "Turn", endpoint: Endpoint, card: ModelCard, shown: str) -> Ask:
    """Ask only where no reply to the same request is kept or on its way."""

    async def asked(request: Request, tell: Tell) -> Reply:
        profile = request.profile
        try:
            address = endpoint.address or f"{profile.provider} {profile.base_url or ''}"
            parts = parts_of(request, address, planned.schema if when.outer is None else None, card.refuses)
            if when.outer is None and planned.context != Context():  # what is sent then depends on the window, too
                parts = {**parts, **hashed({"context": {**planned.context.model_dump(), "window": card.context_window}})}
        except (TypeError, ValueError, RecursionError):
            return await ask(request, tell)  # which says what is wrong with it
        asker = Asker(request.node, when, tell, request.node == shown, (profile.name, profile.provider, profile.model))

        def lasting(reply: Reply) -> bool:
            # One that is cut where nobody said so may be longer under another budget; free text is not what everybody wants.
            return not reply.mismatch and (reply.finish != "length" or profile.max_tokens is not None)

        return await reuse.reply(asker, parts, lambda say: ask(request, say), lasting)

    return asked
