"""Whatever holds a key does not show it when it is printed, alone or within something else."""

import asyncio
import logging
import pprint
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import llm_orc
from llm_orc.app import Known, Session, planned
from llm_orc.cli.terminal import Stream, Terminal
from llm_orc.config.layers import read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.credentials.exchange import Answer
from llm_orc.credentials.held import Secret
from llm_orc.credentials.keychain import Keychain
from llm_orc.credentials.login import Way
from llm_orc.credentials.tokens import Client, Tokens
from llm_orc.domain.credential import Given
from llm_orc.domain.plan import Choices
from llm_orc.domain.profile import Profile
from llm_orc.engine.limits import Bounds
from llm_orc.engine.means import Means
from llm_orc.engine.programs import Program
from llm_orc.models.base import Reach
from llm_orc.models.registry import Models
from llm_orc.models.target import aim
from tests.project import Project
from tests.secrets.canaries import ENVIRONMENT, Canaries, canary
from tests.secrets.conftest import EVERYTHING
from tests.secrets.parrot import FORMATS, Parrot

KEY = ENVIRONMENT["OPENAI_API_KEY"]
SEARCH = Canaries().plus(access=canary("access"), refresh=canary("refresh"), secret=canary("secret"))


def shown(*things: object) -> list[str]:
    """Each canary that gives itself away in any way of printing these."""
    found = []
    for thing in things:
        wrapped = [thing, {"it": thing}, (thing,)]
        said = [repr(thing), str(thing), f"{thing}", f"{thing!r:.100000}", repr(wrapped), pprint.pformat(wrapped)]
        logged = logging.LogRecord("n", logging.INFO, "p", 1, "%s %r", (thing, thing), None).getMessage()
        found += [f"{name} in {type(thing).__name__}: {repr(thing)[:100]}" for name in SEARCH.found(*said, logged)]
    return found


@pytest.fixture
def where(here: Project) -> Surroundings:
    here.write(".llm-orc/profiles/p.yaml", "provider: openai\nmodel: m\n")
    here.write(".llm-orc/ensembles/e.yaml", "agents: [{name: a, model_profile: p}, {name: b, command: [cat]}]\n")
    return Surroundings(here.path, here.home, {"HOME": str(here.home), "LLM_ORC_TRUST": "1", **EVERYTHING})


def test_the_search_sees_what_shows_its_key() -> None:
    class Holder:
        def __repr__(self) -> str:
            return f"<Holder of {KEY}>"

    assert shown(Holder()) == [f"OPENAI_API_KEY in Holder: <Holder of {KEY}>"]
    assert shown({"key": KEY}, [SecretStr(KEY)], Exception(KEY)) != []


def test_what_is_known_of_a_call(where: Surroundings) -> None:
    layers = read_layers(where)
    plan = planned(layers, "e", Choices())
    known, session = Known(layers), Session(layers, plan)
    terminal = Terminal(where, None, Stream(None), Stream(None))
    configuration = llm_orc.get_config(cwd=where.cwd, env=where.env, home=where.home)

    assert configuration.user_config.api_keys["openai"].get_secret_value() == KEY
    assert shown(where, terminal, layers, *layers.folders, *layers.configs, layers.ensembles, layers.settings) == []
    assert shown(plan, plan.ensemble, *plan.agents.values(), session, session.models, known, known.reach, known.keychain) == []
    assert (
        shown(configuration, configuration.user_config, configuration.user_config.api_keys, dict(configuration.user_config.api_keys)) == []
    )


def test_what_the_engine_works_with(where: Surroundings) -> None:
    models = Models(Reach(where.env))
    means = Means(models.ask, models.endpoint, Bounds(2), where.cwd, where.env, "python")

    assert shown(means, Program("p", ["p"], ".", where.env), models) == []


async def test_what_speaks_to_models(where: Surroundings, parrot: Parrot) -> None:
    reach = Reach(where.env, frozenset({parrot.origin}))
    for provider in FORMATS:
        profile = Profile(name="p", provider=provider, model="model", base_url=parrot.url("model"), max_tokens=9)
        models, target = Models(reach), aim(profile, reach)
        await target.key()
        await models.listed(profile)
        ask = models.ask(profile)
        try:
            things = [models, reach, target, target.endpoint, target.credential, target.identity, ask, profile, *parts_of(models)]
            assert shown(*things) == []
        finally:
            await models.close()


def parts_of(thing: object, depth: int = 5) -> Iterator[object]:
    """The objects that ours and the SDKs are made of."""
    for part in vars(thing).values() if hasattr(thing, "__dict__") else ():
        for each in part.values() if isinstance(part, dict) else [part]:
            if type(each).__module__.partition(".")[0] in (
                "llm_orc",
                "anthropic",
                "google",
                "ollama",
                "httpx",
                "httpx2",
                "httpx_aiohttp",
                "aiohttp",
            ):
                yield each
                if depth:
                    yield from parts_of(each, depth - 1)


async def test_keys_and_tokens(tmp_path: Path) -> None:
    client = Client("id", canary("secret"), "https://issuer.example/token", basic=True)
    tokens = Tokens(client, canary("access"), canary("refresh"), 0.0, 0.0)
    keychain = Keychain(EVERYTHING, tmp_path)
    kept = keychain.add("openai", "work", SecretStr(KEY), "vault")
    held = keychain.credential(kept)
    assert (await held.secret()).get_secret_value() == KEY
    things: list[Any] = [
        client,
        tokens,
        replace(tokens, renew_at=1.0),
        Way(client, (), print),
        keychain,
        kept,
        held,
        Secret(SecretStr(KEY)),
    ]
    things += [Given("OPENAI_API_KEY", SecretStr(KEY)), Answer("host", 200, {"access_token": canary("access")})]
    things += [*parts_of(keychain), *parts_of(held)]

    assert shown(*things) == []


async def test_tasks_that_wait_for_a_key(tmp_path: Path) -> None:
    keychain = Keychain(EVERYTHING, tmp_path)
    held = keychain.credential(keychain.add("openai", "work", SecretStr(KEY), "vault"))
    tasks = [asyncio.create_task(held.secret()) for _ in range(3)]
    waiting = shown(*tasks)
    await asyncio.gather(*tasks)

    assert waiting + shown(*tasks, *(task.result() for task in tasks)) == []
