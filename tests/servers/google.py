"""A server that speaks the Gemini API and Vertex AI's, soundly (`GoogleServer`) or with one fault per address (`GoogleFaults`)."""

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
from tests.servers.wire import Connection, Gate, Received, ThreadServer

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the server says to one request, and how."""

    text: str = "ok"
    thought: str = ""
    status: int = 200
    finish: str = "STOP"
    finish_message: str = ""
    blocked: str = ""
    """Why the prompt is refused; there is no candidate then."""
    token: str = ""
    """With which a client might ask for the rest."""
    call: str = ""
    """The name of a tool that is called."""
    usage: tuple[int, int] | None = (3, 1)
    """Tokens of the prompt and of the candidate; None = not counted."""
    cached: int = 0
    thoughts: int = 0
    tool_prompt: int = 0
    model: str = ""
    """The version that is said to have answered; empty = the model asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    """In a stream it is passed after the first word."""


Script = str | int | Said | Callable[[Received], Said]


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the listing."""

    name: str
    window: int | None = None
    actions: Sequence[str] | None = ("generateContent", "countTokens")
    thinking: bool | None = None


class GoogleServer(ThreadServer):
    """Replies from a script, and a listing in pages; keeps what it was asked."""

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
        """`page` models are listed at once, however many are asked for; `keys` makes others 400, as Google does."""
        super().__init__(tls=tls, keep_requests=keep_requests)
        self._script = script
        self._models = models
        self._page = page
        self._keys = keys
        self.running = self.peak = self.dropped = 0
        """`dropped`: requests whose client left before the reply was whole."""

    @property
    def base_url(self) -> str:
        """As people write it for this API: without a version."""
        return self.origin

    @property
    def chats(self) -> list[Received]:
        """The requests for a reply alone."""
        return [request for request in self.requests if request.method == "POST"]

    async def answer(self, request: Received, connection: Connection) -> None:
        """Route by the end of the path, whatever the host and the version."""
        shown = request.headers.get("x-goog-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._keys is not None and shown not in self._keys:
            connection.send(400, error(400, "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"))
        elif request.method == "POST" and request.path.endswith((":generateContent", ":streamGenerateContent")):
            await self._generate(request, connection)
        elif request.method == "GET" and request.path.endswith("/models"):
            connection.send(200, self._listed(request))
        else:
            connection.send(404, error(404, f"no method {request.method} {request.path}"))

    async def _generate(self, request: Received, connection: Connection) -> None:
        said = _said(self._script, request)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            if not request.json.get("contents"):
                connection.send(400, error(400, "contents is not specified"))
            elif said.status != 200:
                connection.send(said.status, error(said.status, said.text), said.headers)
            else:
                await reply(said, request, connection)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        finally:
            self.running -= 1

    def _listed(self, request: Received) -> dict[str, Any]:
        query = parse_qs(urlsplit(request.target).query)
        start = int(query.get("pageToken", ["0"])[0])
        end = start + min(self._page, int(query.get("pageSize", ["50"])[0]))
        vertex = "/publishers/" in request.path
        rows = [_row(row, vertex=vertex) for row in self._models[start:end]]
        token = {"nextPageToken": str(end)} if end < len(self._models) else {}
        return {"publisherModels" if vertex else "models": rows, **token}


async def reply(said: Said, request: Received, connection: Connection) -> None:
    """A sound reply, in the form that was asked for."""
    if not streamed(request):
        if said.gate is not None:
            await said.gate.passed()
        connection.send(200, whole(said, _model(request)), said.headers)
        return
    connection.start_chunks()
    for number, piece in enumerate(pieces(said, _model(request))):
        if said.gate is not None and number == 1:
            await said.gate.passed()
        connection.chunk(event(piece))
    connection.chunk(b"")


def streamed(request: Received) -> bool:
    """Whether the client asked for a stream of events."""
    return request.path.endswith(":streamGenerateContent") and "alt=sse" in request.target


def whole(said: Said, model: str = "m") -> dict[str, Any]:
    """A reply in one piece."""
    thought = [{"text": said.thought, "thought": True}] if said.thought else []
    text = [{"text": said.text, "thoughtSignature": "c2ln"}] if said.text else []
    return _frame(said, model, [*thought, *text, *_call(said)], last=True)


def pieces(said: Said, model: str = "m") -> Iterator[dict[str, Any]]:
    """The same word by word; the count grows with each."""
    if not said.blocked:
        for word in _words(said.thought):
            yield _frame(said, model, [{"text": word, "thought": True}])
        for word in _words(said.text):
            yield _frame(said, model, [{"text": word}])
    yield _frame(said, model, [*_call(said), {"text": ""}], last=True)


def event(content: object) -> bytes:
    """One event of a stream, as Google ends its lines."""
    return b"data: " + json.dumps(content).encode() + b"\r\n\r\n"


def error(status: int, message: str, reason: str = "", delay: str = "") -> dict[str, Any]:
    """The body of an error."""
    details: list[dict[str, Any]] = []
    if reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"})
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    said = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    return {"error": said | ({"details": details} if details else {})}


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


def _model(request: Received) -> str:
    return request.path.rpartition("/")[2].rpartition(":")[0]


def _call(said: Said) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": said.call, "args": {}}}] if said.call else []


def _frame(said: Said, model: str, parts: list[dict[str, Any]], *, last: bool = False) -> dict[str, Any]:
    frame: dict[str, Any] = {"modelVersion": said.model or model, "responseId": "r1"}
    if said.usage is not None:
        frame["usageMetadata"] = _usage(said, said.usage, last=last)
    if said.blocked:
        return frame | {"promptFeedback": {"blockReason": said.blocked}}
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if last and said.finish:
        candidate["finishReason"] = said.finish
    if said.token:
        candidate["continuationToken"] = said.token
    if last and said.finish_message:
        candidate["finishMessage"] = said.finish_message
    return frame | {"candidates": [candidate]}


def _usage(said: Said, counted: tuple[int, int], *, last: bool) -> dict[str, Any]:
    output = counted[1] if last else 1
    usage = {"promptTokenCount": counted[0], "candidatesTokenCount": output, "totalTokenCount": sum(counted)}
    more = {"cachedContentTokenCount": said.cached, "thoughtsTokenCount": said.thoughts, "toolUsePromptTokenCount": said.tool_prompt}
    return usage | {key: value for key, value in more.items() if value}


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [*(f"{word} " for word in words[:-1]), words[-1]] if text else []


def _row(row: Row, *, vertex: bool) -> dict[str, Any]:
    if vertex:
        return {"name": f"publishers/google/models/{row.name}", "versionId": "1"}
    listed: dict[str, Any] = {"name": f"models/{row.name}", "displayName": row.name.title(), "inputTokenLimit": row.window}
    listed |= {"supportedGenerationMethods": row.actions, "thinking": row.thinking, "outputTokenLimit": 8192}
    return {key: value for key, value in listed.items() if value is not None}


ONE, TWO = (event(piece) for piece in list(pieces(Said("one two ")))[:2])
LAST = event(_frame(Said(), "m", [{"text": ""}], last=True))
STREAM = b"".join(event(piece) for piece in pieces(Said("one two")))


async def sound(request: Received, connection: Connection, *, said: Said = Said()) -> None:
    """A reply as it should be."""
    await reply(said, request, connection)


async def refused(_: Received, connection: Connection, *, status: int, headers: Mapping[str, str] | None = None, **said: str) -> None:
    """An error status with its body."""
    message = said.pop("message", f"refused with {status}")
    connection.send(status, error(status, message, **said), headers)


def _half(begin: bytes = ONE + TWO, *, then: str = "end", after: bytes = b"") -> Fault:
    return partial(half, begin=begin, then=then, after=after)


TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
FAULTS: Mapping[str, Fault] = {
    **BREAKS,
    "ok": sound,
    "html-as-json": partial(sent, body=PAGE),
    "html-as-stream": partial(sent, body=PAGE, content_type="text/event-stream"),
    "malformed": partial(sent, body='{"candidates": [{"content": {"parts": [{"te'),
    "wrong-shape": partial(sent, body='{"candidates": "none", "usageMetadata": 3}'),
    "wrong-part": partial(sent, body='{"candidates": [{"content": {"parts": ["text"]}, "finishReason": "STOP"}]}'),
    "no-candidates": partial(sent, body='{"candidates": []}'),
    "no-utf8": partial(sent, body=b"\xff\xfe{"),
    "nested": partial(sent, body="[" * 200_000),
    "number": partial(sent, body='{"candidates": ' + "9" * 5000 + "}"),
    "error-body": partial(sent, body=error(429, "slow down")),
    "empty": partial(sound, said=Said("")),
    "blank": partial(sound, said=Said(" \n")),
    "empty-length": partial(sound, said=Said("", finish="MAX_TOKENS", thoughts=9)),
    "thought-only": partial(sound, said=Said("", thought="hmm", thoughts=4)),
    "call-only": partial(sound, said=Said("", call="look_up")),
    "bad-call": partial(sound, said=Said("", finish="MALFORMED_FUNCTION_CALL")),
    "filtered": partial(sound, said=Said("I", finish="SAFETY", finish_message="unsafe AIzaSyCanary")),
    "blocked": partial(sound, said=Said(blocked="PROHIBITED_CONTENT", usage=(5, 0))),
    "early-end": _half(),
    "empty-stream": _half(b""),
    "cut": _half(then="cut"),
    "reset-middle": _half(then="reset"),
    "hang-middle": _half(then="hang"),
    "malformed-event": _half(after=b'data: {"candidates": [{"cont\r\n\r\n'),
    "no-utf8-event": _half(after=b"data: \xff\r\n\r\n"),
    "list-event": _half(after=event([])),
    "number-event": _half(after=b"data: " + b"9" * 5000 + b"\r\n\r\n"),
    "wrong-event": _half(after=event({"candidates": "none"})),
    "wrong-usage": _half(after=event({"usageMetadata": {"promptTokenCount": {}}})),
    "error-event": _half(after=event(error(503, "The model is overloaded."))),
    "error-first": _half(event(error(429, "slow down"))),
    "error-without-code": _half(after=event({"error": {"message": "gone"}})),
    "stream-for-whole": partial(sent, body=STREAM, content_type="text/event-stream"),
    "short-body": short(b'{"candidates": ['),
    "short-error": short(b'{"error": {', 500),
    "400": partial(refused, status=400),
    "bad-key": partial(refused, status=400, message="API key not valid.", reason="API_KEY_INVALID"),
    "too-long": partial(refused, status=400, message=TOO_LONG),
    "401": partial(refused, status=401),
    "403": partial(refused, status=403),
    "404": partial(refused, status=404, message="models/nope is not found for API version v1beta"),
    "429": partial(refused, status=429, headers={"Retry-After": "7"}),
    "429-delay": partial(refused, status=429, delay="12.5s"),
    "500": partial(refused, status=500),
    "503": partial(refused, status=503),
    "no-utf8-401": partial(sent, body=b"non autoris\xe9", content_type="text/plain", status=401),
    "nested-500": partial(sent, body="[" * 200_000, status=500),
    "redirect": partial(redirected, to="/ok/v1beta/models/m:generateContent"),
}


class GoogleFaults(FaultyServer):
    """Each fault of this format at an address of its own."""

    faults = FAULTS
