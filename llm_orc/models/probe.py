"""Whether a server runs on this machine, and with which models: asked by hand, for a library to send through costs 270 ms to import."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from llm_orc.models.address import Address
from llm_orc.models.base import Listed
from llm_orc.models.listing import NATIVE, PLAIN, native, plain, rows_of
from llm_orc.models.ollama import can_chat, capabilities_of, in_cloud

QUICK_SECONDS = 0.2
"""For all probes together: a server that is there has taken the connection by then."""
PATIENT_SECONDS = 2.0
"""For the listing of a server that is there: one that is busy must not be taken for none, and its user's text sent elsewhere."""


class Probe:
    """The look at one server, which begins when this is made; `models` are its chat models, those in memory first, once `done`."""

    def __init__(self, provider: str, server: Address) -> None:
        """In a running event loop."""
        self.server = server
        self.there = False
        """Whether it took the connection."""
        self.gave_up = False
        """Whether it is there and did not say in time what it has."""
        self._ollama = provider == "ollama"
        self.task = asyncio.create_task(self._look(_ollama if self._ollama else _lmstudio if provider == "lmstudio" else _openai))

    @property
    def silent(self) -> bool:
        """Whether it is there and has not said what it has."""
        return self.there and not self.task.done()

    @property
    def models(self) -> Sequence[Listed]:
        """None of a server that is not there, not done, or has no list."""
        return self.task.result() if self.task.done() and not self.task.cancelled() else ()

    def give_up(self) -> None:
        """Wait no longer."""
        self.gave_up = self.silent
        self.task.cancel()

    async def detailed(self) -> Sequence[Listed]:
        """The same with what each can do; of Ollama that takes a question each."""
        if not self._ollama:
            return self.models
        return await asyncio.gather(*(self._shown(model) for model in self.models))

    async def _look(self, listing: "Callable[[Address], Awaitable[Iterable[Listed]]]") -> Sequence[Listed]:
        try:
            _, writer = await asyncio.open_connection(self.server.host, self.server.port)
        except OSError:
            return ()
        self.there = True
        writer.close()
        return [model for model in await listing(self.server) if model.chat]

    async def _shown(self, model: Listed) -> Listed:
        said = await _said(self.server, "/api/show", {"model": model.name})
        able = said.get("capabilities") if isinstance(said, dict) else None
        return replace(model, capabilities=capabilities_of(frozenset(map(str, able)))) if isinstance(able, list) else model


async def _lmstudio(server: Address) -> Iterable[Listed]:
    own, other = await asyncio.gather(_rows(server, NATIVE), _rows(server, PLAIN))
    return native(own or ()) or plain(other or ())


async def _openai(server: Address) -> Iterable[Listed]:
    return plain(await _rows(server, PLAIN) or ())


async def _rows(server: Address, path: str) -> list[dict[str, Any]] | None:
    return rows_of(await _said(server, path))


async def _ollama(server: Address) -> Iterable[Listed]:
    """What only goes through this machine to a cloud is left out."""
    tags, running = await asyncio.gather(_said(server, "/api/tags"), _said(server, "/api/ps"))
    windows = {str(row.get("name")): row.get("context_length") for row in _models(running)}
    found = []
    for row in _models(tags):
        name = row.get("name")
        if not isinstance(name, str) or row.get("remote_host") or in_cloud(name):
            continue
        details = row.get("details")
        family = str(details.get("family")) if isinstance(details, dict) else ""
        window = windows.get(name)
        found.append(
            Listed(name, can_chat(name, family, None), name in windows, context_window=window if isinstance(window, int) else None)
        )
    return sorted(found, key=lambda model: not model.loaded)


def _models(said: Any) -> list[dict[str, Any]]:
    rows = said.get("models") if isinstance(said, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


async def _said(server: Address, path: str, asked: Mapping[str, Any] | None = None) -> Any:
    """The JSON that a server answers with; None where it has none to give."""
    root = urlsplit(server.url).path.removesuffix("/v1")
    try:
        return json.loads(await asyncio.to_thread(_answer, server, root + path, asked))
    except (OSError, HTTPException, ValueError, RecursionError):
        return None


def _answer(server: Address, path: str, asked: Mapping[str, Any] | None) -> bytes:
    # http.client knows no proxies and follows no redirects.
    connection = HTTPConnection(server.host, server.port, timeout=PATIENT_SECONDS + 1)  # whoever waits gives up first
    try:
        body = None if asked is None else json.dumps(asked)
        connection.request("GET" if asked is None else "POST", path, body, {"Content-Type": "application/json"} if asked else {})
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    finally:
        connection.close()
