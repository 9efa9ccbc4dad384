"""A look at servers: which models each lists, and how fast, or why it does not. One request each, never a second one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.problem import ProblemError, nearest
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import Listed, Reach
from llm_orc.models.ollama import with_tag
from llm_orc.models.presets import PRESETS, base_url_of
from llm_orc.models.registry import Models
from llm_orc.models.target import aim

ANY = "any"
"""Where a profile is asked for its server alone."""


@dataclass(frozen=True, slots=True)
class Look:
    """What came of asking one server, with one key, for its models."""

    profile: Profile
    endpoint: Endpoint
    models: tuple[Listed, ...] = ()
    milliseconds: float | None = None
    """Until the list was there; None where it did not come."""
    failure: Failure | None = None

    @property
    def absent(self) -> bool:
        """Whether nobody listens there."""
        preset = PRESETS.get(self.profile.provider)
        return self.failure is not None and self.failure.kind is Kind.NETWORK and preset is not None and self.failure.hint == preset.start

    @property
    def is_truth(self) -> bool:
        """Whether a model that is not listed is not there."""
        preset = PRESETS.get(self.profile.provider)
        return preset is not None and preset.lists_all

    def has(self, model: str) -> bool:
        """Whether the model is listed, under its name, as the latest, or as a snapshot with a date; true where nothing is listed."""
        if not self.models:
            return not self.is_truth
        names = [listed.name for listed in self.models]
        if self.is_truth:
            return model in names or (self.profile.provider == "ollama" and with_tag(model) in names)
        plain = model.removeprefix("models/")
        return any(name.removeprefix("models/") == plain or name.startswith(f"{plain}-") for name in names)

    def get(self, model: str) -> str:
        """What to do where it is not listed."""
        near = nearest(model, [listed.name for listed in self.models])
        get = {"ollama": f"ollama pull {model}", "lmstudio": f"lms get {model}"}.get(self.profile.provider, "")
        return "; ".join(filter(None, (get, near))) or f"see: llm-orc list models {self.profile.provider}"


def usual(reach: Reach) -> list[Profile]:
    """A profile for each server that can be asked without one: those on this machine, and those whose key is there."""
    found = []
    for name, preset in PRESETS.items():
        if base_url_of(name, reach.env) is None:
            continue
        profile = Profile(name=name, provider=name, model=ANY)
        try:
            target = aim(profile, reach)
        except ProblemError:  # an address in the environment that is none: told by who looks for it
            found.append(profile)
            continue
        if target.credential or not preset.needs_key or target.refusal is None:
            found.append(profile)
    return found


async def look_at(models: Models, profiles: Iterable[Profile], seconds: Callable[[], float], *beside: Awaitable[None]) -> dict[str, Look]:
    """The look at each profile's server, by the key of its endpoint: all at once, each for so many seconds at most.

    Profiles that cannot be asked raise ProblemError. What takes long to import is imported first: no clock counts it, here or `beside`.
    """
    places: dict[str, Profile] = {}
    for profile in profiles:
        places.setdefault(models.endpoint(profile).key, profile)
    for profile in places.values():
        models.ready(profile)
    most = seconds()
    asked = [asyncio.ensure_future(_look(models, profile, most)) for profile in places.values()]
    await asyncio.gather(*asked, *beside)
    return {look.endpoint.key: look for look in (task.result() for task in asked)}


async def _look(models: Models, profile: Profile, seconds: float) -> Look:
    endpoint, clock = models.endpoint(profile), asyncio.get_running_loop().time
    began = clock()
    try:
        async with asyncio.timeout(seconds):
            listed = await models.listed(profile)
    except FailedError as error:
        return Look(profile, endpoint, failure=error.failure)
    except TimeoutError:
        what = f"{endpoint.label} did not list its models within {seconds:.0f} s"
        failure = Failure(Kind.TIMEOUT, what, "it is busy, or something else listens there; try again, or see the server's own log")
        return Look(profile, endpoint, failure=failure)
    except Exception as error:  # noqa: BLE001 - a plugin is a stranger's code
        what = f"the provider '{profile.provider}' broke off with {type(error).__name__} when it was asked for its models"
        return Look(profile, endpoint, failure=Failure(Kind.SERVER, what, "tell its author"))
    return Look(profile, endpoint, tuple(listed), (clock() - began) * 1000)
