"""A server that speaks Ollama's own format: it loads models, cuts long prompts without a word, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.servers.breaks import BREAKS, Fault, half, raw, redirected, sent, short
from tests.servers.wire import Connection, Gate, Received, ThreadServer

DEFAULT_WINDOW = 4096
"""What a model is loaded with where nobody says."""
STAMP = "2026-11-21T09:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class Model:
    """One model that was pulled."""

    name: str = "qwen3:8b"
    family: str = "qwen3"
    capabilities: tuple[str, ...] | None = ("completion",)
    """None is a server that does not say yet."""
    window: int | None = 32768
    """What it was trained for; it is never loaded with more."""
    loaded: int | None = None
    """The window that it is loaded with at first."""
    remote_host: str = ""
    """Of a model that runs in the cloud."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """What the server says to one chat request, and how."""

    text: str = "ok"
    thinking: str = ""
    status: int = 200
    done_reason: str = "stop"
    counts: Mapping[str, int] | None = None
    """`prompt_eval_count` and `eval_count`; None counts four characters a token, as far as the window goes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    """Held before the last words."""


Line = str | int | Scripted
Script = Mapping[str, Line] | Callable[[Received], Line]


class OllamaServer(ThreadServer):
    """`models` are pulled; `honest` servers know `truncate`, older ones cut; `window` is what every model gets, whatever was asked."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        models: Sequence[Model] = (Model(),),
        fault: str = "",
        honest: bool = False,
        window: int | None = None,
        tells_window: bool = True,
        load_gate: Gate | None = None,
        load_status: int = 200,
    ) -> None:
        """`fault` is met by every chat request, `load_status` by every load; without `tells_window` /api/ps names no window."""
        super().__init__()
        self.models = {model.name: model for model in models}
        self.resident = {model.name: model.loaded for model in models if model.loaded}
        self.loads: list[tuple[str, int]] = []
        """Each time a model was loaded, asked or not, and with which window."""
        self.dropped = 0
        """Requests whose client left before the reply was whole."""
        self._script = script or {}
        self._fault = FAULTS[fault] if fault else None
        self._honest, self._window, self._tells_window = honest, window, tells_window
        self._load_gate, self._load_status = load_gate, load_status

    @property
    def chats(self) -> list[Received]:
        """The chat requests alone."""
        return [request for request in self.requests if request.path.endswith("/api/chat")]

    async def answer(self, request: Received, connection: Connection) -> None:
        """Route by path."""
        try:
            match request.method, request.path:
                case "GET", "/api/tags":
                    connection.send(200, {"models": [_tag(model) for model in self.models.values()]})
                case "GET", "/api/ps":
                    connection.send(200, {"models": [self._running(name, window) for name, window in self.resident.items()]})
                case "POST", "/api/show":
                    self._show(request.json, connection)
                case "POST", "/api/generate":
                    await self._load(request.json, connection)
                case "POST", "/api/chat" if self._fault:
                    await self._fault(request, connection)
                case "POST", "/api/chat":
                    await self._chat(request, connection)
                case _:
                    connection.send(404, "404 page not found", {"Content-Type": "text/plain"})
        except asyncio.CancelledError:
            self.dropped += 1
            raise

    def _running(self, name: str, window: int) -> dict[str, Any]:
        said = {"name": name, "model": name, "size": 5, "size_vram": 5, "expires_at": STAMP}
        return said | ({"context_length": window} if self._tells_window else {})

    def _find(self, name: str) -> Model | None:
        return self.models.get(name if ":" in name else f"{name}:latest")

    def _show(self, asked: dict[str, Any], connection: Connection) -> None:
        if (model := self._find(asked["model"])) is None:
            connection.send(404, {"error": f"model '{asked['model']}' not found"})
            return
        information: dict[str, Any] = {"general.architecture": model.family}
        if model.window:
            information[f"{model.family}.context_length"] = model.window
        said: dict[str, Any] = {"details": {"family": model.family}, "model_info": information}
        if model.capabilities is not None:
            said["capabilities"] = model.capabilities
        connection.send(200, said)

    def _make_resident(self, model: Model, options: Mapping[str, Any]) -> int:
        wanted = self._window or options.get("num_ctx", DEFAULT_WINDOW)
        window = min(wanted, model.window or wanted)
        if self.resident.get(model.name) != window:
            self.resident[model.name] = window
            self.loads.append((model.name, window))
        return window

    async def _load(self, asked: dict[str, Any], connection: Connection) -> None:
        if self._load_gate is not None:
            await self._load_gate.passed()
        model = self._find(asked["model"])
        if model is None:
            connection.send(404, {"error": f"model '{asked['model']}' not found"})
        elif self._load_status != 200:
            connection.send(self._load_status, {"error": "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"})
        else:
            self._make_resident(model, asked.get("options", {}))
            connection.send(200, {"model": asked["model"], "created_at": STAMP, "response": "", "done": True, "done_reason": "load"})

    async def _chat(self, request: Received, connection: Connection) -> None:
        asked = request.json
        said = self._chosen(request)
        model = self._find(asked["model"])
        if model is None:
            connection.send(404, {"error": f"model '{asked['model']}' not found"})
            return
        if said.status != 200:
            connection.send(said.status, {"error": said.text}, said.headers)
            return
        window = self._make_resident(model, asked.get("options", {}))
        tokens = tokens_of(asked)
        if tokens > window and self._honest and asked.get("truncate") is False:
            inner = {"error": {"code": 400, "message": f"request ({tokens} tokens) exceeds the available context size ({window} tokens)"}}
            connection.send(400, {"error": json.dumps(inner)})
            return
        counts = {"prompt_eval_count": min(tokens, window), "eval_count": len(said.text.split())} if said.counts is None else said.counts
        end = {"done": True, "done_reason": said.done_reason, "total_duration": 5, **counts}
        await self._say(asked, said, end, connection)

    async def _say(self, asked: dict[str, Any], said: Scripted, end: dict[str, Any], connection: Connection) -> None:
        frame = {"model": asked["model"], "created_at": STAMP}
        if not asked.get("stream", True):
            if said.gate:
                await said.gate.passed()
            thinking = {"thinking": said.thinking} if said.thinking else {}
            connection.send(200, frame | {"message": {"role": "assistant", "content": said.text} | thinking} | end)
            return
        connection.start_chunks("application/x-ndjson")
        pieces = [("thinking", word) for word in words(said.thinking)] + [("content", word) for word in words(said.text)]
        for number, (part, word) in enumerate(pieces):
            if said.gate and number == len(pieces) - 1:
                await said.gate.passed()
            connection.chunk(line(frame | {"message": {"role": "assistant", "content": "", part: word}, "done": False}))
        connection.chunk(line(frame | {"message": {"role": "assistant", "content": ""}} | end))
        connection.chunk(b"")

    def _chosen(self, request: Received) -> Scripted:
        if callable(self._script):
            return _scripted(self._script(request))
        prompt = prompt_of(request.json)
        return next((_scripted(said) for part, said in self._script.items() if part in prompt), Scripted())


def prompt_of(asked: dict[str, Any]) -> str:
    """All that the messages of a request say."""
    return "\n".join(message.get("content") or "" for message in asked["messages"])


def tokens_of(asked: dict[str, Any]) -> int:
    """Four characters a token, and some for each message."""
    return -(-len(prompt_of(asked)) // 4) + 4 * len(asked["messages"])


def line(content: Mapping[str, Any]) -> bytes:
    """One line of a stream, in UTF-8 as Go writes it."""
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def words(text: str) -> list[str]:
    """The text in pieces, each word with its space."""
    *all_but_one, last = text.split(" ")
    return [*(f"{word} " for word in all_but_one), last] if text else []


def _scripted(said: Line) -> Scripted:
    match said:
        case Scripted():
            return said
        case int():
            return Scripted(text=f"scripted {said}", status=said)
        case str():
            return Scripted(text=said)


def _tag(model: Model) -> dict[str, Any]:
    said = {"name": model.name, "model": model.name, "modified_at": STAMP, "size": 5, "digest": "d", "details": {"family": model.family}}
    return said | ({"remote_host": model.remote_host, "remote_model": model.name} if model.remote_host else {})


def spoken(word: str) -> bytes:
    """A line in the middle of a stream."""
    return line({"model": "m", "created_at": STAMP, "message": {"role": "assistant", "content": word}, "done": False})


async def whole(request: Received, connection: Connection, *, text: str = "", reason: str = "stop") -> None:
    """A whole reply with this text, in the form that was asked for."""
    end = {"model": "m", "message": {"role": "assistant", "content": text}, "done": True, "done_reason": reason}
    connection.send(200, line(end | {"prompt_eval_count": 9, "eval_count": 1}), {"Content-Type": "application/x-ndjson"})


def _half(*, then: str, after: bytes = b"") -> Fault:
    return partial(half, begin=spoken("one ") + spoken("two "), then=then, after=after, content_type="application/x-ndjson")


async def refused(_: Received, connection: Connection, *, status: int, message: str = "refused", after: str = "") -> None:
    """An error status with Ollama's error body."""
    connection.send(status, {"error": message}, {"Retry-After": after} if after else {})


FAULTS: Mapping[str, Fault] = {
    **BREAKS,
    "malformed": partial(sent, body='{"message": {"content": "he'),
    "wrong-shape": partial(sent, body='{"message": "none", "done": true}'),
    "no-message": partial(sent, body='{"done": true}'),
    "no-utf-8": partial(sent, body="\udcff".encode("utf-16", "surrogatepass").decode("latin-1")),
    "error-body": partial(sent, body='{"error": "out of credits"}'),
    "empty": whole,
    "blank": partial(whole, text=" \n"),
    "unloaded": partial(whole, reason="unload"),
    "early-end": _half(then="end"),
    "cut": _half(then="cut"),
    "reset-middle": _half(then="reset"),
    "hang-middle": _half(then="hang"),
    "malformed-line": _half(then="end", after=b'{"message": {"con\n'),
    "list-line": _half(then="end", after=b"[]\n"),
    "error-line": _half(then="end", after=b'{"error": "llama runner process has terminated"}\n'),
    "short-body": short(b'{"message": {'),
    "400": partial(refused, status=400),
    "context-length": partial(refused, status=400, message="the prompt is longer than the context length"),
    "401": partial(refused, status=401, message="unauthorized"),
    "401-list": partial(raw, data=b'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n["no"]'),
    "403": partial(refused, status=403),
    "404": partial(refused, status=404, message="model 'qwen3:8b' not found"),
    "429": partial(refused, status=429, after="7"),
    "500": partial(refused, status=500),
    "503": partial(refused, status=503, message="server busy, please try again. maximum pending requests exceeded"),
    "529": partial(raw, data=b"HTTP/1.1 529 Overloaded\r\nContent-Length: 0\r\n\r\n"),
    "redirect": partial(redirected, to="/elsewhere/api/chat"),
    "redirect-away": partial(redirected, to="http://127.0.0.2:9/api/chat"),
}
"""What goes wrong with a chat, while the server's lists stay sound."""
