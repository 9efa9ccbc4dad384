"""Requests that are longer than their model's window: refused, cut or summarised before anything is sent."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from llm_orc.domain.context import Context, room_of
from llm_orc.domain.event import Shortened
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import least_tokens
from llm_orc.domain.shortening import Bounds, Draft, Material, olds_of, reminded, shortened, task_of, tokens_of, written
from llm_orc.domain.split import TOKEN_BYTES
from llm_orc.engine.summaries import SMALLEST, Summaries, Summarising

if TYPE_CHECKING:
    from llm_orc.engine.asks import Turn

TIMES = 8
"""How often a request is made shorter that its server still finds too long."""
SHORTER = 0.6
"""To what share of it, where the server does not say what it has room for."""
LARGE = 64 * 1024
"""Tokens from which on the work leaves the event loop."""
WAYS = "send less: split the input with fan_out, or choose a model with a larger window"
LET_GO = "or let the oldest part go: context: {policy: truncate}, or summarize"


@dataclass(frozen=True, slots=True)
class Fitting:
    """How the requests of an agent to one of its models are made to fit."""

    called: Callable[["Turn"], Ask]
    """Makes a call in a turn: that of the agent, or that of a summary."""
    when: "Turn"
    context: Context
    card: ModelCard
    material: Callable[[], Sequence[Material]]
    """What was put into the agent's prompt."""
    summaries: Summaries

    async def fitted(self, request: Request, room: int | None, tell: Tell) -> Request:
        """The request as it is sent; of what is too long without the oldest part, or with a summary of it. Raises FailedError."""
        before = tokens_of(request.messages)
        if room is None or before <= room:
            return request
        summarised = self.context.policy == "summarize"
        bounds = Bounds(room * TOKEN_BYTES, self.context.keep_last, summarised)
        choose = partial(shortened, request.messages, self.material(), bounds)
        drafts = await asyncio.to_thread(choose) if before > LARGE else choose()
        if drafts is None or (summarised and bounds.room < SMALLEST):
            what = f"about {before:,} tokens cannot be cut to the {room:,} that {request.profile.model} has room for"
            hint = "make what always stays shorter (prompts, keep_last), lower max_tokens, or choose a model with a larger window"
            raise _HopelessError(Failure(Kind.CONTEXT_LENGTH, what, hint), usage=NO_USAGE)
        messages = written(drafts, await self._instead(request, drafts, bounds, tell))
        sent = "\n\n".join(each.text for each in messages if each.role != "system")
        tell(Shortened(request.node, self.context.policy, before, tokens_of(messages), room, sent))
        return replace(request, messages=messages)

    async def _instead(self, request: Request, drafts: Sequence[Draft], bounds: Bounds, tell: Tell) -> list[str]:
        """What stands in place of all that does not stay."""
        if not bounds.summarised:
            return [old.mark for old in olds_of(drafts)]
        roles = [each.text for each in request.messages if each.role == "system"]
        first = next(each for each in request.messages if each.role != "system")
        task = "\n\n".join(filter(None, (*roles, task_of(first, self.material()))))
        making = Summarising(self.summaries, request, self.called, self.when, tell, bounds, task)
        return [old.summed_up(await making.of(old)) for old in olds_of(drafts)]


class _HopelessError(FailedError):
    """A request that cannot be made to fit."""


def fitting(fit: Fitting) -> Ask:
    """Do not send what cannot fit, or holds what the model cannot read; a window or an ability that is not known refuses nothing.

    What a server then refuses all the same is made shorter, where that is the policy.
    """
    context, when, ask = fit.context, fit.when, fit.called(fit.when)

    async def asked(request: Request, tell: Tell) -> Reply:
        _check(request, fit.card)
        if context.reminder is not None:
            request = replace(request, messages=reminded(request.messages, context.reminder, fit.material()))
        room = None if context.policy == "error" else _room(request, fit.card.context_window)
        if context.policy == "error":
            _check_length(request, fit.card.context_window)
        left = 0 if context.policy == "error" else TIMES
        while True:
            sent = None
            try:
                sent = await fit.fitted(request, room, tell)
                return await ask(sent, tell)
            except _HopelessError:
                raise
            except FailedError as error:
                if error.failure.kind is not Kind.CONTEXT_LENGTH:
                    raise
                if when.shown or not left:
                    raise _with_way_out(error, context) from None
                left -= 1
                most = tokens_of(sent.messages) if sent is not None else room or tokens_of(request.messages)
                room = _less(most, _room(request, error.failure.window))

    return asked


def _check(request: Request, card: ModelCard) -> None:
    """Raises FailedError for what the model is known not to read."""
    if attachments := [attachment for message in request.messages for attachment in message.attachments]:
        from llm_orc.domain.attached import refusals  # most requests are nothing but text

        for refusal in refusals(request.profile.model, attachments, card):
            raise FailedError(Failure(Kind.INVALID_REQUEST, *refusal), usage=NO_USAGE)


def _check_length(request: Request, window: int | None) -> None:
    """Raises FailedError for what surely does not fit."""
    least = least_tokens(request.messages)
    if window is not None and least > window:
        what = f"at least {least:,} tokens do not fit the {window:,} of {request.profile.model}"
        raise FailedError(Failure(Kind.CONTEXT_LENGTH, what, f"{WAYS}; {LET_GO}", window=window), usage=NO_USAGE)


def _room(request: Request, window: int | None) -> int | None:
    return None if window is None else room_of(window, request.profile.max_tokens)


def _less(tokens: int, told: int | None) -> int:
    """Room for less than so many tokens, which were too many: what the server says, if that is less."""
    return told if told is not None and told < tokens else int(tokens * SHORTER)


def _with_way_out(error: FailedError, context: Context) -> FailedError:
    """The failure, whose hint also names what the user may allow."""
    hint = error.failure.hint or WAYS
    failure = replace(error.failure, hint=f"{hint}; {LET_GO}" if context.policy == "error" else hint)
    return FailedError(failure, partial=error.partial, usage=error.usage)
