"""A plan: an ensemble with every name resolved, and its agents grouped into phases."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from llm_orc.domain.context import Context
from llm_orc.domain.ensemble import SYNTHESIS, Agent, AgentSynthesis, Ensemble, ModelAgent, Retry, Running
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.files import Files
from llm_orc.domain.message import Attachment, Outcome
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import KeyPath, Problem
from llm_orc.domain.profile import Profile
from llm_orc.domain.prompt import Template
from llm_orc.domain.split import Measure

MAX_DEPTH = 8
"""How deep ensembles may nest."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller chose for this one run; wins over everything written."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    """The agents to run, with what they depend on; empty is all of them."""
    no_deps: bool = False
    """Without what they depend on."""
    profile: str | None = None
    """The profile of every model agent."""
    profiles: Mapping[str, str] = field(default_factory=dict)
    """The profiles of single agents, by name."""
    max_parallel: int | None = None
    max_cost: float | None = None
    attachments: tuple[Attachment, ...] = ()
    """Files that go along with the input, to whoever is sent it."""
    cache: bool | None = None
    """Whether replies are used again, whatever is written."""


class Chosen(NamedTuple):
    """The model that was chosen for a tier."""

    tier: str
    requires: frozenset[Capability]
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What a plan was made of besides its own ensemble; what was looked up by a name that it was looked up by."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    """As they are written."""
    ensembles: dict[str, Ensemble] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    default: str = "default"
    """The profile of agents that name none."""
    tiers: tuple[Chosen, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the models that a fan-out over profiles compares: an agent's profile, or the child run under it."""

    name: str
    """The profile's name, which the item carries."""
    profile: Profile | None = None
    child: "Plan | None" = None


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """An agent with everything it needs to run."""

    agent: Agent
    depends_on: tuple[str, ...]
    """As written, then implied by what its templates name."""
    implied: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    """Dependencies whose replies its prompt leaves out."""
    prompt: Template | None = None
    when: Template | None = None
    items: Template | None = None
    profile: Profile | None = None
    """Of a model agent: the profile with every parameter in force."""
    fallbacks: tuple[Profile, ...] = ()
    """Likewise, of those to ask where it cannot answer, in order."""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema that its reply has to follow."""
    shape: Template | None = None
    """What makes a text of a reply that follows it."""
    variants: tuple[Variant, ...] = ()
    """Of a fan-out over profiles, one per child."""
    child: "Plan | None" = None
    """Of an ensemble agent."""
    draft: Template | None = None
    """Of an ensemble agent whose child an agent before it replies with."""
    program: str | None = None
    """Of a script agent: the absolute path."""
    attachments: tuple[Attachment | Template, ...] = ()
    """Files that it is sent: those of the input, then its own; of some only the run tells the name."""
    files: Files | None = None
    """Where files are looked up."""
    phase: int = 0
    path: KeyPath = ()
    """Where it stands in its file."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    @property
    def requires(self) -> frozenset[Capability]:
        """What its model has to be able to do; what is attached requires something, too."""
        said = self.agent.requires if isinstance(self.agent, ModelAgent) else frozenset()
        if not (self.attachments and isinstance(self.agent, ModelAgent)):
            return said
        from llm_orc.domain.attached import needed  # most agents are sent nothing but text

        return said | needed(self.attached)

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """The files that are known before the run."""
        return tuple(each for each in self.attachments if isinstance(each, Attachment))

    @property
    def sees_input(self) -> bool:
        """Whether it is sent the input, in the default prompt or by a template; a child of a fan-out has its item instead."""
        body = self.agent.body
        if body not in {"model", "ensemble"}:
            return body == "script"
        if self.prompt is not None and self.prompt.tagged:
            return "input" in self.prompt.names.top
        return (not self.agent.fan_out or self.compares) and not (body == "ensemble" and self.agent.input_key)

    @property
    def attempts(self) -> int:
        """Requests in all that it may take to get a reply from one model."""
        retry = self.agent.retry if isinstance(self.agent, ModelAgent) else None
        return (retry or Retry()).attempts

    @property
    def context(self) -> Context:
        """What to do where its request is too long."""
        return self.agent.context if isinstance(self.agent, ModelAgent) else Context()

    @property
    def may_be_free(self) -> bool:
        """Whether its text will do where it cannot follow its schema."""
        return isinstance(self.agent, ModelAgent) and self.agent.on_mismatch == "text"

    @property
    def compares(self) -> bool:
        """Whether it is a fan-out over profiles."""
        return isinstance(self.agent.fan_out, FanOut) and self.agent.fan_out.profiles is not None

    @property
    def reduces(self) -> Measure | None:
        """How long the pieces are in which its children's replies go to it again, if they do so until one is left."""
        fan_out = self.agent.fan_out
        if not isinstance(fan_out, FanOut) or fan_out.chunks is None or self.agent.gather != "reduce":
            return None
        return fan_out.measure

    def reuses(self, *, usually: bool) -> bool:
        """Whether a reply to it may be used again, `usually` where nothing is said of it."""
        asked = (self.profile, *(variant.profile for variant in self.variants), *self.fallbacks)
        said = [profile.cache for profile in asked if profile]
        if isinstance(self.agent, Running) and self.agent.pure:
            said.append(self.agent.cache)
        return any(usually if each is None else each for each in said)

    @property
    def required(self) -> int:
        """How many direct dependencies must have succeeded."""
        rule, there = self.agent.require, len(self.depends_on)
        return there if rule == "all" else min(rule if isinstance(rule, int) else 1, there)

    def of_item(self, index: int) -> "PlannedAgent":
        """What a child of this fan-out does: one over profiles has a model for each."""
        if not self.variants:
            return self
        variant = self.variants[index]
        return replace(self, profile=variant.profile, child=variant.child)

    @property
    def listed_by(self) -> frozenset[str]:
        """The dependencies whose replies are this fan-out's items, or the child run itself, and not sections of its prompt."""
        if self.agent.fan_out is True:
            return frozenset(self.depends_on[:1])
        named = {name for template in (self.items, self.draft) if template for name in template.names.agents}
        return frozenset(name for name in self.depends_on if name.replace("-", "_") in named)


class Wanted(NamedTuple):
    """A profile, and what the agent that uses it wants of its model."""

    profile: Profile
    requires: frozenset[Capability] = frozenset()

    @property
    def tier(self) -> tuple[str, frozenset[Capability]]:
        """What a model is chosen for; the first is empty where it is known."""
        return self.profile.tier or "", self.requires


_Asks = TypeVar("_Asks", PlannedAgent, Variant)


@dataclass(frozen=True, slots=True)
class Plan:
    """An ensemble ready to run."""

    ensemble: Ensemble
    agents: Mapping[str, PlannedAgent]
    """In file order, `synthesis` last."""
    phases: tuple[tuple[str, ...], ...]
    leaves: tuple[str, ...]
    """The agents that only the synthesis depends on, or that were chosen, in file order; the sections of a document in theirs."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    template: Template | None = None
    """The template that renders the finished run."""
    synthesised: bool = True
    """False where `--only` left out what the synthesis names: the leaves are printed."""
    missing: Mapping[str, Outcome] = field(default_factory=dict)
    """What templates see of agents that `--no-deps` left out."""
    max_parallel: int | None = None
    max_cost: float | None = None
    timeout_seconds: float | None = None
    warnings: tuple[Problem, ...] = ()
    untrusted: tuple[Problem, ...] = ()
    """What may not run until the user trusts the project; children's included."""
    basis: Basis = field(default_factory=Basis)
    titles: Mapping[str, Template] = field(default_factory=dict)
    """Of the sections of a document that have one of their own, by agent; its own is under ""."""
    trail: tuple[str, ...] = ()
    """The ensembles that led here, this one last."""
    profile: str | None = None
    """The profile that the caller chose for every agent."""
    cache: bool | None = None
    """Whether the caller chose that replies are used again."""
    attached: tuple[Attachment, ...] = ()
    """Files that go along with the input."""

    def sent(self, uses: Callable[[Profile], bool] = lambda _: True) -> tuple[Attachment, ...]:
        """The files, as far as they are known, that go to models of these profiles; each once, children's included."""
        found: dict[Attachment, None] = {}
        for planned in self.agents.values():
            for variant in (Variant("", planned.profile, planned.child), *planned.variants):
                if variant.profile is not None and any(map(uses, (variant.profile, *planned.fallbacks))):
                    found |= dict.fromkeys(planned.attached)
                if variant.child is not None:
                    found |= dict.fromkeys(variant.child.sent(uses))
        return tuple(found)

    @property
    def takes_attachments(self) -> bool:
        """Whether anybody is sent the files that go along with the input."""
        told = [each for each in self.agents.values() if each.sees_input]
        children = [child for each in told for child in (each.child, *(variant.child for variant in each.variants)) if child]
        return any(each.agent.body != "ensemble" for each in told) or any(child.takes_attachments for child in children)

    def profiles(self) -> Iterator[Profile]:
        """Every profile in use, once, fallbacks and children's included."""
        return (wanted.profile for wanted in self.wanted())

    def wanted(self) -> "Iterator[Wanted]":
        """Likewise, each with what it has to be able to do."""
        seen: dict[str, Wanted] = {}
        for wanted in chain.from_iterable(self.ways()):
            seen.setdefault(f"{wanted.profile!r} {sorted(wanted.requires)}", wanted)
        return iter(seen.values())

    def ways(self) -> "Iterator[tuple[Wanted, ...]]":
        """Of each agent that asks a model, children's included: whom it may ask, in order."""
        for planned in self.agents.values():
            for variant in (Variant("", planned.profile, planned.child), *planned.variants):
                if variant.profile is not None:
                    yield tuple(Wanted(each, planned.requires) for each in (variant.profile, *planned.fallbacks))
                if variant.child is not None:
                    yield from variant.child.ways()

    def with_profiles(self, change: "Callable[[Wanted], Profile]") -> "Plan":
        """The plan with each profile changed, fallbacks and children's included."""

        def changed(each: _Asks, requires: frozenset[Capability]) -> _Asks:
            return replace(
                each,
                profile=change(Wanted(each.profile, requires)) if each.profile else None,
                child=each.child.with_profiles(change) if each.child else None,
            )

        agents = {}
        for name, each in self.agents.items():
            variants = tuple(changed(variant, each.requires) for variant in each.variants)
            fallbacks = tuple(change(Wanted(profile, each.requires)) for profile in each.fallbacks)
            agents[name] = changed(replace(each, variants=variants, fallbacks=fallbacks), each.requires)
        return replace(self, agents=agents)

    def with_tiers(self, chosen: Iterable[Chosen]) -> "Plan":
        """The plan with these models in the place of tiers; one that no model was chosen for stays."""
        known = {(each.tier, each.requires): each for each in chosen}

        def settled(wanted: Wanted) -> Profile:
            profile = wanted.profile
            each = known.get((profile.tier, wanted.requires)) if profile.tier else None
            return profile.answered_by(each.provider, each.model) if each else profile

        return replace(self.with_profiles(settled), basis=replace(self.basis, tiers=(*self.basis.tiers, *known.values())))

    def reuses(self, *, usually: bool, drafts: bool = False) -> bool:
        """Whether any reply may be used again, `usually` where nothing is said of it; `drafts`: or nobody knows before the run."""
        for planned in self.agents.values():
            children = (planned.child, *(variant.child for variant in planned.variants))
            if planned.reuses(usually=usually) or (drafts and planned.draft):
                return True
            if any(child.reuses(usually=usually, drafts=drafts) for child in children if child):
                return True
        return False

    def reads_input(self, asked: Callable[[Profile], bool] = lambda _: True) -> bool:
        """Whether a model that is asked, a command, function or child works on the input, so that an empty one is a mistake."""
        return any(_reads_input(planned, asked) for planned in self.agents.values())

    @property
    def final(self) -> str | None:
        """The one agent whose reply is the result as it is, if there is such a one."""
        if SYNTHESIS in self.agents:
            return SYNTHESIS
        written = self.ensemble.synthesis if self.synthesised else None
        if isinstance(written, AgentSynthesis):
            return written.agent
        return self.leaves[0] if written is None and len(self.leaves) == 1 else None


def bare(plan: Plan) -> Plan:
    """The bounds of a plan without its agents: for a run that only turns are added to."""
    return replace(plan, agents={}, phases=(), leaves=(), template=None, synthesised=False)


def _reads_input(planned: PlannedAgent, asked: Callable[[Profile], bool]) -> bool:
    if planned.agent.body == "script" or (planned.profile is not None and not any(map(asked, (planned.profile, *planned.fallbacks)))):
        return False
    if planned.items is not None and "input" in planned.items.names.top:
        return True
    if planned.prompt is not None and planned.prompt.tagged:
        return "input" in planned.prompt.names.top
    works_on_items = bool(planned.agent.fan_out) and not planned.compares
    children = [child for child in (planned.child, *(variant.child for variant in planned.variants)) if child]
    if works_on_items or planned.agent.input_key or (children and not any(child.reads_input(asked) for child in children)):
        return False
    return planned.agent.body == "command" or not planned.depends_on
