"""How deliverables are to be written: by which model, with what parameters, one after another or at once."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from math import inf
from typing import Any

from pydantic import SecretStr

from llm_orc.domain.ensemble import Ensemble, ModelAgent, Retry
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import WHICHEVER, Profile
from llm_orc.library.logs import LEVELS
from llm_orc.models.presets import base_url_of

STUDIO = "lmstudio"
_TOKEN = "LM_API_TOKEN"  # noqa: S105 - a variable's name


class CompletionMode(StrEnum):
    """How several deliverables are written."""

    SEQUENTIAL = "sequential"
    """One after another."""
    BATCH = "batch"
    """At once, but for those that read one another."""
    STREAMING = "streaming"
    """As the server lets them; each is heard piece by piece."""


class ConfigError(ProblemError, ValueError):
    """A value that cannot be; all of them are told at once."""


def usual_url(env: Mapping[str, str] = os.environ) -> str:
    """Where LM Studio listens: as the environment says, else where it does by itself."""
    return base_url_of(STUDIO, env) or ""


@dataclass(frozen=True, slots=True)
class OrchestrationConfig:
    """By which model, with what parameters, how many at once, and what becomes of it. Raises ConfigError for what cannot be."""

    lm_studio_base_url: str = field(default_factory=usual_url)
    """Where LM Studio listens: `LMSTUDIO_BASE_URL`, else http://localhost:1234/v1."""
    lm_studio_api_key: SecretStr | str | None = field(default=None, repr=False)
    """Its token, if it wants one; never shown."""
    model_name: str | None = None
    """None: whichever chat model is loaded."""
    max_tokens: int = 2048
    """Of each deliverable, at most."""
    temperature: float = 0.7
    top_p: float = 0.9
    completion_mode: CompletionMode = CompletionMode.SEQUENTIAL
    merge_into_single_document: bool = True
    include_table_of_contents: bool = True
    max_retries_per_deliverable: int = 3
    """Requests in all, the first one included."""
    request_timeout: float = 60.0
    """Seconds that a deliverable may take from its first request on."""
    enable_logging: bool = False
    """Write what happens as lines on stderr: `llm_orc.configure_logging(log_level)`."""
    log_level: str = "INFO"
    profile: Profile | str | None = None
    """Another model than one of LM Studio's, as an object or by its name."""

    def __post_init__(self) -> None:
        if problems := [*self._wrong()]:
            raise ConfigError(*problems)
        object.__setattr__(self, "completion_mode", CompletionMode(self.completion_mode))
        if isinstance(self.lm_studio_api_key, str):
            object.__setattr__(self, "lm_studio_api_key", SecretStr(self.lm_studio_api_key))

    def _wrong(self) -> Iterator[Problem]:
        for name, kind, least, most, words in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
                yield Problem(f"{name} is {value!r}", hint=words)
        modes, mode = [*CompletionMode], str(self.completion_mode)
        if mode not in modes:
            yield Problem(f"completion_mode: no mode '{mode}'", hint=nearest(mode, modes) or f"there are: {', '.join(modes)}")
        if str(self.log_level).lower() not in LEVELS:
            yield Problem(f"log_level: '{self.log_level}' is no level", hint=f"there are: {', '.join(LEVELS).upper()}")
        if self.model_name is not None and self.profile is not None:
            yield Problem("model_name beside profile", hint="a profile names its model: keep one of them")
        for name in ("model_name", "lm_studio_base_url"):
            if getattr(self, name) == "":
                yield Problem(f"{name} is empty", hint="leave it out, or say it")

    # What it comes to

    @property
    def chosen(self) -> Profile | str:
        """The profile of every agent."""
        if self.profile is not None:
            return self.profile
        at_once = MOST_AT_ONCE if self.completion_mode is CompletionMode.BATCH else None
        return Profile(name=STUDIO, provider=STUDIO, model=self.model_name or WHICHEVER, max_parallel=at_once)

    @property
    def at_once(self) -> int | None:
        """How many calls may be under way; None is as many as servers and profiles let."""
        return 1 if self.completion_mode is CompletionMode.SEQUENTIAL else None

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment in which it is so: what the program itself says is its user's word."""
        if self.profile is not None:
            return dict(env)
        key = self.lm_studio_api_key
        token = {_TOKEN: key.get_secret_value()} if isinstance(key, SecretStr) else {}
        moved = self.lm_studio_base_url != base_url_of(STUDIO, env)
        return {**env, **({"LMSTUDIO_BASE_URL": self.lm_studio_base_url} if moved else {}), **token}

    def applied(self, ensemble: Ensemble) -> Ensemble:
        """The ensemble, each of whose models is asked in this way."""
        asked = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "timeout_seconds": self.request_timeout,
            "retry": Retry(attempts=self.max_retries_per_deliverable),
        }
        agents = tuple(each.model_copy(update=asked) if isinstance(each, ModelAgent) else each for each in ensemble.agents)
        return ensemble.model_copy(update={"agents": agents})

    def with_model(self, name: str) -> "OrchestrationConfig":
        """The same with another model."""
        if isinstance(self.profile, Profile):
            return replace(self, profile=self.profile.model_copy(update={"model": name}))
        return replace(self, model_name=name, profile=None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it, without the key."""
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        return {**told, "profile": self.profile.name if isinstance(self.profile, Profile) else self.profile}


MOST_AT_ONCE = 4
"""Calls that LM Studio is sent in a batch: as many as it works on at once, unless its user says otherwise."""
_RANGES = (
    ("max_tokens", int, 1, inf, "a whole number, 1 or more"),
    ("temperature", int | float, 0, 2, "a number from 0 to 2"),
    ("top_p", int | float, 1e-9, 1, "a number above 0, to 1"),
    ("max_retries_per_deliverable", int, 1, 100, "requests in all: a whole number from 1 to 100"),
    ("request_timeout", int | float, 1e-9, 1e9, "seconds, above 0"),
)
