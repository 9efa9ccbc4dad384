"""What conversations in tests talk to: a true server on loopback, in a home of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_orc import Profile
from llm_orc.library import Orchestrator
from tests.servers.openai import OpenAIServer, Script
from tests.servers.wire import Received


@dataclass
class Place:
    """A home with nothing in it, and a model server."""

    home: Path
    server: OpenAIServer
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def profile(self) -> Profile:
        return Profile(name="local", model="model", provider="openai-compatible", base_url=self.server.base_url)

    @property
    def options(self) -> Mapping[str, Any]:
        return {"cwd": self.home, "env": {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}, **self.more}

    def orchestrator(self, **options: Any) -> Orchestrator:
        return Orchestrator(self.profile, **{**self.options, **options})

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        """Role and text of every message of every request."""
        return [chat(request) for request in self.server.chats]


def chat(request: Received) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.json["messages"]]


def last(request: Received) -> str:
    return chat(request)[-1][1]


@contextmanager
def place(home: Path, script: Script | None = None, **options: Any) -> Iterator[Place]:
    with OpenAIServer(script or (lambda request: f"reply to {last(request)}"), **options) as server:
        yield Place(home, server)
