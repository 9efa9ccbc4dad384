"""So many calls by one of our providers alone, without the engine; takes and prints the same as `bench/floors/sdk_calls.py`."""

from collections.abc import AsyncIterator, Callable
from functools import partial

from bench.floors.sdk_calls import MAX_TOKENS, MODEL, SDKS, SYSTEM, TEMPERATURE, Opened, main
from llm_orc.domain.event import Happening
from llm_orc.domain.message import Message, Request
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Reach
from llm_orc.models.registry import Models


def by_provider(name: str, origin: str, *, stream: bool) -> Opened:
    """One profile, asked again and again."""
    base_url = f"{origin}/v1" if name == "openai-compatible" else origin
    profile = Profile(
        name="bench",
        provider=name,
        model=MODEL,
        base_url=base_url,
        system_prompt=SYSTEM,
        temperature=None if name == "anthropic" else TEMPERATURE,
        max_tokens=MAX_TOKENS,
    )
    models = Models(Reach(find=lambda *_: None))
    ask = models.ask(profile)
    models.ready(profile)

    async def call(prompt: str) -> AsyncIterator[str]:
        told: list[Happening] = []
        reply = await ask(Request("a", (Message("user", prompt),), profile, stream), told.append)
        yield reply.text

    return call, models.close


WAYS: dict[str, Callable[..., Opened]] = {name: partial(by_provider, name) for name in SDKS}

if __name__ == "__main__":
    main(WAYS)
