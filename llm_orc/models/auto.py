"""Which model answers for a tier: a server on this machine that has one, else a provider whose key is there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import Profile
from llm_orc.models.address import Address, address
from llm_orc.models.base import Reach
from llm_orc.models.presets import PRESETS, base_url_of

Tiers = Mapping[str, Mapping[str, str]]
"""Provider -> tier -> model."""
LOCAL = ("lmstudio",)
CLOUD = ("openai",)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that answers for a tier."""

    tier: str
    provider: str
    model: str
    why: str
    """What made it possible: the variable of the key, or `running`."""
    destination: str
    """The host that it sends to."""
    local: bool

    def __str__(self) -> str:
        """What a person is told before anything is sent."""
        going = f"stays on this machine ({self.destination})" if self.local else f"sends to {self.destination}"
        return f"{self.tier} -> {self.provider}/{self.model} ({self.why}); {going}"

    def applied(self, profile: Profile) -> Profile:
        """The profile with its tier replaced by the model chosen."""
        return profile.model_copy(update={"provider": self.provider, "model": self.model, "base_url": None})


async def choose(tiers: Iterable[str], table: Tiers, reach: Reach, *, offline: bool) -> dict[str, Choice]:
    """A choice for each tier, none where offline finds none; raises ProblemError with the ways out where none can be reached."""
    wanted = dict.fromkeys(tiers)
    known = {tier for models in table.values() for tier in models}
    if strange := [tier for tier in wanted if tier not in known]:
        ways = f"there are: {', '.join(sorted(known))}"
        raise ProblemError(*(Problem(f"provider auto has no tier '{tier}'", hint=nearest(tier, known) or ways) for tier in strange))
    if not wanted:
        return {}
