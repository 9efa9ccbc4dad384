"""One node of an open run: it waits, decides, acts."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llm_orc.domain.ensemble import EnsembleAgent
from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Happening,
    Received,
    Repairing,
    Retrying,
    Skipped,
    Started,
    Warned,
)
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Outcome, Reply
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.result import result_of
from llm_orc.domain.said import MISSING, Scope
from llm_orc.engine.agents import Call
from llm_orc.engine.asks import Turn
from llm_orc.engine.causes import common_failure, wanted
from llm_orc.engine.children import child_of, wished
from llm_orc.engine.items import items_of, opened, width_of
from llm_orc.engine.limits import Stopwatch
from llm_orc.engine.spread import Spread

if TYPE_CHECKING:
    from llm_orc.engine.open_run import OpenRun


@dataclass(slots=True)
class Node:
    """One node of an open run, from its submission to its outcome."""

    run: "OpenRun"
    planned: PlannedAgent
    id: str
    item: Any
    index: int
    _children: list[asyncio.Future[Outcome]] = field(default_factory=list)
    _received: list[Received] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    """What has come of its reply, for the case that its clock ends it."""

    async def outcome(self, depends_on: Sequence[asyncio.Future[Any]]) -> Outcome:
        """Wait, decide, act; whatever comes of it is told and kept."""
        try:
            if depends_on:
                await asyncio.wait(depends_on)
            outcome = await self._decided()
        except asyncio.CancelledError:
            self.run.tell(Cancelled(self.id))
            raise
        outcome = self._with_expenses(outcome)
        if self.item is MISSING:
            self.run.outcomes[self.planned.name] = outcome
        return outcome

    async def _decided(self) -> Outcome:
        try:
            self.item = await opened(self.item)
            scope = self.run.scope(self.planned, self.item, self.index)
            if cause := self._why_not(scope):
                return self._skipped(cause)
            return await self._done(scope)
        except FailedError as error:
            if error.failure.kind is Kind.OFFLINE:
                return self._skipped(Kind.OFFLINE)
            self.run.tell(Failed(self.id, error.failure, error.partial or "".join(self._pieces)))
            return Outcome("failed", failure=error.failure, cause=str(error.failure), children=self._ended_children())

    def _tell(self, event: Happening) -> None:
        """Tell it, and mind what it cost and what has come."""
        match event:
            case Received() if event.usage.total or event.cost:
                self._received.append(event)
            case Delta(thinking=False) if event.node == self.id:
                self._pieces.append(event.text)
            case Retrying() | FellBack() | Repairing() if event.node == self.id:
                self._pieces.clear()
            case _:
                pass
        self.run.tell(event)

    def _with_expenses(self, outcome: Outcome) -> Outcome:
        parts: list[Received | Outcome] = [*self._received, *outcome.children]
        if not (self.planned.agent.fan_out and self.item is MISSING):
            parts.append(self.run.past.spent(self.id))
        costs = [part.cost for part in parts if part.cost is not None]
        cost = sum(costs) if len(costs) == len(parts) else None
        usage = sum((part.usage for part in parts), NO_USAGE)
        return replace(outcome, usage=usage, cost=cost, profile=self.planned.profile)

    def _skipped(self, cause: str) -> Outcome:
        self.run.tell(Skipped(self.id, str(cause)))
        return Outcome("skipped", cause=str(cause))

    def _why_not(self, scope: Scope) -> str:
        """Why it is not run at all, or nothing. An item has been through this as part of its fan-out."""
        planned = self.planned
        if planned.profile is not None and not any(map(self.run.means.reachable, (planned.profile, *planned.fallbacks))):
            return Kind.OFFLINE
        if self.item is not MISSING:
            return ""
        if self.run.before is not None and (lost := self.run.before.lacking()):
            return "no reply from " + ", ".join(lost)
        there = [name for name in planned.depends_on if scope.outcomes[name].ok]
        if len(there) < planned.required:
            lacking = [name for name in planned.depends_on if name not in there]
            causes = {scope.outcomes[name].cause for name in lacking}
            return Kind.OFFLINE if causes == {Kind.OFFLINE} else "no reply from " + ", ".join(lacking)
        return "" if wanted(planned, scope) else "when"

    async def _done(self, scope: Scope) -> Outcome:
        planned = self.planned
        if planned.agent.fan_out and self.item is MISSING:
            return await self._fanned_out(scope)
        async with Stopwatch(self._seconds) as watch:
            watches = (*self.run.watches, watch)
            if isinstance(planned.agent, EnsembleAgent):
                reply = await self._child_run(scope, watches)
            else:
                turn = Turn(Started(self.id), self.run.places, watches, self.run.budgets)
                history = self.run.before.messages() if self.run.before else ()
                reply = await Call(self.id, planned, scope, turn, self.run.means, self._tell, history).reply()
        self.run.tell(Answered(self.id, reply))
        return Outcome("succeeded", reply)

    @property
    def _seconds(self) -> float | None:
        profile = self.planned.profile
        return self.planned.agent.timeout_seconds or (profile.timeout_seconds if profile else None)

    async def _child_run(self, scope: Scope, watches: tuple[Stopwatch, ...]) -> Reply:
        plan = await child_of(self.planned, scope, self.run.plan, self.run.means)
        turn = Turn(Started(self.id))
        text = Call(self.id, self.planned, scope, turn, self.run.means, self.run.tell).work() or plan.ensemble.default_task or ""
        self.run.tell(Started(self.id, text))
        child = self.run.below(self.id, plan, text, watches, self._tell)
        try:
            async with asyncio.timeout(plan.timeout_seconds):
                with wished(plan, self.run.means) if self.planned.draft else nullcontext():
                    await child.perform()
        except TimeoutError:
            raise FailedError(Failure(Kind.TIMEOUT, f"'{plan.ensemble.name}' was not done within {plan.timeout_seconds:g} s")) from None
        result, failure = result_of(plan, child.outcomes, text, self.run.made)
        if failure is not None:
            raise FailedError(failure, partial=result)
        if not any(child.outcomes[leaf].ok for leaf in plan.leaves):
            raise FailedError(common_failure(f"no agent of '{plan.ensemble.name}' came to a result", child.outcomes))
        return Reply(result)

    # Fan-out

    async def _fanned_out(self, scope: Scope) -> Outcome:
        items = await items_of(self.planned, scope, self.run.means, lambda what: self.run.tell(Warned(self.id, what)))
        self.run.tell(Started(self.id, items=len(items)))
        width = width_of(self.planned, self.run.places, self.run.means)
        reply = await Spread(self.id, self.planned, self._submit_item, asyncio.Semaphore(width), self._children).reply(items)
        self.run.tell(Answered(self.id, reply))
        return Outcome("succeeded", reply, children=self._ended_children(), fanned_out=self.planned.reduces is None)

    def _submit_item(self, item: Any, index: int) -> asyncio.Future[Outcome]:
        return self.run.submit(self.planned.of_item(index), id=f"{self.id}[{index}]", parent=self.id, item=item, index=index)

    def _ended_children(self) -> tuple[Outcome, ...]:
        return tuple(child.result() for child in self._children if child.done() and not child.cancelled())
