"""The end of a stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeVar

END_SECONDS = 1.0
"""How long the end of a stream may take after its last event, so that the connection can be used again."""

_Piece = TypeVar("_Piece")


async def until(done: Callable[[], bool], pieces: AsyncIterator[_Piece]) -> AsyncIterator[_Piece]:
    """Each piece until all is said; what is broken after it, or does not end, costs a new connection and not the reply."""
    async for piece in pieces:
        yield piece
        if done():
            break
    with suppress(Exception):
        async with asyncio.timeout(END_SECONDS):
            async for _ in pieces:
                pass
