"""What a plan can cost at most, before anything is sent: the worst case of every request, added up."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf
from typing import NamedTuple

from llm_orc.domain.context import room_of
from llm_orc.domain.ensemble import ModelAgent
from llm_orc.domain.expected import Expected
from llm_orc.domain.extent import Extent, extent
from llm_orc.domain.length import Lengths, Many
from llm_orc.domain.message import Message
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import Plan, PlannedAgent, Variant
from llm_orc.domain.price import Pricing, most_tokens
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.domain.prompt import Template
from llm_orc.domain.said import identifier, text_of
from llm_orc.domain.split import TOKEN_BYTES
from llm_orc.domain.tree import Tree

RETOLD = 4
"""Tokens that one token of a reply may be where it is read: by another model, with the escapes of JSON, as UTF-8."""
CAUSE = 2_000
"""Tokens of the cause that stands in place of a reply."""
HEADING = 16
"""Tokens round an agent's name where its reply is a section of something."""
REPAIR = 1_500
"""Tokens in which a model is told what is wrong with its reply, without the schema."""
MANY = 1_000_000
LENGTH = "unknown length of its prompt"


class Share(NamedTuple):
    """What one agent may spend on one of its models; infinite where there is no bound, and then there is a reason."""

    agent: str
    """By its place in the plan: `agent`, `agent[2]` of a fan-out over profiles, `agent/child` inside an ensemble."""
    profile: Profile
    once: float
    """US dollars with one request; of each item, in a fan-out."""
    most: float
    """Likewise with every retry and repair that there may be."""
    why: str = ""
    on_top: bool = False
    """Whether summaries of what is too long come on top of it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """US dollars that a run is not above; infinite where nothing bounds it."""

    shares: tuple[Share, ...]
    max_cost: float | None = None
    items: Mapping[str, float] = field(default_factory=dict)
    """How many children a fan-out has at most; infinite where that is not known."""

    @property
    def once(self) -> float:
        """With one request for each agent, to the dearest of its models."""
        agents = groupby(self.shares, lambda share: share.agent)
        return self._capped(sum(max(share.once for share in shares) for _, shares in agents))

    @property
    def most(self) -> float:
        """With every retry, repair and fallback, each billed as if it had been whole."""
        return self._capped(sum(share.most for share in self.shares))

    @property
    def unbounded(self) -> dict[str, str]:
        """Agent -> why nothing but a `max_cost` bounds what it may spend."""
        return {share.agent: share.why for share in self.shares if share.most == inf}

    @property
    def on_top(self) -> tuple[str, ...]:
        """The agents whose summaries of what is too long are not counted, where no `max_cost` bounds them."""
        return () if self.max_cost is not None else tuple(dict.fromkeys(share.agent for share in self.shares if share.on_top))

    def of(self, uses: Callable[[Profile], bool]) -> "Bound":
        """The part that is spent on these profiles."""
        return Bound(tuple(share for share in self.shares if uses(share.profile)), self.max_cost)

    def without(self, reused: Callable[[str], bool]) -> "Bound":
        """What is left where nothing is sent for these agents."""
        left = (share._replace(once=0.0, most=0.0, why="") if reused(share.agent) else share for share in self.shares)
        return replace(self, shares=tuple(left))

    def _capped(self, dollars: float) -> float:
        return dollars if self.max_cost is None else min(dollars, self.max_cost)


Priced = Callable[[Profile], Pricing | None]
Carded = Callable[[Profile], ModelCard]


def bound(plan: Plan, text: str | None, pricing: Priced, card: Carded, tree: Tree | None = None) -> Bound:
    """What a run of the plan on this input may cost; an input of None is not known yet, and without a tree no file is looked for."""
    given = _Text(inf) if text is None else _Text.of(text)
    reading = _Reading(plan, given, _Terms(pricing, card, tree))
    return Bound(tuple(reading.shares()), plan.max_cost, {name: many.number for name, many in reading.items.items()})


class _Text(NamedTuple):
    """A text that somebody will be sent: tokens that it is not above, and itself where it is known."""

    tokens: float
    known: str | None = None

    @classmethod
    def of(cls, text: str) -> "_Text":
        return cls(len(text.encode(errors="surrogatepass")), text)


class _Own(NamedTuple):
    """What one call works on: tokens of its input or item, and of what `item` says in a template."""

    tokens: float
    item: float = 0


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is known of models."""

    pricing: Priced
    card: Carded
    tree: Tree | None = None

    def length(self, profile: Profile) -> float:
        """Tokens that a reply is not longer than."""
        card = self.card(profile)
        return extent(profile, card).length or card.max_output or inf

    def share(self, agent: str, planned: PlannedAgent, profile: Profile, prompt: float) -> Share:
        """What the agent may spend on this model, for a prompt of at most so many tokens."""
        if profile.provider == AUTO:
            return Share(agent, profile, inf, inf, "no model is chosen")
        pricing = self.pricing(profile)
        if pricing is None:
            return Share(agent, profile, inf, inf, "no known price")
        if pricing.most(MANY, MANY) == 0:
            return Share(agent, profile, 0.0, 0.0)
        length, window = self.length(profile), self.card(profile).context_window or inf
        extends = extent(profile, self.card(profile))
        system = (Message("system", profile.system_prompt),) if profile.system_prompt else ()
        unknown = inf if len(planned.attached) < len(planned.attachments) else 0
        sent = prompt + unknown + most_tokens((*system, Message("user", "", planned.attached)), planned.schema)
        if why := _why(extends, length, min(sent, window)):
            return Share(agent, profile, inf, inf, why)
        replies = int(length) * extends.replies
        once = most = pricing.most(int(min(sent, window)), replies)
        if planned.schema is not None:
            again = sent + length * RETOLD + REPAIR + len(json.dumps(dict(planned.schema)))
            most += pricing.most(int(min(again, window)), replies) + (once if planned.may_be_free else 0)
        tokens, room = sent / TOKEN_BYTES, inf if window == inf else room_of(int(window), profile.max_tokens)
        on_top = planned.context.policy == "summarize" and (window == inf or tokens > room)
        return Share(agent, profile, once, most * planned.attempts, on_top=on_top)


def _why(extends: Extent, length: float, sent: float) -> str:
    """Why there is no bound on what a call costs whose price is known."""
    if extends.unpriced:
        return f"no known price of '{extends.unpriced}'"
    if length == inf:
        return "no max_tokens"
    return LENGTH if sent == inf else ""


@dataclass(slots=True)
class _Reading:
    """A plan, read agent by agent in an order in which each comes after those that it waits for."""

    plan: Plan
    input: _Text
    terms: _Terms
    replies: dict[str, float] = field(default_factory=dict)
    """Tokens that an agent's reply is not above where it is read."""
    gathered: dict[str, Many] = field(default_factory=dict)
    """Of a fan-out: its children's replies."""
    items: dict[str, Many] = field(default_factory=dict)
    """Of a fan-out: what it goes over."""

    def shares(self) -> list[Share]:
        """Of every agent, children's included; afterwards it is known how long the replies may be."""
        return [share for phase in self.plan.phases for name in phase for share in self._agent(self.plan.agents[name])]

    @property
    def result(self) -> float:
        """Tokens of what the whole of it comes to."""
        if self.plan.final is not None:
            return self.replies[self.plan.final]
        if self.plan.template is not None and self.plan.synthesised:
            return inf
        return sum(self.replies[name] + len(name) + HEADING for name in self.plan.leaves)

    def _expected(self, planned: PlannedAgent) -> Many:
        expected = Expected(self.plan, self.input.known, self.input.tokens, self.replies, self.gathered, self.terms.tree)
        self.items[planned.name] = expected.items(planned)
        return self.items[planned.name]

    # One agent

    def _agent(self, planned: PlannedAgent) -> Iterator[Share]:
        items = self._expected(planned) if planned.agent.fan_out else None
        if items and planned.reduces:
            yield from self._reducing(planned, items)
            return
        own = _Own(items.largest if items and not planned.variants else self.input.tokens, items.largest if items else 0)
        variants = planned.variants or (Variant("", planned.profile, planned.child),)
        each: list[float] = []
        for index, variant in enumerate(variants):
            name = f"{planned.name}[{index}]" if planned.variants else planned.name
            shares, reply = self._one(planned, variant, name, own)
            each.append(max(reply, CAUSE))
            yield from (_times(share, items.number if items and not planned.variants else 1) for share in shares)
        if items is None:
            self.replies[planned.name] = each[0]
            return
        self.gathered[planned.name] = Many(items.number, max(each))
        self.replies[planned.name] = max(items.number * (max(each) + len(planned.name) + HEADING), CAUSE) if items.number else CAUSE

    def _reducing(self, planned: PlannedAgent, items: Many) -> Iterator[Share]:
        """A fan-out whose replies go to it again: each call after the first ones makes two or more of them into one."""
        _, reply = self._one(planned, Variant("", planned.profile, planned.child), planned.name, _Own(items.largest, items.largest))
        reply = max(reply, CAUSE)
        number, largest = max(2 * items.number - 1, 0), max(items.largest, 2 * (reply + HEADING))
        self.items[planned.name] = Many(number, largest)
        shares, _ = self._one(planned, Variant("", planned.profile, planned.child), planned.name, _Own(largest, largest))
        self.replies[planned.name] = reply
        yield from (_times(share, number) for share in shares)

    def _one(self, planned: PlannedAgent, variant: Variant, name: str, own: _Own) -> tuple[list[Share], float]:
        """What one call of it, or one child, may spend, and how long its reply may be."""
        if variant.child is not None:
            child = _Reading(variant.child, self._work(planned, variant.child, own), self.terms)
            return [_within(share, name, variant.child.max_cost) for share in child.shares()], child.result
        if planned.draft is not None:
            return [Share(name, Profile(provider=AUTO, model=name), inf, inf, "its agents are planned during the run")], inf
        if variant.profile is None or not isinstance(planned.agent, ModelAgent):
            return [], inf
        profiles = (variant.profile, *planned.fallbacks)
        prompt = self._prompt(planned, own)
        reply = inf if planned.shape else RETOLD * max(map(self.terms.length, profiles))
        return [self.terms.share(name, planned, profile, prompt) for profile in profiles], reply

    def _work(self, planned: PlannedAgent, child: Plan, own: _Own) -> _Text:
        """The input of a child run."""
        on_input = not planned.agent.fan_out or planned.compares
        if on_input and not planned.depends_on and planned.prompt is None and self.input.known:
            return self.input
        task = _Text.of(child.ensemble.default_task or "")
        return _Text(max(self._prompt(planned, own), task.tokens))

    def _prompt(self, planned: PlannedAgent, own: _Own) -> float:
        """Tokens of what it is sent."""
        template = planned.prompt
        if template is not None and template.tagged:
            return self._filled(template, own)
        listed = planned.listed_by if planned.agent.fan_out else frozenset()
        sections = sum(self.replies[name] + len(name) + HEADING for name in planned.depends_on if name not in listed)
        task = _Text.of(template.text).tokens if template else 0
        return task + own.tokens + sections + HEADING

    def _filled(self, template: Template, own: _Own) -> float:
        lists = {identifier(name): many for name, many in self.gathered.items()}
        return Lengths(lambda name, below: self._size(name, below, own), lists).rendered(template)

    def _size(self, name: str, below: str, own: _Own) -> float:
        """Tokens of what stands for a name in a template."""
        match name:
            case "input":
                return self.input.tokens
            case "agents":
                known = {identifier(each): tokens for each, tokens in self.replies.items()}
                return known.get(identifier(below), CAUSE)  # one that is left out of this run has a cause
            case "variables":
                return _Text.of(text_of(self.plan.variables.get(below, self.plan.variables))).tokens
            case "item":
                return own.item
            case "index":
                return HEADING
            case _:
                return inf


def _times(share: Share, number: float) -> Share:
    """Of so many items."""
    if share.most == 0 or number == 1:
        return share
    why = "unknown number of items" if number == inf and share.why in {"", LENGTH} else share.why
    return share._replace(once=share.once * number, most=share.most * number, why=why) if number else share._replace(once=0.0, most=0.0)


def _within(share: Share, parent: str, max_cost: float | None) -> Share:
    """Of a child run, which may have a bound of its own."""
    most = inf if max_cost is None else max_cost
    return share._replace(agent=f"{parent}/{share.agent}", once=min(share.once, most), most=min(share.most, most))
