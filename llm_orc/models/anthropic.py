"""Anthropic's Messages API, through its own SDK."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_orc.domain.event import Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.anthropic_answer import Answer
from llm_orc.models.anthropic_wire import AnthropicOptions, body_of, expressible, headers_of, listed, unsent, written
from llm_orc.models.base import BaseModel, Listed, Reach
from llm_orc.models.target import Target, aim, refuse_unencrypted

if TYPE_CHECKING:
    from llm_orc.models.anthropic_client import Client
    from llm_orc.models.transport import Patience

MOST_PAGES = 50
"""Of a listing; a server that always has one more is not believed."""


class Anthropic(BaseModel):
    """A provider with one client per server and key."""

    options = AnthropicOptions

    def __init__(self, name: str, reach: Reach, patience: "Patience | None" = None) -> None:
        """Open it under the name that profiles use; `patience` is the transport's unless given."""
        super().__init__(name, reach)
        self._patience = patience
        self._clients: dict[str, Client] = {}

    def endpoint(self, profile: Profile) -> Endpoint:
        """The profile's server and key; opens nothing."""
        return aim(profile, self.reach).endpoint

    def check(self, profile: Profile) -> None:
        """Raise ProblemError for a base_url that is none, and for options that say what the profile or the ensemble says."""
        refuse_unencrypted(aim(profile, self.reach))
        if taken := written(profile):
            raise ProblemError(*(Problem(f"option '{key}': it is not set there", hint=hint) for key, hint in taken.items()))

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Ask once; raises FailedError with the text so far."""
        target, card = self._aimed(request.profile), self.reach.card(request.profile)
        client = self._client(target)
        for what in unsent(request.profile, card):
            tell(Warned(node=request.node, what=what))
        native = card.capabilities is None or "structured_output" in card.capabilities
        shape = client.shape_of(request.schema) if request.schema and native and expressible(request.schema) else None
        body = body_of(request, card, shape)
        answer = Answer(target, request, tell)
        try:
            async with client.post(_packed(body), headers_of(request.profile, body), request.profile.model) as response:
                await client.read(response, answer)
            return answer.reply()
        except FailedError as error:
            usage = error.usage if answer.usage is None else answer.usage
            raise FailedError(error.failure, partial=answer.text, usage=usage) from None

    async def models(self, profile: Profile) -> Sequence[Listed]:
        """The models of the profile's server, newest first; raises FailedError where it cannot be asked."""
        target = self._aimed(profile)
        client = self._client(target)
        found: list[Listed] = []
        after = ""
        for _ in range(MOST_PAGES):
            rows, more = listed(await client.page(after, profile.model), target)
            found += rows
            if not more or more == after:
                break
            after = more
        return found

    def ready(self) -> None:
        """Import the SDK, which takes 2 s; nothing is opened."""
        import llm_orc.models.anthropic_client  # noqa: F401

    async def close(self) -> None:
        """Close every client."""
        while self._clients:
            await self._clients.popitem()[1].close()

    def _aimed(self, profile: Profile) -> Target:
        target = aim(profile, self.reach)
        if target.refusal:
            raise FailedError(target.refusal, usage=NO_USAGE)
        return target

    def _client(self, target: Target) -> "Client":
        if target.identity not in self._clients:
            from llm_orc.models.anthropic_client import Client  # costs 2 s: only when something is sent

            self._clients[target.identity] = Client(target, self.reach.env, self._patience)
        return self._clients[target.identity]


def _packed(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        failure = Failure(Kind.INVALID_REQUEST, "options hold something that JSON has no word for", "check the options")
        raise FailedError(failure, usage=NO_USAGE) from None
