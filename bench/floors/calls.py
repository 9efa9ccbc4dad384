"""Floor: a graph of calls by httpx on aiohttp, each started when those it waits for are done; prints its seconds and successes.

python calls.py http://127.0.0.1:PORT/v1 graph.json, where the graph is {name: [prompt, [names it waits for]]}.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
from httpx_aiohttp import AiohttpTransport


async def call(client: httpx.AsyncClient, prompt: str, before: "list[asyncio.Task[bool]]") -> bool:
    """One call, after those before it."""
    await asyncio.gather(*before)
    response = await client.post("chat/completions", json={"model": "bench", "messages": [{"role": "user", "content": prompt}]})
    return response.status_code == 200 and bool(response.json()["choices"][0]["message"]["content"])


async def main(base_url: str, graph: "dict[str, tuple[str, list[str]]]") -> None:
    """All calls of the graph, which names every call after those it waits for."""
    start = time.perf_counter()
    tasks: dict[str, asyncio.Task[bool]] = {}
    transport = AiohttpTransport(verify=False, limits=httpx.Limits(max_connections=0))
    async with httpx.AsyncClient(transport=transport, timeout=None, base_url=base_url) as client:  # noqa: S113 - like ours
        for name, (prompt, before) in graph.items():
            tasks[name] = asyncio.create_task(call(client, prompt, [tasks[other] for other in before]))
        well = sum(await asyncio.gather(*tasks.values()))
    print(json.dumps({"seconds": time.perf_counter() - start, "succeeded": well, "agents": len(graph)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
