"""The cache on the command line: flags, what is said, several processes, and what is forgotten."""

import json
import re
import signal
import sqlite3
from contextlib import closing

from tests.library.cached import CHAIN, ONE, made
from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.servers.openai import Scripted
from tests.servers.wire import Gate


def test_the_talk_says_what_is_reused_and_what_changed(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(lambda _: Scripted("one two three", usage=(100, 10)))
    here = made(project, server, CHAIN.replace("cache: true", ""))
    here.run("invoke", "own", "hello", "--cache")
    told = here.run("invoke", "own", "goodbye", "--cache", "--stream", "-v")
    assert told.out == "one two three\n", "a kept reply is printed whole where it would stream"
    assert "first   is asked anew: prompt changed since its last kept reply\n" in told.err
    assert "\nasked anew: prompt changed  openai-compatible/m" in here.run("runs", "show", "last", "--agent", "first").out
    assert re.search(r"second  succeeded  cached  \d+\.\d s\n", told.err)
    assert "1 cached (110 tokens, $0.00012 saved)" in told.err
    live = here.run_pty("invoke", "own", "goodbye", env={"LLM_ORC_CACHE": "true"}).err
    assert "2 cached (220 tokens" in live
    assert len(server.chats) == 3
    assert "first   succeeded  cached" in here.run("runs", "show", "last").out
    assert "first  succeeded\ncached  openai-compatible/m" in here.run("runs", "show", "last", "--agent", "first").out
    here.run("invoke", "own", "goodbye", "--no-cache", env={"LLM_ORC_CACHE": "true"})
    assert len(server.chats) == 5


def test_without_a_store_it_is_said(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    here = made(project, server, ONE)
    warning = "warning: replies are reused within this run only\nhint: they are kept in the store, with the runs: leave out"
    assert warning in here.run("invoke", "own", "hello", "--no-store").err
    assert "within this run only" not in here.run("invoke", "own", "hello", "--no-store", "--no-cache").err
    assert len(server.chats) == 2


def test_pruned_runs_take_their_replies_along(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "long " * 10_000})
    here = made(project, server, ONE)
    for text in ("one", "two", "one"):
        here.run("invoke", "own", text)
    assert len(server.chats) == 2
    assert here.run("runs", "prune", "--keep", "1").code == 0
    here.run("invoke", "own", "one")
    assert len(server.chats) == 2, "the last run was given this reply, though another one had asked for it"
    here.run("invoke", "own", "two")
    assert len(server.chats) == 3
    here.run("runs", "prune", "--keep", "0")
    assert list((here.path / ".llm-orc/store/blobs").iterdir()) == []


def test_several_processes_share_one_store(project: NewProject, openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server(lambda _: Scripted("ok", gate=gate))
    here = made(project, server, "cache: true\nagents: [{name: a, model_profile: server, fan_out: {items: [1, 2, 3, 4, 5]}}]")
    running = [here.start("invoke", "own", "hello") for _ in range(3)]
    gate.wait_for(15)
    gate.release()
    assert [process.wait(60) for process in running] == [0, 0, 0]
    told = json.loads(here.run("invoke", "own", "hello", "--output-format", "json").out)
    assert [child["cached"] for child in told["agents"][0]["children"]] == [True] * 5
    assert len(server.chats) == 15


def test_what_was_answered_before_an_interrupt_is_not_asked_again(project: NewProject, openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"second": Scripted("two", gate=gate), "first": "one"})
    agents = "agents: [{name: a, prompt: first}, {name: b, prompt: second, depends_on: [a]}]"
    here = made(project, server, f"cache: true\ndefaults: {{model_profile: server}}\n{agents}")
    process = here.start("invoke", "own", "x")
    gate.wait_for(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    gate.release()
    told = json.loads(here.run("invoke", "own", "x", "--output-format", "json").out)
    assert [agent["cached"] for agent in told["agents"]] == [True, False]
    assert len(server.chats) == 3


def test_a_broken_store_is_a_warning(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"})
    here = made(project, server, ONE)
    store = here.write(".llm-orc/store/store.db", "no database at all" * 500)
    store.parent.chmod(0o700)
    outcome = here.run("invoke", "own", "hello")
    assert (outcome.out, outcome.code) == ("fine\n", 0)
    assert "this run is not kept" in outcome.err
    assert "warning: replies are reused within this run only\n" in outcome.err


def cached(out: str) -> list[str]:
    """What a plan says of each agent's reply."""
    return [line.partition("cache")[2].strip() for line in out.splitlines() if line.strip().startswith("cache ")]


def test_a_plan_says_what_will_be_reused_and_what_changed(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "the same"})
    here = made(project, server, CHAIN)
    assert cached(here.run("plan", "own", "hello").out) == ["asked: nothing like it is kept", "not known yet: waits for first"]
    assert not (here.path / ".llm-orc/store").exists()
    here.run("invoke", "own", "hello")
    assert cached(here.run("plan", "own", "hello").out) == ["reused", "reused"]
    assert "cost  $0\n" in here.run("plan", "own", "hello").out
    told = json.loads(here.run("plan", "own", "goodbye", "--json").out)
    none = {"cached": 0, "shared": 0, "asked": 0, "unknown": 0, "changed": [], "waits_for": []}
    assert [agent["cache"] for agent in told["agents"]] == [
        {**none, "asked": 1, "changed": ["prompt"]},
        {**none, "unknown": 1, "waits_for": ["first"]},
    ]
    assert cached(here.run("plan", "own").out) == ["not known: there is no input"] * 2
    assert cached(here.run("plan", "own", "hello", "--no-cache").out) == []
    assert len(server.chats) == 2, "a plan sends nothing"
    with closing(sqlite3.connect(here.path / ".llm-orc/store/store.db", isolation_level=None)) as store:
        assert store.execute("SELECT count(*) FROM runs").fetchone() == (1,), "and keeps nothing"
    for file in (here.path / ".llm-orc/store").glob("store.db*"):
        file.write_bytes(b"no database" * 500)
    broken = here.run("plan", "own", "hello")
    assert (broken.code, cached(broken.out)[0]) == (0, "asked: nothing like it is kept")
    assert "store.db: warning: is broken" in broken.err
