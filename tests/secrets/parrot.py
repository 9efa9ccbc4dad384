"""A server that repeats the key it was sent, in the one place that its address names and in each of the four formats."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tests.servers.wire import Connection, Received, ThreadServer

REFUSED: Mapping[str, Callable[[str], Any]] = {
    "body": lambda key: {"error": {"message": f"no key {key} is known, nor Bearer {key}", "type": "authentication_error", "status": "X"}},
    "body-url": lambda key: {"error": {"message": f"GET /?key={quote(key, safe='')}&as={quote(key)} failed", "code": 400}},
    "body-base64": lambda key: {"error": {"message": f"Authorization: Basic {b64encode(b'user:' + key.encode()).decode()}", "code": 400}},
    "body-json": lambda key: {"error": {"message": json.dumps({"headers": {"x-api-key": key}}), "code": 400}},
    "body-hex": lambda key: {"error": {"message": f"hash of {key.encode().hex()}", "code": 400}},
    "body-cut": lambda key: {"error": {"message": f"no key {key[:-4]}... or ...{key[4:]}", "code": 400}},
    "code": lambda key: {"error": {"message": "no", "type": key, "code": key, "status": key, "details": [{"reason": key}]}},
    "error-text": lambda key: {"error": key},
    "parameter": lambda key: {"error": {"message": f"Unsupported parameter: '{key}'", "code": 400}},
    "deep": lambda key: {"detail": [{"loc": ["header", "authorization"], "input": key}], "message": {"key": key}},
    "page": lambda key: f"<html><title>{key}</title>{key}</html>",
}
"""Answers with an error status, by what they hold."""
BROKEN = ("status-line", "headers", "redirect", "junk", "not-json")
"""Answers that are wrong as HTTP, or as a reply."""
SAID = ("text", "split", "thinking", "model", "finish", "stream-error", "filtered", "then-cut")
"""Answers that begin as a reply."""
LISTED = ("listing", "body", "headers", "junk", "redirect")
"""Places in a listing of models."""
FORMATS = ("anthropic", "google", "ollama", "openai-compatible")


def key_of(request: Received) -> str:
    """The key that came with a request; empty if none did."""
    found = next((request.headers[name] for name in ("x-api-key", "x-goog-api-key", "authorization") if name in request.headers), "")
    return found.removeprefix("Bearer ")


class Parrot(ThreadServer):
    """`url(place)` is a base_url; `keys` are all that were ever sent here."""

    def url(self, place: str) -> str:
        """Where the key is repeated in this place."""
        return f"{self.origin}/{place}"

    @property
    def keys(self) -> set[str]:
        """Every key that came, in whatever part of a request."""
        return {key for request in self.requests if (key := key_of(request))}

    async def answer(self, request: Received, connection: Connection) -> None:
        """Do what the first part of the path says."""
        _, place, *rest = request.path.split("/")
        key, path = key_of(request) or "no-key-came", "/".join(rest)
        if place in BROKEN:
            self._break(place, key, connection)
        elif path.endswith(("models", "api/tags", "api/ps")) and request.method == "GET":
            listed = key if place == "listing" else "model"
            connection.send(200, {"data": [{"id": listed, "display_name": listed}], "models": [_row(listed)]})
        elif path.endswith(("api/show", "api/generate")):
            connection.send(200, {"capabilities": ["completion", "thinking"], "model_info": {}, "details": {}})
        elif place in REFUSED:
            connection.send(500 if place == "deep" else 400, REFUSED[place](key))
        else:
            self._speak(place, key, request, connection)

    def _break(self, place: str, key: str, connection: Connection) -> None:
        match place:
            case "status-line":
                connection.write(f"HTTP/1.1 400 {key}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            case "headers":
                echoed = {"X-Echo": key, "Set-Cookie": f"k={quote(key)}", "Retry-After": key, "WWW-Authenticate": f"Bearer {key}"}
                connection.send(401, {}, echoed | {"Content-Type": f'application/json; key="{key}"'})
            case "redirect":
                connection.send(307, key, {"Location": f"{self.origin}/away?key={quote(key)}"})
            case "junk":
                connection.send(200, f"<p>{key}</p>", {"Content-Type": "text/html"})
            case _:
                connection.write(f"{key} {key}\r\n\r\n".encode())
                connection.hang_up()

    def _speak(self, place: str, key: str, request: Received, connection: Connection) -> None:
        speaks = _format(request.path)
        if not (request.json.get("stream") or ":stream" in request.path):
            connection.send(200, _whole(speaks, place, key))
            return
        connection.start_chunks("application/x-ndjson" if speaks == "ollama" else "text/event-stream")
        for event in _events(speaks, place, key):
            line = json.dumps(event)
            name = f"event: {event['type']}\n" if speaks == "anthropic" else ""
            connection.chunk(f"{line}\n".encode() if speaks == "ollama" else f"{name}data: {line}\n\n".encode())
        if place == "then-cut":
            connection.hang_up(reset=True)
            return
        if speaks == "openai-compatible":
            connection.chunk(b"data: [DONE]\n\n")
        connection.chunk(b"")


def _row(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "model": f"{name}:latest",
        "supportedGenerationMethods": ["generateContent"],
        "details": {"family": "f"},
    }


def _format(path: str) -> str:
    ends = {"/messages": "anthropic", "/api/chat": "ollama", "/chat/completions": "openai-compatible"}
    return next((speaks for end, speaks in ends.items() if path.endswith(end)), "google")


def _texts(place: str, key: str) -> list[str]:
    """What is said, piece by piece."""
    match place:
        case "text" | "then-cut":
            return ["You sent ", key, " to me."]
        case "split":
            return ["It is ", *re.findall(r".{1,5}", key), ", and ", *key, "."]
        case _:
            return ["Good ", "day."]


def _error(key: str) -> Mapping[str, Any]:
    return {"message": f"the key {key} is worn out", "type": "overloaded_error", "code": 503, "status": "UNAVAILABLE"}


def _whole(speaks: str, place: str, key: str) -> Mapping[str, Any]:
    """A reply in one piece."""
    text, thought = "".join(_texts(place, key)), f"the key is {key}" if place == "thinking" else ""
    model, finish = key if place == "model" else "model", key if place == "finish" else ""
    if place == "stream-error":
        return {"error": dict(_error(key))}
    match speaks:
        case "anthropic":
            content = [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []
            stop = {"stop_reason": "refusal" if place == "filtered" else finish or "end_turn", "stop_details": {"explanation": key}}
            usage = {"input_tokens": 3, "output_tokens": 2}
            whole = {"id": "m", "type": "message", "role": "assistant", "model": model, "usage": usage}
            return {**whole, "content": [*content, {"type": "text", "text": text}], **stop}
        case "google":
            parts = [{"text": thought, "thought": True}, {"text": text}] if thought else [{"text": text}]
            finish = "SAFETY" if place == "filtered" else finish or "STOP"
            candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish, "finishMessage": f"because of {key}"}
            return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3}, "modelVersion": model}
        case "ollama":
            message = {"role": "assistant", "content": text, "thinking": thought}
            return {"model": model, "created_at": "2026-11-21T09:00:00Z", "message": message, "done": True, "done_reason": finish or "stop"}
        case _:
            filtered = {"refusal": f"not with {key}"} if place == "filtered" else {}
            message = {"role": "assistant", "content": text, "reasoning_content": thought, **filtered}
            return {"model": model, "choices": [{"index": 0, "message": message, "finish_reason": finish or "stop"}]}


def _events(speaks: str, place: str, key: str) -> Iterator[dict[str, Any]]:
    """The same in pieces."""
    whole = dict(_whole(speaks, "text" if place == "stream-error" else place, key))
    thought = ["the key is ", *re.findall(r".{1,7}", key)] if place == "thinking" else []
    texts = _texts(place, key)
    if speaks == "anthropic":
        yield from _of_anthropic(whole, place, thought, texts, _error(key))
        return
    for piece, is_thought in [*((each, True) for each in thought), *((each, False) for each in texts)]:
        match speaks:
            case "google":
                part = {"text": piece, "thought": True} if is_thought else {"text": piece}
                yield {"candidates": [{"content": {"role": "model", "parts": [part]}}], "modelVersion": whole["modelVersion"]}
            case "ollama":
                said = {"role": "assistant", "content": "" if is_thought else piece, "thinking": piece if is_thought else ""}
                yield {"model": whole["model"], "message": said, "done": False}
            case _:
                delta = {"reasoning_content" if is_thought else "content": piece}
                yield {"model": whole["model"], "choices": [{"index": 0, "delta": delta}]}
    if place == "stream-error":
        yield {"error": dict(_error(key))}
    elif place != "then-cut":
        yield _last(speaks, whole, key if place == "filtered" else "")


def _of_anthropic(
    whole: Mapping[str, Any], place: str, thought: Sequence[str], texts: Sequence[str], error: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": {**whole, "content": []}}
    for index, (kind, pieces) in enumerate((("thinking", thought), ("text", texts))):
        yield {"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: ""}}
        for piece in pieces:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", kind: piece}}
        yield {"type": "content_block_stop", "index": index}
    if place == "stream-error":
        yield {"type": "error", "error": dict(error)}
    elif place != "then-cut":
        stop = {"stop_reason": whole["stop_reason"], "stop_details": whole["stop_details"]}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 2}}
        yield {"type": "message_stop"}


def _last(speaks: str, whole: Mapping[str, Any], refusal: str) -> dict[str, Any]:
    match speaks:
        case "google":
            [candidate] = whole["candidates"]
            return {**whole, "candidates": [{**candidate, "content": {"role": "model", "parts": [{"text": ""}]}}]}
        case "ollama":
            return {**whole, "message": {"role": "assistant", "content": ""}}
        case _:
            finish = whole["choices"][0]["finish_reason"]
            delta = {"refusal": refusal} if refusal else {}
            return {"model": whole["model"], "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
