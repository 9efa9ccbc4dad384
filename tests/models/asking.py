"""Ask one model once, as the engine would."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from llm_orc.domain.event import Delta, Happening
from llm_orc.domain.message import FailedError, Failure, Message, Reply, Request
from llm_orc.domain.model import ModelCard
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Provider, Reach
from llm_orc.models.openai_compatible import OpenAICompatible
from llm_orc.models.registry import Models

KEY = "sk-top-secret-4711"


@asynccontextmanager
async def models(env: Mapping[str, str] | None = None, *, trusted: str = "") -> AsyncIterator[Models]:
    opened = Models(Reach(env or {}, frozenset(trusted.split())))
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def knowing(card: ModelCard, name: str = "openai-compatible") -> AsyncIterator[OpenAICompatible]:
    """A provider to which this is known of every model."""
    opened = OpenAICompatible(name, Reach(card=lambda _: card))
    try:
        yield opened
    finally:
        await opened.close()


def profile(base_url: str | None = None, provider: str = "openai-compatible", **keys: Any) -> Profile:
    return Profile(**{"name": "p", "model": "model", "provider": provider, "base_url": base_url} | keys)


async def ask(
    opened: Models | Provider,
    asked: Profile,
    *messages: Message,
    told: list[Happening] | None = None,
    stream: bool | None = None,
    schema: Mapping[str, Any] | None = None,
) -> Reply:
    """Streams where `told` is given, unless told otherwise."""
    streamed = told is not None if stream is None else stream
    request = Request("a", messages or (Message("user", "hello there"),), asked, stream=streamed, schema=schema)
    return await opened.ask(asked)(request, (told if told is not None else []).append)


async def fault(opened: Models | Provider, asked: Profile, *messages: Message, **keys: Any) -> FailedError:
    """How it fails."""
    try:
        reply = await ask(opened, asked, *messages, **keys)
    except FailedError as error:
        return error
    raise AssertionError(f"it did not fail: {reply}")


async def failure(opened: Models | Provider, asked: Profile, *, stream: bool = False) -> tuple[Failure, str]:
    """How it fails, and the text that had come before."""
    error = await fault(opened, asked, told=[] if stream else None)
    return error.failure, error.partial


def texts(told: list[Happening], *, thinking: bool = False) -> list[str]:
    return [event.text for event in told if isinstance(event, Delta) and event.thinking is thinking]
