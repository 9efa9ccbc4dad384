"""Makes a plan happen, and tells everything that does."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from llm_orc.domain.ensemble import EnsembleAgent
from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Cause,
    Delta,
    Failed,
    FellBack,
    Happening,
    Received,
    Repairing,
    Resumed,
    Retrying,
    RunEnded,
    RunStarted,
    Skipped,
    Started,
    Submitted,
    Warned,
)
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Outcome, Reply, Tell
from llm_orc.domain.past import NO_PAST, Past, told_apart
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.result import result_of
from llm_orc.domain.said import MISSING, Scope
from llm_orc.engine.agents import Call
from llm_orc.engine.asks import Turn
from llm_orc.engine.budgets import Budget
from llm_orc.engine.causes import common_failure, wanted
from llm_orc.engine.children import child_of, wished
from llm_orc.engine.items import items_of, opened, width_of
from llm_orc.engine.limits import Place, Stopwatch
from llm_orc.engine.means import Means
from llm_orc.engine.slots import Slots
from llm_orc.engine.spread import Spread


async def perform(
    plan: Plan,
    text: str,
    means: Means,
    tell: Tell,
    *,
    run: str,
    past: Past = NO_PAST,
    stop: asyncio.Future[Cause] | None = None,
) -> None:
    """Run the plan on the input, telling every event with its number and time; `stop`, once set, ends it early.

    A failed agent is an event, not an exception. Cancelling this task ends the run as an interrupt does.
    With a `past` the run goes on: what has succeeded there is not repeated, and all else is decided again.
    """
    told = _numbered(tell, means, past.seq)
    told(Resumed(run) if past.seq else RunStarted(run, plan.ensemble.name, plan.phases, plan.leaves, text, plan.variables))
    whole = OpenRun(plan, text, means, told, past)
    work = asyncio.create_task(whole.perform())
    ended = stop if stop is not None else asyncio.get_running_loop().create_future()
    cause: Cause = "interrupt"
    with wished(plan, means):
        try:
            await asyncio.wait({work, ended}, timeout=plan.timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            cause = "" if work.done() else ended.result() if ended.done() else "timeout"
            if not cause and any(budget.refused for budget in whole.budgets):
                cause = "budget"
        finally:
            work.cancel()
            await asyncio.wait({work})
            _raise_bug(work)
            result, failure = result_of(plan, whole.outcomes, text)
            told(RunEnded(result, cause, failure))


def _raise_bug(work: asyncio.Task[None]) -> None:
    error = None if work.cancelled() else work.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


def _numbered(tell: Tell, means: Means, last: int) -> Tell:

    def told(event: Happening) -> None:
        nonlocal last
        last += 1
        tell(replace(event, seq=last, at=means.clock()))

    return told


@dataclass(slots=True)
class OpenRun:
    """A run that agents can be submitted to: a whole run, or the child run of an ensemble agent."""

    plan: Plan
    text: str
    means: Means
    tell: Tell
    past: Past = NO_PAST
    """What the whole run had come to, if it is gone on with."""
    parent: str = ""
    """The id of the ensemble agent whose child run this is."""
    places: tuple[Place, ...] = ()
    watches: tuple[Stopwatch, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """From the inner run's to the outer's."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Of the ensemble's own agents, by name, as they end."""
    _tasks: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    _standing: set[str] = field(default_factory=set)
    """Those of them that are not decided again."""
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def perform(self) -> None:
        """Submit every phase; each is gathered, and the phases are gathered together, so that they overlap."""
        if self.plan.max_parallel is not None:
            self.places = (Place(Slots("max_parallel", self.plan.max_parallel)), *self.places)
        if self.plan.max_cost is not None:
            self.budgets = (Budget(self.plan.max_cost, self.past.charged), *self.budgets)
        phased = self.plan.ensemble.execution == "phased"
        async with self._group:
            # With exceptions as values a gather waits for all: else, cut off, the group would cancel a second time who is still tidying up.
            phases: list[asyncio.Future[Any]] = []
            for names in self.plan.phases:
                barrier = phases[-1:] if phased else []
                agents = [self._submit_agent(self.plan.agents[name], barrier) for name in names]
                phases.append(asyncio.gather(*agents, return_exceptions=True))
            await asyncio.gather(*phases, return_exceptions=True)
        self._warn_of_what_is_old()

    def submit(
        self,
        planned: PlannedAgent,
        depends_on: Sequence[asyncio.Future[Any]] = (),
        *,
        id: str,  # noqa: A002 - the word for it
        parent: str,
        item: Any = MISSING,
        index: int = 0,
    ) -> asyncio.Future[Outcome]:
        """Add a node; it starts when its dependencies are done and the limits allow. It never fails: a failure is its outcome."""
        which = "" if item is MISSING else told_apart(item)
        if self.past.stands(id, which):
            return self._stood(planned, id, item)
        needs = tuple(f"{self._prefix}{name}" for name in planned.depends_on) if item is MISSING else ()
        self.tell(Submitted(id, planned.agent.body, needs, parent, planned.phase, which))
        node = Node(self, planned, id, item, index)
        return self._group.create_task(node.outcome(depends_on), name=id)

    def _stood(self, planned: PlannedAgent, id: str, item: Any) -> asyncio.Future[Outcome]:  # noqa: A002
        outcome = self.past.outcome(id, planned)
        if item is MISSING:
            self.outcomes[planned.name] = outcome
            self._standing.add(planned.name)
        stood: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        stood.set_result(outcome)
        return stood

    def _warn_of_what_is_old(self) -> None:
        for name in self._standing:
            needs = set(self.plan.agents[name].depends_on) - self._standing
            if news := [need for need in needs if self.past.differs(f"{self._prefix}{need}", self.outcomes[need])]:
                what = f"stands as it was made, without the new reply of {', '.join(sorted(news))}"
                self.tell(Warned(f"{self._prefix}{name}", what))

    @property
    def _prefix(self) -> str:
        return f"{self.parent}/" if self.parent else ""

    def _submit_agent(self, planned: PlannedAgent, barrier: Iterable[asyncio.Future[Any]]) -> asyncio.Future[Outcome]:
        needs = [self._tasks[name] for name in planned.depends_on]
        task = self.submit(planned, [*needs, *barrier], id=f"{self._prefix}{planned.name}", parent=self.parent)
        self._tasks[planned.name] = task
        return task

    def scope(self, planned: PlannedAgent, item: Any, index: int) -> Scope:
        """What the templates of an agent can name."""
        outcomes = {**self.plan.missing, **{name: self.outcomes[name] for name in planned.depends_on}}
        return Scope(self.text, self.plan.variables, outcomes, item, index)


@dataclass(slots=True)
class Node:
    """One node of an open run, from its submission to its outcome."""

    run: OpenRun
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
                reply = await Call(self.id, planned, scope, turn, self.run.means, self._tell).reply()
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
        past = self.run.past.within(self.id, text)
        child = OpenRun(plan, text, self.run.means, self._tell, past, self.id, self.run.places, watches, self.run.budgets)
        try:
            async with asyncio.timeout(plan.timeout_seconds):
                with wished(plan, self.run.means) if self.planned.draft else nullcontext():
                    await child.perform()
        except TimeoutError:
            raise FailedError(Failure(Kind.TIMEOUT, f"'{plan.ensemble.name}' was not done within {plan.timeout_seconds:g} s")) from None
        result, failure = result_of(plan, child.outcomes, text)
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
