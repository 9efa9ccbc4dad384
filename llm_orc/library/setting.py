"""What the conversations of a program have in common: who may answer, what limits hold, where they are kept."""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_orc.app import Session, planned
from llm_orc.config.attachments import attachments_of
from llm_orc.config.keeping import how_many, store_folder
from llm_orc.config.layers import Layers, read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.context import Context
from llm_orc.domain.ensemble import Agent, Ensemble, ModelAgent
from llm_orc.domain.event import Happening
from llm_orc.domain.plan import Choices, Plan, bare
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import fold
from llm_orc.library.config import AgentPool
from llm_orc.library.conversation import ConversationGraph
from llm_orc.library.responses import BasePrompt

if TYPE_CHECKING:
    from llm_orc.engine.chat import Chat
    from llm_orc.store.runs import Store

Pool = AgentPool | Profile | str | Iterable[Profile | str] | None
"""Who may answer: profiles, by name or as objects, the first one where nothing else is said; None is the configured default."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_log = logging.getLogger("llm_orc")


@dataclass(frozen=True, slots=True)
class Setting:
    """See `Orchestrator`."""

    pool: AgentPool | tuple[Profile | str, ...]
    providers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    max_parallel: int | None = None
    max_cost: float | None = None
    offline: bool = False
    stream: bool = False
    cache: bool | None = None
    context: Context | Mapping[str, Any] | None = None
    store: bool | str | os.PathLike[str] = True
    listeners: tuple[Callable[[Happening], None], ...] = ()
    cwd: str | os.PathLike[str] | None = None
    env: Mapping[str, str] | None = None

    @property
    def layers(self) -> Layers:
        """The files as they are now."""
        environment = dict(os.environ if self.env is None else self.env)
        return read_layers(Surroundings(Path(self.cwd or Path.cwd()), Path(environment.get("HOME") or Path.home()), environment))

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Those that were given as objects."""
        if isinstance(self.pool, AgentPool):
            return self.pool.agent_types if isinstance(self.pool.agent_types, dict) else {}  # else they are those of the files
        return {each.name: each for each in self.pool if isinstance(each, Profile)}

    @property
    def default(self) -> str | None:
        """The profile that answers where nothing else is said; None is the configured one."""
        if isinstance(self.pool, AgentPool):
            return self.pool.default_agent_type
        first = next(iter(self.pool), None)
        return first.name if isinstance(first, Profile) else first

    @property
    def options(self) -> dict[str, Any]:
        """The same as options of `llm_orc.run`."""
        known = ("providers", "offline", "max_parallel", "max_cost", "cache", "cwd", "env")
        return {"profile": self.default, "profiles": self.profiles.values(), **{each: getattr(self, each) for each in known}}

    def plan(self, layers: Layers, agent: Agent, named: str = "", choices: Choices | None = None) -> Plan:
        """The plan of a turn; raises ProblemError, also for what may not run until it is trusted."""
        ensemble = Ensemble(name=_named(named), agents=(agent,))
        plan = planned(layers, ensemble, replace(choices or Choices(), cache=self.cache), self.profiles)
        if plan.untrusted:
            raise ProblemError(*plan.untrusted)
        return replace(plan, max_parallel=None, max_cost=None, timeout_seconds=None)  # the bounds are those of the conversation

    def prompted(self, layers: Layers, name: str, prompt: BasePrompt, profile: Profile | str | None) -> Plan:
        """The plan of a turn in which a prompt is answered."""
        who = profile.name if isinstance(profile, Profile) else profile or self.default
        role = {"system_prompt": prompt.system_prompt, "output_schema": prompt.output_schema}
        given = {"model_profile": who, "context": self.context, **role}
        agent = ModelAgent.model_validate({"name": name, **{key: value for key, value in given.items() if value is not None}})
        choices = Choices(attachments=attachments_of(prompt.attachments, layers.where.cwd))
        setting = replace(self, pool=(profile,)) if isinstance(profile, Profile) else self
        return setting.plan(layers, agent, "conversation", choices)

    async def perform(self, conversation: ConversationGraph, layers: Layers, talk: "Callable[[Chat], Awaitable[None]]") -> None:
        """Go on with a conversation until the talk is over."""
        anybody = ModelAgent.model_validate({"name": "turn", **({"model_profile": self.default} if self.default else {})})
        most = self.pool.max_agents if isinstance(self.pool, AgentPool) and self.max_parallel is None else self.max_parallel
        ensemble = Ensemble(name=_named(conversation.name), agents=(anybody,))
        plan = planned(layers, ensemble, Choices(max_parallel=most, max_cost=self.max_cost), self.profiles)
        plan = replace(bare(plan), variables={"name": conversation.name, "metadata": conversation.metadata})
        async with Session(layers, plan, self.offline, self.providers) as session:
            if (folder := self.folder(layers)) is not None:
                self.catch_up(conversation, folder)
                warnings = session.keep(folder, how_many(layers) if self.store is True else None)
            else:
                warnings = ()
            heard = [conversation.hear, *self.listeners]
            await session.perform("", heard, stream=self.stream, run=conversation.run, talk=talk)
        for warning in warnings:
            _log.warning("%s", warning)

    # What is kept

    def folder(self, layers: Layers) -> Path | None:
        """Where the conversations are kept; None where they are not."""
        if self.store is False or (self.store is True and layers.settings.store == "off"):
            return None
        return store_folder(layers) if self.store is True else Path(self.store)

    def loaded(self, word: str) -> ConversationGraph:
        """The conversation of this id, or the only one that begins with it, or the `last`; raises ProblemError."""
        from llm_orc.store.runs import Store

        layers = self.layers
        with Store.open(self.folder(layers) or store_folder(layers), make=False) as store:
            conversation = ConversationGraph(store.find(word))
            _told(store, conversation)
        return conversation

    def catch_up(self, conversation: ConversationGraph, folder: Path) -> None:
        """Mind what has happened in it elsewhere."""
        from llm_orc.store.places import FILE
        from llm_orc.store.runs import Store

        if not (folder / FILE).exists():
            return
        try:
            store = Store.open(folder, make=False)
        except ProblemError:
            return  # nothing can be kept there either, which is said in its place
        with store:
            if conversation.id in store:
                _told(store, conversation)


def _told(store: "Store", conversation: ConversationGraph) -> None:
    for event in store.events(conversation.id, after=conversation.run.last_seq):
        fold(conversation.run, event)
        conversation.hear(event)
        conversation.context.reset()
    known = conversation.run.variables
    conversation.name = conversation.name or known.get("name") or conversation.run.ensemble
    conversation.metadata = conversation.metadata or known.get("metadata") or {}


def _named(text: str) -> str:
    """A name that an ensemble can have."""
    return _NO_NAME.sub("-", text).strip("-_0123456789") or "conversation"


def pool_of(given: Pool) -> AgentPool | tuple[Profile | str, ...]:
    """Who may answer, in order."""
    match given:
        case None:
            return ()
        case AgentPool():
            return given
        case Profile() | str():
            return (given,)
        case _:
            return tuple(given)
