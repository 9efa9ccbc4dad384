"""The children of a fan-out: started as places come free, and what becomes of their replies."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_orc.domain.gather import gathered
from llm_orc.domain.item import Item
from llm_orc.domain.message import FailedError, Outcome, Reply
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.said import Said
from llm_orc.domain.split import Measure, grouped, item_of
from llm_orc.engine.causes import common_failure

PAIR = 2
"""Replies that are made into one at least, however long they are, so that it comes to an end."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A fan-out from its items to its reply."""

    id: str
    planned: PlannedAgent
    submit: Callable[[Any, int], asyncio.Future[Outcome]]
    """Starts the child that works on an item, in this place."""
    window: asyncio.Semaphore
    """How many are open at once."""
    children: list[asyncio.Future[Outcome]]
    """All that were started, in order."""

    async def reply(self, items: Sequence[Any]) -> Reply:
        """What its children's replies come to; raises FailedError where that is nothing."""
        outcomes = await self._worked_on(items)
        if items and not any(outcome.ok for outcome in outcomes):
            raise FailedError(common_failure(f"none of {len(items)} items succeeded", dict(enumerate(outcomes))))
        if items and (measure := self.planned.reduces):
            return await self._reduced(Measure(measure.most, measure.unit))
        return gathered(self.planned.agent.gather, self.id, outcomes)

    async def _worked_on(self, items: Iterable[Any]) -> list[Outcome]:
        first = len(self.children)
        for item in items:
            await self.window.acquire()
            child = self.submit(item, len(self.children))
            child.add_done_callback(lambda _: self.window.release())
            self.children.append(child)
        started = self.children[first:]
        if started:
            await asyncio.wait(started)
        return [child.result() for child in started]

    async def _reduced(self, measure: Measure) -> Reply:
        """The one that is left where neighbours go to the agent again; who stands alone, or among failures, waits for the next round."""
        left = list(range(len(self.children)))
        while len(left) > 1:
            items, rest, waiting = list[Item](), list[int](), iter(left)
            for group in grouped([self._said(place) for place in left], measure, least=PAIR):
                first, *_ = (next(waiting) for _ in group)
                again = len(group) >= PAIR and any(said.ok for said in group)
                rest.append(len(self.children) + len(items) if again else first)
                items += [item_of(group)] if again else []
            await self._worked_on(items)
            left = rest
        outcome = self.children[left[0]].result()
        if outcome.reply is None:
            raise FailedError(common_failure("the replies could not be made into one", {left[0]: outcome}))
        return Reply(
            outcome.text, outcome.reply.value, outcome.reply.structured, finish=outcome.reply.finish, mismatch=outcome.reply.mismatch
        )

    def _said(self, place: int) -> Said:
        return Said(f"{self.id}[{place}]", self.children[place].result())
