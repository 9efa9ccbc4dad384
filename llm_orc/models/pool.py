"""Connections to one server that speaks OpenAI's format. Costs 270 ms to import, so only when a plan needs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from llm_orc.domain.message import NO_USAGE, FailedError
from llm_orc.models.listing import rows_of
from llm_orc.models.refusals import parsed, refusal
from llm_orc.models.target import Target
from llm_orc.models.transport import PATIENCE, Patience, translated, transport


class Pool:
    """Sends requests to one server; every fault comes out as a FailedError without a word of another library.

    Straight to the transport: a client of httpx would follow redirects, keep cookies and merge headers, none of which is wanted,
    in a quarter of the time that a call takes of the processor.
    """

    def __init__(self, target: Target, env: Mapping[str, str], patience: Patience = PATIENCE) -> None:
        self.target = target
        self._transport = transport(target, env, patience)

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[httpx.Response]:
        """A response whose body is still to come."""
        async with self._sent("POST", self.target.address.url + path, body) as response:
            yield response

    async def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body as it comes."""
        pieces = response.aiter_bytes()
        while True:
            with translated(self.target):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            yield piece

    async def whole(self, response: httpx.Response) -> bytes:
        """The body."""
        return b"".join([piece async for piece in self.pieces(response)])

    async def rows(self, url: str) -> list[dict[str, Any]] | None:
        """A listing; None where there is none at this place. Raises FailedError, its usage NO_USAGE: listing costs nothing."""
        try:
            async with self._sent("GET", url) as response:
                said = parsed(await self.whole(response))
        except FailedError as error:
            error.usage = NO_USAGE
            raise
        if response.status_code >= 300 and response.status_code not in (404, 405, 501):
            raise FailedError(refusal(self.target, "models", response.status_code, said, response.headers), usage=NO_USAGE)
        return rows_of(said) if response.status_code == 200 else None

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.aclose()

    @asynccontextmanager
    async def _sent(self, method: str, url: str, body: bytes | None = None) -> AsyncIterator[httpx.Response]:
        key = await self.target.key()
        headers = {"Content-Type": "application/json", "User-Agent": "llm-orc"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with translated(self.target):  # not round the yield: what goes wrong there is none of the server's
            response = await self._transport.handle_async_request(httpx.Request(method, url, headers=headers, content=body))
        try:
            yield response
        finally:
            await response.aclose()
