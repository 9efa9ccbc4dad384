"""What a run may cost: the worst case of each attempt is put aside before it is sent."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

from llm_orc.domain.event import Happening, Queued, Sent, Warned
from llm_orc.domain.extent import extent as extent_of
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import Pricing, most_tokens

LEAST_REPLY = 256
"""Tokens that a reply without a bound must be able to have, or it is not asked for."""
LONGEST_REPLY = 1_000_000
"""Tokens that no reply is longer than, whatever its model."""
ALERT = 0.8
"""The share of a budget from which on a person is warned."""
LIMIT = "max_cost"
COUNTED = frozenset({Kind.EMPTY, Kind.CONTENT_FILTER, Kind.CONTEXT_LENGTH, Kind.MALFORMED})
"""Failures after which the server's count is its last word."""


@dataclass(slots=True, eq=False)
class Budget:
    """US dollars for a whole run, or for the child run of an ensemble agent."""

    limit: float
    spent: float = 0.0
    reserved: float = 0.0
    outstanding: int = 0
    """Attempts that something is put aside for."""
    refused: set[str] = field(default_factory=set)
    """Nodes that were not sent something for lack of money, and have no reply."""
    _warned: bool = False
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def left(self) -> float:
        """What is neither spent nor put aside."""
        return self.limit - self.spent - self.reserved

    def reserve(self, dollars: float) -> None:
        """Put aside what an attempt costs at most."""
        self.reserved += dollars
        self.outstanding += 1

    def settle(self, reserved: float, spent: float) -> None:
        """An attempt is over: what was put aside for it is free again, but for what it took."""
        self.outstanding -= 1
        self.reserved = self.reserved - reserved if self.outstanding else 0.0  # so that no rounding adds up
        self.spent += spent
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def changed(self) -> None:
        """Wait until an attempt is over."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)

    def alert(self) -> str:
        """What a person should know once most of it is spent; nothing before and nothing twice."""
        if self._warned or self.spent < ALERT * self.limit:
            return ""
        self._warned = True
        return f"${self.spent:.4g} of max_cost ${self.limit:.4g} are spent"


def budgeted(ask: Ask, budgets: Sequence[Budget], pricing: Pricing | None, card: ModelCard) -> Ask:
    """Send an attempt only if its worst case fits into every budget; wait while others may leave something, else fail."""
    if not budgets:
        return ask

    async def asked(request: Request, tell: Tell) -> Reply:
        request, most = await _afforded(request, budgets, pricing, card, tell)
        spent = 0.0

        def told(event: Happening) -> None:
            nonlocal spent
            if isinstance(event, Sent):
                spent = most  # until it is known better: who is cut off may be billed all the same
                event = replace(event, most=most)
            tell(event)

        try:
            reply = await ask(request, told)
            spent = max(reply.cost or 0.0, most if reply.usage.estimated else 0.0)
            for budget in budgets:
                budget.refused.discard(request.node)
            return reply
        except FailedError as error:
            spent = _billed(error, pricing, spent)
            raise
        finally:
            for budget in budgets:
                budget.settle(most, spent)
                if alert := budget.alert():
                    tell(Warned("", alert))

    return asked


def _billed(error: FailedError, pricing: Pricing | None, most: float) -> float:
    """What a failed attempt may have cost: a count that came before the end of a reply is not the last one."""
    if error.usage is NO_USAGE:
        return 0.0
    final = error.usage is not None and not error.usage.estimated and error.failure.kind in COUNTED
    return pricing.cost(error.usage) if final and pricing and error.usage else most


async def _afforded(
    request: Request, budgets: Sequence[Budget], pricing: Pricing | None, card: ModelCard, tell: Tell
) -> tuple[Request, float]:
    """The request as it may be sent, and what was put aside for it; raises FailedError `budget`."""
    cost = _Cost.of(request, pricing, card)
    told = False
    while True:
        length = cost.length or cost.affordable(min(budget.left for budget in budgets), card.max_output)
        most = cost.most(length)
        lacking = [budget for budget in budgets if most > max(budget.left, 0)]
        if not lacking:
            for budget in budgets:
                budget.reserve(most)
            return cost.bounded(length), most
        for budget in lacking:
            if not budget.outstanding:
                budget.refused.add(request.node)
                what = f"a call may cost ${most:.4g}, and ${max(budget.left, 0):.4g} of max_cost ${budget.limit:.4g} are left"
                raise FailedError(Failure(Kind.BUDGET, what, "raise max_cost, lower max_tokens, or choose a cheaper model"), usage=NO_USAGE)
        if not told:
            told = True
            tell(Queued(request.node, LIMIT))
        await lacking[0].changed()


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a request may cost."""

    request: Request
    pricing: Pricing
    tokens: int
    """Of the prompt, at most."""
    length: int | None
    """Tokens that each reply is not longer than; None where nobody said."""
    replies: int
    settable: bool
    """Whether the model can be told how long a reply may be."""

    @classmethod
    def of(cls, request: Request, pricing: Pricing | None, card: ModelCard) -> Self:
        """Raises FailedError `budget` where nobody can know it."""
        profile = request.profile
        if pricing is None:
            hint = "give its profile a price: {input: ..., output: ...}, in dollars per million tokens"
            raise FailedError(Failure(Kind.BUDGET, f"{profile.model} has no known price, and there is a max_cost", hint), usage=NO_USAGE)
        # Not what its window has room for: that may be more than we know of.
        tokens = most_tokens(request.messages, request.schema)
        if pricing.most(tokens, LONGEST_REPLY) == 0:
            return cls(request, pricing, tokens, LONGEST_REPLY, 1, settable=False)
        extent = extent_of(profile, card)
        if extent.unpriced:
            hint = f"leave out the option '{extent.unpriced}', or the max_cost"
            raise FailedError(
                Failure(Kind.BUDGET, f"what '{extent.unpriced}' costs is not known, and there is a max_cost", hint), usage=NO_USAGE
            )
        length = extent.length if extent.settable else extent.length or LONGEST_REPLY
        return cls(request, pricing, tokens, length, extent.replies, extent.settable)

    def most(self, length: int) -> float:
        """US dollars, with replies of at most so many tokens."""
        return self.pricing.most(self.tokens, length * self.replies)

    def affordable(self, left: float, longest: int | None) -> int:
        """The longest reply that still fits, but no shorter than the least."""
        longest = min(longest or LONGEST_REPLY, LONGEST_REPLY)
        fits = bisect_right(range(longest + 1), left, key=self.most) - 1
        return max(fits, min(LEAST_REPLY, longest))

    def bounded(self, length: int) -> Request:
        """The request as it is sent: with the bound that was reckoned with, which a provider that knows no such option keeps to."""
        if not self.settable:
            return self.request
        return replace(self.request, profile=self.request.profile.model_copy(update={"max_tokens": length}))
