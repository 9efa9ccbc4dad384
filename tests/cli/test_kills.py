"""A run that is killed at any moment and gone on with: calls, result and store are those of a run that was left alone.

20 moments here, 100 in `make soak`.
"""

import json
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import monotonic

import pytest

import llm_orc
from llm_orc.domain.run import Run
from llm_orc.store.pages import Sought, listed
from llm_orc.store.runs import Store
from tests.project import NewProject, Project
from tests.servers.openai import OpenAIServer, prompt_of
from tests.servers.wire import Received

AT_ONCE = 3
"""Calls in flight, at most."""
LATENCY = 0.08
STARTING = 0.2
"""The share of the moments at which a process only starts."""
SIDE_BY_SIDE = 4
"""Runs that are killed meanwhile, in one store."""
CHAIN = [
    {"name": f"c{number}", "prompt": f"{number} {{{{ agents.c{number - 1} }}}}" if number else "0 {{ agents.plan }}"} for number in range(5)
]
WORK = {
    "limits": {"max_parallel": AT_ONCE},
    "agents": [
        {"name": "plan", "prompt": "{{ 'plan' }}"},
        {"name": "once", "command": ["sh", "-c", "cat >> done.txt; echo done"], "prompt": "{{ input }}\n"},
        *CHAIN,
        {"name": "each", "fan_out": {"items": [1, 2, 3, 4, 5]}, "prompt": "item {{ item }} {{ agents.plan }} {{ agents.once }}"},
        {"name": "sub", "ensemble": "child", "prompt": "{{ agents.c0 }}"},
    ],
    "synthesis": {"prompt": "{{ agents.c4 }} {{ agents.each }} {{ agents.sub }}"},
}
CHILD = {"agents": [{"name": "in", "prompt": "in {{ input }}"}, {"name": "out", "prompt": "out {{ agents.in }}"}]}


def reply(request: Received) -> str:
    """Everybody who reads it knows what was asked before."""
    return sha256(prompt_of(request.json).encode()).hexdigest()[:12]


def profile(server: OpenAIServer) -> str:
    return json.dumps({"provider": "openai-compatible", "model": "m", "base_url": server.base_url, "max_parallel": 64})


@dataclass
class Mortuary:
    """A project whose runs are killed, and the run that was left alone."""

    here: Project
    alone: Run
    length: float
    """Seconds from the first call of a run to the end of its process."""
    starting: float
    """Seconds from the start of the process to the first call."""
    inside: list[bool] = field(default_factory=list)
    """Of each moment whether it lay within a run."""

    @property
    def store(self) -> Path:
        return self.here.path / ".llm-orc/store"

    def killed(self, name: str, share: float, *, twice: bool) -> None:
        """Kill a run at this share of its length, go on with it, and compare."""
        with OpenAIServer(reply, latency=LATENCY) as server:
            self.here.write(f".llm-orc/profiles/{name}.yaml", profile(server))
            begin: tuple[str, ...] = ("invoke", "work", f"{name};", "--profile", name)
            self.inside.append(self._killed(self.here.start(*begin), server, share))
            deaths, answered, before = 1, set[str](), Counter[str]()
            run_id = self._kept(name)
            if run_id is not None:
                begin = "runs", "resume", run_id
                if twice:
                    self._killed(self.here.start(*begin), server, (1 + share) / 2)
                    deaths = 2
                answered, before = self._answered(run_id), Counter(prompts(server.chats))
            outcome = self.here.run(*begin, timeout=120)
            assert (outcome.out, outcome.code) == (self.alone.result + "\n", 0), outcome.err
            asked = Counter(prompts(server.chats))
        assert [prompt for prompt in answered if asked[prompt] != before[prompt]] == [], "who has replied is not asked again"
        assert asked.keys() == set(self.prompts.values())
        assert asked.total() - len(asked) <= deaths * AT_ONCE, f"each call once, but for those in flight: {asked}"
        assert 1 <= (self.here.path / "done.txt").read_text().split().count(f"{name};") <= 1 + deaths
        assert self._nodes(self._kept(name)) == dict.fromkeys(self.alone.nodes, "succeeded")

    @property
    def prompts(self) -> dict[str, str]:
        """Of each node that asks a model."""
        return {node.id: node.prompt for node in self.alone.nodes.values() if node.body == "model" and not node.children}

    def _killed(self, process: subprocess.Popen[bytes], server: OpenAIServer, share: float) -> bool:
        """Whether it was killed after its run had begun, and before it ended by itself."""
        wait = share / STARTING * self.starting
        if share >= STARTING:
            came = len(server.chats)
            with suppress(TimeoutError):
                server.wait_until(lambda: len(server.chats) > came or process.poll() is not None)
            wait = (share - STARTING) / (1 - STARTING) * self.length
        begun = monotonic()
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
            self.length = min(self.length, monotonic() - begun)  # it is quicker by now than it was when it was measured
        process.kill()
        process.communicate()
        return process.returncode == -9 and bool(server.chats)

    def _kept(self, name: str) -> str | None:
        if not (self.store / "store.db").exists():
            return None
        with Store.open(self.store) as store:
            found = [run.id for run in listed(store, Sought(), 500)[0] if run.input == f"{name};"]
        assert len(found) <= 1
        return found[0] if found else None

    def _nodes(self, run_id: str | None) -> dict[str, str]:
        """The status of each, in a store that is sound."""
        with closing(sqlite3.connect(self.store / "store.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            query = "SELECT nodes.id, nodes.status FROM nodes JOIN runs ON nodes.run = runs.number WHERE runs.id = ?"
            return dict(connection.execute(query, (run_id,)).fetchall())

    def _answered(self, run_id: str) -> set[str]:
        """The prompts whose replies are kept."""
        return {self.prompts[node] for node, status in self._nodes(run_id).items() if status == "succeeded" and node in self.prompts}


def prompts(chats: Iterable[Received]) -> list[str]:
    return [prompt_of(chat.json) for chat in chats]


@pytest.fixture
def mortuary(project: NewProject) -> Mortuary:
    files = {".llm-orc/ensembles/work.yaml": json.dumps(WORK), ".llm-orc/ensembles/child.yaml": json.dumps(CHILD)}
    here = project(files, trusted=True)
    with OpenAIServer(reply, latency=LATENCY) as server:
        here.write(".llm-orc/profiles/alone.yaml", profile(server))
        alone = llm_orc.run("work", "alone;", profile="alone", cwd=here.path, env=here.env())
        calls, begun = len(server.chats), monotonic()
        process = here.start("invoke", "work", "alone;", "--profile", "alone")
        server.wait_until(lambda: len(server.chats) > calls)
        called = monotonic()
        out, _ = process.communicate(timeout=60)
    assert (alone.status, out.decode()) == ("succeeded", alone.result + "\n")
    return Mortuary(here, alone, monotonic() - called, called - begun)


def spread(kills: int, seed: int) -> list[float]:
    """Moments over the whole length, none far from its neighbours."""
    chance = random.Random(seed)
    return [(number + chance.random()) / kills for number in range(kills)]


def test_20_moments(mortuary: Mortuary) -> None:
    survived(mortuary, 20, twice=10)


@pytest.mark.soak
def test_100_moments(mortuary: Mortuary) -> None:
    survived(mortuary, 100, twice=3)


def survived(mortuary: Mortuary, kills: int, *, twice: int) -> None:
    """Each of so many `twice`, in another process."""

    def one(number: int, share: float) -> None:
        mortuary.killed(f"k{number}", share, twice=number % twice == twice - 1)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        for done in [threads.submit(one, number, share) for number, share in enumerate(spread(kills, kills))]:
            done.result()
    assert sum(mortuary.inside) >= kills / 2
