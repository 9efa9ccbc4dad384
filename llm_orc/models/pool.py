"""Connections to one server that speaks OpenAI's format. Costs 270 ms to import, so only when a plan needs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from llm_orc.models.target import Target
from llm_orc.models.transport import PATIENCE, Patience, translated, transport


class Pool:
    """Sends requests to one server; every fault comes out as a FailedError without a word of another library."""

    def __init__(self, target: Target, env: Mapping[str, str], patience: Patience = PATIENCE) -> None:
        self._target = target
        self._client = httpx.AsyncClient(transport=transport(target, env, patience))

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[httpx.Response]:
        """A response whose body is still to come."""
        url, headers = self._target.address.url + path, await self._headers()
        with translated(self._target):
            async with self._client.stream("POST", url, content=body, headers=headers) as response:
                yield response

    async def get(self, url: str) -> httpx.Response:
        """A whole response."""
        headers = await self._headers()
        with translated(self._target):
            return await self._client.get(url, headers=headers)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()

    async def _headers(self) -> dict[str, str]:
        key = await self._target.key()
        headers = {"Content-Type": "application/json", "User-Agent": "llm-orc"}
        return headers | {"Authorization": f"Bearer {key}"} if key else headers
