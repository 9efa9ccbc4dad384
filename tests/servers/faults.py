"""A server that does exactly what goes wrong: `server.url("html")` is a base_url whose every request meets that fault."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tests.servers.wire import Connection, Received, ThreadServer, head

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the guest network.</body></html>"
PAUSE = 0.01
"""Seconds between the words of an endless stream."""

Fault = Callable[[Received, Connection], Awaitable[None]]


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


async def sent(_: Received, connection: Connection, *, body: str, content_type: str = "application/json") -> None:
    """A 200 with whatever body."""
    connection.send(200, body, {"Content-Type": content_type})


async def raw(_: Received, connection: Connection, *, data: bytes, reset: bool = False) -> None:
    """These bytes, then the end of the connection."""
    connection.write(data)
    connection.hang_up(reset=reset)


async def hung(_: Received, __: Connection) -> None:
    """Accepts and never answers."""
    await asyncio.Event().wait()


async def half_streamed(_: Received, connection: Connection, *, then: str, after: bytes = b"") -> None:
    """Two words of a stream, then: `end` cleanly, `cut` without the last chunk, `reset`, `hang`, or go `on` for ever."""
    connection.start_chunks()
    connection.chunk(frame("one "))
    connection.chunk(frame("two ") + after)
    match then:
        case "end":
            connection.chunk(b"")
        case "cut":
            connection.hang_up()
        case "reset":
            await asyncio.sleep(PAUSE)  # or the kernel drops what the client has not read yet
            connection.hang_up(reset=True)
        case "hang":
            await asyncio.Event().wait()
        case _:
            while True:
                connection.chunk(frame("more "))
                await asyncio.sleep(PAUSE)


async def crumbled(_: Received, connection: Connection) -> None:
    """A sound stream with comments, CRLF and a letter split over two chunks: the reply is "é ü"."""
    sound = b": ping\r\n\r\n" + frame("é ").replace(b"\\u00e9", "é".encode()).replace(b"\n", b"\r\n") + frame("ü") + frame("", "stop")
    connection.start_chunks()
    split = sound.index("é".encode()) + 1
    connection.chunk(sound[:split])
    await asyncio.sleep(PAUSE)
    connection.chunk(sound[split:] + b"data: [DONE]\n\n")
    connection.chunk(b"")


async def redirected(_: Received, connection: Connection, *, to: str) -> None:
    """A redirect."""
    connection.send(307, "", {"Location": to})


FAULTS: dict[str, Fault] = {
    "ok": said,
    "html": partial(sent, body=PAGE, content_type="text/html"),
    "malformed": partial(sent, body='{"choices": [{"message": {"content": "he'),
    "wrong-shape": partial(sent, body='{"choices": "none", "usage": 3}'),
    "no-choices": partial(sent, body='{"choices": []}'),
    "list": partial(sent, body="[]"),
    "error-body": partial(sent, body='{"error": {"message": "no credits left", "code": 402}}'),
    "nothing": partial(sent, body=""),
    "empty": partial(said, text=""),
    "null": partial(said, text=None),
    "length": partial(said, text="cut here", finish_reason="length"),
    "content-filter": partial(said, text="", finish_reason="content_filter"),
    "early-end": partial(half_streamed, then="end"),
    "cut": partial(half_streamed, then="cut"),
    "reset-middle": partial(half_streamed, then="reset"),
    "hang-middle": partial(half_streamed, then="hang"),
    "slow": partial(half_streamed, then="on"),
    "malformed-event": partial(half_streamed, then="end", after=b'data: {"choices": [{"del\n\n'),
    "error-event": partial(half_streamed, then="end", after=b'data: {"error": {"message": "upstream failed", "code": 502}}\n\n'),
    "crumbled": crumbled,
    "reset-before": partial(raw, data=b"", reset=True),
    "closed": partial(raw, data=b""),
    "half-header": partial(raw, data=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "not-http": partial(raw, data=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "short-body": partial(raw, data=head(200, {"Content-Type": "application/json", "Content-Length": "500"}) + b'{"choices": ['),
    "hang": hung,
    "400": partial(refused, status=400, code="invalid_request_error"),
    "context-length": partial(refused, status=400, code="context_length_exceeded"),
    "401": partial(refused, status=401, code="invalid_api_key"),
    "403": partial(refused, status=403),
    "404": partial(refused, status=404, code="model_not_found"),
    "429": partial(refused, status=429, headers={"Retry-After": "0"}),
    "500": partial(refused, status=500),
    "503": partial(refused, status=503),
    "html-502": lambda _, connection: _page(connection),
    "redirect": partial(redirected, to="/ok/v1/chat/completions"),
    "redirect-loop": partial(redirected, to="/redirect-loop/v1/chat/completions"),
    "redirect-away": partial(redirected, to="http://127.0.0.2:9/v1/chat/completions"),
}


async def _page(connection: Connection) -> None:
    connection.send(502, PAGE, {"Content-Type": "text/html"})


class FaultServer(ThreadServer):
    """Counts requests by fault in `counts`; `headers` are those that a 429 carries."""

    def __init__(self) -> None:
        """Serve every fault at its own address."""
        super().__init__()
        self.counts: Counter[str] = Counter()

    def url(self, fault: str, *, times: int | None = None, retry_after: str | None = None) -> str:
        """A base_url at which `fault` is met, the first `times` requests only where given; `retry_after` is the 429's header."""
        if fault not in FAULTS:
            message = f"no fault {fault!r}; there are: {', '.join(FAULTS)}"
            raise KeyError(message)
        options = ("" if times is None else f",times={times}") + ("" if retry_after is None else f",retry_after={retry_after}")
        return f"{self.origin}/{fault}{options}/v1"

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
