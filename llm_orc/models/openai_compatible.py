"""Chat completions as OpenAI speaks them, whole or streamed; the presets are in `presets.py`."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Never

from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.problem import nearest
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import Reach, messages_of
from llm_orc.models.completion import Completion
from llm_orc.models.refusals import refusal
from llm_orc.models.target import Target, aim

if TYPE_CHECKING:
    from httpx import Response

    from llm_orc.models.pool import Pool

PLAIN = ("temperature", "top_p", "seed", "stop")
"""Parameters that the wire calls what we call them."""


class OpenAICompatible:
    """A provider with one connection pool per server and key."""

    def __init__(self, name: str, reach: Reach) -> None:  # noqa: ARG002 - a profile says its provider itself
        self._reach = reach
        self._pools: dict[str, Pool] = {}
        self._listed: set[tuple[str, str]] = set()

    def endpoint(self, profile: Profile) -> Endpoint:
        """The profile's server and key; opens nothing."""
        return aim(profile, self._reach).endpoint

    def ask(self, profile: Profile) -> Ask:
        """How to ask this profile's server; raises ProblemError for a missing or unusable base_url."""
        target = aim(profile, self._reach)

        async def ask(request: Request, tell: Tell) -> Reply:
            if target.refusal:
                raise FailedError(target.refusal)
            pool = self._pool(target)
            if target.preset.lists_all:
                await self._check_listed(pool, target, request.profile.model)
            return await answer(pool, target, request, tell)

        return ask

    def ready(self) -> None:
        """Import what sends, which takes 0.3 s; nothing is opened."""
        import llm_orc.models.pool  # noqa: F401

    async def close(self) -> None:
        """Close every pool."""
        while self._pools:
            await self._pools.popitem()[1].close()

    def _pool(self, target: Target) -> "Pool":
        if target.identity not in self._pools:
            from llm_orc.models.pool import Pool  # costs 270 ms: only when something is sent

            self._pools[target.identity] = Pool(target, self._reach.env)
        return self._pools[target.identity]

    async def _check_listed(self, pool: "Pool", target: Target, model: str) -> None:
        if (target.identity, model) in self._listed:
            return
        names = await listed(pool, target)
        if names and model not in names:
            hint = nearest(model, names) or f"there are: {', '.join(names[:10])}"
            raise FailedError(Failure(Kind.NOT_FOUND, f"{target.address.label} has no model '{model}'", hint))
        self._listed.add((target.identity, model))


async def listed(pool: "Pool", target: Target) -> list[str]:
    """The models that a server says it has; none where it does not say."""
    response = await pool.get(target.address.url + "/models")
    try:
        said = json.loads(response.content) if response.status_code == 200 else None
    except (ValueError, RecursionError):
        return []
    data = said.get("data") if isinstance(said, dict) else None
    return [str(model["id"]) for model in data if isinstance(model, dict) and "id" in model] if isinstance(data, list) else []


def body_of(request: Request, longest: str) -> dict[str, Any]:
    """The JSON of a request; `options` go over everything but the messages and the way the reply comes."""
    profile = request.profile
    body: dict[str, Any] = {"model": profile.model}
    body |= {key: value for key in PLAIN if (value := getattr(profile, key)) is not None}
    if profile.max_tokens is not None:
        body[longest] = profile.max_tokens
    body |= profile.options
    body["messages"] = [{"role": message.role, "content": message.text} for message in messages_of(request)]
    body["stream"] = request.stream
    if request.stream:
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    return body


async def answer(pool: "Pool", target: Target, request: Request, tell: Tell) -> Reply:
    """Send a request and read its reply; raises FailedError with the text so far."""
    try:
        body = json.dumps(body_of(request, target.preset.longest), allow_nan=False).encode()
    except (TypeError, ValueError):
        raise FailedError(Failure(Kind.INVALID_REQUEST, "options hold something that JSON has no word for", "check the options")) from None
    completion = Completion(target, request, tell)
    try:
        async with pool.post("/chat/completions", body) as response:
            if response.status_code != 200:
                await _refuse(target, request, response)
            elif response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                async for line in _lines(response):
                    completion.add_line(line)
                completion.end_stream()
            else:
                completion.add_whole(await response.aread())
    except FailedError as error:
        raise FailedError(error.failure, partial=completion.text, usage=completion.usage) from None
    return completion.reply()


async def _lines(response: "Response") -> AsyncIterator[bytes]:
    # Not httpx's own lines: those break at every separator that Unicode knows, and JSON may hold such letters as they are.
    parts: list[bytes] = []  # of one line, which may be as long as the whole reply
    async for chunk in response.aiter_bytes():
        end, *lines = chunk.split(b"\n")
        parts.append(end)
        for line in lines:
            yield b"".join(parts)
            parts = [line]
    yield b"".join(parts)


async def _refuse(target: Target, request: Request, response: "Response") -> Never:
    try:
        said = json.loads(await response.aread())
    except (ValueError, RecursionError):
        said = None
    raise FailedError(refusal(target, request.profile.model, response.status_code, said, response.headers))
