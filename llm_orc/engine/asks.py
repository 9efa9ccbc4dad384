"""Behaviour round a call: each wrapper takes an `Ask` and gives an `Ask`, and they are put together in one place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from llm_orc.domain.event import Queued, Received, Sent, Started
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Reply, Request, Tell
from llm_orc.engine.limits import Slots, Stopwatch, turn


@dataclass(frozen=True, slots=True)
class Turn:
    """What a call has to wait for, and who has to know that it began."""

    began: Started
    slots: tuple[tuple[Slots, str], ...] = ()
    """Each with the group the call belongs to, in the order in which they are taken: the endpoint's first, the outermost run's last."""
    watches: tuple[Stopwatch, ...] = ()
    endpoint: str = ""
    """The server, as people call it; empty for programs."""

    @asynccontextmanager
    async def taken(self, tell: Tell) -> AsyncIterator[None]:
        """Hold every slot while the watches run."""
        async with turn(self.slots, self.watches, lambda limit: tell(Queued(self.began.node, limit, self.endpoint))):
            tell(self.began)
            yield


def limited(ask: Ask, when: Turn) -> Ask:
    """Ask when it is its turn."""

    async def asked(request: Request, tell: Tell) -> Reply:
        async with when.taken(tell):
            endpoint, profile = when.endpoint, request.profile
            tell(Sent(request.node, endpoint, profile.name, profile.provider, profile.model))
            try:
                reply = await ask(request, tell)
            except FailedError as error:
                tell(Received(request.node, endpoint, profile.model, error.usage or NO_USAGE, failure=error.failure))
                raise
            tell(Received(request.node, endpoint, reply.model or profile.model, reply.usage, reply.cost))
            return reply

    return asked
