"""What LM Studio has, and has loaded, asked before each request: a model that is not there or a prompt too long is never sent."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Request
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import nearest
from llm_orc.models.base import Listed, estimated, messages_of
from llm_orc.models.listing import NATIVE, PLAIN, native, plain

if TYPE_CHECKING:
    from llm_orc.models.pool import Pool

FRESH_SECONDS = 10.0
"""For which a listing is believed; its user may load and unload models by hand."""


class Shelf:
    """The models of one LM Studio; one listing serves all who ask meanwhile, and for a short time after, unless a model is loaded."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._asked: asyncio.Task[Sequence[Listed] | None] | None = None
        self._until = 0.0

    async def models(self) -> Sequence[Listed] | None:
        """All of them; None where the server lists none, in either way."""
        loop = asyncio.get_running_loop()
        if self._asked is None or (self._asked.done() and loop.time() > self._until):
            self._asked = loop.create_task(self._list())
            self._asked.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, though nobody may wait any more
        return await asyncio.shield(self._asked)  # who gives up takes the listing from nobody

    def forget(self) -> None:
        """A model was loaded, or something went wrong: the listing is no longer true."""
        self._asked = None

    def close(self) -> None:
        """Nobody waits any more."""
        if self._asked:
            self._asked.cancel()

    async def _list(self) -> Sequence[Listed] | None:
        try:
            found = await listed_by_lmstudio(self._pool)
        except FailedError:
            self.forget()
            raise
        self._until = asyncio.get_running_loop().time() + FRESH_SECONDS
        return found

    async def whichever(self) -> str:
        """The chat model that it has loaded, else one that it can load; raises FailedError where it has none."""
        label, models = self._pool.target.address.label, await self.models()
        if models is None:
            hint = "name one in the profile: model: NAME"
            raise FailedError(Failure(Kind.NOT_FOUND, f"{label} lists no models, and the profile names none", hint), usage=NO_USAGE)
        if (found := first_chat(models)) is None:
            raise FailedError(no_chat(label, models), usage=NO_USAGE)
        return found.name

    async def checked(self, request: Request) -> bool:
        """Whether the model must be loaded first; raises FailedError if it is not there or the request does not fit it."""
        models = await self.models()
        if models is None:
            return False
        label, wanted = self._pool.target.address.label, request.profile.model
        found = next((model for model in models if model.name == wanted), None)
        if found is None:
            names = [model.name for model in models if model.chat]
            hint = nearest(wanted, names) or (f"there are: {', '.join(names[:10])}" if names else f"get it: lms get {wanted}")
            raise FailedError(Failure(Kind.NOT_FOUND, f"{label} has no model '{wanted}'", hint), usage=NO_USAGE)
        check_fits(request, found, label)
        return found.loaded is False


def first_chat(models: Iterable[Listed], requires: Collection[Capability] = ()) -> Listed | None:
    """The first that can be talked to and is not known to lack what is required; listings have those in memory first."""
    return next((each for each in models if each.chat and (each.capabilities is None or each.capabilities.issuperset(requires))), None)


def no_chat(label: str, models: Iterable[Listed]) -> Failure:
    """Why nobody can be talked to there."""
    others = ", ".join(each.name for each in models)
    what = f"{label} has no chat model" + (f", only {others}" if others else "")
    return Failure(Kind.NOT_FOUND, what, "load one: lms load MODEL; if you have none: lms get MODEL")


async def listed_by_lmstudio(pool: "Pool") -> list[Listed] | None:
    """Its own listing, else that in OpenAI's form; None where there is neither. Raises FailedError where it cannot be asked."""
    root = pool.target.address.url.removesuffix("/v1")
    for path, read in ((NATIVE, native), (PLAIN, plain)):
        if (rows := await pool.rows(root + path)) is not None:
            return read(rows)
    return None


def check_fits(request: Request, model: Listed, label: str) -> None:
    """Raises FailedError for a request that is longer than what the model was loaded with, by our own count."""
    room = model.context_window
    prompt, reply = estimated(messages_of(request), "").input, request.profile.max_tokens or 0
    if room is None or prompt + reply <= room:
        return
    asked = f"about {prompt} tokens of prompt" + (f" and {reply} of reply" if reply else "")
    what = f"{asked} do not fit the {room} tokens that {label} has for '{model.name}'"
    hint = f"lms load {model.name} --context-length {prompt + reply}" if model.loaded else "choose a model with a larger window"
    raise FailedError(
        Failure(Kind.CONTEXT_LENGTH, what, f"{hint}, or send less: split the input with fan_out", window=room), usage=NO_USAGE
    )
