"""Chat completions as OpenAI speaks them, whole or streamed; the presets are in `presets.py`."""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_orc.domain.event import Loaded, Loading, Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import WHICHEVER, Endpoint, Profile
from llm_orc.models.base import BaseModel, Listed, Reach
from llm_orc.models.chat_body import body_of
from llm_orc.models.chat_options import SAID_ELSEWHERE, ChatOptions
from llm_orc.models.completion import Completion
from llm_orc.models.drained import drained
from llm_orc.models.listing import plain
from llm_orc.models.lmstudio import Shelf, listed_by_lmstudio
from llm_orc.models.refusals import error_of, parsed, refusal, shortened
from llm_orc.models.target import aim, refuse_unencrypted

if TYPE_CHECKING:
    from httpx import Response

    from llm_orc.models.pool import Pool

_NO_SCHEMA = re.compile(r"response_format|json_schema|structured.?output|schema|grammar|guided", re.IGNORECASE)


class SchemaRefusedError(FailedError):
    """The server does not take the schema of a reply; told it in words, the model may still follow it."""


class OpenAICompatible(BaseModel):
    """A provider with one connection pool per server and key."""

    options = ChatOptions

    def __init__(self, name: str, reach: Reach) -> None:
        super().__init__(name, reach)
        self._pools: dict[str, Pool] = {}
        self._shelves: dict[str, Shelf] = {}
        self._refused: set[tuple[str, str, str]] = set()
        """Server, model and schema that the server refused to see to."""

    def endpoint(self, profile: Profile) -> Endpoint:
        """The profile's server and key; opens nothing."""
        return aim(profile, self.reach).endpoint

    def check(self, profile: Profile) -> None:
        """Raise ProblemError for a missing or unusable base_url, and for options that are said elsewhere."""
        refuse_unencrypted(aim(profile, self.reach))
        if wrong := [key for key in profile.options if key in SAID_ELSEWHERE]:
            raise ProblemError(*(Problem(f"option '{key}' cannot be set", hint=SAID_ELSEWHERE[key]) for key in wrong))

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Send one request and read its reply; raises FailedError with the text so far."""
        pool = self._pool(request.profile)
        shelf = self._shelf(pool) if pool.target.preset.lists_all else None
        if shelf and request.profile.model == WHICHEVER:
            request = replace(request, profile=request.profile.answered_by(self.name, await shelf.whichever()))
        profile = request.profile
        loading = _Loading(request, tell, needed=shelf is not None and await shelf.checked(request))
        card = self.reach.card(profile)
        refused = (pool.target.identity, profile.model, json.dumps(request.schema, sort_keys=True))
        able = card.capabilities is None or "structured_output" in card.capabilities
        native = request.schema is not None and able and "response_format" not in profile.options and refused not in self._refused
        body = body_of(request, pool.target, card.refuses, native=native)
        encoded = body.encoded()
        for name in body.left_out:
            tell(Warned(request.node, f"{profile.model} takes no {name}: it was not sent"))
        if loading.begin() and shelf:
            shelf.forget()
        try:
            return await answer(pool, request, tell, encoded, loading.end, native=native)
        except SchemaRefusedError:
            self._refused.add(refused)
            raise
        finally:
            if loading.end() and shelf:
                shelf.forget()

    async def models(self, profile: Profile) -> Sequence[Listed]:
        """The models that the server lists, best first; raises FailedError where it cannot be asked."""
        pool = self._pool(profile)
        url = pool.target.address.url
        if self.name == "openrouter" and pool.target.credential:
            await pool.rows(f"{url}/key")  # its list is open to all: only this says whether the key is good
        if pool.target.preset.lists_all:
            found = await listed_by_lmstudio(pool)
        else:
            rows = await pool.rows(f"{url}/models")
            found = None if rows is None else plain(rows)
        if found is None:
            failure = Failure(Kind.NOT_FOUND, f"{pool.target.address.label} lists no models", f"is base_url right? {url}")
            raise FailedError(failure, usage=NO_USAGE)
        return found

    def ready(self) -> None:
        """Import what sends, which takes 0.3 s; nothing is opened."""
        import llm_orc.models.pool  # noqa: F401

    async def close(self) -> None:
        """Close every pool."""
        while self._shelves:
            self._shelves.popitem()[1].close()
        while self._pools:
            await self._pools.popitem()[1].close()

    def _pool(self, profile: Profile) -> "Pool":
        target = aim(profile, self.reach)
        if target.refusal:
            raise FailedError(target.refusal, usage=NO_USAGE)
        if target.identity not in self._pools:
            from llm_orc.models.pool import Pool  # costs 270 ms: only when something is sent

            self._pools[target.identity] = Pool(target, self.reach.env)
        return self._pools[target.identity]

    def _shelf(self, pool: "Pool") -> Shelf:
        return self._shelves.setdefault(pool.target.identity, Shelf(pool))


@dataclass(slots=True)
class _Loading:
    """Tells that a model is loaded, from before the request is sent to the first byte of its answer."""

    request: Request
    tell: Tell
    needed: bool
    _goes_on: bool = False

    def begin(self) -> bool:
        """Whether it is needed."""
        if self.needed:
            self._goes_on = True
            self.tell(Loading(self.request.node, self.request.profile.model))
        return self.needed

    def end(self) -> bool:
        """Whether it was needed; told once."""
        if self._goes_on:
            self._goes_on = False
            self.tell(Loaded(self.request.node))
        return self.needed


async def answer(
    pool: "Pool", request: Request, tell: Tell, body: bytes, begun: Callable[[], object] = lambda: None, *, native: bool = False
) -> Reply:
    """Send a request and read its reply; raises FailedError with the text so far. `native`: the server is to see to the schema."""
    completion = Completion(pool.target, request, tell)
    try:
        async with pool.post("/chat/completions", body) as response:
            if response.status_code != 200:
                raise await _refused(pool, request, response, native=native)
            if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                lines = _lines(pool.pieces(response), begun)
                async for line in lines:
                    completion.add_line(line)
                    if completion.done:
                        await drained(lines)
                completion.end_stream()
            else:
                completion.add_whole(await pool.whole(response))
            return completion.reply()
    except FailedError as error:
        if error.usage is None:  # broken off, or no reply: what the server counted, if it did
            error.partial, error.usage = completion.text, completion.usage
        raise


async def _lines(pieces: AsyncIterator[bytes], begun: Callable[[], object]) -> AsyncIterator[bytes]:
    # Not httpx's own lines: those break at every separator that Unicode knows, and JSON may hold such letters as they are.
    parts: list[bytes] = []  # of one line, which may be as long as the whole reply
    async for chunk in pieces:
        begun()
        end, *lines = chunk.split(b"\n")
        parts.append(end)
        for line in lines:
            yield b"".join(parts)
            parts = [line]
    yield b"".join(parts)


async def _refused(pool: "Pool", request: Request, response: "Response", *, native: bool) -> FailedError:
    said = parsed(await pool.whole(response))
    words = error_of(said)[1]
    if native and response.status_code in (400, 404, 422, 501) and _NO_SCHEMA.search(words):
        what = f"{pool.target.address.label} takes no such response_format: {shortened(words)}"
        hint = "the next attempt tells the model the schema in words; so does a profile whose capabilities lack structured_output"
        return SchemaRefusedError(Failure(Kind.SERVER, what, hint, retry_after=0.0), usage=NO_USAGE)
    failure = refusal(pool.target, request.profile.model, response.status_code, said, response.headers)
    return FailedError(failure, usage=NO_USAGE)
