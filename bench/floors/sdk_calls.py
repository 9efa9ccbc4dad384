"""Floor: so many calls by an SDK alone, on httpx on aiohttp; prints seconds, CPU seconds, successes, and when the first token came.

python sdk_calls.py SDK ORIGIN COUNT PROMPT [--stream] [--at-once N] [--cold]
SDK is openai-compatible (httpx alone), anthropic, google or ollama.
The first call is not counted, unless it is to be `--cold`: it fills caches and opens a connection.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Call = Callable[[str], AsyncIterator[str]]
Opened = tuple[Call, Callable[[], Awaitable[None]]]
"""How to call, and how to let go of the connections."""
MODEL = "bench"
SYSTEM, TEMPERATURE, MAX_TOKENS = "You are brief.", 0.2, 1000
"""What every request holds besides its prompt, as most that people send do; Anthropic's takes no temperature any more."""


def by_httpx(origin: str, *, stream: bool) -> Opened:
    """Chat completions by hand."""
    import httpx
    from httpx_aiohttp import AiohttpTransport

    transport = AiohttpTransport(verify=False, limits=httpx.Limits(max_connections=0))
    client = httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(600, connect=10), base_url=f"{origin}/v1")

    async def call(prompt: str) -> AsyncIterator[str]:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        body = {"model": MODEL, "messages": messages, "temperature": TEMPERATURE, "max_tokens": MAX_TOKENS, "stream": stream}
        if not stream:
            yield (await client.post("chat/completions", json=body)).json()["choices"][0]["message"]["content"]
            return
        async with client.stream("POST", "chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                    yield choices[0]["delta"].get("content") or ""

    return call, client.aclose


def by_anthropic(origin: str, *, stream: bool) -> Opened:
    """Anthropic's SDK."""
    import httpx2
    from anthropic import AsyncAnthropic
    from httpx_aiohttp.httpx2 import AiohttpTransport

    http = httpx2.AsyncClient(transport=AiohttpTransport(limits=httpx2.Limits(max_connections=0)))
    client = AsyncAnthropic(api_key="none", base_url=origin, max_retries=0, http_client=http)

    async def call(prompt: str) -> AsyncIterator[str]:
        asked: Any = {"model": MODEL, "max_tokens": MAX_TOKENS, "system": SYSTEM}
        asked["messages"] = [{"role": "user", "content": prompt}]
        if not stream:
            reply: Any = await client.messages.create(**asked)
            yield reply.content[0].text
            return
        async for event in await client.messages.create(**asked, stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    return call, client.close


def by_google(origin: str, *, stream: bool) -> Opened:
    """Google's SDK."""
    import httpx2
    from google import genai
    from google.genai import types
    from httpx_aiohttp.httpx2 import AiohttpTransport

    http = httpx2.AsyncClient(transport=AiohttpTransport(limits=httpx2.Limits(max_connections=0)), timeout=httpx2.Timeout(600, connect=10))
    options = types.HttpOptions(base_url=origin, api_version="v1beta", httpx_async_client=http)
    models = genai.Client(api_key="none", http_options=options).aio.models

    async def call(prompt: str) -> AsyncIterator[str]:
        config = types.GenerateContentConfig(system_instruction=SYSTEM, temperature=TEMPERATURE, max_output_tokens=MAX_TOKENS)
        if not stream:
            yield (await models.generate_content(model=MODEL, contents=prompt, config=config)).text or ""
            return
        async for piece in await models.generate_content_stream(model=MODEL, contents=prompt, config=config):
            yield piece.text or ""

    return call, http.aclose


def by_ollama(origin: str, *, stream: bool) -> Opened:
    """Ollama's SDK."""
    import httpx
    import ollama
    from httpx_aiohttp import AiohttpTransport

    transport = AiohttpTransport(verify=False, limits=httpx.Limits(max_connections=0))
    client = ollama.AsyncClient(origin, transport=transport, timeout=httpx.Timeout(600, connect=10))

    async def call(prompt: str) -> AsyncIterator[str]:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        options = {"temperature": TEMPERATURE, "num_predict": MAX_TOKENS, "num_ctx": 8192}
        if not stream:
            yield (await client.chat(MODEL, messages, options=options)).message.content or ""
            return
        async for piece in await client.chat(MODEL, messages, stream=True, options=options):
            yield piece.message.content or ""

    return call, client.close


SDKS: "dict[str, Callable[..., Opened]]" = {
    "openai-compatible": by_httpx,
    "anthropic": by_anthropic,
    "google": by_google,
    "ollama": by_ollama,
}


async def measured(make: "Callable[[], Opened]", prompts: "list[str]", at_once: int, *, cold: bool) -> "dict[str, float]":
    """Seconds, CPU seconds and successes of all calls; `first` is when the first token of the first call came, from its sending."""
    call, close = make()
    firsts: list[float] = []

    async def one(prompt: str) -> int:
        text, start = "", time.perf_counter()
        async for piece in call(prompt):
            if piece and not text:
                firsts.append(time.perf_counter() - start)
            text += piece
        return len(text.split())

    well = [] if cold else [await one(prompts[0])]
    gc.freeze()  # what a program has imported is no part of its calls
    before, cpu = time.perf_counter(), time.process_time()
    todo = iter(prompts[len(well) :])

    async def work() -> None:
        for prompt in todo:
            well.append(await one(prompt))  # noqa: PERF401 - the prompts are shared by all who work

    await asyncio.gather(*(work() for _ in range(at_once)))
    spent = {"seconds": time.perf_counter() - before, "cpu_seconds": time.process_time() - cpu}
    await close()
    words = {"succeeded": sum(map(bool, well)), "words": sum(well)}
    return {**spent, **words, "agents": len(prompts), "first": firsts[0]}


def main(ways: "dict[str, Callable[..., Opened]]") -> None:
    """Print the facts as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sdk", choices=list(ways))
    parser.add_argument("origin")
    parser.add_argument("count", type=int)
    parser.add_argument("prompt")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--cold", action="store_true")
    asked = parser.parse_args()
    prompts = [f"{asked.prompt} {number}" for number in range(asked.count + (not asked.cold))]
    facts = measured(lambda: ways[asked.sdk](asked.origin, stream=asked.stream), prompts, asked.at_once, cold=asked.cold)
    print(json.dumps(asyncio.run(facts)))


if __name__ == "__main__":
    main(SDKS)
