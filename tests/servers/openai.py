"""A server that speaks OpenAI's chat completions: on a thread (`with OpenAIServer(...)`), or `python -m tests.servers.openai`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.servers.wire import Connection, Gate, Received, ThreadServer

ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass(frozen=True, slots=True)
class Scripted:
    """What the server says to one request, and how."""

    text: str = "ok"
    status: int = 200
    latency: float = 0.0
    """Seconds before the first byte."""
    pause: float = 0.0
    """Seconds before each word of a stream."""
    finish_reason: str = "stop"
    usage: tuple[int, int] | None = None
    """Prompt and completion tokens; None counts words."""
    cached: int = 0
    reasoning: int = 0
    model: str = ""
    """The model that is said to have answered; empty = the one asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    gate_after: int = 0
    """In a stream, the number of words that pass before the gate."""


Line = str | int | Gate | Scripted
"""A reply: its text, its status, a gate before "ok", or all of it."""
Script = Mapping[str, "Line | Sequence[Line]"] | Callable[[Received], Line]
"""Prompt part -> reply (of several replies one after the other, the last for ever; "" fits every prompt), or a function."""


@dataclass(frozen=True, slots=True)
class NativeModel:
    """One row of LM Studio's own listing."""

    id: str
    type: str = "llm"
    state: str = "loaded"
    max_context_length: int = 32768
    loaded_context_length: int | None = None


@dataclass(slots=True)
class Bill:
    """What the server has charged so far."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0


class OpenAIServer(ThreadServer):
    """Chat completions with scripted replies; keeps what it was asked, how many at once, and the bill."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        latency: float = 0.0,
        models: Sequence[str] = ("model",),
        native: Sequence[NativeModel] | None = None,
        keys: Sequence[str] | None = None,
        tls: ssl.SSLContext | None = None,
        keep_requests: bool = True,
    ) -> None:
        """`latency` (seconds) comes on top of the script's; without `native` there is no LM Studio listing; `keys` makes others 401."""
        super().__init__(tls=tls, keep_requests=keep_requests)
        self.peak = 0
        self.bill = Bill()
        self.dropped = 0
        """Requests whose client left before the reply was whole."""
        self._script = script if callable(script) else {part: _lines(said) for part, said in (script or {}).items()}
        self._latency = latency
        self._models = models
        self._native = native
        self._keys = keys
        self._asked = 0
        self._first = self._last = 0.0
        self._running = 0

    @property
    def chats(self) -> list[Received]:
        """The chat requests alone."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    async def answer(self, request: Received, connection: Connection) -> None:
        """Route by path, whatever the host; `/stats` tells what happened since it was last asked."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._keys is not None and token not in self._keys:
            connection.send(401, _error(401, "Incorrect API key provided"))
            return
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                await self._chat(request, connection)
            case "GET", "/v1/models":
                connection.send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]})
            case "GET", "/api/v0/models" if self._native is not None:
                connection.send(200, {"object": "list", "data": [_listed(model) for model in self._native]})
            case "GET", "/stats":
                span = self._last - self._first
                connection.send(200, {"peak": self.peak, "seconds": span, "bill": asdict(self.bill), "dropped": self.dropped})
                self.peak, self._first, self._last = self._running, 0.0, 0.0
            case _:
                connection.send(404, _error(404, f"Unknown request: {request.method} {request.path}"))

    async def _chat(self, request: Received, connection: Connection) -> None:
        self._asked += 1
        self._first = self._first or time.monotonic()
        self._running += 1
        self.peak = max(self.peak, self._running)
        try:
            await self._reply(request, request.json, connection)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        finally:
            self._running -= 1
            self._last = time.monotonic()

    async def _reply(self, request: Received, asked: dict[str, Any], connection: Connection) -> None:
        said = self._chosen(request, asked)
        if (wait := self._latency + said.latency) > 0:
            await asyncio.sleep(wait)
        if said.gate is not None and not (asked.get("stream") and said.gate_after):
            await said.gate.passed()
        if said.status != 200:
            connection.send(said.status, _error(said.status, said.text), said.headers)
            return
        usage = _usage(asked, said)
        whole = {"id": f"chatcmpl-{self._asked}", "created": 1_700_000_000, "model": said.model or asked.get("model", "")}
        if asked.get("stream"):
            await self._stream(asked, said, whole | {"object": "chat.completion.chunk"}, usage, connection)
        else:
            self._charge(usage)
            message = {"role": "assistant", "content": said.text}
            choice = {"index": 0, "message": message, "finish_reason": said.finish_reason, "logprobs": None}
            connection.send(200, whole | {"object": "chat.completion", "choices": [choice], "usage": usage}, said.headers)

    async def _stream(
        self, asked: dict[str, Any], said: Scripted, frame: dict[str, Any], usage: dict[str, Any], connection: Connection
    ) -> None:
        def send(delta: dict[str, Any], finish_reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            connection.chunk(_event(frame | {"choices": [choice]}))

        connection.start_chunks()
        send({"role": "assistant", "content": ""})
        for number, word in enumerate(_words(said.text)):
            if said.gate is not None and number == said.gate_after and number:
                await said.gate.passed()
            if said.pause:
                await asyncio.sleep(said.pause)
            send({"content": word})
        send({}, said.finish_reason)
        if (asked.get("stream_options") or {}).get("include_usage"):
            connection.chunk(_event(frame | {"choices": [], "usage": usage}))
        self._charge(usage)
        connection.chunk(b"data: [DONE]\n\n")
        connection.chunk(b"")

    def _charge(self, usage: dict[str, Any]) -> None:
        """Before the last byte leaves, so that a client that has its reply finds it on the bill."""
        self.bill.calls += 1
        self.bill.input += usage["prompt_tokens"]
        self.bill.output += usage["completion_tokens"]
        self.bill.cached += usage["prompt_tokens_details"]["cached_tokens"]

    def _chosen(self, request: Received, asked: dict[str, Any]) -> Scripted:
        if callable(self._script):
            return _scripted(self._script(request))
        prompt = prompt_of(asked)
        for part, lines in self._script.items():
            if part in prompt:
                return _scripted(lines.pop(0) if len(lines) > 1 else lines[0])
        return Scripted()


def prompt_of(asked: dict[str, Any]) -> str:
    """All that the messages of a request say, joined by line feeds."""
    contents = (message.get("content") or "" for message in asked.get("messages", []))
    return "\n".join(content if isinstance(content, str) else json.dumps(content) for content in contents)


def _lines(said: Line | Sequence[Line]) -> list[Line]:
    return [said] if isinstance(said, str | int | Gate | Scripted) else list(said)


def _scripted(line: Line) -> Scripted:
    match line:
        case Scripted():
            return line
        case Gate():
            return Scripted(gate=line)
        case int():
            return Scripted(text=f"scripted {line}", status=line)
        case str():
            return Scripted(text=line)


def _usage(asked: dict[str, Any], said: Scripted) -> dict[str, Any]:
    sent, got = said.usage or (len(prompt_of(asked).split()), len(said.text.split()))
    return {
        "prompt_tokens": sent,
        "completion_tokens": got,
        "total_tokens": sent + got,
        "prompt_tokens_details": {"cached_tokens": said.cached},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning},
    }


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [*(f"{word} " for word in words[:-1]), words[-1]]


def _listed(model: NativeModel) -> dict[str, Any]:
    return {"object": "model", **{key: value for key, value in asdict(model).items() if value is not None}}


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": ERROR_TYPES.get(status, "server_error"), "param": None, "code": status}}


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT; the port is the first line on stdout."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.openai", description="A scripted OpenAI-compatible server on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--script", type=json.loads, default={}, help='JSON: {"prompt part": {"text": "ok", "latency": 0.2}}')
    options = parser.parse_args(arguments)
    script = {part: Scripted(**said) for part, said in options.script.items()}
    server = OpenAIServer(script, latency=options.latency, keep_requests=False)

    def tell_port() -> None:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        await server.serve(options.port, tell_port)

    asyncio.run(serve())


if __name__ == "__main__":
    main(sys.argv[1:])
