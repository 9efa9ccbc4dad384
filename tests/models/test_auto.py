"""Tiers: LM Studio where it runs with a chat model, else a cloud key, else a problem with the ways out."""

import json
import socket
from datetime import date

import pytest

from llm_orc.catalog import tiers
from llm_orc.domain.message import FailedError, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.models.auto import Choice
from llm_orc.models.registry import Models
from tests.models.asking import KEY, ask, models, profile
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.openai import NativeModel

TIERS = tiers.read_tiers()
NOBODY = "http://127.0.0.1:1/v1"
FAST, CAREFUL = (profile(None, "auto", name=tier, model=tier) for tier in ("fast", "careful"))


async def chosen(opened: Models, *, offline: bool = False) -> dict[str, Choice]:
    return await opened.choose([FAST, CAREFUL, profile(NOBODY)], TIERS, offline=offline)


async def test_lm_studio_is_first_and_all_tiers_take_the_chat_model_that_is_loaded(openai_server: NewServer) -> None:
    native = [
        NativeModel("nomic", type="embeddings"),
        NativeModel("big", state="not-loaded"),
        NativeModel("qwen"),
        NativeModel("eyes", type="vlm"),
    ]
    server = openai_server(native=native, models=["nomic", "big", "qwen", "eyes"])
    async with models({"LMSTUDIO_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}) as opened:
        choices = await chosen(opened)
        answering = choices["careful"].applied(CAREFUL)
        reply = await ask(opened, answering)

    label = f"127.0.0.1:{server.port}"
    assert choices == {tier: Choice(tier, "lmstudio", "qwen", "running", label, local=True) for tier in ("fast", "careful")}
    assert str(choices["fast"]) == f"fast -> lmstudio/qwen (running); stays on this machine ({label})"
    assert (answering.name, answering.provider, answering.model) == ("careful", "lmstudio", "qwen")
    assert (reply.text, reply.cost) == ("ok", 0.0)
    assert not [request for request in server.requests if "authorization" in request.headers]


async def test_a_model_that_must_be_loaded_first_is_better_than_none(openai_server: NewServer) -> None:
    server = openai_server(native=[NativeModel("vec", type="embeddings"), NativeModel("big", state="not-loaded")])
    async with models({"LMSTUDIO_BASE_URL": server.base_url}) as opened:
        assert (await chosen(opened))["fast"].model == "big"


async def test_an_older_lm_studio_is_asked_in_openais_way(openai_server: NewServer) -> None:
    server = openai_server(models=["text-embedding-nomic", "llama"])
    async with models({"LMSTUDIO_BASE_URL": server.base_url}) as opened:
        assert (await chosen(opened))["fast"].model == "llama"


@pytest.mark.parametrize("listed", [[], [NativeModel("vec", type="embeddings")]])
async def test_without_a_chat_model_it_is_passed_over(listed: list[NativeModel], openai_server: NewServer) -> None:
    server = openai_server(native=listed, models=[])
    async with models({"LMSTUDIO_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}) as opened:
        assert (await chosen(opened))["fast"].provider == "openai"


@pytest.mark.parametrize("fault", ["html", "500", "reset-before", "list", "not-http", "redirect"])
async def test_what_is_no_lm_studio_is_passed_over(fault: str, faults_server: FaultServer) -> None:
    env = {"LMSTUDIO_BASE_URL": faults_server.url(fault), "OPENAI_API_KEY": KEY}
    async with models(env) as opened:
        assert (await chosen(opened))["fast"].provider == "openai"


async def test_a_server_that_hangs_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = {"LMSTUDIO_BASE_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", "OPENAI_API_KEY": KEY}
        async with models(env) as opened:
            assert (await chosen(opened))["fast"].provider == "openai"


async def test_a_cloud_key_is_next_and_the_first_line_says_where_it_goes() -> None:
    async with models({"LMSTUDIO_BASE_URL": NOBODY, "OPENAI_API_KEY": KEY}) as opened:
        choices = await chosen(opened)

    assert str(choices["careful"]) == f"careful -> openai/{TIERS['openai']['careful']} (OPENAI_API_KEY); sends to api.openai.com"
    assert choices["fast"].model == TIERS["openai"]["fast"]
    assert not choices["fast"].local
    assert KEY not in str(choices)


async def test_offline_no_cloud_is_chosen_and_it_is_no_problem() -> None:
    async with models({"LMSTUDIO_BASE_URL": NOBODY, "OPENAI_API_KEY": KEY}) as opened:
        assert await chosen(opened, offline=True) == {}


async def test_offline_this_machine_still_answers(openai_server: NewServer) -> None:
    server = openai_server(native=[NativeModel("qwen")])
    async with models({"LMSTUDIO_BASE_URL": server.base_url}) as opened:
        assert (await chosen(opened, offline=True))["fast"].model == "qwen"


async def test_another_machine_is_not_probed() -> None:
    env = {"LMSTUDIO_BASE_URL": "http://far.example:1234/v1"}  # conftest would raise at the attempt
    async with models(env) as opened:
        assert await chosen(opened, offline=True) == {}


@pytest.mark.parametrize("key", [None, "", " "])
async def test_without_anything_the_problem_names_the_ways_out(key: str | None) -> None:
    env = {"LMSTUDIO_BASE_URL": NOBODY} | ({} if key is None else {"OPENAI_API_KEY": key})
    async with models(env) as opened:
        with pytest.raises(ProblemError) as caught:
            await chosen(opened)

    problem = caught.value.problems[0]
    assert problem.what == "no model can be reached for fast and careful"
    assert (
        problem.hint
        == "start LM Studio's server with a chat model loaded, or export OPENAI_API_KEY=..., or run what needs no model: --offline"
    )


async def test_an_unknown_tier_is_a_problem_with_the_nearest() -> None:
    async with models({"OPENAI_API_KEY": KEY}) as opened:
        with pytest.raises(ProblemError) as caught:
            await opened.choose([profile(None, "auto", model="carefull")], TIERS, offline=False)

    assert str(caught.value) == "provider auto has no tier 'carefull'\nhint: did you mean 'careful'?"


async def test_a_plan_without_tiers_probes_nothing() -> None:
    async with models({"LMSTUDIO_BASE_URL": "no url at all"}) as opened:
        assert await opened.choose([profile(NOBODY)], TIERS, offline=False) == {}


async def test_a_tier_that_was_not_chosen_is_nowhere_and_cannot_be_asked() -> None:
    async with models() as opened:
        assert not opened.endpoint(FAST).local
        with pytest.raises(FailedError) as caught:
            await ask(opened, FAST)

    assert (caught.value.failure.kind, caught.value.failure.what) == (Kind.OFFLINE, "no model was found for 'fast'")


def test_the_table_is_dated_and_every_provider_has_every_tier() -> None:
    table = json.loads(tiers.FILE.read_bytes())

    assert date.fromisoformat(table["date"]) >= date(2026, 11, 21)
    assert next(iter(TIERS)) == "lmstudio"
    assert {frozenset(of) for of in TIERS.values()} == {frozenset({"default", "fast", "careful"})}
