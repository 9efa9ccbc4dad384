"""A key, or a token that expires, and where it comes from; never printed."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from llm_orc.domain.secret import remember


class Credential(Protocol):
    """What a provider shows a server to be let in. Finding one is cheap; its secret may take opening a keyring or a refresh."""

    @property
    def origin(self) -> str:
        """For people: `ANTHROPIC_API_KEY`, `keyring`, `vault (work)`."""
        ...

    @property
    def identity(self) -> str:
        """Tells credentials apart, holds nothing secret."""
        ...

    @property
    def oauth(self) -> bool:
        """Whether it is an access token, which goes into an Authorization header whatever the provider's way with keys is."""
        ...

    async def secret(self) -> SecretStr:
        """The key, or an access token that is valid now; raises FailedError `authentication` saying what to do."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """A key that is there already."""

    origin: str
    key: SecretStr
    oauth: bool = False

    @property
    def identity(self) -> str:
        """Where it was given."""
        return self.origin

    async def secret(self) -> SecretStr:
        """The key."""
        remember(self.key.get_secret_value())
        return self.key
