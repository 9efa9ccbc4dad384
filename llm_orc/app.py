"""The one place that wires config, catalog, models and engine together."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from secrets import token_hex
from time import gmtime, strftime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from llm_orc.catalog.cards import card, catalog
from llm_orc.config.digest import digest
from llm_orc.config.layers import Layers
from llm_orc.config.shelf import overlaid
from llm_orc.config.tree import tree_of
from llm_orc.credentials import KEYS, are_kept
from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Cause, Happening
from llm_orc.domain.message import Tell
from llm_orc.domain.model import Catalog, ModelCard
from llm_orc.domain.past import Past
from llm_orc.domain.plan import Choices, Chosen, Plan, PlannedAgent, Wanted
from llm_orc.domain.price import Pricing
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.run import Run, fold
from llm_orc.domain.spec import LIMITS, Spec, spec_of
from llm_orc.engine.limits import Bounds
from llm_orc.engine.means import Keep, Means
from llm_orc.engine.perform import perform
from llm_orc.engine.told import Told
from llm_orc.models.base import Reach
from llm_orc.models.fitness import check
from llm_orc.models.registry import Models

if TYPE_CHECKING:
    from llm_orc.credentials.index import Store
    from llm_orc.credentials.keychain import Keychain
    from llm_orc.domain.foresight import Foresight
    from llm_orc.domain.reuse import Replies
    from llm_orc.engine.chat import Talk, Turn
    from llm_orc.engine.open_run import Talk as OpenTalk
    from llm_orc.models.auto import Choice
    from llm_orc.models.auto import Wanted as Tier
    from llm_orc.render.log import Logged
    from llm_orc.store.kept import Kept

PROGRAMS_PER_CORE = 2
_BOUNDS = Bounds(PROGRAMS_PER_CORE * (os.cpu_count() or 1))
"""Of everything that runs in this process, in whatever thread."""


def planned(layers: Layers, named: str | Ensemble, choices: Choices, profiles: Mapping[str, Profile] | None = None) -> Plan:
    """The plan of an ensemble by name, path or as an object; `profiles` given in Python go before those of files. Raises ProblemError."""
    around = layers.around(named) if isinstance(named, str) else layers
    ensemble = around.ensemble(named) if isinstance(named, str) else named
    known = overlaid(profiles, around.profiles) if profiles else around.profiles
    plan = resolve(ensemble, known, around.ensembles, choices, layers.default_profile)
    limits: dict[str, Any] = {each: getattr(plan, each) or getattr(layers.settings.limits, each) for each in LIMITS}
    return replace(plan, **limits)


def imported(plan: Plan) -> None:
    """Import what asking the plan's models takes; nothing is opened. What fails here fails again, and is told, when the model is asked."""
    models = Models(Reach())
    for profile in plan.profiles():
        with suppress(Exception):
            models.ready(profile)


class Known:
    """What the files, the catalogue and the keychain together know of keys, models and prices."""

    def __init__(self, layers: Layers) -> None:
        """Nothing is read before it is asked for."""
        self._layers = layers
        self._keychain: Keychain | None = None
        self._keys = str(layers.where.settings / KEYS)
        self._cards: dict[int, tuple[Profile, ModelCard]] = {}
        self._pricings: dict[int, tuple[Profile, Pricing | None]] = {}

    @property
    def catalog(self) -> Catalog:
        """The shipped catalogue, and the user's own words over it."""
        return catalog(self._layers.settings.catalog)

    @property
    def reach(self) -> Reach:
        """What providers may use."""
        own = self._layers.settings.catalog
        moved = {name: card.base_url for name, card in own.items() if card.base_url}
        return Reach(self._layers.where.env, self._layers.trusted_hosts, self.find, moved, self.card)

    @property
    def keychain(self) -> "Keychain":
        """The keys that are kept on this machine."""
        if self._keychain is None:
            from llm_orc.credentials.keychain import Keychain

            self._keychain = Keychain(self._layers.where.env, self._layers.where.settings)
        return self._keychain

    def find(self, provider: str, variable: str | None, name: str | None = None) -> Credential | None:
        """The key of a provider, or None; the keychain costs 25 ms to import, and only who keeps keys pays them."""
        key = self._layers.where.env.get(variable, "").strip() if variable and name is None else ""
        if variable and key:
            return Given(variable, SecretStr(key))
        if self._keychain is None and not are_kept(self._keys):
            return None
        return self.keychain.find(provider, variable, name)

    def card(self, profile: Profile) -> ModelCard:
        """What is known of a profile's model."""
        if id(profile) not in self._cards:  # an object that is kept keeps its number
            self._cards[id(profile)] = profile, card(self.catalog, profile)
        return self._cards[id(profile)][1]

    def pricing(self, profile: Profile, *, local: bool) -> Pricing | None:
        """What its model costs; None where that is not known."""
        if id(profile) not in self._pricings:
            from llm_orc.catalog.prices import pricing

            self._pricings[id(profile)] = profile, pricing(self.catalog, profile, local=local)
        return self._pricings[id(profile)][1]


@dataclass(slots=True)
class Session:
    """A plan together with the open ways to its models: settle it, perform it, close it."""

    layers: Layers
    plan: Plan
    offline: bool = False
    providers: Mapping[str, Any] = field(default_factory=dict)
    """Async callables, given in Python, by the provider name that profiles use."""
    models: Models = field(init=False)
    known: Known = field(init=False)
    kept: "Kept | None" = None
    """Where its runs are kept, and what keeps them from being kept."""
    _stop: "asyncio.Future[Cause] | None" = None

    def __post_init__(self) -> None:
        self.known = Known(self.layers)
        self.models = Models(self.known.reach, self.providers)
        check(self.plan, self.models, self.known.card, _wrong_schema)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.models.close()
        if self.kept is not None:
            self.kept.close()

    def keep(self, folder: Path, keep: int | str | None = None) -> Sequence[Problem]:
        """Keep what is performed from now on in the store of this folder, and so many runs; what is in the way of that are warnings."""
        from llm_orc.store.kept import Kept  # with SQLite, which only those need who keep runs

        self.kept = Kept(folder, keep)
        return self.kept.warnings

    async def settle(self, *, near: bool = False) -> "Sequence[Choice]":
        """Choose models for tiers, and of servers with none named (`near`: here only); raises ProblemError if an agent has none."""
        ways = list(self.plan.ways())
        choices = await self._choose(chain.from_iterable(ways), all_of_them=False)
        choices |= await self.models.whichever(ways, near=near or self.offline)

        def known(wanted: Wanted) -> bool:
            return wanted.profile.provider != AUTO or wanted.tier in choices

        if not self.offline:
            choices |= await self._choose(chain.from_iterable(agent for agent in ways if not any(map(known, agent))), all_of_them=True)

        chosen = (Chosen(*tier, choice.provider, choice.model) for tier, choice in choices.items())
        self.plan = self.plan.with_tiers(chosen) if choices else self.plan
        return tuple(choices.values())

    async def _drafted(self, text: str, planned: PlannedAgent, parent: Plan) -> Plan:
        """The plan of an ensemble that an agent replied with, ready to be performed; raises FailedError."""
        from llm_orc.config.drafted import drafted, held_to_rules  # most plans are whole from the beginning

        with held_to_rules(planned):
            return await self._ready(drafted(text, planned, parent, self.layers))

    async def _ready(self, plan: Plan) -> Plan:
        """A plan that joins a run, with a model for each tier; raises ProblemError."""
        inner = Session(self.layers, plan, self.offline, self.providers)
        inner.models, inner.known = self.models, self.known
        await inner.settle()
        await asyncio.to_thread(imported, inner.plan)
        return inner.plan

    async def _choose(self, wanted: Iterable[Wanted], *, all_of_them: bool) -> "dict[Tier, Choice]":
        tiers = [each.tier for each in wanted if each.profile.provider == AUTO]
        return await self.models.choose(tiers, self.known.catalog, self._price, offline=self.offline, all_of_them=all_of_them)

    def stores(self) -> "set[Store]":
        """Where the kept keys lie that the plan needs."""
        from llm_orc.models.presets import PRESETS

        needed = [each for each in self.plan.profiles() if each.provider in PRESETS and self._reachable(each)]
        found = [self.known.find(each.provider, PRESETS[each.provider].key, each.credential) for each in needed]
        return {kept.store for each in found if (kept := getattr(each, "kept", None))}

    def _price(self, profile: Profile) -> Pricing | None:
        return self.known.pricing(profile, local=self.models.endpoint(profile).local)

    def input_of(self, text: str) -> str:
        """The input, else the ensemble's own task; raises ProblemError where neither is there and somebody would read it."""
        text = text if text.strip() else self.plan.ensemble.default_task or ""
        if not (text.strip() or self.plan.attached) and self.plan.reads_input(self._reachable):
            hint = "pipe something in, name a file with -f, or pass a text after the ensemble's name"
            raise ProblemError(Problem(f"'{self.plan.ensemble.name}' has nothing to work on", hint=hint))
        return text

    def spec(self, plan: Plan, text: str) -> Spec:
        """What it takes to make a plan again, and its input."""
        cwd = self.layers.where.cwd
        return spec_of(plan, text, cwd=str(cwd), offline=self.offline, place=partial(placed, cwd), digest=digest)

    def _reachable(self, profile: Profile) -> bool:
        """Whether its model may be asked."""
        return profile.provider != AUTO and (not self.offline or self.models.endpoint(profile).local)

    async def perform(
        self,
        text: str,
        listeners: Iterable[Tell] = (),
        *,
        stream: bool = False,
        shown: str = "",
        run: Run | None = None,
        talk: "Talk | None" = None,
        turn: "Turn | None" = None,
    ) -> Run:
        """Run the plan; `run` knows of every event before the listeners hear it, and a listener that raises is no longer told.

        `shown` is the node whose tokens are written out as they come, so that it cannot be asked again.
        A `run` that something has happened in is gone on with: by what is left to do, or by a `turn`, whose plan this is then.
        It is kept open until `talk` is over.
        """
        run = Run() if run is None else run
        run_id = run.id or new_run_id()
        journal = self.kept.journal(run_id, run, None if run.last_seq else self.spec(self.plan, text)) if self.kept else None
        logged = _logged(run, run_id)
        told = Told([*([journal.tell] if journal else ()), *listeners, *(each.tell for each in logged)], run_id)

        def tell(event: Happening) -> None:
            fold(run, event)
            told.tell(event)

        reuses = talk is not None or self._reuses(drafts=True)  # nobody knows yet what will be said
        replies = self.kept.replies(run_id, self.plan.ensemble.name) if self.kept and reuses else None
        means = self._means(stream=stream, shown=shown, keep=journal.keep if journal else None, replies=replies, reuses=reuses)
        for profile in filter(self._reachable, self.plan.profiles()):
            self.models.ready(profile)
        self._stop = asyncio.get_running_loop().create_future()
        plan, heard = (self.plan, self._heard(run, talk)) if turn is None else turn.taken(self.plan, text, run, self.spec(self.plan, text))
        try:
            await perform(plan, text, means, tell, run=run_id, past=Past.of(run), stop=self._stop, talk=heard)
        finally:
            for each in (*([journal] if journal else ()), *logged):
                each.close()
            if replies is not None:
                replies.close()  # now the run is there that they are for
        return run

    def _heard(self, run: Run, talk: "Talk | None") -> "OpenTalk | None":
        """What goes on with a run when its ensemble is through: the talk, else the turns that it has had."""
        if talk is None and all(node.turn is None for node in run.nodes.values()):
            return None
        from llm_orc.engine.chat import Making, talking  # most runs are over then

        return talking(run, Making(self.plan, self.layers.profiles, self.layers.default_profile, self._ready, self.spec), talk)

    def _reuses(self, *, drafts: bool = False) -> bool:
        return self.plan.reuses(usually=self.layers.settings.cache, drafts=drafts)

    def forgets(self) -> Iterator[Problem]:
        """A warning where replies are to be used again, and there is nowhere to keep them."""
        if (self.kept is None or self.kept.store is None) and self._reuses():
            hint = "they are kept in the store, with the runs: leave out --no-store and store: off"
            yield Problem("replies are reused within this run only", hint="" if self.kept else hint, warning=True)

    async def foresee(self, text: str, replies: "Replies") -> "Foresight | None":
        """How far these replies reach into a run on this text; None where none may be used again. Nothing is asked, run or written."""
        if not self._reuses(drafts=True):
            return None
        from llm_orc.engine.foresight import foresee  # only who looks ahead needs it

        return await foresee(self.plan, text, self._means(stream=False, shown="", keep=None, replies=replies, reuses=True))

    def _means(self, *, stream: bool, shown: str, keep: Keep | None, replies: "Replies | None", reuses: bool) -> Means:
        reuse = None
        if reuses:
            from llm_orc.domain.reuse import Unkept
            from llm_orc.engine.reuse import Reuse

            reuse = Reuse(replies or Unkept(), usually=self.layers.settings.cache)
        return Means(
            self.models.ask,
            self.models.endpoint,
            _BOUNDS,
            self.layers.where.cwd,
            self.layers.where.env,
            sys.executable,
            pricing=self._price,
            card=self.known.card,
            reachable=self._reachable,
            stream=stream,
            shown=shown,
            draft=self._drafted,
            tree=tree_of(self.layers),
            keep=keep,
            reuse=reuse,
        )

    def stop(self, cause: Cause) -> None:
        """End the run early; what is finished is kept."""
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(cause)


def _logged(run: Run, run_id: str) -> "Sequence[Logged]":
    """The listener that makes records for `logging`, if anybody has set that up."""
    log = logging.getLogger(__package__)
    if not (log.isEnabledFor(logging.ERROR) and log.hasHandlers()):
        return ()
    from llm_orc.render.log import Logged

    return [Logged(log, run, run_id)]


def placed(cwd: Path, shown: str) -> str:
    """The absolute path of a file that was shown from this folder; what was made in Python has none."""
    return shown if shown.startswith("<") else str(cwd / shown)


def new_run_id() -> str:
    """Sorts by time, and is short enough to type."""
    return f"{strftime('%Y%m%d-%H%M%S', gmtime())}-{token_hex(3)}"


def _wrong_schema(schema: Mapping[str, Any]) -> str:
    """What keeps a reply from being held against it."""
    from llm_orc.engine.schemas import wrong_schema  # jsonschema costs 50 ms, which most plans do without

    return wrong_schema(schema)
