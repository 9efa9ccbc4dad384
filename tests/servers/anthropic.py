"""A server that speaks Anthropic's Messages API, soundly (`AnthropicServer`) or with one fault per address (`AnthropicFaults`)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.breaks import BREAKS, PAGE, Fault, FaultyServer, half, redirected, sent, short
from tests.servers.wire import Connection, Gate, Received, ThreadServer, head

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
SAMPLING = {"temperature", "top_p", "top_k"}
"""Gone from the API with its version 2026-10-21."""
REQUIRED = ("model", "messages", "max_tokens")


@dataclass(frozen=True, slots=True)
class Said:
    """What the server says to one request, and how."""

    text: str = "ok"
    thinking: str = ""
    status: int = 200
    stop_reason: str = "end_turn"
    stop_details: Mapping[str, Any] | None = None
    usage: tuple[int, int] = (3, 1)
    """Uncached input tokens, and output tokens."""
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int | None = None
    model: str = ""
    """The model that is said to have answered; empty = the one asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    """In a stream it is passed after the first word."""
    last_gate: Gate | None = None
    """In a stream it is passed between the last event and the end."""


Script = str | int | Said | Callable[[Received], Said]


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the listing."""

    id: str
    max_input_tokens: int | None = None
    capabilities: Mapping[str, bool] | None = None
    lifecycle: str = "active"


class AnthropicServer(ThreadServer):
    """Messages with scripted replies, and a listing in pages; keeps what it was asked."""

    def __init__(
        self,
        script: Script = "ok",
        *,
        models: Sequence[Row] = (),
        page: int = 2,
        keys: Sequence[str] | None = None,
        tls: ssl.SSLContext | None = None,
        keep_requests: bool = True,
    ) -> None:
        """`page` models are listed at once, however many are asked for; `keys` makes others 401."""
        super().__init__(tls=tls, keep_requests=keep_requests)
        self._script = script
        self._models = models
        self._page = page
        self._keys = keys
        self.opened = 0
        """Connections so far."""
        self.dropped = 0
        """Requests whose client left before the reply was whole."""

    @property
    def base_url(self) -> str:
        """As people write it for this API: without `/v1`."""
        return self.origin

    def _connection(self) -> Connection:
        self.opened += 1
        return super()._connection()

    async def answer(self, request: Received, connection: Connection) -> None:
        """Route by path, whatever the host."""
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._keys is not None and shown not in self._keys:
            send_error(connection, 401, "invalid x-api-key")
            return
        match request.method, request.path:
            case "POST", "/v1/messages":
                await self._message(request, connection)
            case "GET", "/v1/models":
                connection.send(200, self._listed(parse_qs(urlsplit(request.target).query)))
            case _:
                send_error(connection, 404, f"Not found: {request.method} {request.path}")

    async def _message(self, request: Received, connection: Connection) -> None:
        said = _said(self._script, request)
        missing = [name for name in REQUIRED if not request.json.get(name)]
        if missing or "anthropic-version" not in request.headers:
            send_error(connection, 400, f"Field required: {missing or 'anthropic-version'}")
        elif request.headers["anthropic-version"] >= "2026-10-21" and (gone := SAMPLING & request.json.keys()):
            send_error(connection, 400, f"{sorted(gone)}: Extra inputs are not permitted")
        elif said.status != 200:
            send_error(connection, said.status, said.text, said.headers)
        else:
            try:
                await reply(said, request, connection)
            except asyncio.CancelledError:
                self.dropped += 1
                raise

    def _listed(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        names = [row.id for row in self._models]
        after = query.get("after_id", [""])[0]
        start = names.index(after) + 1 if after else 0
        size = min(self._page, int(query.get("limit", ["20"])[0]))
        rows = self._models[start : start + size]
        more = start + size < len(names)
        return {"data": [_row(row) for row in rows], "has_more": more, "first_id": names[:1], "last_id": rows[-1].id if rows else None}


async def reply(said: Said, request: Received, connection: Connection) -> None:
    """A sound reply, in the form that was asked for."""
    if not request.json.get("stream"):
        if said.gate is not None:
            await said.gate.passed()
        connection.send(200, whole(said, request.json["model"]), said.headers)
        return
    connection.start_chunks()
    for number, event in enumerate(events(said, request.json["model"])):
        if said.gate is not None and number == 4:  # start, ping, start of the text, first word
            await said.gate.passed()
        connection.chunk(event)
    if said.last_gate is not None:
        await said.last_gate.passed()
    connection.chunk(b"")


def whole(said: Said, model: str) -> dict[str, Any]:
    """A reply in one piece."""
    thinking = [{"type": "thinking", "thinking": said.thinking, "signature": "c2ln"}] if said.thinking else []
    text = [{"type": "text", "text": said.text}] if said.text else []
    return _message(said, model) | {
        "content": thinking + text,
        "stop_reason": said.stop_reason,
        "stop_details": said.stop_details,
        "usage": _usage(said, said.usage[1]),
    }


def events(said: Said, model: str) -> Iterator[bytes]:
    """The same as a stream, word by word."""
    yield event("message_start", message=_message(said, model) | {"usage": _usage(said, 1)})
    yield event("ping")
    index = 0
    if said.thinking:
        yield event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""})
        for word in _words(said.thinking):
            yield event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": word})
        yield event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ln"})
        yield event("content_block_stop", index=0)
        index = 1
    if said.text:
        yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for word in _words(said.text):
            yield word_event(word, index)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": said.stop_reason, "stop_sequence": None, "stop_details": said.stop_details}
    yield event("message_delta", delta=delta, usage=_usage(said, said.usage[1]) | {"input_tokens": None, "cache_read_input_tokens": None})
    yield event("message_stop")


def event(kind: str, **content: Any) -> bytes:
    """One event of a stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **content})}\n\n".encode()


def word_event(word: str, index: int = 0) -> bytes:
    """The event that carries a piece of text."""
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": word})


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    kind = ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def send_error(connection: Connection, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
    """An error status; 529, which the standard does not know, goes out under its own name."""
    body = json.dumps(error(status, message)).encode()
    said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    first = head(503 if status == 529 else status, said)
    connection.write((first.replace(b"503 Service Unavailable", b"529 Overloaded", 1) if status == 529 else first) + body)


def _said(script: Script, request: Received) -> Said:
    match script:
        case str():
            return Said(script)
        case int():
            return Said(f"scripted {script}", status=script)
        case Said():
            return script
        case _:
            return script(request)


def _message(said: Said, model: str) -> dict[str, Any]:
    frame = {"id": "msg_1", "type": "message", "role": "assistant", "model": said.model or model}
    return frame | {"content": [], "stop_reason": None, "stop_sequence": None}


def _usage(said: Said, output: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "input_tokens": said.usage[0],
        "cache_creation_input_tokens": said.cache_write,
        "cache_read_input_tokens": said.cache_read,
        "output_tokens": output,
        "service_tier": "standard",
    }
    return usage if said.reasoning is None else usage | {"output_tokens_details": {"thinking_tokens": said.reasoning}}


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [*(f"{word} " for word in words[:-1]), words[-1]]


def _row(row: Row) -> dict[str, Any]:
    listed: dict[str, Any] = {"type": "model", "id": row.id, "display_name": row.id.title(), "created_at": "2026-01-01T00:00:00Z"}
    able = None if row.capabilities is None else {name: {"supported": can} for name, can in row.capabilities.items()}
    return listed | {"max_input_tokens": row.max_input_tokens, "capabilities": able, "lifecycle": row.lifecycle}


TWO_WORDS = b"".join(
    [
        event("message_start", message=_message(Said(), "m") | {"usage": _usage(Said(), 1)}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        word_event("one "),
        word_event("two "),
    ]
)
COUNTED = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=_usage(Said(), 2))


async def sound(request: Received, connection: Connection, *, said: Said = Said()) -> None:
    """A reply as it should be."""
    await reply(said, request, connection)


async def refused(_: Received, connection: Connection, *, status: int, message: str = "", headers: Mapping[str, str] | None = None) -> None:
    """An error status with its body."""
    send_error(connection, status, message or f"refused with {status}", headers)


def _half(begin: bytes = TWO_WORDS, *, then: str = "end", after: bytes = b"") -> Fault:
    return partial(half, begin=begin, then=then, after=after)


STREAM = b"".join(events(Said("one two"), "m"))
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
FAULTS: Mapping[str, Fault] = {
    **BREAKS,
    "ok": sound,
    "html-as-json": partial(sent, body=PAGE),
    "html-as-stream": partial(sent, body=PAGE, content_type="text/event-stream"),
    "malformed": partial(sent, body='{"type": "message", "content": [{"type": "te'),
    "wrong-shape": partial(sent, body='{"content": "none", "usage": 3}'),
    "wrong-block": partial(sent, body='{"content": ["text"], "stop_reason": "end_turn"}'),
    "no-utf8": partial(sent, body=b'{"content": [{"type": "text", "text": "\xff\xfe"}]}'),
    "nested": partial(sent, body="[" * 200_000),
    "error-body": partial(sent, body=error(401, "invalid x-api-key")),
    "empty": partial(sound, said=Said("")),
    "blank": partial(sound, said=Said(" \n")),
    "empty-length": partial(sound, said=Said("", stop_reason="max_tokens")),
    "empty-window": partial(sound, said=Said("", stop_reason="model_context_window_exceeded")),
    "thought-only": partial(sound, said=Said("", thinking="hmm")),
    "tool-only": partial(sound, said=Said("", stop_reason="tool_use")),
    "refusal": partial(sound, said=Said("I", stop_reason="refusal", stop_details={"type": "refusal", "explanation": "unsafe <key>"})),
    "early-end": _half(),
    "early-end-counted": _half(after=COUNTED),
    "empty-stream": _half(b""),
    "cut": _half(then="cut"),
    "reset-middle": _half(then="reset"),
    "hang-middle": _half(then="hang"),
    "malformed-event": _half(after=b'event: content_block_delta\ndata: {"type": "content_bl\n\n'),
    "no-utf8-event": _half(after=b"event: content_block_delta\ndata: \xff\n\n"),
    "list-event": _half(after=b"event: content_block_delta\ndata: []\n\n"),
    "wrong-event": _half(after=event("content_block_delta", delta="text")),
    "malformed-event-hang": _half(then="hang", after=b"event: content_block_delta\ndata: {\n\n"),
    "error-event": _half(after=OVERLOADED),
    "error-first": _half(OVERLOADED),
    "error-event-limit": _half(after=event("error", error={"type": "rate_limit_error", "message": "slow down"})),
    "error-event-text": _half(after=b"event: error\ndata: upstream is gone\n\n"),
    "unended": _half(then="hang", begin=STREAM),
    "whole-for-stream": partial(sent, body=whole(Said("one two"), "m")),
    "stream-for-whole": partial(sent, body=STREAM, content_type="text/event-stream"),
    "stream-as-json": partial(sent, body=STREAM),
    "json-as-stream": partial(sent, body=whole(Said(), "m"), content_type="text/event-stream"),
    "short-body": short(b'{"content": ['),
    "short-error": short(b'{"error": {', 500),
    "400": partial(refused, status=400),
    "too-long": partial(refused, status=400, message="prompt is too long: 210000 tokens > 200000 maximum"),
    "401": partial(refused, status=401),
    "403": partial(refused, status=403),
    "404": partial(refused, status=404, message="model: nope"),
    "413": partial(refused, status=413),
    "429": partial(refused, status=429, headers={"Retry-After": "7"}),
    "500": partial(refused, status=500),
    "503": partial(refused, status=503),
    "529": partial(refused, status=529),
    "nested-500": partial(sent, body="[" * 200_000, status=500),
    "redirect": partial(redirected, to="/ok/v1/messages"),
}


class AnthropicFaults(FaultyServer):
    """Each fault of this format at an address of its own."""

    faults = FAULTS
