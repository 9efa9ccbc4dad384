"""A tier for which no model was found: it can be planned, and offline skipped, but not asked."""

from typing import Never

from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import Reach

ENDPOINT = Endpoint("auto", "no model", local=False)


class Unchosen:
    """The provider `auto` itself."""

    def __init__(self, name: str, reach: Reach) -> None:
        """Nothing is looked up."""

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        """Nowhere, and not on this machine."""
        return ENDPOINT

    def ask(self, profile: Profile) -> Ask:  # noqa: ARG002 - the contract
        """A call that fails."""
        return _fail

    async def close(self) -> None:
        """Nothing was opened."""


async def _fail(request: Request, tell: Tell) -> Never:  # noqa: ARG001 - the contract
    what = f"no model was found for '{request.profile.model}'"
    raise FailedError(Failure(Kind.OFFLINE, what, "start LM Studio's server or Ollama with a chat model, or set the key of a provider"))
