"""Ollama in its own format: windows as large as a request needs, models loaded before any clock runs, and no prompt cut unseen."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from llm_orc.domain.event import Loaded, Loading
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models import base
from llm_orc.models.base import Listed, Reach
from llm_orc.models.drained import drained
from llm_orc.models.ollama_call import LOADING, Call, Options
from llm_orc.models.target import Target, aim, refuse_unencrypted

if TYPE_CHECKING:
    from llm_orc.models.ollama_wire import Known, Server

_NEVER = ("model", "messages", "stream", "tools", "options", "prompt", "system", "template", "context", "suffix", "images", "raw")
"""What a chat request holds already, or what only other requests of Ollama take."""
_CUTTING = ("truncate", "shift")


@dataclass(slots=True)
class _Place:
    """One model's place in a server's memory, and who waits for it."""

    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether nobody looks at it or loads it; who waits for that goes on together with all others that do."""
    loading: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    asked: int | None = None
    """The window that it was loaded with last."""
    got: int | None = None
    """The window that it then had, as far as the server tells."""
    has: int | None = None
    """The window that it had when somebody looked; None where it was not in memory."""
    chats: int = 0
    """How many are under way: as long as it answers somebody, it stays where it is."""

    def __post_init__(self) -> None:
        self.settled.set()


class Ollama(base.BaseModel):
    """A provider with one connection pool per server and key."""

    options = Options

    def __init__(self, name: str, reach: Reach) -> None:
        """Nothing is opened."""
        super().__init__(name, reach)
        self._servers: dict[str, Server] = {}
        self._known: dict[tuple[str, str], Known] = {}
        self._looks: dict[tuple[str, str], asyncio.Task[Known]] = {}
        """Under way: a thousand agents that come at once ask the server once what it has."""
        self._places: dict[tuple[str, str], _Place] = {}

    def endpoint(self, profile: Profile) -> Endpoint:
        """The profile's server; a model that Ollama runs in the cloud is not on this machine."""
        endpoint = aim(profile, self.reach).endpoint
        return replace(endpoint, local=False) if in_cloud(profile.model) else endpoint

    def check(self, profile: Profile) -> None:
        """Raises ProblemError for a server that cannot be, and for options that are none of a chat."""
        refuse_unencrypted(aim(profile, self.reach))
        wrong = {key: Problem(f"option '{key}' has no place in a chat", hint="leave it out") for key in _NEVER}
        wrong |= {key: Problem(f"option '{key}': no prompt is cut unseen", hint="leave it out; see num_ctx") for key in _CUTTING}
        if problems := [problem for key, problem in sorted(wrong.items()) if key in profile.options]:
            raise ProblemError(*problems)

    def ready(self) -> None:
        """Import the SDK; nothing is opened."""
        import llm_orc.models.ollama_wire  # noqa: F401

    async def close(self) -> None:
        """Close every connection."""
        for look in tuple(self._looks.values()):
            look.cancel()
        while self._servers:
            await self._servers.popitem()[1].close()

    async def models(self, profile: Profile) -> Sequence[Listed]:
        """What was pulled: what is in memory first, then what can chat."""
        target = _allowed(aim(profile, self.reach))
        server = self._server(target)
        pulled, resident = await asyncio.gather(server.pulled(), server.resident())
        known = await asyncio.gather(*(server.show(each) for each in pulled))
        found = [
            Listed(
                each.name,
                can_chat(each.name, each.family, each.abilities),
                each.name in resident,
                resident.get(each.name) or each.window,
                capabilities_of(each.abilities),
            )
            for each in known
        ]
        return sorted(found, key=lambda each: (not each.chat, not each.loaded))

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Load the model if need be, then ask once."""
        target = _allowed(aim(request.profile, self.reach))
        server = self._server(target)
        known = await self._look_up(server, target, request.profile.model)
        call = Call(request, tell, target, known, self.reach)
        if (place := self._places.get((target.identity, known.name))) is None:
            place = self._places[target.identity, known.name] = _Place()
        if in_cloud(known.name):
            if call.limit is not None:
                call.make_room(call.limit)
        else:
            await self._be_loaded(server, place, call)
        place.chats += 1
        try:
            if request.stream:
                async with aclosing(server.pieces(known.name, call.messages, call.settings())) as pieces:
                    async for piece in pieces:
                        call.take(piece)
                        if call.done:
                            await drained(pieces)
            else:
                call.take(await server.whole(known.name, call.messages, call.settings()))
            return call.reply()
        except FailedError as error:
            raise FailedError(error.failure, partial=call.text, usage=call.usage or error.usage) from None
        finally:
            place.chats -= 1

    def _server(self, target: Target) -> "Server":
        if target.identity not in self._servers:
            from llm_orc.models.ollama_wire import Server  # the SDK, only when something is sent

            self._servers[target.identity] = Server(target, self.reach.env)
        return self._servers[target.identity]

    async def _look_up(self, server: "Server", target: Target, model: str) -> "Known":
        """What is known of a model; a model that was not pulled is not there."""
        wanted = target.identity, with_tag(model)
        if (known := self._known.get(wanted)) is None:
            if (look := self._looks.get(wanted)) is None:
                look = self._looks[wanted] = asyncio.create_task(_looked_up(server, target, model))
                look.add_done_callback(partial(self._seen, wanted))
            try:
                known = self._known[wanted] = await asyncio.shield(look)  # who is cut off leaves it to the others
            except FailedError as error:
                raise FailedError(error.failure, usage=error.usage) from None
        return known

    def _seen(self, wanted: tuple[str, str], look: "asyncio.Task[Known]") -> None:
        self._looks.pop(wanted, None)
        if not look.cancelled():
            look.exception()  # else Python complains where nobody waits for it any more

    async def _be_loaded(self, server: "Server", place: _Place, call: Call) -> None:
        """Let the model be in memory with a window that suffices; whoever needs the same one waits for the same loading."""
        announced = False

        def announce() -> None:
            nonlocal announced
            if not announced:
                announced = True
                call.tell(Loading(node=call.request.node, model=call.known.name))

        if place.loading:
            announce()
        place.waiting.append(announce)
        try:
            while not place.settled.is_set():
                await place.settled.wait()
            if not (place.chats and call.fit(place.has)):
                place.settled.clear()
                await self._settle(server, place, call)
        finally:
            place.waiting.remove(announce)
        if place.got is not None and place.asked is not None and place.got < place.asked:
            call.make_room(place.got)
        if announced:
            call.tell(Loaded(node=call.request.node))

    async def _settle(self, server: "Server", place: _Place, call: Call) -> None:
        """See what is in memory, and load the model if that does not suffice."""
        try:
            if not place.chats:
                resident = await server.resident()
                name = call.known.name
                if name not in resident:
                    place.asked = place.got = None
                # A server may give less than was asked for, or not tell; what was asked for is then what keeps the model where it is.
                place.has = place.asked if resident.get(name) in (None, place.got) else resident[name]
                if call.fit(place.has):
                    return
            await self._load(server, place, call)
        finally:
            place.settled.set()

    async def _load(self, server: "Server", place: _Place, call: Call) -> None:
        place.loading = True
        for announce in place.waiting:
            announce()
        name = call.known.name
        try:
            await server.load(name, {key: call.options[key] for key in LOADING if key in call.options}, call.given.keep_alive)
            place.asked = place.has = call.options["num_ctx"]
            place.got = (await server.resident()).get(name)
        except FailedError as error:
            raise FailedError(_too_large(error.failure), usage=NO_USAGE) from None
        finally:
            place.loading = False


async def _looked_up(server: "Server", target: Target, model: str) -> "Known":
    wanted, pulled = with_tag(model), {each.name: each for each in await server.pulled()}
    if wanted not in pulled:
        near = nearest(wanted, pulled)
        hint = f"ollama pull {model}" + (f"; {near}" if near else "")
        failure = Failure(Kind.NOT_FOUND, f"{target.address.label} has no model '{model}'", hint)
        raise FailedError(failure, usage=NO_USAGE)
    return await server.show(pulled[wanted])


def _allowed(target: Target) -> Target:
    if target.refusal:
        raise FailedError(target.refusal, usage=NO_USAGE)
    return target


def _too_large(failure: Failure) -> Failure:
    if "memory" in failure.what:
        return replace(failure, hint="choose a smaller model, or lower context_window or num_ctx in its profile")
    return failure


def with_tag(model: str) -> str:
    """The whole name of a model: without a tag it is the latest."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def in_cloud(model: str) -> bool:
    """Whether Ollama only hands the request on to its own cloud."""
    return model.endswith((":cloud", "-cloud")) and ":" in model


def can_chat(name: str, family: str, abilities: frozenset[str] | None) -> bool:
    """Whether it can be talked to: as the server says, else by what it is built like; embedding models are of BERT's kind."""
    if abilities is not None:
        return "completion" in abilities
    return "bert" not in family.lower() and "embed" not in name.lower()


def capabilities_of(abilities: frozenset[str] | None) -> frozenset[Capability] | None:
    """In our words; every model that completes can be held to a schema."""
    if abilities is None:
        return None
    ours: frozenset[Capability] = frozenset(each for each in get_args(Capability) if each in abilities)
    return ours | {"structured_output"} if "completion" in abilities else ours
