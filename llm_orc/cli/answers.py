"""Who can answer now: every server that is known is asked once for its models, all at the same time, and profiles are held against that."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from shutil import which

from llm_orc.app import Known
from llm_orc.catalog.cards import gone_models
from llm_orc.config.folders import PROJECT
from llm_orc.config.layers import Layers
from llm_orc.config.shelf import Entry
from llm_orc.domain.health import PerMillion
from llm_orc.domain.message import Usage
from llm_orc.domain.model import Capability
from llm_orc.domain.price import Pricing
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import AUTO, WHICHEVER, Endpoint, Profile
from llm_orc.models.auto import Choice
from llm_orc.models.lmstudio import first_chat, no_chat
from llm_orc.models.look import ANY, Look, look_at, usual
from llm_orc.models.registry import Models
from llm_orc.render.words import dollars

ASIDE = (AUTO, "embedded")
"""Providers that are no servers."""
PULLED = "qwen3:8b"
"""A model to begin with, for those who have none."""
NOBODY = "no model can be reached"
_MILLION = 1_000_000
_SHORT = 1_000
"""Tokens of the prompt that prices are told for: long ones may cost more."""
Tier = tuple[str, frozenset[Capability]]
"""A tier, and what its model has to be able to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """A profile as its file says it."""

    name: str
    layer: str
    profile: Profile | None = None
    problem: Problem | None = None
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a profile can be answered, and by whom."""

    profile: Profile | None = None
    """With the model that was chosen, if it is a tier."""
    endpoint: Endpoint | None = None
    cause: str = ""
    hint: str = ""
    note: Problem | None = None
    """What should be known of one that may answer all the same."""


@dataclass(slots=True)
class Answers:
    """What servers and catalogue say of the profiles; close it when done."""

    layers: Layers
    known: Known = field(init=False)
    models: Models = field(init=False)
    written: Sequence[Written] = field(init=False)
    looks: dict[str, Look] = field(default_factory=dict)
    """By the key of the endpoint."""
    wrong: dict[str, Problem] = field(default_factory=dict)
    """Providers whose usual address is none, as the environment has it."""
    _chosen: dict[Tier, Choice | Problem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = Known(self.layers)
        self.models = Models(self.known.reach)
        self.written = [_read(entry) for entry in self.layers.profiles.entries()]

    async def look(self, seconds: Callable[[], float], tiers: Iterable[Tier] = (), *beside: Awaitable[None], provider: str = "") -> None:
        """Ask every server, or those of one provider, and choose for each tier; `beside` is done meanwhile."""
        own = [each.profile for each in self.written if each.profile and self._may_be_asked(each)]
        there = [profile for profile in (*usual(self.known.reach), *own) if provider in ("", profile.provider) and self._is_server(profile)]
        if provider and not there and self._is_server(named := Profile(name=provider, provider=provider, model=ANY)):
            there = [named]
        self.looks = await look_at(self.models, there, seconds, *(self._choose(tier) for tier in tiers), *beside)

    async def close(self) -> None:
        """Let go of every connection."""
        await self.models.close()

    def price(self, profile: Profile) -> PerMillion | None:
        """What tokens of its model cost; None where that is not known."""
        if (pricing := self._pricing(profile)) is None:
            return None
        each = (pricing.cost(usage) * _MILLION / _SHORT for usage in (Usage(_SHORT, 0), Usage(0, _SHORT)))
        return PerMillion(*(round(dollars, 6) for dollars in each))

    def _pricing(self, profile: Profile) -> Pricing | None:
        return self.known.pricing(profile, local=self.models.endpoint(profile).local)

    def verdict(self, profile: Profile, requires: frozenset[Capability] = frozenset()) -> Verdict:
        """Whether it can be answered."""
        if profile.provider == AUTO:
            chosen = self._chosen[profile.model, requires]
            if isinstance(chosen, Problem):
                cause = chosen.what.removesuffix(f" for {profile.model}")
                return Verdict(cause=cause, hint=self._ways_out() if cause == NOBODY else chosen.hint)
            profile = chosen.applied(profile)
        try:
            self.models.ask(profile)
            endpoint = self.models.endpoint(profile)
            profile = self._named(profile, endpoint, requires)
        except ProblemError as error:
            return Verdict(profile, cause=error.problems[0].what, hint=error.problems[0].hint)
        return self._held_against(profile, endpoint)

    def _named(self, profile: Profile, endpoint: Endpoint, requires: frozenset[Capability]) -> Profile:
        """The profile with the model that its server has, where it names none; raises ProblemError where there is none."""
        look = self.looks.get(endpoint.key)
        if profile.model != WHICHEVER or look is None or look.failure:
            return profile
        if (found := first_chat(look.models, requires)) is None:
            failure = no_chat(endpoint.label, look.models)
            raise ProblemError(Problem(failure.what, hint=failure.hint))
        return profile.answered_by(profile.provider, found.name)

    def _held_against(self, profile: Profile, endpoint: Endpoint) -> Verdict:
        note = None
        for gone in gone_models(self.known.catalog, [profile]):
            ends = f"{profile.provider} ends {profile.model} on {gone.since}"
            if gone.since <= datetime.now(tz=UTC).date():
                return Verdict(profile, endpoint, ends.replace(" ends ", " ended "), gone.hint)
            note = Problem(ends, hint=gone.hint)
        look = self.looks.get(endpoint.key)
        if look is None:
            return Verdict(profile, endpoint, note=note)
        if look.failure:
            return Verdict(profile, endpoint, look.failure.what, look.failure.hint)
        if not look.has(profile.model):
            cause, hint = f"{endpoint.label} has no model '{profile.model}'", look.get(profile.model)
            if look.is_truth:
                return Verdict(profile, endpoint, cause, hint)
            note = note or Problem(f"{endpoint.label} does not list '{profile.model}'", hint=hint)
        return Verdict(profile, endpoint, note=note)

    def _may_be_asked(self, written: Written) -> bool:
        """Whether its server is one that the user chose: who clones a project has not agreed to ask hosts that it names."""
        profile = written.profile
        if profile is None or not profile.base_url or written.layer != PROJECT or self.layers.trusted:
            return True
        return self._is_server(profile) and self.models.endpoint(profile).local

    def _is_server(self, profile: Profile) -> bool:
        if profile.provider in ASIDE:
            return False
        try:
            self.models.ask(profile)
            self.models.endpoint(profile)
        except ProblemError as error:
            if profile.name == profile.provider:
                self.wrong[profile.provider] = error.problems[0]
            return False
        return True

    async def _choose(self, tier: Tier) -> None:
        try:
            found = await self.models.choose([tier], self.known.catalog, self._pricing, offline=False)
            self._chosen[tier] = found[tier]
        except ProblemError as error:
            self._chosen[tier] = error.problems[0]

    def _ways_out(self) -> str:
        """The next commands for somebody who has no model at all, the nearest first."""
        running = {look.profile.provider for look in self.looks.values() if look.failure is None}
        path = self.layers.where.env.get("PATH")
        ways = []
        if "ollama" in running:
            ways.append(f"ollama pull {PULLED}")
        elif which("ollama", path=path):
            ways.append("ollama serve")
        if "lmstudio" in running:
            ways.append("lms load MODEL")
        elif which("lms", path=path):
            ways.append("lms server start")
        return ", or ".join([*ways, "export ANTHROPIC_API_KEY=... (or GEMINI_, OPENAI_, OPENROUTER_)", "llm-orc auth add PROVIDER"])


def _read(entry: Entry[Profile]) -> Written:
    try:
        return Written(entry.name, entry.layer, entry.read())
    except ProblemError as error:
        return Written(entry.name, entry.layer, problem=error.problems[0])


def in_words(price: PerMillion | None) -> str:
    """A price for people."""
    if price is None:
        return "no known price"
    return f"{dollars(price.input)} in, {dollars(price.output)} out per million tokens" if price.input or price.output else "free"
