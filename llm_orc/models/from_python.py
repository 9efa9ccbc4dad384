"""Providers that are async callables given from Python."""

import inspect
from collections.abc import Awaitable, Callable
from typing import cast

from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import estimated, messages_of

Prompted = Callable[[str], Awaitable[str | Reply]]
"""The short form: all that is said to the model, joined by blank lines, in; what it says, out."""


class FromPython:
    """A callable as a provider. One that can be called with two arguments is a full Ask, any other is given the prompt alone."""

    def __init__(self, name: str, ask: Ask | Prompted) -> None:
        self._endpoint = Endpoint(f"python:{name}", name, local=True)
        self._ask = cast("Ask", ask) if _takes_two(ask) else _asked(name, cast("Prompted", ask))
        self._name = name

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        """One per callable; counts as this machine's, and what it does beyond is its author's business."""
        return self._endpoint

    def ask(self, profile: Profile) -> Ask:  # noqa: ARG002 - the contract
        """The callable, its own exceptions told as failures."""

        async def guarded(request: Request, tell: Tell) -> Reply:
            try:
                return _checked(self._name, await self._ask(request, tell))
            except FailedError:
                raise
            except Exception as error:
                what = f"the callable '{self._name}' raised {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
                raise FailedError(Failure(Kind.SCRIPT, what.rstrip(": "), "it may raise FailedError to say more")) from error

        return guarded

    async def close(self) -> None:
        """It is its author's."""


def _checked(name: str, said: object) -> Reply:
    if not isinstance(said, Reply):
        raise FailedError(Failure(Kind.MALFORMED, f"the callable '{name}' returned {type(said).__name__}, not a Reply", "return a Reply"))
    if not said.text.strip():
        raise FailedError(Failure(Kind.EMPTY, f"the callable '{name}' returned an empty reply", "raise FailedError to say why"))
    return said


def _takes_two(ask: Ask | Prompted) -> bool:
    try:
        inspect.signature(ask).bind(None, None)
    except (TypeError, ValueError):  # ValueError: a callable that does not say what it takes
        return False
    return True


def _asked(name: str, prompted: Prompted) -> Ask:
    async def ask(request: Request, tell: Tell) -> Reply:  # noqa: ARG001 - the contract
        prompt = "\n\n".join(message.text for message in messages_of(request))
        said: object = await prompted(prompt)
        if isinstance(said, Reply):
            return said
        if not isinstance(said, str):
            what = f"the callable '{name}' returned {type(said).__name__}, not text"
            raise FailedError(Failure(Kind.MALFORMED, what, "return a str or a Reply"))
        return Reply(said, usage=estimated(messages_of(request), said))

    return ask
