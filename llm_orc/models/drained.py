"""The end of a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

END_SECONDS = 1.0
"""How long the end of a stream may take after its last event, so that the connection can be used again."""


async def drained(pieces: AsyncIterator[object]) -> None:
    """Read on after all is said; what is broken then, or does not end, costs a new connection and not the reply."""
    with suppress(Exception):
        async with asyncio.timeout(END_SECONDS):
            async for _ in pieces:
                pass
