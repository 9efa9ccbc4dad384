"""A project whose model says what it was told last, for the tests of conversations."""

import json
from typing import Any

import llm_orc
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store
from tests.project import NewProject, Project
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Gate, Received

CHAIN: list[dict[str, Any]] = [
    {"name": "a", "prompt": "look: {{ input }}"},
    {"name": "b", "system_prompt": "You are strict.", "temperature": 0.5},
    {"name": "c", "prompt": "sum: {{ agents.a }} {{ agents.b }}"},
]
PAIR = [{"name": "a"}, {"name": "b", "system_prompt": "You are strict."}]


class Parrot(OpenAIServer):
    """Says `re LAST WORDS`; refuses what is said of trouble, waits at the gate with what is said of waiting."""

    def __init__(self) -> None:
        super().__init__(self.said)
        self.gate = Gate()
        self.trouble = True

    def said(self, request: Received) -> Scripted:
        """What comes back."""
        last = chat(request)[-1][1]
        refused = self.trouble and "trouble" in last
        gate = self.gate if "wait" in last else None
        return Scripted(f"re {last.split(':')[0]}", 400 if refused else 200, gate=gate, gate_after=1, usage=(10, 5))

    @property
    def last(self) -> list[tuple[str, str]]:
        """What was sent last."""
        return chat(self.chats[-1])


def chat(request: Received) -> list[tuple[str, str]]:
    return [(said["role"], str(said["content"])) for said in request.json["messages"]]


def talkative(project: NewProject, server: Parrot) -> Project:
    """A trusted project with two ensembles."""
    profile = {"provider": "openai-compatible", "base_url": server.base_url, "price": {"input": 1.0, "output": 1000.0}}
    return project(
        {
            ".llm-orc/profiles/mine.yaml": json.dumps({**profile, "model": "m", "system_prompt": "Be good."}),
            ".llm-orc/profiles/other.yaml": json.dumps({**profile, "model": "big", "capabilities": ["vision"]}),
            ".llm-orc/config.yaml": "default_profile: mine\n",
            ".llm-orc/ensembles/chain.yaml": json.dumps({"agents": CHAIN}),
            ".llm-orc/ensembles/pair.yaml": json.dumps({"agents": PAIR, "synthesis": {"concat": True}}),
        },
        trusted=True,
    )


def began(here: Project, name: str, text: str = "hi", **more: Any) -> None:
    llm_orc.run(name, text, store=True, cwd=here.path, env=here.env(), **more)


def kept(here: Project) -> Run:
    run = Run()
    with Store.open(here.path / ".llm-orc/store") as store:
        for event in store.events(store.find("last")):
            fold(run, event)
    return run
