"""Behaviour round a call: each wrapper takes an `Ask` and gives an `Ask`, and they are put together in one place."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from llm_orc.domain.event import Delta, Happening, Loaded, Loading, Queued, Received, Sent, Started, Warned
from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.price import Pricing, likely_tokens
from llm_orc.domain.profile import AUTO, Endpoint, Profile
from llm_orc.domain.shortening import Material
from llm_orc.engine.budgets import Budget, budgeted
from llm_orc.engine.context import Fitting, fitting
from llm_orc.engine.fallbacks import falling_back
from llm_orc.engine.limits import Place, Watch, running, turn
from llm_orc.engine.means import Means
from llm_orc.engine.retries import retried

USUAL_REPLY = 1_000
"""Tokens that a reply without a bound is thought to take of a minute's."""


@dataclass(slots=True)
class Turn:
    """One agent on its way: what its calls have to wait for, and what they share from the first to the last attempt."""

    began: Started
    places: tuple[Place, ...] = ()
    """The bounds of the runs that it belongs to, from the inner to the outer."""
    watches: tuple[Watch, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """Likewise."""
    shown: bool = False
    """Whether a token of its reply is on stdout, so that no other reply may follow."""
    begun: bool = False
    outer: "Turn | None" = None
    """Of a call that another one needs first: the turn of that one, which begins with it."""

    def within(self, began: Started) -> "Turn":
        """The turn of a call that this one needs first, which waits for the same."""
        return replace(self, began=began, shown=False, begun=False, outer=self)

    def begin(self, tell: Tell) -> None:
        """Tell that it began, if that was not told yet."""
        if self.outer is not None:
            self.outer.begin(tell)
        if not self.begun:
            self.begun = True
            tell(self.began)

    @asynccontextmanager
    async def taken(self, tell: Tell, place: Place | None = None, endpoint: str = "") -> AsyncIterator[Callable[[int], None]]:
        """Hold a slot of every bound at once, while the watches run; gives what corrects the tokens of the minute."""
        places = (place, *self.places) if place else self.places
        async with turn(places, self.watches, lambda limit: tell(Queued(self.began.node, limit, endpoint))) as sending:
            self.begin(tell)
            yield lambda tokens: place.slots.rate.correct(sending, tokens) if place and sending else None

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts, which the agent's clock counts."""
        with running(self.watches):
            await asyncio.sleep(seconds)

    @property
    def left(self) -> float | None:
        """Seconds until its first clock ends it; None where there is no end."""
        return min((left for watch in self.watches if (left := watch.left) is not None), default=None)


def asking(planned: PlannedAgent, when: Turn, means: Means, material: Callable[[], Sequence[Material]] = tuple) -> Ask:
    """How an agent asks its model, and then those that it falls back to; `material` is what was put into its prompt."""
    known = [each for each in (planned.profile, *planned.fallbacks) if each is not None]
    there = [each for each in known if each.provider != AUTO and means.reachable(each)]
    return falling_back([(profile, _asking_one(planned, profile, when, means, material)) for profile in there], when)


def _asking_one(planned: PlannedAgent, profile: Profile, when: Turn, means: Means, material: Callable[[], Sequence[Material]]) -> Ask:
    endpoint, card, pricing = means.endpoint(profile), means.card(profile), means.pricing(profile)

    def reused(ask: Ask, when: Turn) -> Ask:
        if means.reuse is None or not means.reuse.wanted(profile.cache):
            return ask
        from llm_orc.engine.reuse import remembered  # most replies are asked for

        return remembered(ask, means.reuse, planned, when, endpoint, card, means.shown)

    def called(when: Turn) -> Ask:
        ask = limited(means.ask(profile), when, means, _Terms(endpoint, card, pricing))
        ask = retried(budgeted(ask, when.budgets, pricing, card), planned.attempts, when)
        return ask if when.outer is None else reused(ask, when)

    ask = fitting(Fitting(called, when, planned.context, card, material, means.summaries))
    if planned.schema is not None:
        from llm_orc.engine.schemas import validated

        ask = validated(ask, planned.schema, when, free=planned.may_be_free)
    return reused(ask, when)


class _Terms(NamedTuple):
    """On what terms a model answers."""

    endpoint: Endpoint
    card: ModelCard
    pricing: Pricing | None


def limited(ask: Ask, when: Turn, means: Means, terms: _Terms) -> Ask:
    """Ask when it is its turn; one attempt, told with all that it took."""
    slots, label = means.bounds.of(terms.endpoint), terms.endpoint.label

    async def asked(request: Request, tell: Tell) -> Reply:
        profile = request.profile
        place = Place(slots, profile.model, likely_tokens(request.messages) + (profile.max_tokens or USUAL_REPLY))
        async with when.taken(tell, place, label) as correct:
            attempt = _Attempt(request, tell, when, terms, means.shown)
            tell(Sent(request.node, label, profile.name, profile.provider, profile.model, terms.card.context_window))
            try:
                reply = await ask(request, attempt.tell)
            except FailedError as error:
                correct(attempt.failed(error).total)
                if error.failure.kind is Kind.RATE_LIMIT:
                    slots.refused()
                raise
            except asyncio.CancelledError:
                correct(attempt.ended(attempt.thought(), None, Failure(Kind.CANCELLED, "it was cut off")).total)
                raise
            finally:
                attempt.loaded()
            slots.accepted()
            correct(reply.usage.total)
            return attempt.answered(reply)

    return asked


@dataclass(slots=True)
class _Attempt:
    """One request, from its sending to what came of it."""

    request: Request
    say: Tell
    when: Turn
    terms: _Terms
    shown: str
    """The node whose tokens are on stdout as they come."""
    pieces: int = 0
    """Letters of its reply so far."""
    loading: bool = False

    def tell(self, event: Happening) -> None:
        """What the provider tells: while it loads a model, no clock runs."""
        match event:
            case Loading() if not self.loading:
                self.loading = True
                for watch in self.when.watches:
                    watch.rest()
            case Loaded():
                self.loaded()
            case Delta(thinking=False):
                self.pieces += len(event.text)
                self.when.shown = self.when.shown or event.node == self.shown
            case _:
                pass
        self.say(event)

    def loaded(self) -> None:
        """No model is being loaded any more."""
        if self.loading:
            self.loading = False
            for watch in self.when.watches:
                watch.run()

    def answered(self, reply: Reply) -> Reply:
        """The reply with its price."""
        cost = self.cost(reply.usage) if reply.cost is None else reply.cost
        self.ended(reply.usage, cost, None, reply.model)
        self._warn_of_the_window(reply.usage)
        return replace(reply, cost=cost)

    def failed(self, error: FailedError) -> Usage:
        """What a failed attempt took, by the server's count or ours."""
        self.pieces = max(self.pieces, len(error.partial))
        usage = self.thought() if error.usage is None else error.usage
        return self.ended(usage, self.cost(usage), error.failure)

    def thought(self) -> Usage:
        """What an attempt must have taken that nobody counted."""
        return Usage(likely_tokens(self.request.messages), -(-self.pieces // 4), estimated=True)

    def cost(self, usage: Usage) -> float | None:
        """US dollars, where the price is known."""
        return self.terms.pricing.cost(usage) if self.terms.pricing else None

    def ended(self, usage: Usage, cost: float | None, failure: Failure | None, model: str | None = None) -> Usage:
        """It is over."""
        cost = self.cost(usage) if cost is None else cost
        self.say(Received(self.request.node, self.terms.endpoint.label, model or self.request.profile.model, usage, cost, failure))
        return usage

    def _warn_of_the_window(self, usage: Usage) -> None:
        window = self.terms.card.context_window
        if window and usage.total > NEARLY * window:
            what = f"{usage.total:,} tokens are {usage.total / window:.0%} of the window of {self.request.profile.model}"
            self.say(Warned(self.request.node, what))


NEARLY = 0.9
"""The share of a window from which on a person is warned."""
