"""Google's models, by the Gemini API or by Vertex AI, through Google's own SDK."""

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import pydantic

from llm_orc.domain.event import Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.address import address
from llm_orc.models.base import BaseModel, Listed, Reach, checked_options
from llm_orc.models.google_options import SAID_ELSEWHERE, GoogleOptions, Vertex
from llm_orc.models.google_wire import Answer, asked
from llm_orc.models.target import Target, aim, refuse_unencrypted

if TYPE_CHECKING:
    from llm_orc.models.google_client import Line, Offered
    from llm_orc.models.transport import Patience

_PLAIN = GoogleOptions()
_NAME = re.compile(r"[\w@:+-][\w@:+./-]*", re.ASCII)


class Google(BaseModel):
    """A provider with one client per server, key and project."""

    options = GoogleOptions

    def __init__(self, name: str, reach: Reach, patience: "Patience | None" = None) -> None:
        """Nothing is opened."""
        super().__init__(name, reach)
        self._patience = patience
        self._lines: dict[tuple[str, Vertex | None], Line] = {}

    def endpoint(self, profile: Profile) -> Endpoint:
        """The server of the Gemini API, or that of the profile's location; opens nothing."""
        return self._aim(profile, _options(profile)).endpoint

    def check(self, profile: Profile) -> None:
        """Raises ProblemError for a server or a model that cannot be, and for options that would go over the messages."""
        problems = [
            Problem(f"option '{name}' goes over what is asked", hint=f"leave it out, and use {SAID_ELSEWHERE[name]}")
            for name in SAID_ELSEWHERE
            if name in profile.options
        ]
        if not _NAME.fullmatch(profile.model) or ".." in profile.model:
            problems.append(Problem(f"'{profile.model}' is no name of a model", hint="such as gemini-2.5-flash; see: llm-orc list models"))
        if problems:
            raise ProblemError(*problems)
        refuse_unencrypted(self._aim(profile, _options(profile)))

    def ready(self) -> None:
        """Import the SDK; nothing is opened."""
        import llm_orc.models.google_client  # noqa: F401

    async def close(self) -> None:
        """Close every client."""
        while self._lines:
            await self._lines.popitem()[1].close()

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Ask once."""
        profile = request.profile
        options = _options(profile)
        line = self._line(profile, options)
        sent = asked(request, self.reach.card(profile))
        for name in sent.left_out:
            tell(Warned(request.node, f"{profile.model} takes no {name}: it was not sent"))
        answer = Answer(line.target, request, tell)
        try:
            if request.stream:
                async with aclosing(line.streamed(profile.model, sent, options)) as pieces:
                    async for piece in pieces:
                        answer.take(piece)
            else:
                answer.take(await line.whole(profile.model, sent, options))
            return answer.reply()
        except FailedError as error:
            raise FailedError(error.failure, partial=answer.text, usage=answer.usage if error.usage is None else error.usage) from None

    async def models(self, profile: Profile) -> Sequence[Listed]:
        """As the server lists them."""
        options = _options(profile)
        return [self._listed(each, profile) for each in await self._line(profile, options).offered(options)]

    def _listed(self, offered: "Offered", profile: Profile) -> Listed:
        if offered.actions is None:  # Vertex does not say
            chat = offered.name.startswith("gemini") and "embedding" not in offered.name
        else:
            chat = "generateContent" in offered.actions
        return Listed(offered.name, chat, context_window=offered.window, capabilities=self._abilities(offered, profile))

    def _abilities(self, offered: "Offered", profile: Profile) -> frozenset[Capability] | None:
        """The catalogue knows what it can do; the server tells of thinking only."""
        known = self.reach.card(profile.model_copy(update={"model": offered.name, "capabilities": None})).capabilities
        return known | {"thinking"} if known is not None and offered.thinks else known

    def _line(self, profile: Profile, options: GoogleOptions) -> "Line":
        target = self._aim(profile, options)
        if target.refusal:
            raise FailedError(target.refusal, usage=NO_USAGE)
        key = target.identity, options.vertex
        if key not in self._lines:
            from llm_orc.models.google_client import Line

            self._lines[key] = Line(target, self.reach.env, options.vertex, self._patience)
        return self._lines[key]

    def _aim(self, profile: Profile, options: GoogleOptions) -> Target:
        if options.vertex is None or profile.base_url:
            return aim(profile, self.reach)
        url = options.vertex.url  # Google's own, made of nothing but a checked location
        reach = replace(self.reach, trusted_hosts=self.reach.trusted_hosts | {address(url).origin})
        target = aim(profile.model_copy(update={"base_url": url}), reach)
        if target.credential or target.refusal:
            return target
        hint = "llm-orc auth login google; or leave out the option vertex"
        return replace(target, refusal=Failure(Kind.AUTHENTICATION, "there is no login for Vertex AI", hint))


def _options(profile: Profile) -> GoogleOptions:
    if not profile.options:
        return _PLAIN
    try:
        return GoogleOptions.model_validate(profile.options)
    except pydantic.ValidationError:
        checked_options(GoogleOptions, profile)
        raise
