"""The HTTP/1.1 that the test servers share: requests in, raw bytes out, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
LONGEST_WAIT = 30.0
"""Seconds after which a test that waits for something is told that it will not come."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: `target` as sent (a proxy sees a whole URL), header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The path alone, without query or host."""
        return urlsplit(self.target).path

    @property
    def json(self) -> Any:
        """The body parsed, None when there is none."""
        return json.loads(self.body) if self.body else None


Answer = Callable[[Received, "Connection"], Coroutine[None, None, None]]


class Connection(asyncio.Protocol):
    """One client: parses requests one at a time and lets `answer` write to it; a client that leaves cancels the answer."""

    def __init__(self, answer: Answer, opened: set[Connection], faults: list[BaseException]) -> None:
        """`opened` holds every connection that is open now, `faults` what went wrong in an answer."""
        self._answer = answer
        self._opened = opened
        self._faults = faults
        self._buffer = bytearray()
        self._wanted = 0
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._opened.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The client left, or we hung up: whatever was being answered is dropped."""
        self._opened.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole."""
        self._buffer += data
        if self._task is None and len(self._buffer) >= self._wanted:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            self.send(411, {"error": {"message": "these servers want a Content-Length"}})
            self.transport.close()
            return
        self._wanted = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < self._wanted:
            return
        body = bytes(self._buffer[end + 4 : self._wanted])
        del self._buffer[: self._wanted]
        self._wanted = 0
        self._task = asyncio.create_task(self._answer(Received(method, target, headers, body), self))
        self._task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (why := task.exception()) is not None:
            self._faults.append(why)
            self.transport.abort()
        if not self.transport.is_closing():
            self._next()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(data)

    def send(self, status: int, content: object, headers: Mapping[str, str] | None = None) -> None:
        """Send one whole response; `content` is bytes, text, or something to write as JSON."""
        body = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.write(head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}) + body)

    def start_chunks(self, content_type: str = "text/event-stream") -> None:
        """Begin a response of unknown length."""
        self.write(head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        """Send one chunk; an empty one ends the response."""
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, with a TCP reset where asked."""
        if reset:
            self.transport.get_extra_info("socket").setsockopt(*RESET_ON_CLOSE)
            self.transport.abort()
        else:
            self.transport.close()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers as bytes."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Gate:
    """Holds replies until a test releases them, so that no test needs to sleep."""

    def __init__(self) -> None:
        """A closed gate with nobody before it."""
        self._changed = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._arrived = 0
        self._open = False

    async def passed(self) -> None:
        """Server side: wait until the gate is open."""
        event = asyncio.Event()
        with self._changed:
            self._arrived += 1
            self._changed.notify_all()
            if self._open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()

    def wait_for(self, count: int, seconds: float = LONGEST_WAIT) -> None:
        """Test side: return when `count` requests have come to the gate; TimeoutError after `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= count, seconds):
                message = f"{self._arrived} of {count} requests came to the gate within {seconds} s"
                raise TimeoutError(message)

    async def arrivals(self, count: int, seconds: float = LONGEST_WAIT) -> None:
        """The same for a test that runs in an event loop."""
        await asyncio.to_thread(self.wait_for, count, seconds)

    def release(self) -> None:
        """Open the gate for all who wait and all who come."""
        with self._changed:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # a server that has stopped has nobody to let through
                loop.call_soon_threadsafe(event.set)


class ThreadServer:
    """A server on its own thread for the time of a `with` block; subclasses answer."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, keep_requests: bool = True) -> None:
        """With `tls` the server speaks HTTPS; `keep_requests` off spares memory in a long process."""
        self._keep_requests = keep_requests
        self.requests: list[Received] = []
        self.port = 0
        self._tls = tls
        self._opened: set[Connection] = set()
        self._faults: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def answer(self, request: Received, connection: Connection) -> None:
        """Answer one request; to be defined by each server."""
        connection.send(404, {"error": {"message": f"nothing at {request.path}"}})

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a profile's `base_url` is set to."""
        return f"{self.origin}/v1"

    def stop(self) -> None:
        """Stop listening and drop every client; from within the server's own loop."""
        self._stop.set()

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._opened)

    async def serve(self, port: int, ready: Callable[[], None]) -> None:
        """Listen on loopback until stopped; `ready` is called once `port` is known."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connection, "127.0.0.1", port, backlog=4096, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        server.close()
        for connection in list(self._opened):
            connection.transport.abort()

    def wait_until(self, true: Callable[[], bool], seconds: float = LONGEST_WAIT) -> None:
        """Test side: return when `true()` holds, asked anew whenever a request came or was answered or dropped; else TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(true, seconds):
                raise TimeoutError(f"it did not come true within {seconds} s; {len(self.requests)} requests came")

    def _connection(self) -> Connection:
        return Connection(self._record, self._opened, self._faults)

    async def _record(self, request: Received, connection: Connection) -> None:
        if self._keep_requests:
            self.requests.append(request)
        self._tell()
        try:
            await self.answer(request, connection)
        finally:
            self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.serve(0, self._ready.set))

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(LONGEST_WAIT):
            message = "the server did not start"
            raise TimeoutError(message)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.stop)
        self._thread.join(LONGEST_WAIT)
        if self._faults:
            raise self._faults[0]
