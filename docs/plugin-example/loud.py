"""A provider that shouts back what it is told."""

from pydantic import Field

from llm_orc.domain.event import Delta, Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import BaseModel, Options, estimated, messages_of

PARAMETERS = ("temperature", "max_tokens", "top_p", "seed", "stop")


class LoudOptions(Options):
    """What `options` may hold."""

    marks: int = Field(default=0, ge=0, le=5)


class Loud(BaseModel):
    """A provider without a server."""

    options = LoudOptions

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        """What limits belong to; `local` says that nothing leaves this machine."""
        return Endpoint(key=self.name, label=self.name, max_parallel=4, local=True)

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Ask once: raise FailedError where there is no reply, and name in a warning whatever is left out."""
        last, profile = request.messages[-1], request.profile
        if last.attachments:
            raise FailedError(Failure(Kind.INVALID_REQUEST, "it hears only words", "send text"), usage=NO_USAGE)
        known = LoudOptions.model_validate(profile.options)
        for name in [name for name in PARAMETERS if getattr(profile, name) is not None] + list(known.model_extra or ()):
            tell(Warned(node=request.node, what=f"{self.name} does not take {name}"))
        text = last.text.upper() + "!" * known.marks
        if request.stream:
            tell(Delta(node=request.node, text=text))
        return Reply(text, usage=estimated(messages_of(request), text), model=profile.model)
