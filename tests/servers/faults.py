"""A server that does exactly what goes wrong: `server.url("html")` is a base_url whose every request meets that fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.servers.breaks import BREAKS, PAUSE, Fault, FaultyServer, half, redirected, sent, short
from tests.servers.wire import Connection, Received


def frame(text: str, finish_reason: str | None = None) -> bytes:
    """One event of a streamed completion."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def whole(text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    """A completion in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 0 if text is None else len(text.split()), "total_tokens": 3}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def streamed(request: Received) -> bool:
    """Whether the client asked for a stream."""
    asked = request.json
    return isinstance(asked, dict) and bool(asked.get("stream"))


async def said(request: Received, connection: Connection, *, text: str | None = "ok", finish_reason: str = "stop") -> None:
    """A sound reply, in the form that was asked for."""
    if not streamed(request):
        connection.send(200, whole(text, finish_reason))
        return
    connection.start_chunks()
    for word in (text or "").split():
        connection.chunk(frame(word))
    connection.chunk(frame("", finish_reason) + b"data: [DONE]\n\n")
    connection.chunk(b"")


async def refused(_: Received, connection: Connection, *, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
    """An error status with OpenAI's error body."""
    connection.send(status, {"error": {"message": f"refused with {status}", "type": "error", "code": code or status}}, headers)


def _half(*, then: str, after: bytes = b"") -> Fault:
    return partial(half, begin=frame("one ") + frame("two "), then=then, after=after, more=frame("more "))


async def crumbled(_: Received, connection: Connection) -> None:
    """A sound stream with comments, CRLF and a letter split over two chunks: the reply is "é ü"."""
    sound = b": ping\r\n\r\n" + frame("é ").replace(b"\\u00e9", "é".encode()).replace(b"\n", b"\r\n") + frame("ü") + frame("", "stop")
    connection.start_chunks()
    split = sound.index("é".encode()) + 1
    connection.chunk(sound[:split])
    await asyncio.sleep(PAUSE)
    connection.chunk(sound[split:] + b"data: [DONE]\n\n")
    connection.chunk(b"")


FAULTS: Mapping[str, Fault] = {
    **BREAKS,
    "ok": said,
    "malformed": partial(sent, body='{"choices": [{"message": {"content": "he'),
    "wrong-shape": partial(sent, body='{"choices": "none", "usage": 3}'),
    "no-choices": partial(sent, body='{"choices": []}'),
    "error-body": partial(sent, body='{"error": {"message": "no credits left", "code": 402}}'),
    "empty": partial(said, text=""),
    "null": partial(said, text=None),
    "length": partial(said, text="cut here", finish_reason="length"),
    "content-filter": partial(said, text="", finish_reason="content_filter"),
    "early-end": _half(then="end"),
    "cut": _half(then="cut"),
    "reset-middle": _half(then="reset"),
    "hang-middle": _half(then="hang"),
    "slow": _half(then="on"),
    "malformed-event": _half(then="end", after=b'data: {"choices": [{"del\n\n'),
    "error-event": _half(then="end", after=b'data: {"error": {"message": "upstream failed", "code": 502}}\n\n'),
    "crumbled": crumbled,
    "short-body": short(b'{"choices": ['),
    "400": partial(refused, status=400, code="invalid_request_error"),
    "context-length": partial(refused, status=400, code="context_length_exceeded"),
    "401": partial(refused, status=401, code="invalid_api_key"),
    "403": partial(refused, status=403),
    "404": partial(refused, status=404, code="model_not_found"),
    "429": partial(refused, status=429, headers={"Retry-After": "0"}),
    "500": partial(refused, status=500),
    "503": partial(refused, status=503),
    "redirect": partial(redirected, to="/ok/v1/chat/completions"),
    "redirect-loop": partial(redirected, to="/redirect-loop/v1/chat/completions"),
    "redirect-away": partial(redirected, to="http://127.0.0.2:9/v1/chat/completions"),
}


class FaultServer(FaultyServer):
    """Chat completions, whose faults may also pass after some requests."""

    faults = FAULTS

    def url(self, fault: str, *, times: int | None = None, retry_after: str | None = None) -> str:
        """A base_url at which `fault` is met, the first `times` requests only where given; `retry_after` is the 429's header."""
        options = ("" if times is None else f",times={times}") + ("" if retry_after is None else f",retry_after={retry_after}")
        return super().url(fault) + f"{options}/v1"

    async def answer(self, request: Received, connection: Connection) -> None:
        """Do what the first part of the path names."""
        name, *pairs = request.path.split("/")[1].split(",")
        options = dict(pair.split("=", 1) for pair in pairs)
        self.counts[name] += 1
        if self.counts[name] > int(options.get("times", self.counts[name])):
            await said(request, connection)
        elif "retry_after" in options:
            await refused(request, connection, status=int(name), headers={"Retry-After": options["retry_after"]})
        else:
            await FAULTS[name](request, connection)
