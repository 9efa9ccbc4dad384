"""A turn as a plan: one agent, whose model and role are those of what it goes on from."""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from llm_orc.domain.conversation import chat_of, conversation_of
from llm_orc.domain.ensemble import Ensemble, EnsembleAgent, ModelAgent
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Choices, Plan, PlannedAgent
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import DefaultProfile, Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.run import Node, Run
from llm_orc.domain.spec import checked, plan_of

_PLACE = {"name", "depends_on", "require", "when", "fan_out", "gather", "input_key"}
_WORK = {"prompt", "prompt_file", "system_prompt_file", "attachments", "output_schema", "template"}
_MODEL = {"model", "provider", "model_profile", "fallback"}
_KEPT = frozenset(ModelAgent.model_fields) - _PLACE - _WORK - _MODEL
"""The keys of an agent that say how it speaks, not what it does in its ensemble."""
USUAL = DefaultProfile("default")
_WITHOUT = ("failed", "skipped", "cancelled")
_STEP = re.compile(r"([^\[]+)(?:\[(\d+)\])?")
"""A part of the id of a node: an agent, or an item of one."""


def speaker(run: Run, after: str, plan: Plan | None, turns: Mapping[str, Plan]) -> PlannedAgent | None:
    """The agent whose model goes on from a node: the last that a model answered for, of all that led to it; None where none did.

    `turns` are the plans of the turns, by node.
    """
    graph = conversation_of(run)
    for id_ in reversed(graph.history(after)):
        if graph.nodes[id_].kind == "response" and run.nodes[id_].status not in _WITHOUT:
            found = turns[id_].agents[id_] if id_ in turns else _found(plan, id_)
            if found is not None and found.profile is not None:
                return found
    return None


def attached(run: Run, after: Iterable[str], plan: Plan | None, turns: Mapping[str, Plan]) -> Mapping[str, tuple[Attachment, ...]]:
    """The files that went along with what was said up to these nodes, by node."""
    sent = {node.id: turns[node.id].agents[node.id] if node.id in turns else _found(plan, node.id) for node in chat_of(run, after)}
    return {id_: each.attached for id_, each in sent.items() if each is not None and each.attached}


def _found(plan: Plan | None, id_: str) -> PlannedAgent | None:
    """The agent of a node, or of an item; None where an ensemble was made during the run."""
    within = plan
    found: PlannedAgent | None = None
    for step in id_.split("/"):
        match = _STEP.fullmatch(step)
        if within is None or match is None or match[1] not in within.agents:
            return None
        found = within.agents[match[1]]
        found = found if match[2] is None else found.of_item(int(match[2]))
        within = found.child
    return found


@dataclass(frozen=True, slots=True)
class Speaking:
    """Who answers a turn, and within what bounds."""

    like: PlannedAgent | None = None
    """The agent whose model and role it has; None is the default profile, and no role."""
    profile: str | None = None
    """Another profile than that of the agent."""
    default: DefaultProfile = USUAL
    of: str = "conversation"
    """The ensemble whose run is gone on with."""
    timeout_seconds: float | None = None
    """How long it may take; less where its agent or profile says so."""


def turn_plan(name: str, speaking: Speaking, profiles: Mapping[str, Profile], attachments: tuple[Attachment, ...] = ()) -> Plan:
    """The plan of a turn, whose input is what is said: one agent of that name; raises ProblemError."""
    given, known = _given(name, speaking), _known(speaking, profiles)
    plan = _resolved(speaking, given, known, attachments)
    most, planned = speaking.timeout_seconds, plan.agents[name]
    own = planned.profile.timeout_seconds if planned.profile else None
    if most is not None and (own is None or own > most):
        return _resolved(speaking, {**given, "timeout_seconds": most}, known, attachments)
    return plan


def _resolved(speaking: Speaking, given: Mapping[str, Any], profiles: Mapping[str, Profile], attachments: tuple[Attachment, ...]) -> Plan:
    ensemble = Ensemble(name=speaking.of, agents=(ModelAgent.model_validate(given),))
    return resolve(ensemble, profiles, {}, Choices(profile=speaking.profile, attachments=attachments), speaking.default)


def _given(name: str, speaking: Speaking) -> dict[str, Any]:
    """The keys of its agent."""
    given: dict[str, Any] = {"name": name}
    like, profile = speaking.like, speaking.like.profile if speaking.like else None
    if like is not None and profile is not None:
        keys = like.agent.model_fields_set & _KEPT
        given |= {key: value for key in sorted(keys) if (value := getattr(like.agent, key)) is not None}
        if speaking.profile is None:
            given["fallback"] = tuple(each.name for each in like.fallbacks)
            given |= {"model_profile": profile.name} if profile.name else {"model": profile.model, "provider": profile.provider}
    return given


def _known(speaking: Speaking, profiles: Mapping[str, Profile]) -> Mapping[str, Profile]:
    """The profiles as they are; those of the agent as it used them."""
    like = speaking.like
    if like is None or like.profile is None or speaking.profile is not None:
        return profiles
    return {each.name: each for each in (like.profile, *like.fallbacks)}


def plan_of_turn(node: Node, profiles: Mapping[str, Profile]) -> Plan:
    """The plan of a turn that was kept; raises ProblemError. `profiles` are those of today, for one that held a key."""
    plan = plan_of(checked(node.turn or {}), profiles=profiles)
    if list(plan.agents) != [node.id] or not _only_asks(plan):  # whoever wrote the store is not trusted to run anything
        raise ProblemError(
            Problem(f"what '{node.id}' was to do is not kept in a form that can be read", hint="go on from what is before it")
        )
    return plan


class TurnPlans(MutableMapping[str, Plan]):
    """The plans of the turns of a run, by node, each made when somebody asks for it. One that cannot be made again is not there."""

    def __init__(self, run: Run, profiles: Mapping[str, Profile]) -> None:
        """`profiles` are those of today."""
        self._run, self._profiles = run, profiles
        self._made: dict[str, Plan] = {}

    def __getitem__(self, id_: str) -> Plan:
        if id_ not in self._made:
            node = self._run.nodes[id_]
            if node.turn is None:
                raise KeyError(id_)
            try:
                self._made[id_] = plan_of_turn(node, self._profiles)
            except ProblemError:
                raise KeyError(id_) from None
        return self._made[id_]

    def __setitem__(self, id_: str, plan: Plan) -> None:
        self._made[id_] = plan

    def __delitem__(self, id_: str) -> None:
        del self._made[id_]

    def __iter__(self) -> Iterator[str]:
        known = dict.fromkeys([*(node.id for node in self._run.nodes.values() if node.turn is not None), *self._made])
        return (id_ for id_ in known if id_ in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _only_asks(plan: Plan) -> bool:
    """Whether it asks models, and runs nothing."""
    children = [child for each in plan.agents.values() for child in (each.child, *(variant.child for variant in each.variants)) if child]
    return all(isinstance(each.agent, ModelAgent | EnsembleAgent) for each in plan.agents.values()) and all(map(_only_asks, children))
