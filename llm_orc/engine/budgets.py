"""What a run may cost: the worst case of each attempt is put aside before it is sent."""

import asyncio
import sys
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from llm_orc.domain.event import Happening, Queued, Sent, Warned
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import Pricing, most_tokens
from llm_orc.domain.profile import Profile

LEAST_REPLY = 256
"""Tokens that a reply without a bound must be able to have, or it is not asked for."""
LONGEST_REPLY = 1_000_000
"""Tokens that no reply is longer than, whatever its model."""
ALERT = 0.8
"""The share of a budget from which on a person is warned."""
LIMIT = "max_cost"
BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "num_predict")
"""Options by which a provider bounds a reply."""
UNBOUNDED = frozenset({"service_tier", "speed", "tools", "plugins", "web_search_options", "inference_geo"})
"""Options that change what a call costs in ways that no price list says."""
COUNTED = frozenset({Kind.EMPTY, Kind.CONTENT_FILTER, Kind.CONTEXT_LENGTH, Kind.MALFORMED})
"""Failures after which the server's count is its last word."""
_HAIR = 1e-9


@dataclass(slots=True, eq=False)
class Budget:
    """US dollars for a whole run, or for the child run of an ensemble agent."""

    limit: float
    spent: float = 0.0
    reserved: float = 0.0
    refused: bool = False
    """Whether something was not sent for lack of money."""
    _warned: bool = False
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def left(self) -> float:
        """What is neither spent nor put aside."""
        return self.limit - self.spent - self.reserved

    def settle(self, reserved: float, spent: float) -> None:
        """An attempt is over: what was put aside for it is free again, but for what it took."""
        self.reserved -= reserved
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
            tell(event)

        try:
            reply = await ask(request, told)
            spent = max(reply.cost or 0.0, most if reply.usage.estimated else 0.0)
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
    if error.usage == NO_USAGE:
        return 0.0
    final = error.usage is not None and not error.usage.estimated and error.failure.kind in COUNTED
    return pricing.cost(error.usage) if final and pricing and error.usage else most


async def _afforded(
    request: Request, budgets: Sequence[Budget], pricing: Pricing | None, card: ModelCard, tell: Tell
) -> tuple[Request, float]:
    """The request as it may be sent, and what was put aside for it; raises FailedError `budget`."""
    profile = request.profile
    if pricing is None:
        hint = "give its profile a price: {input: ..., output: ...}, in dollars per million tokens"
        raise FailedError(Failure(Kind.BUDGET, f"{profile.model} has no known price, and there is a max_cost", hint), usage=NO_USAGE)
    tokens = min(most_tokens(request.messages, request.schema), card.context_window or sys.maxsize)
    free = pricing.most(tokens, LONGEST_REPLY) == 0
    if not free and (dear := sorted(UNBOUNDED & profile.options.keys())):
        hint = f"leave out the option '{dear[0]}', or the max_cost"
        raise FailedError(Failure(Kind.BUDGET, f"what '{dear[0]}' costs is not known, and there is a max_cost", hint), usage=NO_USAGE)
    bound, told = _bound(profile), False
    while not free:
        left = min(budget.left for budget in budgets)
        length = bound or _affordable(pricing, tokens, left, min(card.max_output or LONGEST_REPLY, LONGEST_REPLY))
        most = pricing.most(tokens, length)
        lacking = [budget for budget in budgets if most > budget.left + _HAIR]
        if not lacking:
            for budget in budgets:
                budget.reserved += most
            longest = {} if bound else {"max_tokens": length}
            return replace(request, profile=profile.model_copy(update=longest)), most
        for budget in lacking:
            if budget.reserved <= _HAIR:
                budget.refused = True
                what = f"a call may cost ${most:.2g}, and ${max(budget.left, 0):.2g} of max_cost ${budget.limit:.4g} are left"
                raise FailedError(Failure(Kind.BUDGET, what, "raise max_cost, lower max_tokens, or choose a cheaper model"), usage=NO_USAGE)
        if not told:
            told = True
            tell(Queued(request.node, LIMIT))
        await lacking[0].changed()
    return request, 0.0


def _bound(profile: Profile) -> int | None:
    """Tokens that the reply is not longer than, as the profile or its options have it."""
    said = [value for key in BOUNDS if isinstance(value := profile.options.get(key), int) and value > 0]
    return max(said) if said else profile.max_tokens


def _affordable(pricing: Pricing, tokens: int, left: float, longest: int) -> int:
    """The longest reply that still fits, but no shorter than the least."""
    fits = bisect_right(range(longest + 1), left, key=lambda length: pricing.most(tokens, length)) - 1
    return max(fits, min(LEAST_REPLY, longest))
