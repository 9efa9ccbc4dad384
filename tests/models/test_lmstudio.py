"""LM Studio is asked what it has before it is asked anything: its word is the truth, and loading a model is told."""

import asyncio

import pytest

from llm_orc.domain.event import Happening, Loaded, Loading
from llm_orc.domain.message import NO_USAGE, Kind, Message
from llm_orc.models.base import Listed, Reach
from llm_orc.models.openai_compatible import OpenAICompatible
from tests.models.asking import ask, fault, models, profile
from tests.servers.fixtures import NewServer
from tests.servers.openai import NativeModel, OpenAIServer
from tests.servers.wire import Gate

NATIVE = [
    NativeModel("vec", type="embeddings", state="loaded"),
    NativeModel("big", state="not-loaded", max_context_length=50),
    NativeModel("qwen", loaded_context_length=20),
    NativeModel("eyes", type="vlm"),
]


def listings(server: OpenAIServer) -> list[str]:
    return [request.path for request in server.requests if request.method == "GET"]


def named(told: list[Happening]) -> list[str]:
    return [type(event).__name__ for event in told]


async def test_a_model_that_is_loaded_is_asked_after_one_look_and_later_without(openai_server: NewServer) -> None:
    server = openai_server(native=NATIVE)
    told: list[Happening] = []
    async with models() as opened:
        for _ in range(3):
            await ask(opened, profile(server.base_url, "lmstudio", model="qwen"), told=told)

    assert listings(server) == ["/api/v0/models"]
    assert set(named(told)) == {"Delta"}


async def test_calls_at_once_share_one_look(openai_server: NewServer) -> None:
    server = openai_server(native=NATIVE)
    async with models() as opened:
        await asyncio.gather(*(ask(opened, profile(server.base_url, "lmstudio", model="qwen")) for _ in range(20)))

    assert (len(listings(server)), len(server.chats)) == (1, 20)


async def test_an_older_one_is_asked_in_openais_way(openai_server: NewServer) -> None:
    server = openai_server(models=["qwen3", "llama"])
    async with models() as opened:
        for _ in range(2):
            await ask(opened, profile(server.base_url, "lmstudio", model="llama"))
        near = await fault(opened, profile(server.base_url, "lmstudio", model="qwen"))
        far = await fault(opened, profile(server.base_url, "lmstudio", model="gpt"))
        await ask(opened, profile(server.base_url, model="gpt"))

    assert (near.failure.kind, near.failure.hint, near.usage) == (Kind.NOT_FOUND, "did you mean 'qwen3'?", NO_USAGE)
    assert far.failure.hint == "there are: qwen3, llama"
    assert listings(server) == ["/api/v0/models", "/v1/models"]
    assert [request.json["model"] for request in server.chats] == ["llama", "llama", "gpt"]


async def test_where_no_model_is_the_hint_says_how_to_get_it(openai_server: NewServer) -> None:
    server = openai_server(native=[])
    async with models() as opened:
        error = await fault(opened, profile(server.base_url, "lmstudio", model="qwen"))

    assert (error.failure.kind, error.failure.hint) == (Kind.NOT_FOUND, "get it: lms get qwen")
    assert server.chats == []


@pytest.mark.parametrize("stream", [True, False])
async def test_loading_is_told_until_the_first_byte_and_then_looked_at_anew(openai_server: NewServer, *, stream: bool) -> None:
    server = openai_server(native=NATIVE)
    told: list[Happening] = []
    async with models() as opened:
        for _ in range(2):
            await ask(opened, profile(server.base_url, "lmstudio", model="big"), told=told, stream=stream)

    once = ["Loading", "Loaded", *(["Delta"] if stream else [])]
    assert named(told) == once * 2
    assert told[0] == Loading(node="a", model="big")
    assert told[1] == Loaded(node="a")
    assert len(listings(server)) == 2


async def test_loading_is_over_though_the_call_fails_or_is_cancelled(openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"fail": 500, "wait": gate}, native=NATIVE)
    asked = profile(server.base_url, "lmstudio", model="big")
    failed: list[Happening] = []
    cancelled: list[Happening] = []
    async with models() as opened:
        await fault(opened, asked, Message("user", "fail"), told=failed)
        call = asyncio.create_task(ask(opened, asked, Message("user", "wait"), told=cancelled))
        await gate.arrivals(1)
        assert named(cancelled) == ["Loading"]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert named(failed) == named(cancelled) == ["Loading", "Loaded"]


@pytest.mark.parametrize(
    ("model", "letters", "max_tokens", "fits"),
    [("qwen", 80, None, True), ("qwen", 81, None, False), ("qwen", 40, 10, True), ("qwen", 40, 11, False), ("big", 201, None, False)],
)
async def test_what_does_not_fit_is_never_sent(
    model: str, letters: int, max_tokens: int | None, *, fits: bool, openai_server: NewServer
) -> None:
    server = openai_server(native=NATIVE)
    asked = profile(server.base_url, "lmstudio", model=model, max_tokens=max_tokens)
    async with models() as opened:
        if fits:
            await ask(opened, asked, Message("user", "x" * letters))
            return
        error = await fault(opened, asked, Message("user", "x" * letters))

    assert (error.failure.kind, error.usage, server.chats) == (Kind.CONTEXT_LENGTH, NO_USAGE, [])


async def test_a_request_that_does_not_fit_says_how_to_make_room(openai_server: NewServer) -> None:
    server = openai_server(native=NATIVE)
    async with models() as opened:
        small = await fault(opened, profile(server.base_url, "lmstudio", model="qwen", max_tokens=30), Message("user", "x" * 8))
        never = await fault(opened, profile(server.base_url, "lmstudio", model="big"), Message("user", "x" * 300))

    label = server.origin[7:]
    assert small.failure.what == f"about 2 tokens of prompt and 30 of reply do not fit the 20 tokens that {label} has for 'qwen'"
    assert small.failure.hint == "lms load qwen --context-length 32, or send less: split the input with fan_out"
    assert never.failure.what == f"about 75 tokens of prompt do not fit the 50 tokens that {label} has for 'big'"
    assert never.failure.hint == "choose a model with a larger window, or send less: split the input with fan_out"


async def test_its_models_are_listed_with_what_it_says_of_them(openai_server: NewServer) -> None:
    server = openai_server(native=NATIVE)
    opened = OpenAICompatible("lmstudio", Reach())
    found = await opened.models(profile(server.base_url, "lmstudio"))
    await opened.close()

    assert found == [
        Listed("qwen", loaded=True, context_window=20, capabilities=frozenset({"structured_output"})),
        Listed("eyes", loaded=True, context_window=32768, capabilities=frozenset({"structured_output", "vision"})),
        Listed("big", loaded=False, context_window=50, capabilities=frozenset({"structured_output"})),
        Listed("vec", chat=False, loaded=True, context_window=32768, capabilities=frozenset()),
    ]


async def test_a_server_that_is_not_there_costs_nothing_and_says_how_to_start_it() -> None:
    async with models() as opened:
        error = await fault(opened, profile("http://127.0.0.1:1/v1", "lmstudio"))

    assert (error.failure.kind, error.usage) == (Kind.NETWORK, NO_USAGE)
    assert error.failure.hint == "start LM Studio's server: lms server start (or its Developer tab)"
