"""Where a browser comes back to after a login: a port of this machine, open for one visit."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"
PATH = "/callback"
PAGE = b"<!doctype html><meta charset=utf-8><title>llm-orc</title><p>Back to the terminal: this window may be closed.\n"
SLOWEST = 5.0
"""Seconds that one visitor may take to go on with what it wants; meanwhile others are served."""
OFTEN = 0.05
"""Seconds between two looks at whether the door may be shut."""


class Redirect:
    """Waits for the one visit that is expected; all others are turned away and change nothing."""

    def __init__(self, expected: Callable[[str], bool]) -> None:
        """`expected` tells by the query whether a visit is the one."""
        self._expected = expected
        self._came = Event()
        self._query: str | None = None
        redirect = self

        class Visit(BaseHTTPRequestHandler):
            timeout = SLOWEST

            def do_GET(self) -> None:
                known = redirect._visited(self.path, self.headers.get("Host", ""))
                self.send_response(200 if known else 404)
                for header, value in {"Content-Type": "text/html", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}.items():
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(PAGE if known else b"")

            def finish(self) -> None:
                super().finish()
                if redirect._query is not None:  # the page is there before this program goes on, and may end
                    redirect._came.set()

            def log_message(self, *_: Any) -> None:
                """Nothing: the address holds the code."""

        class Door(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Nothing: a visitor left, or spoke no HTTP."""

        self._server = Door((HOST, 0), Visit)

    @property
    def uri(self) -> str:
        """What the issuer is told."""
        return f"http://{self._address}{PATH}"

    def wait(self, seconds: float) -> str | None:
        """The query of the expected visit; None where it did not come in time."""
        Thread(target=self._server.serve_forever, args=(OFTEN,), daemon=True).start()
        try:
            self._came.wait(seconds)
        finally:
            self._server.shutdown()
        return self._query

    @property
    def _address(self) -> str:
        return f"{HOST}:{self._server.server_port}"

    def _visited(self, target: str, host: str) -> bool:
        parts = urlsplit(target)
        if host != self._address or parts.path != PATH or not self._expected(parts.query):
            return False
        self._query = parts.query
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.server_close()
