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
ANY = "*"
"""In that table: whichever chat model the server has."""


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
    """A choice for each tier, by the first provider of the table that can be reached: this machine's servers, then those with a key.

    Offline only this machine is looked at, and nothing may be found. Raises ProblemError for an unknown tier, or with the ways out.
    """
    wanted = dict.fromkeys(tiers)
    known = {tier for models in table.values() for tier in models}
    if strange := [tier for tier in wanted if tier not in known]:
        ways = f"there are: {', '.join(sorted(known))}"
        raise ProblemError(*(Problem(f"provider auto has no tier '{tier}'", hint=nearest(tier, known) or ways) for tier in strange))
    for provider, models in table.items() if wanted else ():
        if found := await _reached(provider, reach, offline=offline):
            why, server, running = found
            return {
                tier: Choice(tier, provider, running if models[tier] == ANY else models[tier], why, server.label, server.local)
                for tier in wanted
            }
    if offline or not wanted:
        return {}
    keys = " or ".join(f"{key}=..." for provider in table if (key := PRESETS[provider].key))
    hint = f"start LM Studio's server with a chat model loaded, or export {keys}, or run what needs no model: --offline"
    raise ProblemError(Problem(f"no model can be reached for {' and '.join(wanted)}", hint=hint))


async def _reached(provider: str, reach: Reach, *, offline: bool) -> tuple[str, Address, str] | None:
    """Why a provider can be asked, where, and a model that runs there; None if it cannot."""
    preset = PRESETS[provider]
    server = address(base_url_of(provider, reach.env) or "")
    if preset.key is not None:
        return None if offline or not reach.env.get(preset.key, "").strip() else (preset.key, server, "")
    from llm_orc.models.lmstudio import chat_models

    running = await chat_models(server) if server.local else None
    return ("running", server, running[0]) if running else None
