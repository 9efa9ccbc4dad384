"""A stream whose last event has come is a whole reply, however its connection ends, or does not."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.models.asking import ask, models, profile
from tests.servers.ollama import STAMP
from tests.servers.wire import Connection, Received, ThreadServer


def events(*said: dict[str, object]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(each.get("type", "")).encode(), json.dumps(each).encode()) for each in said)


def line(text: str, *, done: bool) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": "model", "created_at": STAMP, "message": message, "done": done}).encode() + b"\n"


STREAMS = {
    "openai-compatible": events({"choices": [{"delta": {"content": "said"}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    "anthropic": events(
        {"type": "message_start", "message": {"model": "model"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "said"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ),
    "ollama": line("said", done=False) + line("", done=True),
}


class Endless(ThreadServer):
    """Says all there is to say, and then whatever `then` does."""

    provider = then = ""

    async def answer(self, request: Received, connection: Connection) -> None:
        if request.path == "/api/tags":
            return connection.send(200, {"models": [{"model": "model:latest"}]})
        if request.path in ("/api/show", "/api/ps", "/api/generate"):
            return connection.send(200, {"models": [], "done": True, "response": ""})
        connection.start_chunks("application/x-ndjson" if self.provider == "ollama" else "text/event-stream")
        connection.chunk(STREAMS[self.provider])
        match self.then:
            case "cut":
                connection.hang_up()
            case "silence":
                await asyncio.Event().wait()
            case "garbage":
                connection.chunk(b'data: {"broken\xff\n\n')
                connection.chunk(b"")
        return None


@pytest.fixture
def endless() -> Iterator[Endless]:
    with Endless() as server:
        yield server


@pytest.mark.parametrize("then", ["cut", "silence", "garbage"])
@pytest.mark.parametrize("provider", STREAMS)
async def test_what_was_said_is_the_reply(provider: str, then: str, endless: Endless) -> None:
    endless.provider, endless.then = provider, then
    asked = profile(endless.base_url if provider == "openai-compatible" else endless.origin, provider)
    async with models({"ANTHROPIC_API_KEY": "sk-1234567890"}, trusted=endless.origin) as opened, asyncio.timeout(30):
        reply = await ask(opened, asked, told=[])

    assert reply.text == "said"
