"""A project with one ensemble, whose model is a true server that counts what reaches it."""

from collections.abc import Mapping
from typing import Any

import llm_orc
from llm_orc.render.json import document
from tests.project import NewProject, Project
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Received

OWN = ".llm-orc/ensembles/own.yaml"
SERVER = ".llm-orc/profiles/server.yaml"
CHAIN = """
cache: true
defaults: {model_profile: server}
agents:
  - {name: first, system_prompt: You are brief., temperature: 0.5}
  - {name: second, prompt: "Go on: {{ agents.first }}"}
"""
ONE = "cache: true\nagents: [{name: a, model_profile: server}]\n"


def profile(server: OpenAIServer, more: str = "") -> str:
    """A profile of that server, priced."""
    return f"model: m\nprovider: openai-compatible\nbase_url: {server.base_url}\nprice: {{input: 1, output: 2}}\n{more}"


def made(project: NewProject, server: OpenAIServer, ensemble: str = CHAIN, files: Mapping[str, str] | None = None) -> Project:
    """A trusted project, with more files if need be."""
    return project({OWN: ensemble, SERVER: profile(server), **(files or {})}, trusted=True)


def ran(here: Project, text: str = "hello", env: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """The JSON of a run in this process; it is kept unless it says otherwise."""
    return document(llm_orc.run("own", text, cwd=here.path, env=here.env(env), **{"store": True, **options}))


def agents(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Its agents by name."""
    return {agent["name"]: agent for agent in told["agents"]}


def echo(request: Received) -> Scripted:
    """Says what it was told, for 100 tokens and 10."""
    return Scripted(f"to {request.json['messages'][-1]['content']}", usage=(100, 10))
