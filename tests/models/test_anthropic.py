"""What goes over the wire to Anthropic's Messages API, what is made of its replies, and of everything that goes wrong."""

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.event import Happening, Warned
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Kind, Message, Reply, Request, Usage
from llm_orc.domain.model import Capability, ModelCard
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Parameters, Profile
from llm_orc.models.anthropic import Anthropic
from llm_orc.models.anthropic_answer import Answer, usage_of
from llm_orc.models.anthropic_wire import WRITTEN, AnthropicOptions, expressible
from llm_orc.models.base import Listed, Reach
from llm_orc.models.target import aim
from llm_orc.models.transport import Patience
from llm_orc.testing import Subject, provider_conformance
from tests.models.asking import texts
from tests.models.test_faults import FOREIGN
from tests.project import NewProject
from tests.servers import tls
from tests.servers.anthropic import FAULTS, AnthropicFaults, AnthropicServer, Row, Said
from tests.servers.proxy import TunnelServer
from tests.servers.wire import Gate, Received

KEY = "correct-horse-battery-4711"
HELLO = (Message("user", "hello there"),)
Serve = Callable[..., AnthropicServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[AnthropicServer] = []

    def start(*args: Any, **settings: Any) -> AnthropicServer:
        started.append(AnthropicServer(*args, **settings).__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture
def faults() -> Iterator[AnthropicFaults]:
    with AnthropicFaults() as server:
        yield server


@asynccontextmanager
async def opened(reach: Reach | None = None, patience: Patience | None = None) -> AsyncIterator[Anthropic]:
    provider = Anthropic("anthropic", reach or Reach(), patience)
    try:
        yield provider
    finally:
        await provider.close()


def profile(base_url: str | None, **keys: Any) -> Profile:
    return Profile(**{"name": "p", "model": "claude-x", "provider": "anthropic", "base_url": base_url} | keys)


async def ask(
    provider: Anthropic,
    asked: Profile,
    *messages: Message,
    told: list[Happening] | None = None,
    stream: bool = False,
    schema: Mapping[str, Any] | None = None,
) -> Reply:
    request = Request("a", messages or HELLO, asked, stream=stream, schema=schema)
    return await provider.ask(asked)(request, (told if told is not None else []).append)


async def sent(server: AnthropicServer, *messages: Message, card: ModelCard | None = None, **keys: Any) -> Received:
    """The request that a profile with these keys makes."""
    schema = keys.pop("schema", None)
    async with opened(Reach(card=lambda _: card or ModelCard())) as provider:
        await ask(provider, profile(server.base_url, **keys), *messages, schema=schema)
    return server.requests[-1]


async def failed(provider: Anthropic, asked: Profile, *messages: Message, stream: bool = False) -> FailedError:
    with pytest.raises(FailedError) as caught:
        await ask(provider, asked, *messages, stream=stream)
    return caught.value


# ---- what is sent

BARE = {"model": "claude-x", "max_tokens": 4096, "messages": [{"role": "user", "content": "hello there"}]}
SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.25, {"temperature": 0.25}),
    "max_tokens": (77, {"max_tokens": 77}),
    "top_p": (0.5, {"top_p": 0.5}),
    "seed": (42, {}),
    "stop": (("END", "STOP"), {"stop_sequences": ["END", "STOP"]}),
    "options": ({"top_k": 5, "new_thing": {"a": 1}}, {"top_k": 5, "new_thing": {"a": 1}}),
    "system_prompt": ("Be brief.", {"system": "Be brief."}),
    "timeout_seconds": (9.0, {}),
    "cache": (True, {}),
}
"""Parameter -> a value, and what the body must hold of it; clock and cache are the engine's, and the API has no seed, which is told."""
NOT_PARAMETERS = {
    "name": "people's word for it",
    "model": "in BARE",
    "provider": "chose us",
    "base_url": "where all of this goes",
    "credential": "test_a_key_is_shown_as_the_api_wants_it",
    "insecure": "whether it may go at all: the target's",
    "fallback": "the engine's",
    "max_parallel": "the engine's",
    "requests_per_minute": "the engine's",
    "tokens_per_minute": "the engine's",
    "price": "the engine's",
    "context_window": "the engine's",
    "capabilities": "the card's",
}
"""Fields of a profile that are no parameters, and who sees to them."""
OPTIONS: dict[str, tuple[Any, str]] = {
    "top_k": (5, ""),
    "thinking": ({"type": "enabled", "budget_tokens": 1024}, ""),
    "output_config": ({"effort": "high"}, ""),
    "metadata": ({"user_id": "u"}, ""),
    "service_tier": ("standard_only", ""),
    "speed": ("fast", ""),
    "inference_geo": ("eu", ""),
    "cache_control": ({"type": "ephemeral"}, ""),
    "tools": ([{"type": "web_search_20250305", "name": "web_search"}], ""),
    "tool_choice": ({"type": "auto"}, ""),
    "container": ("c1", ""),
    "betas": (["one-2026-01-01", "two-2026-01-01"], "anthropic-beta"),
    "user_profile_id": ("up_1", "anthropic-user-profile-id"),
    "workspace_id": ("ws_1", "anthropic-workspace-id"),
}
"""Option -> a value, and the header that it goes into, if it is not in the body."""


def test_every_field_has_its_assertion() -> None:
    assert SENT.keys() == Parameters.model_fields.keys()
    assert Profile.model_fields.keys() - SENT.keys() <= NOT_PARAMETERS.keys()
    assert OPTIONS.keys() == AnthropicOptions.model_fields.keys()


@pytest.mark.parametrize("name", SENT)
async def test_a_parameter_reaches_the_wire_and_nothing_else_does(name: str, serve: Serve) -> None:
    value, expected = SENT[name]

    assert (await sent(serve(), **{name: value})).json == BARE | expected


async def test_all_parameters_reach_the_wire_together(serve: Serve) -> None:
    body = (await sent(serve(), **{name: value for name, (value, _) in SENT.items()})).json

    for _, expected in SENT.values():
        assert expected.items() <= body.items()


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_option_reaches_the_wire(name: str, serve: Serve) -> None:
    value, header = OPTIONS[name]
    request = await sent(serve(), options={name: value})

    if header:
        assert request.headers[header] == (value if isinstance(value, str) else ",".join(value))
        assert request.json == BARE
    else:
        assert request.json == BARE | {name: value}


async def test_sampling_is_asked_of_the_version_that_has_it_and_all_else_of_the_newest(serve: Serve) -> None:
    server = serve()
    versions = [(await sent(server, **keys)).headers["anthropic-version"] for keys in ({}, {"temperature": 1}, {"options": {"top_k": 1}})]

    assert versions[1:] == ["2023-06-01", "2023-06-01"]
    assert versions[0] >= "2026-10-21"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top_k": "many"}, "option 'top_k' must be a whole number"),
        ({"betas": ["a\r\nX-Evil: 1"]}, "option 'betas.0' must match"),
        *(({key: "x"}, f"option '{key}': it is not set there") for key in WRITTEN),
    ],
)
async def test_an_option_that_cannot_be_is_a_problem_before_anything_is_sent(options: dict[str, Any], words: str) -> None:
    async with opened() as provider:
        with pytest.raises(ProblemError) as caught:
            provider.ask(profile("http://localhost:1", options=options))

    assert caught.value.problems[0].what.startswith(words)


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
async def test_options_that_are_no_json_fail_in_words(value: object, serve: Serve) -> None:
    server = serve()
    async with opened() as provider:
        error = await failed(provider, profile(server.base_url, options={"x": value}))

    assert (error.failure.kind, error.failure.what) == (Kind.INVALID_REQUEST, "options hold something that JSON has no word for")
    assert (error.usage, server.requests) == (NO_USAGE, [])


async def test_what_is_not_sent_is_named(serve: Serve) -> None:
    server = serve()
    told: list[Happening] = []
    card = ModelCard(refuses=frozenset({"temperature", "top_p", "stop"}))
    async with opened(Reach(card=lambda _: card)) as provider:
        await ask(provider, profile(server.base_url, temperature=1, top_p=1, stop=["x"], seed=7, max_tokens=5), told=told)

    assert server.requests[0].json == BARE | {"max_tokens": 5}
    assert told == [
        Warned(node="a", what="anthropic takes no seed: it is not sent"),
        Warned(node="a", what="claude-x takes no temperature: it is not sent"),
        Warned(node="a", what="claude-x takes no top_p: it is not sent"),
        Warned(node="a", what="claude-x takes no stop: it is not sent"),
    ]


async def test_the_longest_reply_is_the_profiles_else_the_models_else_4096(serve: Serve) -> None:
    server, card = serve(), ModelCard(max_output=64_000)
    lengths = [
        (await sent(server, card=each, **keys)).json["max_tokens"] for each, keys in ((card, {"max_tokens": 9}), (card, {}), (None, {}))
    ]

    assert lengths == [9, 64_000, 4096]


async def test_a_conversation_is_sent_in_order_and_its_system_messages_apart(serve: Serve) -> None:
    turns = [Message("user", "one"), Message("assistant", "two"), Message("user", "three \u2028 \u2603")]
    request = await sent(serve(), Message("system", "S"), *turns, Message("system", "T"), system_prompt="unused")

    assert request.json["system"] == "S\n\nT"
    assert request.json["messages"] == [{"role": turn.role, "content": turn.text} for turn in turns]


async def test_images_and_files_go_before_the_text(serve: Serve) -> None:
    files = (
        Attachment("a.png", "image/png", b"\x89PNG"),
        Attachment("b.pdf", "application/pdf", b"%PDF"),
        Attachment("c.md", "text/markdown; charset=utf-8", "# \u00fc".encode()),
        Attachment("d.svg", "image/svg+xml", b"<svg/>"),
    )
    request = await sent(serve(), Message("user", "look", files), Message("assistant", "yes"), Message("user", "", files[:1]))
    first, _, last = request.json["messages"]

    def encoded(kind: str, data: bytes) -> dict[str, str]:
        return {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()}

    def plain(text: str) -> dict[str, str]:
        return {"type": "text", "media_type": "text/plain", "data": text}

    assert first["content"] == [
        {"type": "image", "source": encoded("image/png", b"\x89PNG")},
        {"type": "document", "source": encoded("application/pdf", b"%PDF"), "title": "b.pdf"},
        {"type": "document", "source": plain("# \u00fc"), "title": "c.md"},
        {"type": "document", "source": plain("<svg/>"), "title": "d.svg"},
        {"type": "text", "text": "look"},
    ]
    assert last["content"] == [{"type": "image", "source": encoded("image/png", b"\x89PNG")}]


async def test_a_file_that_the_api_cannot_read_is_refused_before_anything_is_sent(serve: Serve) -> None:
    server = serve()
    async with opened() as provider:
        error = await failed(
            provider, profile(server.base_url), Message("user", "look", (Attachment("a.tiff", "image/tiff", b"\xff\x00"),))
        )

    assert (error.failure.kind, error.failure.what) == (Kind.INVALID_REQUEST, "anthropic takes no image/tiff: a.tiff")
    assert "PNG" in error.failure.hint
    assert (error.usage, server.requests) == (NO_USAGE, [])


PERSON = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}


async def test_a_schema_goes_in_the_apis_own_way(serve: Serve) -> None:
    body = (await sent(serve(), schema=PERSON, options={"output_config": {"effort": "low"}})).json

    shape = body["output_config"]["format"]["schema"]
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert (shape["additionalProperties"], shape["required"]) == (False, ["age"])
    assert shape["properties"]["age"] == {"type": "integer", "description": "{minimum: 0}"}
    assert "system" not in body


@pytest.mark.parametrize(
    ("schema", "card"),
    [
        (PERSON, ModelCard(capabilities=frozenset({"vision"}))),
        ({"type": "object"}, None),
        ({"type": "array", "items": {"type": "string"}}, None),
    ],
)
async def test_else_it_is_asked_for_in_words(schema: dict[str, Any], card: ModelCard | None, serve: Serve) -> None:
    body = (await sent(serve(), schema=schema, card=card, system_prompt="S")).json

    assert "output_config" not in body
    assert body["system"].startswith("S\n\nReply with JSON alone")
    assert json.loads(body["system"].rpartition("\n")[2]) == schema


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


NODE = of(next={"$ref": "#/$defs/node"})


@pytest.mark.parametrize(
    ("schema", "can"),
    [
        (PERSON, True),
        (of(a={"type": "array", "items": of(b={"enum": [1, 2]})}), True),
        (of(a={"anyOf": [{"type": "string"}, {"type": "null"}]}), True),
        (of(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": {"const": 3}}}, True),
        (of(a={"$ref": "#/$defs/node"}) | {"$defs": {"node": NODE}}, False),
        (of(a={"$ref": "#/definitions/b"}) | {"definitions": {"b": {"type": "string"}}}, False),
        (of(a={"type": ["string", "null"]}), False),
        (of(a={"type": "object"}), False),
        (of(a={"type": "array"}), False),
        (of(a=True), False),
        (of(a={}), False),
        (of(a={"type": "string"}) | {"additionalProperties": {"type": "string"}}, False),
        (of(a={"type": "string"}) | {"patternProperties": {"^x": {"type": "string"}}}, False),
        ({"type": "array", "items": {"type": "string"}}, False),
    ],
)
def test_what_the_apis_grammar_can_hold_a_reply_to(schema: dict[str, Any], *, can: bool) -> None:
    assert expressible(schema) is can


# ---- what comes back


async def test_a_whole_reply(serve: Serve) -> None:
    server = serve(Said("fine words", thinking="hm", usage=(100, 20), cache_read=60, cache_write=7, reasoning=5, model="claude-x-2026"))
    told: list[Happening] = []
    async with opened() as provider:
        reply = await ask(provider, profile(server.base_url), told=told)

    usage = Usage(167, 20, cached=60, reasoning=5, cache_write=7)
    assert reply == Reply("fine words", usage=usage, model="claude-x-2026")
    assert told == []


async def test_a_streamed_reply_is_the_same_and_told_piece_by_piece(serve: Serve) -> None:
    said = Said("fine \u2028 words\nhere \u00e9", thinking="let me see", usage=(100, 20), cache_read=60, reasoning=5, model="claude-x-2026")
    server = serve(said)
    told: list[Happening] = []
    async with opened() as provider:
        whole = await ask(provider, profile(server.base_url))
        streamed = await ask(provider, profile(server.base_url), told=told, stream=True)

    assert streamed == whole
    assert texts(told) == ["fine ", "\u2028 ", "words\nhere ", "\u00e9"]
    assert texts(told, thinking=True) == ["let ", "me ", "see"]
    assert [request.json.get("stream") for request in server.requests] == [None, True]


FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "other",
    "pause_turn": "other",
    "something_new": "other",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", FINISHES)
async def test_why_it_ended(reason: str, serve: Serve, *, stream: bool) -> None:
    server = serve(Said("text", stop_reason=reason))
    async with opened() as provider:
        reply = await ask(provider, profile(server.base_url), stream=stream)

    assert (reply.text, reply.finish) == ("text", FINISHES[reason])


async def test_a_stream_is_told_while_it_goes_on_and_a_cancelled_one_is_dropped(serve: Serve) -> None:
    gate, begun = Gate(), asyncio.Event()
    server = serve(Said("first second", gate=gate))
    told: list[Happening] = []

    def tell(event: Happening) -> None:
        told.append(event)
        begun.set()

    async with opened() as provider:
        asked = profile(server.base_url)
        call = asyncio.create_task(provider.generate(Request("a", HELLO, asked, stream=True), tell))
        await asyncio.wait_for(begun.wait(), 30)
        assert texts(told) == ["first "]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)


async def test_one_after_the_other_use_one_connection_and_closing_ends_it(serve: Serve) -> None:
    server = serve()
    async with opened() as provider:
        for stream in (True, False, True, False):
            await ask(provider, profile(server.base_url), stream=stream)
        assert server.opened == 1
    await asyncio.to_thread(server.wait_until, lambda: server.connections == 0)


async def test_a_connection_is_used_again_though_the_end_comes_after_the_last_event(serve: Serve) -> None:
    gate = Gate()
    server = serve(Said(last_gate=gate))
    async with opened() as provider:
        call = asyncio.create_task(ask(provider, profile(server.base_url), stream=True))
        await gate.arrivals(1)
        gate.release()
        await call
        await ask(provider, profile(server.base_url), stream=True)

    assert server.opened == 1


async def test_a_stream_that_makes_no_sense_is_read_no_further(faults: AnthropicFaults) -> None:
    async with opened() as provider:
        error = await failed(provider, profile(faults.url("malformed-event-hang")), stream=True)
        await asyncio.to_thread(faults.wait_until, lambda: faults.connections == 0)

    assert error.partial == "one two "


async def test_hundreds_at_once_are_all_sent_at_once(serve: Serve) -> None:
    gate = Gate()
    server = serve(Said(gate=gate))
    async with opened() as provider:
        calls = [asyncio.create_task(ask(provider, profile(server.base_url))) for _ in range(300)]
        await gate.arrivals(300)
        gate.release()
        replies = await asyncio.gather(*calls)

    assert {reply.text for reply in replies} == {"ok"}


# ---- what goes wrong

KINDS = {
    "html": Kind.MALFORMED,
    "html-as-json": Kind.MALFORMED,
    "html-as-stream": Kind.MALFORMED,
    "malformed": Kind.MALFORMED,
    "wrong-shape": Kind.MALFORMED,
    "wrong-block": Kind.MALFORMED,
    "list": Kind.MALFORMED,
    "nothing": Kind.MALFORMED,
    "no-utf8": Kind.MALFORMED,
    "nested": Kind.MALFORMED,
    "error-body": Kind.AUTHENTICATION,
    "empty": Kind.EMPTY,
    "blank": Kind.EMPTY,
    "empty-length": Kind.EMPTY,
    "empty-window": Kind.CONTEXT_LENGTH,
    "thought-only": Kind.EMPTY,
    "tool-only": Kind.EMPTY,
    "refusal": Kind.CONTENT_FILTER,
    "early-end": Kind.NETWORK,
    "early-end-counted": Kind.NETWORK,
    "empty-stream": Kind.MALFORMED,
    "cut": Kind.NETWORK,
    "reset-middle": Kind.NETWORK,
    "malformed-event": Kind.MALFORMED,
    "malformed-event-hang": Kind.MALFORMED,
    "no-utf8-event": Kind.MALFORMED,
    "list-event": Kind.MALFORMED,
    "wrong-event": Kind.MALFORMED,
    "error-event": Kind.SERVER,
    "error-first": Kind.SERVER,
    "error-event-limit": Kind.RATE_LIMIT,
    "error-event-text": Kind.SERVER,
    "json-as-stream": Kind.MALFORMED,
    "closed": Kind.NETWORK,
    "reset-before": Kind.NETWORK,
    "half-header": Kind.NETWORK,
    "not-http": Kind.MALFORMED,
    "short-body": Kind.NETWORK,
    "short-error": Kind.NETWORK,
    "400": Kind.INVALID_REQUEST,
    "too-long": Kind.CONTEXT_LENGTH,
    "401": Kind.AUTHENTICATION,
    "403": Kind.PERMISSION,
    "404": Kind.NOT_FOUND,
    "413": Kind.CONTEXT_LENGTH,
    "429": Kind.RATE_LIMIT,
    "500": Kind.SERVER,
    "503": Kind.SERVER,
    "529": Kind.SERVER,
    "html-502": Kind.SERVER,
    "nested-500": Kind.SERVER,
    "redirect": Kind.INVALID_REQUEST,
}
HANGS = {"hang": "", "hang-middle": "one two "}
NO_FAULT = {"ok": "ok", "unended": "one two", "whole-for-stream": "one two", "stream-for-whole": "one two", "stream-as-json": "one two"}
BROKEN_OFF = {
    *("early-end", "early-end-counted", "cut", "reset-middle", "malformed-event", "malformed-event-hang", "no-utf8-event"),
    *("list-event", "wrong-event", "error-event", "error-event-limit", "error-event-text"),
}
PARTIAL = dict.fromkeys(BROKEN_OFF, "one two ") | {"blank": " \n", "refusal": "I"}
COUNTED = dict.fromkeys(("empty", "blank", "empty-length", "empty-window", "thought-only", "tool-only", "refusal"), Usage(3, 1)) | {
    "early-end-counted": Usage(3, 2)
}
NOTHING_BILLED = {name for name in KINDS if name.isdigit()} | {
    "error-body",
    "error-first",
    "too-long",
    "html-502",
    "nested-500",
    "redirect",
}


def test_every_fault_of_the_server_is_accounted_for() -> None:
    assert KINDS.keys() | HANGS.keys() | NO_FAULT.keys() == FAULTS.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", KINDS)
async def test_a_fault_is_one_request_and_a_typed_failure_with_a_hint(fault: str, faults: AnthropicFaults, *, stream: bool) -> None:
    reach = Reach({"ANTHROPIC_API_KEY": KEY}, frozenset({faults.origin}))
    async with opened(reach) as provider:
        error = await failed(provider, profile(faults.url(fault)), stream=stream)

    said = error.failure.what + error.failure.hint
    assert error.failure.kind is KINDS[fault]
    assert error.failure.hint
    assert "\n" not in said
    assert not FOREIGN.search(said)
    assert KEY not in said
    assert error.partial == PARTIAL.get(fault, "")
    assert error.usage == COUNTED.get(fault, NO_USAGE if fault in NOTHING_BILLED else None)
    assert faults.counts[fault] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", NO_FAULT)
async def test_a_reply_is_read_whatever_its_type_says(fault: str, faults: AnthropicFaults, *, stream: bool) -> None:
    async with opened() as provider:
        reply = await ask(provider, profile(faults.url(fault)), stream=stream)

    assert (reply.text, faults.counts[fault]) == (NO_FAULT[fault], 1)


@pytest.mark.parametrize("fault", HANGS)
async def test_a_server_that_falls_silent_is_given_up(fault: str, faults: AnthropicFaults) -> None:
    async with opened(patience=Patience(answer=0.2, idle=0.2)) as provider:
        error = await failed(provider, profile(faults.url(fault)), stream=True)

    assert (error.failure.kind, error.partial, error.usage) == (Kind.TIMEOUT, HANGS[fault], None)
    assert faults.counts[fault] == 1


async def test_a_wait_that_the_server_asks_for_is_handed_on(faults: AnthropicFaults) -> None:
    async with opened() as provider:
        assert (await failed(provider, profile(faults.url("429")))).failure.retry_after == 7


async def test_where_nobody_listens() -> None:
    async with opened() as provider:
        error = await failed(provider, profile("http://127.0.0.1:1"))

    assert (error.failure.kind, error.failure.what, error.usage) == (Kind.NETWORK, "no connection to 127.0.0.1:1", NO_USAGE)


async def test_a_refusal_says_why_in_the_servers_words(serve: Serve) -> None:
    server = serve(Said("I", stop_reason="refusal", stop_details={"type": "refusal", "category": "bio", "explanation": None}))
    async with opened() as provider:
        error = await failed(provider, profile(server.base_url))

    assert error.failure.what == f"{server.origin[7:]} refused to reply: bio"


WORDS = (
    "type",
    "content",
    "text",
    "usage",
    "error",
    "model",
    "stop_reason",
    "delta",
    "message",
    "content_block",
    "thinking",
    "input_tokens",
)
NAMES = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "error",
    "text",
    "text_delta",
    "thinking",
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NAMES) | st.text(max_size=5) | st.just([]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON | st.dictionaries(st.sampled_from(WORDS), JSON | st.sampled_from(NAMES), max_size=5), max_size=4))
def test_whatever_is_said_is_a_reply_or_a_failure(said: list[object]) -> None:
    asked = profile("http://localhost:1")
    request = Request("a", HELLO, asked, stream=True)
    for whole in (True, False):
        answer = Answer(aim(asked, Reach()), request, lambda _: None)
        try:
            for each in said:
                if whole:
                    answer.add_whole(json.dumps(each).encode())
                else:
                    answer.add_event("message", json.dumps(each))
            if not whole:
                answer.end_stream()
            assert answer.reply().text.strip()
        except FailedError as error:
            assert error.failure.hint  # noqa: PT017 - either outcome is right for some JSON


def test_counts_in_strange_forms_are_no_counts() -> None:
    strange: tuple[dict[str, Any], ...] = (
        {},
        {"input_tokens": None},
        {"input_tokens": "7"},
        {"input_tokens": 10**4000},
        {"input_tokens": True},
    )

    assert [usage_of(said) for said in strange] == [None] * 5


# ---- models


async def test_the_models_of_all_pages_are_listed_but_those_that_are_retired(serve: Serve) -> None:
    able = {"image_input": True, "pdf_input": True, "structured_outputs": True, "thinking": False, "batch": True}
    server = serve(models=[Row("a", 200_000, able), Row("b"), Row("c"), Row("d", lifecycle="retired"), Row("e")], page=2)
    async with opened() as provider:
        found = await provider.models(profile(server.base_url))

    able_to: frozenset[Capability] = frozenset({"vision", "files", "structured_output", "tools"})
    assert found == [Listed("a", context_window=200_000, capabilities=able_to), Listed("b"), Listed("c"), Listed("e")]
    assert len(server.requests) == 3


async def test_a_listing_that_never_ends_is_not_followed_for_ever(serve: Serve) -> None:
    server = serve(models=[Row(str(number)) for number in range(200)], page=1)
    async with opened() as provider:
        assert len(await provider.models(profile(server.base_url))) == 50


@pytest.mark.parametrize("fault", ["html", "list", "nothing", "nested", "401", "429", "reset-before", "short-body", "redirect"])
async def test_a_listing_that_fails_is_a_typed_failure(fault: str, faults: AnthropicFaults) -> None:
    async with opened() as provider:
        with pytest.raises(FailedError) as caught:
            await provider.models(profile(faults.url(fault)))

    assert caught.value.failure.kind is KINDS[fault]


# ---- keys, addresses, proxies


def keyed(credential: Credential | None) -> Reach:
    return Reach(find=lambda *_: credential)


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        (None, {}),
        (Given("K", SecretStr(KEY)), {"x-api-key": KEY}),
        (Given("K", SecretStr(KEY), oauth=True), {"authorization": f"Bearer {KEY}", "anthropic-beta": "oauth-2025-04-20,one"}),
    ],
)
async def test_a_key_is_shown_as_the_api_wants_it(credential: Credential | None, shown: dict[str, str], serve: Serve) -> None:
    server = serve()
    reach = Reach(trusted_hosts=frozenset({server.origin}), find=lambda *_: credential)
    async with opened(reach) as provider:
        await ask(provider, profile(server.base_url, options={"betas": ["one"]}))
        await provider.models(profile(server.base_url))

    names = {"x-api-key", "authorization", "anthropic-beta"}
    assert {name: value for name, value in server.requests[0].headers.items() if name in names} == {"anthropic-beta": "one"} | shown
    assert {name: value for name, value in server.requests[1].headers.items() if name in names} == {
        name: value.removesuffix(",one") for name, value in shown.items()
    }


class Renewed:
    """A token that is another one each time."""

    origin, identity, oauth = "token", "token", True

    def __init__(self) -> None:
        self.given = 0

    async def secret(self) -> SecretStr:
        self.given += 1
        return SecretStr(f"token-{self.given}")


async def test_a_token_that_is_renewed_is_shown_anew_by_the_same_client(serve: Serve) -> None:
    server, token = serve(), Renewed()
    async with opened(Reach(trusted_hosts=frozenset({server.origin}), find=lambda *_: token)) as provider:
        for _ in range(2):
            await ask(provider, profile(server.base_url))

    assert [request.headers["authorization"] for request in server.requests] == ["Bearer token-1", "Bearer token-2"]
    assert server.opened == 1


async def test_no_key_is_no_request_to_the_api_itself() -> None:
    async with opened() as provider:
        error = await failed(provider, profile(None))
        with pytest.raises(FailedError):
            await provider.models(profile(None))

    assert (error.failure.kind, error.failure.what, error.usage) == (Kind.AUTHENTICATION, "ANTHROPIC_API_KEY is not set", NO_USAGE)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_be_written_with_the_version_or_without(end: str, serve: Serve) -> None:
    server = serve()
    async with opened() as provider:
        await ask(provider, profile(server.origin + end))

    assert server.requests[0].path == "/v1/messages"


async def test_the_environment_may_say_where_the_api_is(serve: Serve) -> None:
    server = serve(keys=[KEY])
    async with opened(Reach({"ANTHROPIC_BASE_URL": server.origin, "ANTHROPIC_API_KEY": KEY})) as provider:
        assert (await ask(provider, profile(None))).text == "ok"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_encrypted_request_is_tunnelled_with_its_key_inside(tmp_path: Path, serve: Serve, *, stream: bool) -> None:
    authority = tls.authority(tmp_path, ["api.anthropic.com"])
    server = serve(tls=authority.context, keys=[KEY])
    with TunnelServer(to=server.port) as proxy:
        env = {"HTTPS_PROXY": proxy.origin, "SSL_CERT_FILE": str(authority.ca_file), "ANTHROPIC_API_KEY": KEY}
        async with opened(Reach(env)) as provider:
            reply = await ask(provider, profile(None), stream=stream)

    assert reply.text == "ok"
    assert proxy.targets == ["api.anthropic.com:443"]
    assert KEY not in str(proxy.requests)


async def test_a_plain_request_goes_through_the_proxy_unless_no_proxy_names_the_host(serve: Serve) -> None:
    proxy, far = serve(), "http://models.example:8000"
    async with opened(Reach({"HTTP_PROXY": proxy.origin})) as provider:
        await ask(provider, profile(far, insecure=True))
    async with opened(Reach({"HTTP_PROXY": proxy.origin, "NO_PROXY": "127.0.0.0/8"})) as provider:
        await ask(provider, profile(proxy.base_url))

    assert [request.target for request in proxy.requests] == [f"{far}/v1/messages", "/v1/messages"]


async def test_a_certificate_of_nobody_we_know_is_refused_and_a_companys_is_trusted(tmp_path: Path, serve: Serve) -> None:
    authority = tls.authority(tmp_path)
    server = serve(tls=authority.context)
    async with opened() as provider:
        error = await failed(provider, profile(server.base_url))
    async with opened(Reach({"SSL_CERT_FILE": str(authority.ca_file)})) as provider:
        assert (await ask(provider, profile(server.base_url))).text == "ok"

    assert (error.failure.kind, error.usage, len(server.requests)) == (Kind.NETWORK, NO_USAGE, 1)
    assert error.failure.what == f"the certificate of 127.0.0.1:{server.port} is not trusted"


# ---- as a stranger's would


def subject() -> Iterator[Subject]:
    def posted() -> list[bytes]:
        return [request.body for server in (sound, wrong) for request in server.requests if request.method == "POST"]

    with AnthropicServer(keys=[KEY], models=[Row("claude-x")]) as sound, AnthropicFaults() as wrong:
        failing = ("401", "403", "404", "429", "529", "reset-before", "html", "empty", "too-long", "refusal")
        yield Subject(
            Anthropic,
            profile(sound.base_url),
            Reach({"ANTHROPIC_API_KEY": KEY}, frozenset({sound.origin, wrong.origin})),
            secrets=[KEY],
            sent=posted,
            endless=profile(wrong.url("hang-middle")),
            failing={KINDS[fault]: profile(wrong.url(fault)) for fault in failing},
            wrong=[profile(sound.base_url, options={"top_k": "many"}), profile(sound.base_url, options={"messages": []})],
            takes=frozenset({"vision", "files", "structured_output"}),
            lists=True,
        )


TestConformance = provider_conformance(subject)

# ---- the SDK is told everything, and tells nobody anything

SPEAKING = """
import asyncio, logging, sys
from llm_orc.domain.message import FailedError, Message, Request
from llm_orc.domain.profile import Profile
from llm_orc.models.anthropic import Anthropic
from llm_orc.models.base import Reach

async def main(origin, key):
    logging.basicConfig(level=logging.DEBUG)
    provider = Anthropic("anthropic", Reach({"ANTHROPIC_API_KEY": key}, frozenset({origin})))
    for path, model in (("", "claude-3-opus-20240229"), ("/nowhere", "m")):
        profile = Profile(model=model, provider="anthropic", base_url=origin + path, max_tokens=100_000)
        request = Request("a", (Message("user", "hi"),), profile, stream=False)
        try:
            print(repr(await provider.ask(profile)(request, print)))
        except FailedError as error:
            print(repr(error), repr(error.failure), error.usage)
        print(repr(provider), vars(provider))
    await provider.close()

asyncio.run(main(*sys.argv[1:]))
"""
FOREIGN_KEY = "sk-ant-of-somebody-else"


STATIC = {"ANTHROPIC_API_KEY": FOREIGN_KEY, "ANTHROPIC_AUTH_TOKEN": FOREIGN_KEY}


@pytest.mark.parametrize("static", [STATIC, {}])
async def test_the_sdk_looks_for_nothing_and_a_key_is_nowhere_to_be_read(static: dict[str, str], tmp_path: Path, serve: Serve) -> None:
    server = serve(f"you said {KEY}?")
    configs = tmp_path / "anthropic" / "configs"
    configs.mkdir(parents=True)
    (configs / "default.json").write_text("no configuration at all")
    env = static | {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "ANTHROPIC_CUSTOM_HEADERS": f"X-Secret: {FOREIGN_KEY}\nAuthorization: Bearer {FOREIGN_KEY}",
        "ANTHROPIC_CONFIG_DIR": str(tmp_path / "anthropic"),
        "ANTHROPIC_PROFILE": "default",
        "ANTHROPIC_LOG": "debug",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-W", "error", "-c", SPEAKING, server.origin, KEY]
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert [request.path for request in server.requests] == ["/v1/messages", "/nowhere/v1/messages"]
    assert [request.headers["x-api-key"] for request in server.requests] == [KEY, KEY]
    assert all(FOREIGN_KEY not in str(request.headers) for request in server.requests)
    assert "authorization" not in server.requests[0].headers
    assert "anthropic" in done.stderr  # it was made to talk
    assert KEY not in done.stderr
    assert KEY not in done.stdout.replace(f"you said {KEY}?", "")


@pytest.mark.parametrize("status", [401, 500])
async def test_a_key_that_the_server_repeats_is_not_handed_on(status: int, serve: Serve) -> None:
    server = serve(Said(f"the key {KEY} is bad", status=status))
    async with opened(Reach({"ANTHROPIC_API_KEY": KEY}, frozenset({server.origin}))) as provider:
        error = await failed(provider, profile(server.base_url))

    assert error.failure.what == f"{server.origin[7:]} answered {status}: the key [key] is bad"
    assert KEY not in repr(error) + repr(error.failure) + repr(provider) + repr(provider.reach)


def test_getting_ready_imports_the_sdk_and_nothing_else_does(project: NewProject) -> None:
    loaded = "import sys, llm_orc.models.anthropic as a; from llm_orc.models.base import Reach\nbefore = 'anthropic' in sys.modules\n"
    loaded += "provider = a.Anthropic('anthropic', Reach()); provider.ready(); print(before, 'anthropic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False True\n"

    mine = project({".llm-orc/ensembles/x.yaml": "agents: [{name: a, model: claude-x, provider: anthropic}]\n"})
    for command in (["--help"], ["list"], ["validate", "x"]):
        outcome = mine.run(*command, env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert outcome.code == 0, outcome.err
        assert "llm_orc.cli" in outcome.err
        assert not re.search(r"\| +anthropic", outcome.err)
