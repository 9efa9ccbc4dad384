"""A run that is open: whoever holds it says things in it, from anywhere in it, one after another or at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from llm_orc.domain.conversation import cannot_go_on_from, last_said, next_turn
from llm_orc.domain.message import Attachment, Outcome
from llm_orc.domain.plan import Plan, bare
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import DefaultProfile, Profile
from llm_orc.domain.run import Run
from llm_orc.domain.spec import Spec
from llm_orc.domain.turn import Speaking, TurnPlans, attached, plan_of_turn, speaker, turn_plan
from llm_orc.engine.open_run import OpenRun
from llm_orc.engine.open_run import Talk as OpenTalk
from llm_orc.engine.turns import Before


@dataclass(frozen=True, slots=True)
class Making:
    """What turns are made of."""

    plan: Plan
    """Of the ensemble whose run it is."""
    profiles: Mapping[str, Profile]
    default: DefaultProfile
    ready: Callable[[Plan], Awaitable[Plan]]
    """The plan with a model for each tier; raises ProblemError where it cannot be answered."""
    spec: Callable[[Plan, str], Spec]
    """What it takes to make a plan again, and its input."""


@dataclass(slots=True)
class Chat:
    """An open run, for as long as its talk goes on."""

    run: Run
    """As far as it has come."""
    making: Making
    whole: OpenRun
    _plans: MutableMapping[str, Plan] = field(init=False)
    """Of the turns, by their ids."""
    _working: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._plans = TurnPlans(self.run, self.making.profiles)

    async def say(
        self,
        text: str,
        after: Iterable[str] = (),
        *,
        profile: Profile | str | None = None,
        attachments: tuple[Attachment, ...] = (),
        shown: bool = False,
    ) -> str:
        """Add a turn after these nodes, or after the last; its id. Raises ProblemError. Its reply is waited for with `outcome`.

        It is answered in the role of whom it goes on from, by that model or by another `profile`; its tokens come to stdout if `shown`.
        """
        nodes = tuple(after) or self._last()
        if problems := cannot_go_on_from(self.run, nodes, self._unended()):
            raise ProblemError(*problems)
        name = next_turn(self.run, self._plans)
        known = self.making.profiles if not isinstance(profile, Profile) else {profile.name: profile}
        like = speaker(self.run, nodes[-1], self.making.plan, self._plans) if nodes else None
        named = profile.name if isinstance(profile, Profile) else profile
        bounds = self.making.plan.timeout_seconds
        speaking = Speaking(like, named, self.making.default, self.making.plan.ensemble.name, bounds)
        self._plans[name] = turn_plan(name, speaking, known, attachments)
        try:
            self._plans[name] = await self.making.ready(self._plans[name])
        except BaseException:
            del self._plans[name]
            raise
        self._submit(name, text, nodes, self.making.spec(self._plans[name], text), shown=shown)
        await asyncio.sleep(0)  # from here on it is a node of the run
        return name

    async def outcome(self, turn: str) -> Outcome:
        """What came of a turn that was added here."""
        task = self._working[turn]
        await asyncio.wait({task})
        return Outcome("cancelled", cause="cancelled") if task.cancelled() else task.result()

    def end(self, turn: str) -> None:
        """Let a turn go that is under way; what has come of its reply is kept beside it."""
        self._working[turn].cancel()

    async def again(self) -> None:
        """Add every turn that the run has had: what was answered stands, and the others are asked again."""
        for node in [node for node in self.run.nodes.values() if node.turn is not None]:
            if not self.whole.past.stands(node.id, node.item):
                self._plans[node.id] = await self.making.ready(plan_of_turn(node, self.making.profiles))
            spec = node.turn or {}
            if node.id in self._plans:
                self._submit(node.id, spec["input"], node.depends_on, spec)
        if self._working:
            await asyncio.wait(self._working.values())

    def _last(self) -> tuple[str, ...]:
        last = last_said(self.run, self.making.plan.final)
        return () if last is None else (last,)

    def _unended(self) -> set[str]:
        return {id_ for id_, task in self._working.items() if not task.done()}

    def _submit(self, name: str, text: str, after: tuple[str, ...], spec: Spec, *, shown: bool = False) -> None:
        files = attached(self.run, after, self.making.plan, self._plans)
        before = Before(self.run, after, spec, files)
        self._working[name] = self.whole.turn(self._plans[name], text, before, shown=shown)


Talk = Callable[[Chat], Awaitable[None]]
"""Says things in an open run, which is closed when it is over."""


def talking(run: Run, making: Making, talk: Talk | None) -> OpenTalk:
    """What goes on with the run: the talk, else the turns that it has had."""

    async def talked(whole: OpenRun) -> None:
        chat = Chat(run, making, whole)
        await (chat.again() if talk is None else talk(chat))

    return talked


@dataclass(frozen=True, slots=True)
class Turn:
    """Where in a run that has come to its end one turn is taken."""

    within: Plan
    """Whose bounds hold."""
    after: tuple[str, ...]
    """The nodes that it goes on from."""
    attached: Mapping[str, Sequence[Attachment]] = field(default_factory=dict)
    """The files that went along with what was said before, by node."""

    def taken(self, plan: Plan, text: str, run: Run, spec: Spec) -> tuple[Plan, OpenTalk]:
        """What is performed, and what is then said in it: the text, answered as the plan says."""

        async def talked(whole: OpenRun) -> None:
            await whole.turn(plan, text, Before(run, self.after, spec, self.attached))

        return bare(self.within), talked
