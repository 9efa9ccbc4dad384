"""A run that agents and turns can be submitted to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llm_orc.domain.event import Cause, Submitted, Warned
from llm_orc.domain.message import Failure, Outcome, Tell
from llm_orc.domain.past import NO_PAST, Past, told_apart
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.result import Made, result_of
from llm_orc.domain.said import MISSING, Scope
from llm_orc.engine.budgets import Budget
from llm_orc.engine.children import wished
from llm_orc.engine.limits import Place, Stopwatch
from llm_orc.engine.means import Means
from llm_orc.engine.node import Node
from llm_orc.engine.slots import Slots

if TYPE_CHECKING:
    from llm_orc.engine.turns import Before

Talk = Callable[["OpenRun"], Awaitable[None]]
"""Goes on with a run when its ensemble is through; it is kept open until this is over."""


@dataclass(slots=True)
class OpenRun:
    """A run that agents can be submitted to: a whole run, or the child run of an ensemble agent."""

    plan: Plan
    text: str
    means: Means
    tell: Tell
    made: Made
    past: Past = NO_PAST
    """What the whole run had come to, if it is gone on with."""
    parent: str = ""
    """The id of the ensemble agent whose child run this is."""
    places: tuple[Place, ...] = ()
    watches: tuple[Stopwatch, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """From the inner run's to the outer's."""
    before: "Before | None" = None
    """Of a turn: what it goes on from."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Of the ensemble's own agents, by name, as they end."""
    _tasks: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    _standing: set[str] = field(default_factory=set)
    """Those of them that are not decided again."""
    _turns: dict[str, Outcome | None] = field(default_factory=dict)
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def perform(self, needs: Sequence[asyncio.Future[Any]] = (), talk: Talk | None = None) -> None:
        """Submit every phase; each is gathered, and the phases are gathered together, so that they overlap. Then let `talk` go on."""
        if self.plan.max_parallel is not None:
            self.places = (Place(Slots("max_parallel", self.plan.max_parallel)), *self.places)
        if self.plan.max_cost is not None:
            self.budgets = (Budget(self.plan.max_cost, self.past.charged), *self.budgets)
        phased = self.plan.ensemble.execution == "phased"
        async with self._group:
            # With exceptions as values a gather waits for all: else, cut off, the group would cancel a second time who is still tidying up.
            phases: list[asyncio.Future[Any]] = []
            for names in self.plan.phases:
                barrier = [*needs, *(phases[-1:] if phased else [])]
                agents = [self._submit_agent(self.plan.agents[name], barrier) for name in names]
                phases.append(asyncio.gather(*agents, return_exceptions=True))
            await asyncio.gather(*phases, return_exceptions=True)
            self._warn_of_what_is_old()
            if talk is not None:
                await talk(self)

    def turn(self, plan: Plan, text: str, before: "Before", *, shown: bool = False) -> asyncio.Future[Outcome]:
        """Add a turn: a plan of one agent, which is told the text after all that was said before. It never fails: a failure is its outcome.

        It starts when what it goes on from is done; without a reply there, it is skipped. Its tokens are on stdout as they come if `shown`.
        """
        (name,) = plan.agents
        means = replace(self.means, stream=True, shown=name) if shown else self.means
        turn = OpenRun(plan, text, means, self.tell, self.made, self.past, places=self.places, budgets=self.budgets, before=before)
        needs = [self._tasks[id_] for id_ in before.after if id_ in self._tasks]
        self._turns[name] = None
        self._tasks[name] = task = self._group.create_task(self._turn(turn, name, needs), name=name)
        return task

    async def _turn(self, turn: "OpenRun", name: str, needs: Sequence[asyncio.Future[Any]]) -> Outcome:
        with wished(turn.plan, self.means):
            await turn.perform(needs)
        self._turns[name] = outcome = turn.outcomes[name]
        return outcome

    def result(self, cause: Cause = "") -> tuple[str, Cause, Failure | None]:
        """What it has come to: the reply to the last turn, else what the ensemble makes of its agents' replies."""
        if self._turns:
            last = list(self._turns.values())[-1]
            return last.text if last else "", cause, None
        result, failure = result_of(self.plan, self.outcomes, self.text, self.made)
        return result, cause, failure

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
        self.tell(self._submitted(planned, id, parent, which))
        node = Node(self, planned, id, item, index)
        return self._group.create_task(node.outcome(depends_on), name=id)

    def _submitted(self, planned: PlannedAgent, id: str, parent: str, item: str) -> Submitted:  # noqa: A002
        if self.before is not None and not parent:
            return Submitted(id, planned.agent.body, self.before.after, phase=self.before.phase(id), turn=self.before.spec)
        needs = () if item else tuple(f"{self._prefix}{name}" for name in planned.depends_on)
        return Submitted(id, planned.agent.body, needs, parent, planned.phase, item)

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

    def below(self, parent: str, plan: Plan, text: str, watches: tuple[Stopwatch, ...], tell: Tell) -> "OpenRun":
        """The child run of one of its nodes, within its limits."""
        return OpenRun(plan, text, self.means, tell, self.made, self.past.within(parent, text), parent, self.places, watches, self.budgets)

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
