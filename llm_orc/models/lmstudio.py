"""Whether LM Studio runs on this machine, and with which chat models."""

import asyncio
import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from llm_orc.models.address import Address

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
    native, plain = await asyncio.gather(_listing(server, f"{root}/api/v0/models"), _listing(server, f"{root}/v1/models"))
    if native:
        chat = [model for model in native if model.get("type") in ("llm", "vlm")]
        return [str(model["id"]) for model in sorted(chat, key=lambda model: model.get("state") != "loaded")]
    return [name for model in plain if "embed" not in (name := str(model["id"])).lower()]


async def _listing(server: Address, path: str) -> list[dict[str, Any]]:
    try:
        said = json.loads(await asyncio.to_thread(_get, server, path))
    except (OSError, HTTPException, ValueError):
        return []
    data = said.get("data") if isinstance(said, dict) else None
    return [model for model in data if isinstance(model, dict) and model.get("id")] if isinstance(data, list) else []


def _get(server: Address, path: str) -> bytes:
    # http.client knows no proxies, follows no redirects, and costs a tenth of httpx to import.
    connection = HTTPConnection(server.host, server.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    finally:
        connection.close()
