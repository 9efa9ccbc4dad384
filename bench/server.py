"""A server that speaks all four wire formats and does next to nothing: `python -m bench.server`; the port is the first line on stdout.

A prompt says how it is answered: `<wait 1.0>` seconds before the first byte; `<words 20 0.05>`: so many, each after a pause in a stream.
"""

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.servers import anthropic, google
from tests.servers.wire import Connection, Received, ThreadServer

_WAIT, _WORDS = re.compile(rb"<wait ([\d.]+)>"), re.compile(rb"<words (\d+) ([\d.]+)>")
MODEL = "bench"
STAMP = "2026-11-01T12:00:00Z"
WINDOW = 8192


@dataclass(frozen=True, slots=True)
class Format:
    """What a reply of so many words looks like, whole or as the events of a stream."""

    whole: Callable[[int], bytes]
    events: Callable[[int], Sequence[bytes]]
    """The last of them ends the stream; each of the words has one, and they are the last but `after`."""
    after: int
    stream_type: str = "text/event-stream"


@dataclass(slots=True)
class Stats:
    """What was seen since it was last asked."""

    running: int = 0
    peak: int = 0
    first: float = 0.0
    last: float = 0.0


class Server(ThreadServer):
    """Answers chats as their prompts say, and the questions that clients ask beside them."""

    def __init__(self) -> None:
        super().__init__(keep_requests=False)
        self._stats = Stats()

    async def answer(self, request: Received, connection: Connection) -> None:
        """Route by path; `/stats` tells what happened since it was last asked."""
        if (said := FORMATS.get(request.path.rpartition("/")[2].rpartition(":")[2])) is not None:
            await self._chat(request, connection, said)
        elif request.path == "/stats":
            stats = self._stats
            connection.send(200, {"peak": stats.peak, "seconds": stats.last - stats.first})
            self._stats = Stats(stats.running, stats.running)
        else:
            connection.send(200, BESIDE[request.path])

    async def _chat(self, request: Received, connection: Connection, said: Format) -> None:
        stats = self._stats
        stats.first = stats.first or time.monotonic()
        stats.running += 1
        stats.peak = max(stats.peak, stats.running)
        try:
            if wait := _WAIT.search(request.body):
                await asyncio.sleep(float(wait[1]))
            number, pause = (int(words[1]), float(words[2])) if (words := _WORDS.search(request.body)) else (1, 0.0)
            if not streams(request):
                connection.send(200, said.whole(number))
                return
            events = said.events(number)
            connection.start_chunks(said.stream_type)
            for left, event in zip(range(len(events), 0, -1), events, strict=True):
                if pause and said.after < left <= said.after + number:
                    await asyncio.sleep(pause)
                connection.chunk(event)
            connection.chunk(b"")
        finally:
            stats.running -= 1
            stats.last = time.monotonic()


def streams(request: Received) -> bool:
    """Whether a stream was asked for, in whatever format."""
    if "treamGenerateContent" in request.target:
        return True
    return bool(request.json.get("stream", request.path == "/api/chat"))


def _text(number: int) -> str:
    return " ".join(["word"] * number)


def _openai_whole(number: int) -> bytes:
    message = {"role": "assistant", "content": _text(number)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    frame = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": MODEL}
    return json.dumps(frame | {"choices": [choice], "usage": _openai_usage(number)}).encode()


def _openai_usage(number: int) -> dict[str, Any]:
    return {"prompt_tokens": 9, "completion_tokens": number, "total_tokens": 9 + number}


def _openai_events(number: int) -> list[bytes]:
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}

    def event(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    said = [event({"role": "assistant", "content": ""}), *[event({"content": "word "})] * number, event({}, "stop")]
    said.append(frame | {"choices": [], "usage": _openai_usage(number)})
    return [*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in said), b"data: [DONE]\n\n"]


def _anthropic(number: int) -> anthropic.Said:
    return anthropic.Said(_text(number), usage=(9, number))


def _google(number: int) -> google.Said:
    return google.Said(_text(number), usage=(9, number))


def _ollama(text: str, number: int = 0) -> bytes:
    said: dict[str, Any] = {"model": f"{MODEL}:latest", "created_at": STAMP, "message": {"role": "assistant", "content": text}}
    counted = {"total_duration": 5, "load_duration": 1, "prompt_eval_count": 9, "eval_count": number}
    return json.dumps(said | ({"done": True, "done_reason": "stop", **counted} if number else {"done": False})).encode() + b"\n"


_OPENAI = Format(cache(_openai_whole), cache(_openai_events), 3)
_ANTHROPIC = Format(
    cache(lambda number: json.dumps(anthropic.whole(_anthropic(number), MODEL)).encode()),
    cache(lambda number: list(anthropic.events(_anthropic(number), MODEL))),
    3,
)
_GOOGLE = Format(
    cache(lambda number: json.dumps(google.whole(_google(number), MODEL)).encode()),
    cache(lambda number: [google.event(piece) for piece in google.pieces(_google(number), MODEL)]),
    1,
)
_OLLAMA = Format(
    cache(lambda number: _ollama(_text(number), number)),
    cache(lambda number: [*[_ollama("word ")] * number, _ollama("", number)]),
    1,
    "application/x-ndjson",
)
FORMATS = {
    "completions": _OPENAI,
    "messages": _ANTHROPIC,
    "generateContent": _GOOGLE,
    "streamGenerateContent": _GOOGLE,
    "chat": _OLLAMA,
}
"""By the last word of their path."""
_DETAILS = {"family": "bench", "families": ["bench"], "format": "gguf", "parameter_size": "1B", "quantization_level": "Q4"}
_ROW = {"name": f"{MODEL}:latest", "model": f"{MODEL}:latest", "size": 5, "digest": "d", "details": _DETAILS}
BESIDE: dict[str, Any] = {
    "/api/tags": {"models": [_ROW | {"modified_at": STAMP}]},
    "/api/ps": {"models": [_ROW | {"size_vram": 5, "expires_at": STAMP, "context_length": WINDOW}]},
    "/api/show": {"details": _DETAILS, "model_info": {"bench.context_length": WINDOW}, "capabilities": ["completion"]},
    "/api/generate": {"model": f"{MODEL}:latest", "created_at": STAMP, "response": "", "done": True, "done_reason": "load"},
}
"""What Ollama is asked besides chats."""


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    server = Server()

    def tell_port() -> None:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        await server.serve(0, tell_port)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
