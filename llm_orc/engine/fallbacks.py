"""Along the list of profiles, until one answers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_orc.domain.event import FellBack
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Message, Reply, Request, Tell
from llm_orc.domain.profile import AUTO, Profile

if TYPE_CHECKING:
    from llm_orc.engine.asks import Turn

HOPELESS = frozenset({Kind.CANCELLED, Kind.SCRIPT, Kind.INVALID_REQUEST})
"""Kinds that another model would meet too."""


def falling_back(ways: Sequence[tuple[Profile, Ask]], when: "Turn") -> Ask:
    """Ask the first; where it fails in a way that another model may not, the next. The reply says which profile answered."""

    async def asked(request: Request, tell: Tell) -> Reply:
        failures: list[tuple[Profile, FailedError]] = []
        if ways and ways[0][0] is not request.profile:
            tell(FellBack(request.node, _not_there(request.profile), _name(ways[0][0]), _name(request.profile)))
        for number, (profile, ask) in enumerate(ways):
            try:
                reply = await ask(replace(request, profile=profile, messages=_said_by(request, profile)), tell)
            except FailedError as error:
                failures.append((profile, error))
                if number + 1 == len(ways) or error.failure.kind in HOPELESS or when.shown:
                    raise _joined(failures) from None
                tell(FellBack(request.node, error.failure, _name(ways[number + 1][0]), _name(profile)))
            else:
                return reply if profile is request.profile else replace(reply, profile=_name(profile))
        raise FailedError(Failure(Kind.OFFLINE, "no model may be asked"), usage=NO_USAGE)

    return asked


def _said_by(request: Request, profile: Profile) -> tuple[Message, ...]:
    """The messages under the profile's own system prompt."""
    system = (Message("system", profile.system_prompt),) if profile.system_prompt else ()
    return (*system, *(message for message in request.messages if message.role != "system"))


def _not_there(profile: Profile) -> Failure:
    if profile.provider == AUTO:
        return Failure(Kind.OFFLINE, f"no model was found for '{profile.model}'")
    return Failure(Kind.OFFLINE, f"{profile.provider}/{profile.model} is not on this machine")


def _name(profile: Profile) -> str:
    return profile.name or f"{profile.provider}/{profile.model}"


def _joined(failures: Sequence[tuple[Profile, FailedError]]) -> FailedError:
    """The last failure, which also says how those before it failed."""
    *before, (profile, last) = failures
    if not before:
        return last
    told = [f"{_name(each)}: {error.failure.what}" for each, error in before]
    what = f"{_name(profile)}: {last.failure.what}; before it {'; '.join(told)}"
    return FailedError(replace(last.failure, what=what), partial=last.partial, usage=last.usage)
