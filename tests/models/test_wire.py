"""What goes over the wire to a server that speaks OpenAI's format, and what is made of its replies."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from llm_orc.domain.event import Happening
from llm_orc.domain.message import Kind, Message, Request, Usage
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Parameters, Profile
from tests.models.asking import ask, failure, models, profile, texts
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Connection, Gate, Received, ThreadServer

SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.25, {"temperature": 0.25}),
    "max_tokens": (77, {"max_tokens": 77}),
    "top_p": (0.5, {"top_p": 0.5}),
    "seed": (42, {"seed": 42}),
    "stop": (("END", "STOP"), {"stop": ["END", "STOP"]}),
    "options": ({"num_ctx": 8192, "logit_bias": {"50256": -100}}, {"num_ctx": 8192, "logit_bias": {"50256": -100}}),
    "system_prompt": ("Be brief.", {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]}),
    "timeout_seconds": (9.0, {}),
    "cache": (True, {}),
}
"""Parameter -> a value, and what the request must hold of it; the clock and the cache are the engine's and never sent."""
BARE = {"model": "model", "messages": [{"role": "user", "content": "hello there"}], "stream": False}


async def sent(server: OpenAIServer, **parameters: Any) -> dict[str, Any]:
    async with models() as opened:
        await ask(opened, profile(server.base_url, **parameters))
    body: dict[str, Any] = server.chats[-1].json
    return body


ELSEWHERE: dict[str, tuple[Any, str]] = {
    "name": ("p", "what ensembles call it"),
    "model": ("model", "in every body below"),
    "provider": ("openai-compatible", "it chooses the code"),
    "base_url": (None, "where every request below goes"),
    "credential": (None, "which key is sent: test_trust"),
    "insecure": (True, "whether anything is sent: test_trust"),
    "fallback": (("other",), "whom the engine asks next"),
    "max_parallel": (3, "the engine's slots"),
    "requests_per_minute": (5, "the engine's rates"),
    "tokens_per_minute": (5, "the engine's rates"),
    "price": ({"input": 1, "output": 2}, "what the engine counts with"),
    "context_window": (10_000, "what the engine checks before it asks, by the model's card"),
    "capabilities": (("vision",), "the model's card: test_chat"),
}
"""Key of a profile that is no part of a request -> a value, and what it does instead."""


def test_every_key_of_a_profile_has_its_assertion() -> None:
    assert SENT.keys() == Parameters.model_fields.keys()
    assert SENT.keys() | ELSEWHERE.keys() == Profile.model_fields.keys()


@pytest.mark.parametrize("name", [name for name, (value, _) in ELSEWHERE.items() if value is not None])
async def test_the_key_is_no_part_of_a_request(name: str, openai_server: NewServer) -> None:
    assert await sent(openai_server(), **{name: ELSEWHERE[name][0]}) == BARE


@pytest.mark.parametrize("name", SENT)
async def test_the_parameter_reaches_the_wire_and_nothing_else_does(name: str, openai_server: NewServer) -> None:
    value, expected = SENT[name]

    assert await sent(openai_server(), **{name: value}) == BARE | expected


async def test_all_parameters_reach_the_wire_together(openai_server: NewServer) -> None:
    body = await sent(openai_server(), **{name: value for name, (value, _) in SENT.items()})

    for _, expected in SENT.values():
        assert expected.items() <= body.items()


async def test_options_go_over_parameters(openai_server: NewServer) -> None:
    assert await sent(openai_server(), temperature=0.1, options={"temperature": 0.9}) == BARE | {"temperature": 0.9}


async def test_options_that_are_said_elsewhere_are_a_problem() -> None:
    async with models() as opened:
        with pytest.raises(ProblemError) as caught:
            opened.ask(profile("http://localhost:1/v1", options={"messages": [], "model": "x", "stream": True}))

    assert str(caught.value).split("\n") == [
        "option 'messages' cannot be set",
        "hint: say prompt: and system_prompt:",
        "option 'model' cannot be set",
        "hint: say model: in the profile or agent",
        "option 'stream' cannot be set",
        "hint: the reply comes in pieces wherever somebody watches",
    ]


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
async def test_options_that_are_no_json_fail_in_words(value: object, openai_server: NewServer) -> None:
    server = openai_server()
    async with models() as opened:
        failed, _ = await failure(opened, profile(server.base_url, options={"x": value}))

    assert (failed.kind, failed.what) == (Kind.INVALID_REQUEST, "options hold something that JSON has no word for")
    assert server.requests == []


async def test_openai_itself_is_sent_the_newer_name_of_max_tokens(openai_server: NewServer) -> None:
    body = await sent(openai_server(), provider="openai", max_tokens=5)

    assert (body["max_completion_tokens"], "max_tokens" in body) == (5, False)


async def test_a_conversation_is_sent_in_order_and_its_system_message_not_twice(openai_server: NewServer) -> None:
    server = openai_server()
    turns = [Message("system", "S"), Message("user", "one"), Message("assistant", "two"), Message("user", "three \u2028 \u2603")]
    async with models() as opened:
        await ask(opened, profile(server.base_url, system_prompt="S"), *turns)

    assert server.chats[0].json["messages"] == [{"role": turn.role, "content": turn.text} for turn in turns]


async def test_a_whole_reply(openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("fine words", usage=(100, 20), cached=60, reasoning=5, model="model-2026")})
    async with models() as opened:
        reply = await ask(opened, profile(server.base_url))

    assert reply.text == "fine words"
    assert reply.usage == Usage(100, 20, cached=60, reasoning=5)
    assert (reply.finish, reply.model, reply.cost) == ("stop", "model-2026", None)


async def test_a_streamed_reply_is_the_same_and_told_piece_by_piece(openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("fine \u2028 words\nhere \u00e9", usage=(100, 20), cached=60, reasoning=5, model="model-2026")})
    told: list[Happening] = []
    async with models() as opened:
        streamed = await ask(opened, profile(server.base_url), told=told)
        whole = await ask(opened, profile(server.base_url))

    assert streamed == whole
    assert len(texts(told)) == 4
    assert "".join(texts(told)) == streamed.text
    assert server.chats[0].json["stream_options"] == {"include_usage": True}
    assert "stream_options" not in server.chats[1].json


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_cut_by_max_tokens_is_flagged(openai_server: NewServer, *, stream: bool) -> None:
    server = openai_server({"": Scripted("half a", finish_reason="length")})
    async with models() as opened:
        reply = await ask(opened, profile(server.base_url), told=[] if stream else None)

    assert (reply.text, reply.finish) == ("half a", "length")


async def test_a_thousand_calls_at_once_all_succeed(openai_server: NewServer) -> None:
    server = openai_server(latency=0.3)
    async with models() as opened:
        replies = await asyncio.gather(*(ask(opened, profile(server.base_url)) for _ in range(1000)))

    assert {reply.text for reply in replies} == {"ok"}
    assert server.peak > 500


async def test_a_cancelled_call_closes_its_connection(openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"": Scripted("a b c d", gate=gate, gate_after=2)})
    async with models() as opened:
        call = asyncio.create_task(ask(opened, profile(server.base_url), told=[]))
        await gate.arrivals(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)


async def test_a_stream_is_told_while_it_goes_on(openai_server: NewServer) -> None:
    gate, begun = Gate(), asyncio.Event()
    server = openai_server({"": Scripted("first second third", gate=gate, gate_after=1)})
    told: list[Happening] = []

    def tell(event: Happening) -> None:
        told.append(event)
        begun.set()

    asked = profile(server.base_url)
    async with models() as opened:
        call = asyncio.ensure_future(opened.ask(asked)(Request("a", (Message("user", "hi"),), asked, stream=True), tell))
        await begun.wait()
        assert (texts(told), call.done()) == (["first "], False)
        gate.release()
        assert (await call).text == "first second third"


async def test_closing_leaves_no_connection_open(openai_server: NewServer) -> None:
    server = openai_server()
    async with models() as opened:
        await asyncio.gather(*(ask(opened, profile(server.base_url)) for _ in range(3)))
        assert server.connections > 0
    async with models() as again:
        await ask(again, profile(server.base_url))
        await asyncio.to_thread(server.wait_until, lambda: server.connections == 1)


class Thinker(ThreadServer):
    """Thinks aloud, in the two ways that servers have for it, before it answers."""

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.start_chunks()
        for delta in ({"reasoning_content": "hm "}, {"reasoning": "so "}, {"content": "ye\u2028"}, {"content": "s"}):
            connection.chunk(b"data: " + json.dumps({"choices": [{"delta": delta}]}, ensure_ascii=False).encode() + b"\n\n")
        connection.chunk(b'data: {"type": "ping"}\n\nevent: end\ndata: [DONE]\n\ndata: late\n\n')
        connection.chunk(b"")


async def test_thinking_is_told_apart_from_the_reply() -> None:
    told: list[Happening] = []
    with Thinker() as server:
        async with models() as opened:
            reply = await ask(opened, profile(server.base_url), told=told)

    assert reply.text == "ye\u2028s"
    assert texts(told) == ["ye\u2028", "s"]
    assert texts(told, thinking=True) == ["hm ", "so "]


MANY = """
import asyncio, json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[2])))
from tests.models.asking import *
async def main():
    async with models() as opened:
        calls = (ask(opened, profile(sys.argv[1])) for _ in range(200))
        return [str(said) if isinstance(said, Exception) else said.text for said in await asyncio.gather(*calls, return_exceptions=True)]
print(json.dumps(asyncio.run(main())))
"""


def said_to_many(server: OpenAIServer, hard: int) -> set[str]:
    """What 200 calls at once are told in a process that may open 100 files, and after asking its system `hard`."""
    command = [sys.executable, "-c", MANY, server.base_url, str(hard)]
    done = subprocess.run(command, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_more_calls_than_the_system_lets_files_be_open_unasked(openai_server: NewServer) -> None:
    assert said_to_many(openai_server(latency=0.5), hard=1000) == {"ok"}


def test_more_calls_than_the_system_lets_files_be_open_at_all_fail_in_words(openai_server: NewServer) -> None:
    assert said_to_many(openai_server(latency=0.5), hard=100) == {"ok", "network: this system lets no more connections be open"}


async def test_what_a_listener_raises_is_not_taken_for_a_fault_of_the_server(openai_server: NewServer) -> None:
    server = openai_server()

    def tell(_: Happening) -> None:
        raise BrokenPipeError("nobody reads any more")

    async with models() as opened:
        asked = profile(server.base_url)
        with pytest.raises(BrokenPipeError):
            await opened.ask(asked)(Request("a", (Message("user", "hi"),), asked, stream=True), tell)
