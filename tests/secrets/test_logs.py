"""Neither logs nor tracebacks hold a key: every logger at DEBUG, asyncio in its debug mode, and plugins that fail with the key at hand."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.project import Outcome, Project, run
from tests.secrets.canaries import ENVIRONMENT, Canaries
from tests.secrets.conftest import EVERYTHING
from tests.secrets.parrot import FORMATS, Parrot

SEARCH = Canaries()
VAULT = ENVIRONMENT["OPENAI_API_KEY"]
CALLER = """
import asyncio, faulthandler, logging, sys, traceback, warnings
faulthandler.enable()
warnings.simplefilter("always")
logging.basicConfig(level=1, stream=sys.stderr, format="%(name)s %(message)s %(args)s %(pathname)s")
logging.captureWarnings(True)
heard = []

def hear(event):
    heard.append(event)
    logging.getLogger("listener").debug("%r", event)

async def main():
    import llm_orc
    asyncio.get_running_loop().slow_callback_duration = 0
    run = await llm_orc.arun("all", "hello", listeners=[hear], stream=True)
    for node in run.nodes.values():
        print(node.status, repr(node))
    print(heard)
    {more}

asyncio.run(main(), debug=True)
for name in sorted(logging.Logger.manager.loggerDict):
    print("logger", name)
faulthandler.dump_traceback()
"""
PLACES = ("text", "model", "body", "headers", "redirect", "status-line", "then-cut", "split")
PLUGIN = """
import asyncio, logging, os, sys, threading, warnings
import httpx
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply
from llm_orc.domain.profile import Endpoint
from llm_orc.models.base import BaseModel

class Plug(BaseModel):
    def endpoint(self, profile):
        return Endpoint("plug", "plug", local=True)

    async def generate(self, request, tell):
        key = (await self.reach.credential("openai", "OPENAI_API_KEY").secret()).get_secret_value()
        local_with_key = [key]
        await getattr(self, request.profile.model)(key, tell)
        return Reply("ok", usage=NO_USAGE)

    async def raises(self, key, tell):
        raise RuntimeError("it broke")

    async def says(self, key, tell):
        raise RuntimeError(f"not with {key}")

    async def says_url(self, key, tell):
        request = httpx.Request("GET", "https://models.example/", params={"key": key})
        httpx.Response(401, request=request).raise_for_status()

    async def says_chained(self, key, tell):
        try:
            raise ValueError(f"no header {key!r}")
        except ValueError as error:
            raise KeyError(key) from error

    async def fails(self, key, tell):
        raise FailedError(Failure(Kind.SERVER, f"no {key}", f"take {key} away"), partial=f"so far {key}")

    async def replies(self, key, tell):
        return None

    async def forgets(self, key, tell):
        async def lost():
            raise RuntimeError("nobody waits for me")
        task = asyncio.get_running_loop().create_task(lost())
        await asyncio.wait({task})

    async def prints(self, key, tell):
        print(key, flush=True)

    async def logs(self, key, tell):
        logging.getLogger("plug").warning("key %s", key)

    async def writes(self, key, tell):
        with open("left-behind", "w") as file:
            file.write(key)
"""


def plug(here: Project, model: str) -> Mapping[str, str]:
    """A plugin that is installed, and an ensemble that asks its model; the environment that both need."""
    folder = here.write("~/plug/plug.py", PLUGIN).parent
    here.write("~/plug/plug-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    here.write("~/plug/plug-1.0.dist-info/entry_points.txt", "[llm_orc.providers]\nplug = plug:Plug\n")
    here.write(".llm-orc/ensembles/all.yaml", f"agents: [{{name: a, provider: plug, model: {model}, retry: {{attempts: 1}}}}]\n")
    return {**EVERYTHING, "PYTHONPATH": f"{folder}:{Path.cwd()}", "PYTHONDONTWRITEBYTECODE": "1"}


def called(here: Project, env: Mapping[str, str], more: str = "") -> Outcome:
    """A program of somebody's that calls us."""
    caller = here.write("caller.py", CALLER.replace("{more}", more))
    return run(sys.executable, "-P", caller, cwd=here.path, env=here.env({"PYTHONPATH": str(Path.cwd()), **env}))


@pytest.fixture
def crowd(here: Project, parrot: Parrot) -> Project:
    """An ensemble that asks a model of each format in many places."""
    agents = []
    for speaks in FORMATS:
        for place in PLACES:
            key = "credential: work\n" if speaks == "ollama" else ""
            text = f"provider: {speaks}\nmodel: model\nbase_url: {parrot.url(place)}\nmax_tokens: 9\n{key}"
            here.write(f"~/.config/llm-orc/profiles/{speaks}-{place}.yaml", text)
            agents.append({"name": f"{speaks}-{place}", "model_profile": f"{speaks}-{place}", "retry": {"attempts": 2}})
    here.write(".llm-orc/ensembles/all.yaml", json.dumps({"agents": agents}))
    added = here.run("auth", "add", "ollama", "--name", "work", "--no-check", stdin=VAULT, env=EVERYTHING)
    assert added.code == 0, added.err
    return here


def leaks(outcome: Outcome) -> list[str]:
    return [f"{names}: {line[:400]}" for line in (outcome.out + "\n" + outcome.err).splitlines() if (names := SEARCH.found(line))]


def test_no_logger_writes_a_key(crowd: Project) -> None:
    outcome = called(crowd, {**EVERYTHING, "ANTHROPIC_LOG": "debug", "OPENAI_LOG": "debug", "HTTPX_LOG_LEVEL": "trace"})

    assert leaks(outcome) == []
    assert "succeeded" in outcome.out
    assert "failed" in outcome.out
    assert "listener Delta(" in outcome.err
    assert "anthropic._base_client" in outcome.err
    assert "Executing <" in outcome.err, "asyncio's debug mode is not on"


def test_the_search_sees_a_key_in_a_log(crowd: Project) -> None:
    outcome = called(
        crowd, EVERYTHING, "logging.getLogger('httpx').debug('headers %s', {'authorization': __import__('os').environ['OPENAI_API_KEY']})"
    )

    assert "OPENAI_API_KEY" in SEARCH.found(outcome.err)


def test_the_search_sees_a_key_that_a_listener_writes(here: Project) -> None:
    here.write(".llm-orc/ensembles/all.yaml", "agents: [{name: a, command: [echo, heard]}]\n")
    outcome = called(here, EVERYTHING, "hear(__import__('os').environ)")

    assert "OPENAI_API_KEY" in SEARCH.found(outcome.err)


FAILING = {
    "raises": "RuntimeError at plug.py:",
    "says": "RuntimeError at plug.py:",
    "says_url": "HTTPStatusError at ",
    "says_chained": "KeyError at plug.py:",
    "fails": "server: no [key]",
    "replies": "succeeded",
    "forgets": "RuntimeError: nobody waits for me",
}
"""What its method does -> what a person reads of it."""


@pytest.mark.parametrize("model", FAILING)
def test_a_plugin_that_fails_with_the_key_at_hand_shows_none(here: Project, model: str) -> None:
    env = plug(here, model)
    for more in ({}, {"LLM_ORC_DEBUG": "1"}):
        outcome = here.run("invoke", "all", "hello", "-vv", "--log-file", "log", "--output-format", "jsonl", env={**env, **more})

        assert FAILING[model] in outcome.err
        assert leaks(outcome) == []
    assert SEARCH.found_below(here.home) == []


def test_no_log_of_ours_holds_a_key_that_is_in_use(here: Project) -> None:
    env = plug(here, "logs")
    outcome = here.run("invoke", "all", "hello", "-vv", "--log-file", "log", env=env)

    assert "plug  key [key]" in outcome.err
    assert '"logger": "plug"' in (here.path / "log").read_text()
    assert SEARCH.found_below(here.home) == []
    assert leaks(outcome) == []


def test_what_the_libraries_below_us_warn_of_is_in_the_log_alone(here: Project) -> None:
    env = plug(here, "logs")
    here.write("~/plug/plug.py", PLUGIN.replace('getLogger("plug")', 'getLogger("httpx.of_ours")'))
    quiet = here.run("invoke", "all", "hello", env=env)
    logged = here.run("invoke", "all", "hello", "--log-file", "log", env=env)

    assert "key" not in quiet.err + logged.err
    assert '"logger": "httpx.of_ours"' in (here.path / "log").read_text()


def test_the_search_sees_a_key_in_a_log_of_ours(here: Project) -> None:
    env = plug(here, "logs")
    here.write("~/plug/plug.py", PLUGIN.replace('"key %s", key', '"key %s", os.environ["HF_TOKEN"]'))
    outcome = here.run("invoke", "all", "hello", "-vv", "--log-file", "log", env=env)

    assert SEARCH.found(outcome.err) == ["HF_TOKEN"]
    assert SEARCH.found_below(here.home) == ["HF_TOKEN in project/log"]


@pytest.mark.parametrize("model", FAILING)
def test_nor_does_its_exception_in_a_program_that_calls_us(here: Project, model: str) -> None:
    outcome = called(here, plug(here, model))

    assert leaks(outcome) == []
    assert ("Traceback (most" in outcome.err) is (model == "forgets")


@pytest.mark.parametrize("model", ["prints", "logs", "writes"])
def test_the_search_sees_a_key_that_a_plugin_lets_out(here: Project, model: str) -> None:
    outcome = here.run("invoke", "all", "hello", env=plug(here, model))

    found = {"prints": SEARCH.found(outcome.out), "logs": SEARCH.found(outcome.err), "writes": SEARCH.found_below(here.home)}
    assert found.pop(model) in (["OPENAI_API_KEY"], ["OPENAI_API_KEY in project/left-behind"])
    assert not any(found.values())
