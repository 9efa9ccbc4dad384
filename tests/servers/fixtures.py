"""The servers as pytest fixtures; `tests/conftest.py` names this module in `pytest_plugins`."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.servers.faults import FaultServer
from tests.servers.openai import OpenAIServer, Script


class NewServer(Protocol):
    """Start a server with a script of its own; it stops with the test."""

    def __call__(self, script: Script | None = None, **settings: Any) -> OpenAIServer: ...


@pytest.fixture
def openai_server() -> Iterator[NewServer]:
    """Start servers: `openai_server({"prompt part": "reply"}, latency=..., models=[...], native=[...], keys=[...])`."""
    with ExitStack() as running:
        yield lambda script=None, **settings: running.enter_context(OpenAIServer(script, **settings))


@pytest.fixture
def faults_server() -> Iterator[FaultServer]:
    """`faults_server.url("html")` is a base_url that meets that fault; `faults_server.counts["html"]` says how often."""
    with FaultServer() as server:
        yield server
