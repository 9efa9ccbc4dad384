"""One call of `llm-orc continue`, from the run's id to the exit code."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from llm_orc.cli.ahead import importing
from llm_orc.cli.input import Given, names_a_file, read_input
from llm_orc.cli.invocation import Wanted, call_of
from llm_orc.cli.output import target_of
from llm_orc.cli.planning import warn
from llm_orc.cli.resuming import folded
from llm_orc.cli.runs_opened import opened
from llm_orc.cli.terminal import Terminal
from llm_orc.config.layers import Layers, read_layers
from llm_orc.domain.conversation import cannot_go_on_from, last_said, next_turn
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import Run
from llm_orc.domain.spec import checked, plan_of
from llm_orc.domain.turn import Speaking, TurnPlans, attached, speaker, turn_plan
from llm_orc.engine.chat import Turn
from llm_orc.store.runs import Store


class Asked(NamedTuple):
    """What the flags of `continue` say."""

    run: str
    after: tuple[str, ...]
    profile: str | None
    max_cost: float | None


def continued(terminal: Terminal, asked: Asked, given: Given, wanted: Wanted) -> int:
    """Say something in a run, and print the reply; the exit code. Raises ProblemError."""
    target = target_of(terminal, wanted.output, force=wanted.force)
    layers = read_layers(terminal.where)
    with opened(terminal) as store:
        past = _Past.read(store, store.find(asked.run), layers)
    after = asked.after or past.last()
    if problems := cannot_go_on_from(past.run, after):
        raise ProblemError(*problems)
    plan = past.plan(after, asked.profile, _attachments(terminal, given))
    call = call_of(terminal, layers, plan, wanted, target)
    call.run, call.store, call.whole = Run(ensemble=past.run.ensemble), store.folder, past.run
    within = past.base or plan
    call.turn = Turn(replace(within, max_cost=asked.max_cost or within.max_cost), after, attached(past.run, after, past.base, past.turns))
    with importing(terminal, given, plan):
        text = read_input(terminal, given)
    if not text.strip() and not given.attached:
        raise ProblemError(Problem("nothing is said", hint=f"llm-orc continue {asked.run} TEXT, -f FILE, or pipe something in"))
    warn(terminal, layers.warnings, names_a_file(terminal, given.text))
    asyncio.run(call.performed(text))
    return call.ended()


@dataclass(frozen=True, slots=True)
class _Past:
    """A run that is gone on with."""

    run: Run
    layers: Layers
    base: Plan | None
    """Of its ensemble; None where it cannot be made again."""
    lost: ProblemError | None = None
    """Why not."""
    turns: Mapping[str, Plan] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, run_id: str, layers: Layers) -> "_Past":
        """What is kept of it; raises ProblemError, also where a process works on it."""
        if store.alive(run_id):
            raise ProblemError(Problem(f"another process works on the run '{run_id}'", hint="wait until it is done, or end it"))
        run = folded(tuple(store.events(run_id)))
        turns = TurnPlans(run, layers.profiles)
        try:
            return cls(run, layers, plan_of(checked(store.spec(run_id)), profiles=layers.profiles), None, turns)
        except ProblemError as error:
            return cls(run, layers, None, error, turns)

    def last(self) -> tuple[str, ...]:
        """Where it is gone on from; raises ProblemError where that is not told."""
        last = last_said(self.run, self.base.final if self.base else None)
        if last is None:
            raise ProblemError(
                Problem(f"the run '{self.run.id}' came to no reply to go on from", hint=f"llm-orc runs resume {self.run.id}")
            )
        return (last,)

    def plan(self, after: tuple[str, ...], profile: str | None, attachments: tuple[Attachment, ...]) -> Plan:
        """What the turn does; raises ProblemError."""
        like = speaker(self.run, after[-1], self.base, self.turns)
        if like is None and profile is None and self.lost is not None:
            raise ProblemError(*(replace(each, hint="say who answers: --profile NAME") for each in self.lost.problems))
        timeout = self.base.timeout_seconds if self.base else None
        speaking = Speaking(like, profile, self.layers.default_profile, self.run.ensemble, timeout)
        return turn_plan(next_turn(self.run), speaking, self.layers.profiles, attachments)


def _attachments(terminal: Terminal, given: Given) -> tuple[Attachment, ...]:
    if not given.attached:
        return ()
    from llm_orc.cli.attach import attached as read

    return read(terminal, given.attached)
