"""A proxy for `HTTPS_PROXY`: tunnels every CONNECT to one local port, whatever host was asked for, and says which were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.servers.wire import Connection, Received, ThreadServer


class TunnelServer(ThreadServer):
    """With `SSL_CERT_FILE` and `tls.authority` a test can so stand in for any host. (For `HTTP_PROXY` point at an `OpenAIServer`.)"""

    def __init__(self, to: int) -> None:
        """`to` is the port on loopback where all tunnels end."""
        super().__init__()
        self._to = to

    @property
    def targets(self) -> list[str]:
        """host:port of every tunnel asked for."""
        return [request.target for request in self.requests]

    async def answer(self, request: Received, connection: Connection) -> None:
        """Join the client's connection with a new one."""
        if request.method != "CONNECT":
            connection.send(405, {"error": {"message": "this proxy only tunnels"}})
            return
        client = connection.transport
        upstream, _ = await asyncio.get_running_loop().create_connection(lambda: Pipe(client.write, client.close), "127.0.0.1", self._to)
        client.set_protocol(Pipe(upstream.write, upstream.close))
        connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


class Pipe(asyncio.Protocol):
    """One direction of a tunnel."""

    def __init__(self, write: Callable[[bytes], None], close: Callable[[], None]) -> None:
        """Where bytes go, and what to do at their end."""
        self._write = write
        self._close = close

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """End the other half too."""
        self._close()
