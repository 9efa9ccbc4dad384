"""Tiers: a server on this machine where one runs with a chat model, else a cloud key, else a problem with the ways out."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import date
from typing import Any

import pytest

from llm_orc.domain.message import FailedError, Kind
from llm_orc.domain.model import Capability, Catalog, ModelCard, ProviderCard
from llm_orc.domain.price import Price, Pricing
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.models.auto import Choice, Wanted, choose
from llm_orc.models.base import Reach
from llm_orc.models.registry import Models
from tests.models.asking import KEY, ask, models, profile
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.ollama import Model, OllamaServer
from tests.servers.openai import NativeModel, OpenAIServer
from tests.servers.wire import Connection, Received

NOBODY = "http://127.0.0.1:1"
ABSENT = {"LMSTUDIO_BASE_URL": f"{NOBODY}/v1", "OLLAMA_HOST": NOBODY}
FAST, CAREFUL = (profile(None, "auto", name=tier, model=tier) for tier in ("fast", "careful"))
TIERS = {"fast": "*", "careful": "*"}
SEES: frozenset[Capability] = frozenset({"vision"})
NOTHING: frozenset[Capability] = frozenset()
CATALOG: Catalog = {
    "lmstudio": ProviderCard(tiers=TIERS),
    "ollama": ProviderCard(tiers=TIERS),
    "anthropic": ProviderCard(tiers={"fast": "claude-small", "careful": "claude-large"}),
    "openai": ProviderCard(
        tiers={"fast": "gpt-small", "careful": "gpt-large"},
        models={
            "gpt-small": ModelCard(capabilities=frozenset({"tools"})),
            "gpt-large": ModelCard(capabilities=frozenset({"tools", "vision"})),
            "gpt-eyes": ModelCard(capabilities=SEES),
            "gpt-old-eyes": ModelCard(capabilities=SEES, gone=date(2026, 1, 1)),
            "gpt-new-eyes": ModelCard(capabilities=SEES),
            "gpt-unknown": ModelCard(),
        },
    ),
}
PRICES = {"gpt-small": 1.0, "gpt-large": 5.0, "gpt-eyes": 0.25, "gpt-old-eyes": 0.01}


def pricing(asked: Profile) -> Pricing | None:
    dollars = PRICES.get(asked.model)
    return None if dollars is None else Price(input=dollars, output=4 * dollars)


async def chosen(env: Mapping[str, str], *wanted: Wanted, catalog: Catalog = CATALOG, offline: bool = False) -> dict[str, Choice]:
    """By tier; a server that `env` does not place is not there."""
    asked = wanted or (("fast", NOTHING), ("careful", NOTHING))
    choices = await choose(asked, catalog, Reach({**ABSENT, **env}), pricing, offline=offline)
    return {tier: choice for (tier, _), choice in choices.items()}


async def problem(env: Mapping[str, str], *wanted: Wanted, **how: Any) -> Problem:
    with pytest.raises(ProblemError) as caught:
        await chosen(env, *wanted, **how)
    (only,) = caught.value.problems
    return only


class NewOllama:
    def __init__(self, running: ExitStack) -> None:
        self._running = running

    def __call__(self, *pulled: Model) -> OllamaServer:
        return self._running.enter_context(OllamaServer(models=pulled or (Model(),)))


@pytest.fixture
def ollama_server() -> Iterator[NewOllama]:
    with ExitStack() as running:
        yield NewOllama(running)


# ---- servers on this machine


async def test_lm_studio_is_first_and_all_tiers_take_the_chat_model_that_is_loaded(openai_server: NewServer) -> None:
    native = [
        NativeModel("nomic", type="embeddings"),
        NativeModel("big", state="not-loaded"),
        NativeModel("qwen"),
        NativeModel("eyes", type="vlm"),
    ]
    server = openai_server(native=native, models=["nomic", "big", "qwen", "eyes"])
    env = {"LMSTUDIO_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    choices = await chosen(env)
    answering = choices["careful"].applied(CAREFUL)
    async with models(env) as opened:
        reply = await ask(opened, answering)

    label = f"127.0.0.1:{server.port}"
    assert choices == {tier: Choice(tier, "lmstudio", "qwen", "running", label, local=True) for tier in ("fast", "careful")}
    assert str(choices["fast"]) == f"fast -> lmstudio/qwen (running); stays on this machine ({label})"
    assert (answering.name, answering.provider, answering.model) == ("careful", "lmstudio", "qwen")
    assert reply.text == "ok"
    assert not [request for request in server.requests if "authorization" in request.headers]


async def test_ollama_is_next_with_the_model_that_is_loaded(ollama_server: NewOllama) -> None:
    server = ollama_server(
        Model("nomic-embed-text:latest", family="nomic-bert", loaded=2048),
        Model("gpt-oss:120b-cloud"),
        Model("far:8b", remote_host="https://ollama.com", loaded=4096),
        Model("big:70b"),
        Model("qwen3:8b", loaded=4096),
    )
    env = {"OLLAMA_HOST": server.origin, "ANTHROPIC_API_KEY": KEY}
    choices = await chosen(env)
    async with models(env) as opened:
        reply = await ask(opened, choices["fast"].applied(FAST))

    assert str(choices["careful"]) == f"careful -> ollama/qwen3:8b (running); stays on this machine (127.0.0.1:{server.port})"
    assert reply.text == "ok"


async def test_a_model_that_must_be_loaded_first_is_better_than_none(openai_server: NewServer, ollama_server: NewOllama) -> None:
    server = openai_server(native=[NativeModel("vec", type="embeddings"), NativeModel("big", state="not-loaded")])

    assert (await chosen({"LMSTUDIO_BASE_URL": server.base_url}))["fast"].model == "big"
    assert (await chosen({"OLLAMA_HOST": ollama_server(Model("big:70b")).origin}))["fast"].model == "big:70b"


async def test_an_older_lm_studio_is_asked_in_openais_way(openai_server: NewServer) -> None:
    server = openai_server(models=["text-embedding-nomic", "llama"])

    assert (await chosen({"LMSTUDIO_BASE_URL": server.base_url}))["fast"].model == "llama"


@pytest.mark.parametrize("listed", [[], [NativeModel("vec", type="embeddings")]])
async def test_without_a_chat_model_they_are_passed_over(
    listed: list[NativeModel], openai_server: NewServer, ollama_server: NewOllama
) -> None:
    studio = openai_server(native=listed, models=[])
    bare = ollama_server(Model("nomic-embed-text:latest", family="nomic-bert"))
    env = {"LMSTUDIO_BASE_URL": studio.base_url, "OLLAMA_HOST": bare.origin, "OPENAI_API_KEY": KEY}

    assert (await chosen(env))["fast"].provider == "openai"


@pytest.mark.parametrize("variable", ["LMSTUDIO_BASE_URL", "OLLAMA_HOST"])
@pytest.mark.parametrize("fault", ["html", "500", "reset-before", "list", "not-http", "redirect"])
async def test_what_is_no_model_server_is_passed_over(fault: str, variable: str, faults_server: FaultServer) -> None:
    assert (await chosen({variable: faults_server.url(fault), "OPENAI_API_KEY": KEY}))["fast"].provider == "openai"


async def test_a_tier_may_name_a_model_of_a_server_which_is_passed_over_without_it(ollama_server: NewOllama) -> None:
    env = {"OLLAMA_HOST": ollama_server(Model("llama3:latest"), Model("qwen3:8b")).origin, "OPENAI_API_KEY": KEY}
    catalog = {**CATALOG, "ollama": ProviderCard(tiers={"fast": "llama3", "careful": "llama3:70b"})}
    choices = await chosen(env, catalog=catalog)

    assert (choices["fast"].provider, choices["fast"].model) == ("ollama", "llama3:latest")
    assert (choices["careful"].provider, choices["careful"].model) == ("openai", "gpt-large")


async def test_another_machine_is_not_probed() -> None:
    env = {"LMSTUDIO_BASE_URL": "http://far.example:1234/v1", "OLLAMA_HOST": "https://far.example"}  # conftest would raise at the attempt

    assert await chosen(env, offline=True) == {}


# ---- servers that are busy


class Held(OpenAIServer):
    """Takes connections, and says nothing."""

    async def answer(self, _: Received, __: Connection) -> None:
        await asyncio.Event().wait()


class Busy(OpenAIServer):
    """Lists its models long after a probe's time."""

    async def answer(self, request: Received, connection: Connection) -> None:
        await asyncio.sleep(0.5)
        await super().answer(request, connection)


async def test_a_busy_server_is_waited_for_before_anything_leaves_this_machine() -> None:
    with Busy(native=[NativeModel("qwen")]) as server:
        choices = await chosen({"LMSTUDIO_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})

    assert choices["fast"].provider == "lmstudio"


async def test_a_server_that_stays_silent_is_a_problem_and_nobody_else_is_sent_its_text() -> None:
    with Held() as server:
        found = await problem({"LMSTUDIO_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})

    assert found.what == f"LM Studio's server at 127.0.0.1:{server.port} takes connections and does not say which models it has"
    assert found.hint == "try again when it is not busy, or say who else may read your text: --profile NAME"


async def test_a_silent_server_is_not_waited_for_where_another_one_on_this_machine_answers(ollama_server: NewOllama) -> None:
    with Held() as held:
        env = {"LMSTUDIO_BASE_URL": held.base_url, "OLLAMA_HOST": ollama_server().origin, "OPENAI_API_KEY": KEY}
        choices = await chosen(env)

    assert choices["fast"].provider == "ollama"


# ---- clouds


async def test_a_cloud_key_is_next_and_the_first_line_says_where_it_goes() -> None:
    choices = await chosen({"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY})

    assert str(choices["careful"]) == "careful -> anthropic/claude-large (ANTHROPIC_API_KEY); sends to api.anthropic.com"
    assert choices["fast"].model == "claude-small"
    assert not choices["fast"].local
    assert KEY not in str(choices)


async def test_the_order_is_that_of_the_catalogue_and_nothing_after_a_key_is_probed(ollama_server: NewOllama) -> None:
    server = ollama_server()
    env = {"OLLAMA_HOST": server.origin, "ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    catalog = {name: CATALOG[name] for name in ("openai", "ollama", "anthropic")}

    assert (await chosen(env, catalog=catalog))["fast"].provider == "openai"
    assert server.requests == []


async def test_a_tier_that_the_first_key_does_not_know_is_answered_by_the_next() -> None:
    catalog = {"anthropic": ProviderCard(tiers={"fast": "claude-small"}), "openai": CATALOG["openai"]}
    choices = await chosen({"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}, catalog=catalog)

    assert (choices["fast"].provider, choices["careful"].provider) == ("anthropic", "openai")


async def test_offline_no_cloud_is_chosen_and_it_is_no_problem() -> None:
    assert await chosen({"OPENAI_API_KEY": KEY}, offline=True) == {}


async def test_offline_this_machine_still_answers(ollama_server: NewOllama) -> None:
    assert (await chosen({"OLLAMA_HOST": ollama_server().origin}, offline=True))["fast"].model == "qwen3:8b"


@pytest.mark.parametrize("key", [None, "", " "])
async def test_without_anything_the_problem_names_the_ways_out(key: str | None) -> None:
    found = await problem({} if key is None else {"OPENAI_API_KEY": key})

    assert found.what == "no model can be reached for fast and careful"
    assert found.hint == (
        "start LM Studio's server or Ollama with a chat model loaded, or keep a key: llm-orc auth add anthropic (or openai), "
        "or run what needs no model: --offline"
    )


async def test_an_unknown_tier_is_a_problem_with_the_nearest() -> None:
    found = await problem({"OPENAI_API_KEY": KEY}, ("carefull", NOTHING))

    assert (found.what, found.hint) == ("provider auto has no tier 'carefull'", "did you mean 'careful'?")


# ---- capabilities


async def test_the_tiers_own_model_answers_where_it_can_do_what_is_wanted() -> None:
    choices = await chosen({"OPENAI_API_KEY": KEY}, ("careful", SEES))

    assert choices["careful"] == Choice("careful", "openai", "gpt-large", "OPENAI_API_KEY", "api.openai.com", local=False)


async def test_else_the_cheapest_that_can_and_the_line_says_why() -> None:
    choices = await chosen({"OPENAI_API_KEY": KEY}, ("fast", SEES))

    assert str(choices["fast"]) == (
        "fast -> openai/gpt-eyes (OPENAI_API_KEY; cheapest with vision: $0.00125 per 1k+1k tokens, of 3 that fit); sends to api.openai.com"
    )


async def test_each_set_of_capabilities_has_a_choice_of_its_own() -> None:
    wanted: list[Wanted] = [("fast", NOTHING), ("fast", SEES), ("fast", frozenset({"vision", "tools"}))]
    choices = await choose(wanted, CATALOG, Reach({**ABSENT, "OPENAI_API_KEY": KEY}), pricing, offline=False)

    assert [choices[each].model for each in wanted] == ["gpt-small", "gpt-eyes", "gpt-large"]
    assert choices[wanted[2]].why == "OPENAI_API_KEY; cheapest with tools and vision: $0.025 per 1k+1k tokens, of 1 that fit"


async def test_a_model_without_a_known_price_comes_last() -> None:
    unpriced = await choose([("fast", SEES)], CATALOG, Reach({**ABSENT, "OPENAI_API_KEY": KEY}), lambda _: None, offline=False)

    assert unpriced["fast", SEES].why == "OPENAI_API_KEY; the first with vision, none with a known price, of 3 that fit"


async def test_a_model_on_this_machine_that_can_goes_before_any_that_costs(openai_server: NewServer, ollama_server: NewOllama) -> None:
    studio = openai_server(native=[NativeModel("qwen")])
    server = ollama_server(Model("llama3:latest", loaded=4096), Model("llava:7b", capabilities=("completion", "vision")))
    env = {"LMSTUDIO_BASE_URL": studio.base_url, "OLLAMA_HOST": server.origin, "OPENAI_API_KEY": KEY}
    choices = await chosen(env, ("fast", SEES))

    assert (choices["fast"].provider, choices["fast"].model) == ("ollama", "llava:7b")
    assert choices["fast"].why == "running; cheapest with vision: $0 per 1k+1k tokens, of 4 that fit"
    assert choices["fast"].local


async def test_what_no_model_on_this_machine_can_do_a_cloud_does(ollama_server: NewOllama) -> None:
    env = {"OLLAMA_HOST": ollama_server().origin, "OPENAI_API_KEY": KEY}
    choices = await choose([("fast", NOTHING), ("fast", SEES)], CATALOG, Reach({**ABSENT, **env}), pricing, offline=False)

    assert [choice.provider for choice in choices.values()] == ["ollama", "openai"]


async def test_where_no_model_can_the_problem_names_the_ways_out(ollama_server: NewOllama) -> None:
    found = await problem({"OLLAMA_HOST": ollama_server().origin}, ("fast", NOTHING), ("careful", SEES))

    assert found.what == "no model with vision can be reached for careful"
    assert found.hint == (
        "give LM Studio's server or Ollama a model with vision, or keep a key: llm-orc auth add anthropic (or openai), "
        "or name a profile that has it: --profile NAME"
    )


async def test_offline_what_no_model_can_is_left_unchosen(ollama_server: NewOllama) -> None:
    env = {**ABSENT, "OLLAMA_HOST": ollama_server().origin}
    choices = await choose([("fast", NOTHING), ("fast", SEES)], CATALOG, Reach(env), pricing, offline=True)

    assert list(choices) == [("fast", NOTHING)]


# ---- the provider `auto` itself


async def test_a_plan_without_tiers_probes_nothing(ollama_server: NewOllama) -> None:
    server = ollama_server()

    assert await choose([], CATALOG, Reach({"OLLAMA_HOST": server.origin}), pricing, offline=False) == {}
    assert server.requests == []


async def test_a_tier_that_was_not_chosen_is_nowhere_and_cannot_be_asked() -> None:
    async with models() as opened:
        assert isinstance(opened, Models)
        assert not opened.endpoint(FAST).local
        with pytest.raises(FailedError) as caught:
            await ask(opened, FAST)

    assert (caught.value.failure.kind, caught.value.failure.what) == (Kind.OFFLINE, "no model was found for 'fast'")
