"""The contract of a provider: what a module offers that speaks to models, and what it is given to do so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llm_orc.domain.message import Ask, Message, Request, Usage
from llm_orc.domain.profile import Endpoint, Profile


@dataclass(frozen=True, slots=True)
class Reach:
    """What a provider may use: the environment it was started in, and the hosts that the user trusts with a key."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    trusted_hosts: frozenset[str] = frozenset()
    """Each as `scheme://host:port`, lower case, the port always written."""


class Provider(Protocol):
    """Speaks one wire format. Opened once, when a plan first needs it; owns its connections.

    It may also have `ready()`, which imports what takes long, before any clock runs.
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


def messages_of(request: Request) -> tuple[Message, ...]:
    """What is said to the model: the system prompt first, wherever it was given."""
    system = request.profile.system_prompt
    if system is None or any(message.role == "system" for message in request.messages):
        return request.messages
    return (Message("system", system), *request.messages)


def estimated(messages: Iterable[Message], text: str) -> Usage:
    """A rough count where nobody counts: four characters are a token."""
    said = sum(len(message.text) for message in messages)
    return Usage(-(-said // 4), -(-len(text) // 4), estimated=True)
