"""Projects whose tiers are all at one scripted server."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.project import NewProject, Project
from tests.servers.openai import OpenAIServer
from tests.servers.wire import Received

TIERS = ("default", "fast", "careful")


def project_at(project: NewProject, server: OpenAIServer, files: Mapping[str, str | bytes] | None = None, more: str = "") -> Project:
    """A project with these files, trusted by nobody; `more` are lines of its profiles."""
    lines = f"provider: openai-compatible\nbase_url: {server.base_url}\n{more}"
    profiles = {f".llm-orc/profiles/{name}.yaml": f"model: {name}\n{lines}" for name in TIERS}
    return project({**profiles, **(files or {})})


def prompts(server: OpenAIServer, part: str = "") -> list[str]:
    """What was asked, where it has this part, in the order in which it came."""
    return [prompt for request in server.chats if part in (prompt := asked(request)[1])]


def asked(request: Received) -> tuple[str, str]:
    """The tier and the prompt of a request, texts that are attached below it."""
    return request.json["model"], "\n".join(text for message in request.json["messages"] for text in _texts(message["content"]))


def _texts(content: str | list[dict[str, Any]]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        yield from (part["text"] for part in content)
