"""One server for four wire formats and every fault of the matrix: `/FAULT/CELL/...` meets the fault, and is counted for the cell."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.breaks import PAGE
from tests.servers.wire import Connection, Received, ThreadServer

SOUND = "all is well"
PAUSE = 0.05
"""Seconds between the words of a stream that never ends."""
PHRASE = {529: "Site is overloaded"}
MODEL = "matrix"

Frames = Callable[[Sequence[str], str | None], list[bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """How one wire format says what all of them can say."""

    base: str
    """What a base_url ends in."""
    content_type: str
    """Of a stream."""
    whole: Callable[[str, str], dict[str, Any]]
    """A reply in one piece: text, and how it ended."""
    frames: Frames
    """A stream: words, and how it ended; None is a stream that goes on."""
    error: Callable[[int, str, str], dict[str, Any]]
    """Status, code and message."""
    end: str
    """How a sound reply ends."""
    filtered: str
    """How one ends that the filter cut; empty where that is an error status."""
    too_long: tuple[str, str]
    """Code and message of a prompt that is too long."""


def sse(content: dict[str, Any], event: str = "") -> bytes:
    """One server-sent event."""
    return (f"event: {event}\n" if event else "").encode() + b"data: " + json.dumps(content).encode() + b"\n\n"


def _openai_whole(text: str, end: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": end}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return {"id": "c", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}


def _openai_frames(words: Sequence[str], end: str | None) -> list[bytes]:
    def frame(delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return sse({"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]})

    pieces = [frame({"content": word}) for word in words]
    return pieces if end is None else [*pieces, frame({}, end), b"data: [DONE]\n\n"]


def _openai_error(status: int, code: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "param": None, "code": code or status}}


def _anthropic_message(content: list[dict[str, str]], end: str | None) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 3}
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content}
    return said | {"stop_reason": end, "stop_sequence": None, "usage": usage}


def _anthropic_whole(text: str, end: str) -> dict[str, Any]:
    return _anthropic_message([{"type": "text", "text": text}] if text else [], end)


def _anthropic_frames(words: Sequence[str], end: str | None) -> list[bytes]:
    def frame(event: str, **content: Any) -> bytes:
        return sse({"type": event, **content}, event)

    frames = [frame("message_start", message=_anthropic_message([], None))]
    if words:
        frames.append(frame("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        frames += [frame("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    if end is None:
        return frames
    frames += [frame("content_block_stop", index=0)] if words else []
    frames.append(frame("message_delta", delta={"stop_reason": end, "stop_sequence": None}, usage={"output_tokens": 3}))
    return [*frames, frame("message_stop")]


def _anthropic_error(status: int, code: str, message: str) -> dict[str, Any]:
    types = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
    said = code or types.get(status, "api_error")
    return {"type": "error", "error": {"type": said, "message": message}, "request_id": "req_1"}


def _google_whole(text: str, end: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if text:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if end:
        candidate["finishReason"] = end
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": "r"}


def _google_frames(words: Sequence[str], end: str | None) -> list[bytes]:
    frames = [sse(_google_whole(word, None)) for word in words]
    return frames if end is None else [*frames, sse(_google_whole("", end))]


def _google_error(status: int, code: str, message: str) -> dict[str, Any]:
    names = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"error": {"code": status, "message": message, "status": code or names.get(status, "INTERNAL")}}


def _ollama_line(text: str, end: str | None) -> dict[str, Any]:
    said = {
        "model": MODEL,
        "created_at": "2026-11-21T09:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": end is not None,
    }
    return said if end is None else said | {"done_reason": end, "prompt_eval_count": 9, "eval_count": 3}


def _ollama_frames(words: Sequence[str], end: str | None) -> list[bytes]:
    lines = [_ollama_line(word, None) for word in words] + ([] if end is None else [_ollama_line("", end)])
    return [json.dumps(line).encode() + b"\n" for line in lines]


def _ollama_error(_: int, code: str, message: str) -> dict[str, Any]:
    # Ollama itself filters nothing: a gateway before it may, and says so in its own form.
    return {"error": {"code": code, "message": message} if code else message}


FORMATS = {
    "openai-compatible": Format(
        "/v1",
        "text/event-stream",
        _openai_whole,
        _openai_frames,
        _openai_error,
        "stop",
        "content_filter",
        ("context_length_exceeded", "This model's maximum context length is 8192 tokens"),
    ),
    "anthropic": Format(
        "",
        "text/event-stream",
        _anthropic_whole,
        _anthropic_frames,
        _anthropic_error,
        "end_turn",
        "refusal",
        ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    ),
    "google": Format(
        "",
        "text/event-stream",
        _google_whole,
        _google_frames,
        _google_error,
        "STOP",
        "SAFETY",
        ("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    ),
    "ollama": Format(
        "",
        "application/x-ndjson",
        _ollama_line,
        _ollama_frames,
        _ollama_error,
        "stop",
        "",
        ("", "the input length exceeds the context length"),
    ),
}
ASKED = ("/chat/completions", "/messages", "generateContent", "streamGenerateContent", "/api/chat")
"""How the path of a request for a reply ends."""
_SHOWN = {"details": {"family": MODEL}, "model_info": {"general.architecture": MODEL, f"{MODEL}.context_length": 32768}}
_ROW = {"id": f"{MODEL}:latest", "type": "model", "object": "model", "display_name": MODEL, "created_at": "2026-11-21T09:00:00Z"}
BESIDES = {
    ("openai-compatible", "v1/models"): {"object": "list", "data": [_ROW]},
    ("anthropic", "v1/models"): {"data": [_ROW], "has_more": False, "first_id": _ROW["id"], "last_id": _ROW["id"]},
    ("google", "v1beta/models"): {"models": [{"name": f"models/{MODEL}:latest", "supportedGenerationMethods": ["generateContent"]}]},
    ("ollama", "api/tags"): {"models": [{"name": f"{MODEL}:latest", "model": f"{MODEL}:latest"}]},
    ("ollama", "api/show"): _SHOWN | {"capabilities": ["completion", "vision"]},
    ("ollama", "api/ps"): {"models": [{"name": f"{MODEL}:latest", "model": f"{MODEL}:latest", "context_length": 32768}]},
    ("ollama", "api/generate"): {"model": MODEL, "response": "", "done": True, "done_reason": "load"},
}
"""What a server is asked besides; always answered soundly."""


class MatrixServer(ThreadServer):
    """`url(...)` is a base_url at which a fault is met; `counts[cell]` says how many requests for a reply came to it."""

    def __init__(self) -> None:
        """Serve every fault in every format."""
        super().__init__(keep_requests=False)
        self.counts: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        """Of all requests for a reply."""

    def url(self, wire_format: str, fault: str, cell: str, *, times: int | None = None, retry_after: int | None = None) -> str:
        """A base_url whose requests, or the first `times` of them, meet the fault; a 429 says `retry_after`. The fault `ok` is none."""
        options = ("" if times is None else f",times={times}") + ("" if retry_after is None else f",retry_after={retry_after}")
        return f"{self.origin}/{wire_format},{fault}{options}/{cell}{FORMATS[wire_format].base}"

    async def answer(self, request: Received, connection: Connection) -> None:
        """Count it, and do what the path says."""
        _, first, cell, *rest = request.path.split("/")
        wire_format, fault, *pairs = first.split(",")
        if not request.path.endswith(ASKED):
            said = BESIDES.get((wire_format, "/".join(rest)))
            connection.send(200 if said else 404, said or {"error": f"nothing at {request.path}"})
            return
        options = dict(pair.split("=") for pair in pairs)
        self.bodies.append(request.body)
        self.counts[cell] += 1
        if self.counts[cell] > int(options.get("times", self.counts[cell])):
            fault = "ok"
        await _Met(FORMATS[wire_format], _streamed(request), connection).met(fault, options.get("retry_after"))


def _streamed(request: Received) -> bool:
    asked = request.json or {}
    return "streamGenerateContent" in request.path or bool(asked.get("stream", request.path.endswith("/api/chat")))


@dataclass(frozen=True, slots=True)
class _Met:
    """One request that meets a fault."""

    format: Format
    streamed: bool
    connection: Connection

    async def met(self, fault: str, retry_after: str | None) -> None:
        form = self.format
        said = {"ok": (SOUND, form.end), "empty": ("", form.end)} | ({"filter": ("", form.filtered)} if form.filtered else {})
        refused = {
            "context": (400, *form.too_long),
            "filter": (400, "content_filter", "the prompt was filtered"),
            "404": (404, "", f"model '{MODEL}' not found"),
        }
        if fault in said:
            self._say(*said[fault])
        elif fault in refused:
            self._refuse(*refused[fault])
        elif fault.isdecimal():
            self._refuse(int(fault), "", f"refused with {fault}", retry_after)
        else:
            await self._break(fault)

    async def _break(self, fault: str) -> None:
        match fault:
            case "html":
                self.connection.send(200, PAGE, {"Content-Type": "text/html"})
            case "hang" | "slow" if fault == "hang" or not self.streamed:
                await asyncio.Event().wait()
            case "reset-before":
                self.connection.hang_up(reset=True)
            case "malformed":
                self._crumble()
            case _:
                await self._break_off(fault)

    def _say(self, text: str, end: str) -> None:
        if not self.streamed:
            self.connection.send(200, self.format.whole(text, end))
            return
        self._begin()
        for frame in self.format.frames([f"{word} " for word in text.split()], end):
            self.connection.chunk(frame)
        self.connection.chunk(b"")

    def _refuse(self, status: int, code: str, message: str, retry_after: str | None = None) -> None:
        body = json.dumps(self.format.error(status, code, message)).encode()
        wait = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        line = f"HTTP/1.1 {status} {PHRASE.get(status, 'Refused')}\r\n"
        self.connection.write(f"{line}{wait}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def _begin(self) -> None:
        self.connection.start_chunks(self.format.content_type)

    def _crumble(self) -> None:
        if not self.streamed:
            self.connection.send(200, json.dumps(self.format.whole(SOUND, self.format.end))[:-20])
            return
        self._begin()
        *sound, last = self.format.frames(["one ", "two "], None)
        for frame in sound:
            self.connection.chunk(frame)
        body = last.rstrip()
        self.connection.chunk(body[:-9] + last[len(body) :])
        for frame in self.format.frames(["three"], self.format.end):
            self.connection.chunk(frame)
        self.connection.chunk(b"")

    async def _break_off(self, fault: str) -> None:
        """`reset-during`, `early-end`, and `slow`, which breaks off when the client does."""
        if not self.streamed:
            body = json.dumps(self.format.whole(SOUND, self.format.end)).encode()
            self.connection.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-20]
            )
        else:
            self._begin()
            for frame in self.format.frames(["one ", "two "], None):
                self.connection.chunk(frame)
        match fault:
            case "early-end":
                self.connection.chunk(b"")
            case "reset-during":
                await asyncio.sleep(PAUSE)  # or the kernel drops what the client has not read yet
                self.connection.hang_up(reset=True)
            case "slow":
                while True:
                    self.connection.chunk(self.format.frames(["more "], None)[-1])
                    await asyncio.sleep(PAUSE)
            case _:
                raise KeyError(fault)
