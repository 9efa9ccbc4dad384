"""The contract of a provider: what a module offers that speaks to models, and what it is given to do so."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import pydantic
from pydantic import SecretStr

from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.message import Ask, Message, Reply, Request, Tell, Usage
from llm_orc.domain.model import Capability, ModelCard
from llm_orc.domain.price import likely_tokens_of
from llm_orc.domain.problem import KeyPath, Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.wrong import said

_UNKNOWN = ModelCard()
Find = Callable[[str, str | None, str | None], Credential | None]
"""Provider, the variable that may hold its key, and the name of a kept key (None: whichever is there) -> the credential."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a provider may use: its environment, keys, what is known of models, and the hosts that the user trusts with a key."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    trusted_hosts: frozenset[str] = frozenset()
    """Each as `scheme://host:port`, lower case, the port always written."""
    find: Find | None = field(default=None, repr=False)
    """Where keys are looked up; None: in the environment alone."""
    base_urls: Mapping[str, str] = field(default_factory=dict)
    """Where the user says, for all profiles, that a provider listens; the environment goes before it."""
    card: Callable[[Profile], ModelCard] = lambda _: _UNKNOWN
    """What is known of a profile's model: the profile's own words, then the user's `catalog:`, then the shipped catalogue."""

    def credential(self, provider: str, variable: str | None, name: str | None = None) -> Credential | None:
        """The key of a provider, or None. Cheap: nothing is opened or decrypted."""
        if self.find is not None:
            return self.find(provider, variable, name)
        key = self.env.get(variable, "").strip() if variable else ""
        return Given(variable, SecretStr(key)) if variable and key else None


@dataclass(frozen=True, slots=True)
class Listed:
    """A model that a provider says it has."""

    name: str
    chat: bool = True
    """Whether it can be talked to; embedding models cannot."""
    loaded: bool | None = None
    """Of a local server: whether it is in memory; None where that is not said."""
    context_window: int | None = None
    """Tokens of prompt and reply together, as far as the server says; of a loaded model what it was loaded with."""
    capabilities: frozenset[Capability] | None = None


class Options(pydantic.BaseModel):
    """What `options` may hold for a provider: the entries that are known have types, all others are passed on as they are."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)


class Provider(Protocol):
    """Speaks one wire format. Opened once, when a plan first needs it; owns its connections.

    It may also have `ready()`, which imports what takes long, before any clock runs, and `models(profile)`, which lists its models.
    """

    def endpoint(self, profile: Profile) -> Endpoint:
        """What the limits of this profile belong to; opens nothing."""
        ...

    def ask(self, profile: Profile) -> Ask:
        """How to ask this profile's model; raises ProblemError for a profile that cannot be asked."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class Open(Protocol):
    """What an entry point of the group `llm_orc.providers` names: a class or function that opens a provider under its name."""

    def __call__(self, name: str, reach: Reach) -> Provider:
        """Open it; cheap, and without a connection."""
        ...


class BaseModel(ABC):
    """A provider to inherit from: implement `endpoint` and `generate`, and `models` where the server lists them."""

    options: ClassVar[type[Options]] = Options
    """The schema of the `options` that profiles and agents give."""

    def __init__(self, name: str, reach: Reach) -> None:
        """Open it under the name that profiles use; cheap, and without a connection."""
        self.name, self.reach = name, reach

    @abstractmethod
    def endpoint(self, profile: Profile) -> Endpoint:
        """What the limits of this profile belong to; opens nothing."""

    @abstractmethod
    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Ask once, without a retry of its own, and wait for the reply; raises FailedError, its `usage` NO_USAGE if nothing was billed."""

    def check(self, profile: Profile) -> None:  # noqa: B027 - most have nothing more to check
        """Raise ProblemError for a profile that cannot be asked; its options have been checked."""

    async def models(self, profile: Profile) -> Sequence[Listed]:  # noqa: ARG002 - for those who override it
        """The models of the profile's server, best first; raises FailedError where it cannot be asked. None are known here."""
        return ()

    def ready(self) -> None:  # noqa: B027 - most have nothing to import
        """Import what takes long; opens nothing."""

    async def close(self) -> None:  # noqa: B027 - some hold none
        """Let go of every connection."""

    def ask(self, profile: Profile) -> Ask:
        """How to ask this profile's model; raises ProblemError for one that cannot be asked."""
        checked_options(self.options, profile)
        self.check(profile)
        return self.generate


def checked_options(schema: type[Options], profile: Profile) -> None:
    """Raises ProblemError for each of the profile's options that is not what the provider takes."""
    try:
        schema.model_validate(profile.options)
    except pydantic.ValidationError as error:
        groups: dict[str, list[Any]] = {}
        for fault in error.errors(include_url=False):
            groups.setdefault(_path_in(profile.options, fault["loc"], missing=fault["type"] == "missing"), []).append(fault)
        told = (said((path,), faults) for path, faults in groups.items())
        raise ProblemError(*(Problem(f"option {what}", hint=hint) for what, hint in told)) from None


def _path_in(data: Any, loc: KeyPath, *, missing: bool) -> str:
    """The steps of pydantic's `loc` that lead through the data, and to what is missing; the others are its own labels."""
    path = list(map(str, loc[:1]))
    for step, inner in pairwise(loc):
        data = data[step] if step in _steps(data) else data
        if inner in _steps(data) or (missing and inner == loc[-1]):
            path.append(str(inner))
    return ".".join(path)


def _steps(data: Any) -> Any:
    return data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()


def messages_of(request: Request) -> tuple[Message, ...]:
    """What is said to the model: the system prompt first, wherever it was given."""
    system = request.profile.system_prompt
    if system is None or any(message.role == "system" for message in request.messages):
        return request.messages
    return (Message("system", system), *request.messages)


def estimated(messages: Iterable[Message], text: str) -> Usage:
    """A rough count where nobody counts: four characters are a token."""
    told = list(messages)
    said, files = sum(len(message.text) for message in told), sum(likely_tokens_of(message.attachments) for message in told)
    return Usage(-(-said // 4) + files, -(-len(text) // 4), estimated=True)
