"""What goes wrong alike in every format: connections that break, bodies that are something else, streams that stop half way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import ClassVar

from tests.servers.wire import Connection, Received, ThreadServer, head

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the guest network.</body></html>"
PAUSE = 0.01
"""Seconds between the words of an endless stream."""

Fault = Callable[[Received, Connection], Awaitable[None]]


async def sent(_: Received, connection: Connection, *, body: object, content_type: str = "application/json", status: int = 200) -> None:
    """Whatever body."""
    connection.send(status, body, {"Content-Type": content_type})


async def raw(_: Received, connection: Connection, *, data: bytes = b"", reset: bool = False) -> None:
    """These bytes, then the end of the connection."""
    connection.write(data)
    connection.hang_up(reset=reset)


async def hung(_: Received, __: Connection) -> None:
    """Accepts and never answers."""
    await asyncio.Event().wait()


async def redirected(_: Received, connection: Connection, *, to: str) -> None:
    """A redirect."""
    connection.send(307, "", {"Location": to})


async def half(
    _: Received,
    connection: Connection,
    *,
    begin: bytes,
    after: bytes = b"",
    then: str = "end",
    more: bytes = b"",
    content_type: str = "text/event-stream",
) -> None:
    """The beginning of a stream, then: `end` cleanly, `cut` without the last chunk, `reset`, `hang`, or go `on` for ever with `more`."""
    connection.start_chunks(content_type)
    if begin + after:
        connection.chunk(begin + after)
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
                connection.chunk(more)
                await asyncio.sleep(PAUSE)


def short(begin: bytes, status: int = 200) -> Fault:
    """A body that ends long before its length."""
    return partial(raw, data=head(status, {"Content-Type": "application/json", "Content-Length": "500"}) + begin)


BREAKS: Mapping[str, Fault] = {
    "closed": raw,
    "reset-before": partial(raw, reset=True),
    "half-header": partial(raw, data=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "not-http": partial(raw, data=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "hang": hung,
    "html": partial(sent, body=PAGE, content_type="text/html"),
    "html-502": partial(sent, body=PAGE, content_type="text/html", status=502),
    "list": partial(sent, body="[]"),
    "nothing": partial(sent, body=""),
}
"""The same for whoever asks."""


class FaultyServer(ThreadServer):
    """`url("html")` is a base_url whose every request meets that fault; counts requests in `counts`."""

    faults: ClassVar[Mapping[str, Fault]] = BREAKS

    def __init__(self) -> None:
        """Serve every fault at its own address."""
        super().__init__()
        self.counts: Counter[str] = Counter()

    def url(self, fault: str) -> str:
        """A base_url at which `fault` is met."""
        if fault not in self.faults:
            message = f"no fault {fault!r}; there are: {', '.join(self.faults)}"
            raise KeyError(message)
        return f"{self.origin}/{fault}"

    async def answer(self, request: Received, connection: Connection) -> None:
        """Do what the first part of the path names."""
        name = request.path.split("/")[1]
        self.counts[name] += 1
        await self.faults[name](request, connection)
