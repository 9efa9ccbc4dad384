"""Whether LM Studio runs on this machine, and with which chat models: a probe, without a library to send through."""

import asyncio
import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from llm_orc.models.address import Address
from llm_orc.models.listing import NATIVE, PLAIN, native, plain, rows_of

CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 1.0
"""For the listing of a server that is there: one that is busy must not be taken for none, and its user's text sent elsewhere."""


async def chat_models(server: Address) -> list[str] | None:
    """Its chat models, the loaded ones first; None where nothing listens."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(server.host, server.port)
    except (OSError, TimeoutError):
        return None
    writer.close()
    root = urlsplit(server.url).path.removesuffix("/v1")
    own, other = await asyncio.gather(_listing(server, root + NATIVE), _listing(server, root + PLAIN))
    return [model.name for model in native(own or ()) or plain(other or ()) if model.chat]


async def _listing(server: Address, path: str) -> list[dict[str, Any]] | None:
    try:
        return rows_of(json.loads(await asyncio.to_thread(_get, server, path)))
    except (OSError, HTTPException, ValueError):
        return None


def _get(server: Address, path: str) -> bytes:
    # http.client knows no proxies, follows no redirects, and costs a tenth of httpx to import.
    connection = HTTPConnection(server.host, server.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    finally:
        connection.close()
