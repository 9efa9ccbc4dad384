"""What chat completions hold besides parameters: options, pictures, files, schemas; and what is made of usage and listings."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from llm_orc.domain.event import Happening, Warned
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Kind, Message, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.problem import ProblemError
from llm_orc.models.base import Listed, Reach
from llm_orc.models.chat_options import ChatOptions
from llm_orc.models.completion import cost_of, usage_of
from llm_orc.models.openai_compatible import OpenAICompatible
from llm_orc.models.structured import is_strict
from tests.models.asking import KEY, ask, fault, knowing, models, profile
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Connection, Received, ThreadServer

OPTIONS: dict[str, Any] = {
    "n": 1,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 5,
    "reasoning_effort": "low",
    "verbosity": "low",
    "response_format": {"type": "json_object"},
    "max_completion_tokens": 9,
    "metadata": {"team": "x"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": False,
    "user": "u",
    "web_search_options": {},
    "models": ["other"],
    "plugins": [{"id": "web"}],
    "provider": {"order": ["a"]},
    "reasoning": {"effort": "low"},
    "transforms": [],
    "usage": {"include": False},
    "top_k": 40,
    "min_p": 0.1,
    "top_a": 0.2,
    "typical_p": 0.9,
    "repetition_penalty": 1.1,
    "repeat_penalty": 1.2,
    "min_tokens": 3,
    "stop_token_ids": [1],
    "ignore_eos": True,
    "chat_template_kwargs": {"enable_thinking": False},
    "cache_prompt": True,
    "grammar": 'root ::= "x"',
    "ttl": 60,
    "draft_model": "tiny",
}
STREAMED = {"stream_options": {"include_obfuscation": False}}
"""Sent with a stream alone."""
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
TOLD = "Reply with JSON alone, without a word around it, that follows this JSON Schema:\n"


def body(server: OpenAIServer) -> dict[str, Any]:
    said: dict[str, Any] = server.chats[-1].json
    return said


def test_every_option_that_is_known_has_its_assertion() -> None:
    assert OPTIONS.keys() | STREAMED.keys() == ChatOptions.model_fields.keys()


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("provider", ["openai-compatible", "openrouter"])
async def test_the_option_reaches_the_wire(name: str, provider: str, openai_server: NewServer) -> None:
    server = openai_server()
    async with models() as opened:
        await ask(opened, profile(server.base_url, provider, options={name: OPTIONS[name]}))

    assert body(server)[name] == OPTIONS[name]


@pytest.mark.parametrize("stream", [True, False])
async def test_how_a_stream_comes_is_sent_with_a_stream_alone(openai_server: NewServer, *, stream: bool) -> None:
    server = openai_server()
    async with models() as opened:
        await ask(opened, profile(server.base_url, options=STREAMED), told=[] if stream else None)

    assert body(server).get("stream_options") == ({"include_obfuscation": False, "include_usage": True} if stream else None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 2}, "option 'n' must be 1, not 2"),
        ({"top_k": "many"}, "option 'top_k' must be a whole number, not 'many'"),
        ({"frequency_penalty": 3}, "option 'frequency_penalty' must be at most 2, not 3"),
        (
            {"response_format": {"type": "xml"}},
            "option 'response_format.type' must be text, json_object, json_schema or grammar, not 'xml'",
        ),
    ],
)
async def test_an_option_of_the_wrong_type_is_a_problem_before_anything_runs(options: Mapping[str, Any], said: str) -> None:
    async with models() as opened:
        with pytest.raises(ProblemError) as caught:
            opened.ask(profile("http://localhost:1/v1", options=options))

    assert str(caught.value) == said


async def test_pictures_and_files_go_with_the_text(openai_server: NewServer) -> None:
    server = openai_server()
    turn = Message(
        "user",
        "look",
        (
            Attachment("a.png", "image/png", b"\x89PNG"),
            Attachment("b.pdf", "application/pdf", b"%PDF"),
            Attachment("c.md", "text/markdown", b"# hi"),
            Attachment("d.json", "application/json", b"{}"),
            Attachment("e.txt", "text/plain", b"\xff"),
        ),
    )
    async with models() as opened:
        await ask(opened, profile(server.base_url), turn, Message("assistant", "seen"), Message("user", "", turn.attachments[:1]))

    def data(kind: str, content: bytes) -> str:
        return f"data:{kind};base64,{b64encode(content).decode()}"

    picture = {"type": "image_url", "image_url": {"url": data("image/png", b"\x89PNG")}}
    assert body(server)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                picture,
                {"type": "file", "file": {"filename": "b.pdf", "file_data": data("application/pdf", b"%PDF")}},
                {"type": "text", "text": '<file name="c.md">\n# hi\n</file>'},
                {"type": "text", "text": '<file name="d.json">\n{}\n</file>'},
                {"type": "file", "file": {"filename": "e.txt", "file_data": data("text/plain", b"\xff")}},
            ],
        },
        {"role": "assistant", "content": "seen"},
        {"role": "user", "content": [picture]},
    ]


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED, True), (OPEN, False), ({"type": "array", "items": CLOSED}, False)])
async def test_the_server_sees_to_a_schema(schema: Mapping[str, Any], openai_server: NewServer, *, strict: bool) -> None:
    server = openai_server({"": '{"a": "x"}'})
    async with models() as opened:
        reply = await ask(opened, profile(server.base_url), schema=schema)

    assert reply.text == '{"a": "x"}'
    assert body(server)["response_format"] == {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": strict}}
    assert body(server)["messages"] == [{"role": "user", "content": "hello there"}]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": CLOSED}}, True),
        ({**CLOSED, "properties": {"a": {"type": ["string", "null"]}}}, True),
        ({**CLOSED, "properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": OPEN}}}, False),
        ({**CLOSED, "properties": {"a": {"type": "array"}}}, False),
        ({**CLOSED, "properties": {"a": {"anyOf": [OPEN]}}}, False),
        ({**CLOSED, "properties": {"a": True}}, False),
        ({**CLOSED, "properties": {"a": {"type": ["object", "null"]}}}, False),
        ({**CLOSED, "$defs": {"b": OPEN}}, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "oneOf": [CLOSED]}, False),
        ({**CLOSED, "additionalProperties": {}}, False),
        ({"type": "object"}, False),
    ],
)
def test_strict_is_said_only_of_schemas_that_keep_its_rules(schema: Mapping[str, Any], *, strict: bool) -> None:
    assert is_strict(schema) is strict


@pytest.mark.parametrize("system", [None, "Be brief."])
async def test_a_model_without_structured_output_is_told_the_schema_in_words(system: str | None, openai_server: NewServer) -> None:
    server = openai_server()
    async with knowing(ModelCard(capabilities=frozenset({"vision"}))) as opened:
        await ask(opened, profile(server.base_url, system_prompt=system), schema=CLOSED)

    told = TOLD + json.dumps(CLOSED)
    assert "response_format" not in body(server)
    assert body(server)["messages"][0] == {"role": "system", "content": f"{system}\n\n{told}" if system else told}
    assert body(server)["messages"][1:] == [{"role": "user", "content": "hello there"}]


def refusing(request: Received) -> Scripted:
    """A server that does not know `response_format`."""
    return Scripted("'response_format.type' must be 'json_object'", status=400) if "response_format" in request.json else Scripted("{}")


async def test_a_server_that_refuses_a_schema_is_asked_in_words_the_next_time_and_never_twice_in_one_call(openai_server: NewServer) -> None:
    server = openai_server(refusing)
    asked = profile(server.base_url)
    async with models() as opened:
        first = await fault(opened, asked, schema=CLOSED)
        sent_at_first = len(server.chats)
        again = await ask(opened, asked, schema=CLOSED)
        other = await fault(opened, asked, schema=OPEN)

    assert (first.failure.kind, first.failure.retry_after, first.usage) == (Kind.SERVER, 0.0, NO_USAGE)
    assert first.failure.what == f"{server.origin[7:]} takes no such response_format: 'response_format.type' must be 'json_object'"
    assert (sent_at_first, len(server.chats)) == (1, 3)
    assert again.text == "{}"
    assert TOLD in server.chats[1].json["messages"][0]["content"]
    assert other.failure.kind is Kind.SERVER


async def test_a_400_for_another_reason_is_that_reason(openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("Unsupported parameter: 'seed' is not supported with this model.", status=400)})
    async with models() as opened:
        error = await fault(opened, profile(server.base_url), schema=CLOSED)

    assert (error.failure.kind, error.failure.hint) == (Kind.INVALID_REQUEST, "take 'seed' out of the profile, the agent or its options")


async def test_options_of_ones_own_go_over_the_schema(openai_server: NewServer) -> None:
    server = openai_server(refusing)
    async with models() as opened:
        asked = profile(server.base_url, options={"response_format": {"type": "text"}})
        error = await fault(opened, asked, schema=CLOSED)

    assert body(server)["response_format"] == {"type": "text"}
    assert body(server)["messages"][0]["content"].startswith(TOLD)
    assert error.failure.kind is Kind.INVALID_REQUEST


async def test_a_parameter_that_the_model_does_not_take_is_named_and_not_sent(openai_server: NewServer) -> None:
    server = openai_server()
    told: list[Happening] = []
    asked = profile(server.base_url, temperature=0.5, stop=("x",), top_p=0.5, max_tokens=9)
    async with knowing(ModelCard(refuses=frozenset({"temperature", "stop", "seed", "max_tokens"}))) as opened:
        await ask(opened, asked, told=told, stream=False)

    assert body(server).keys() & {"temperature", "stop", "top_p", "max_tokens"} == {"top_p"}
    assert told == [Warned(node="a", what=f"model takes no {name}: it was not sent") for name in ("temperature", "stop", "max_tokens")]


class Bill(ThreadServer):
    """Says what a reply cost, in a stream or whole."""

    usage: Mapping[str, Any] = {}

    async def answer(self, request: Received, connection: Connection) -> None:
        said = {"choices": [{"message": {"content": "x"}, "delta": {"content": "x"}, "finish_reason": "stop"}], "usage": self.usage}
        if request.json["stream"]:
            connection.start_chunks()
            connection.chunk(b"data: " + json.dumps(said).encode() + b"\n\n")
            connection.chunk(b"")
        else:
            connection.send(200, said)


@pytest.mark.parametrize("stream", [True, False])
async def test_openrouter_says_itself_what_a_reply_cost(*, stream: bool) -> None:
    with Bill() as server:
        server.usage = {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.25}
        async with models() as opened:
            reply = await ask(opened, profile(server.base_url, "openrouter"), told=[] if stream else None)
            plain = await ask(opened, profile(server.base_url))

    assert (reply.cost, reply.usage) == (0.25, Usage(10, 2))
    assert plain.cost is None
    assert server.requests[0].json["usage"] == {"include": True}
    assert "usage" not in server.requests[1].json


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        ({"cost": 0.5}, 0.5),
        ({"cost": 0}, 0.0),
        ({"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}}, 2.1),
        ({"cost": 0.1, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.1}}, 0.1),
        ({"cost": -1}, None),
        ({"cost": "0.5"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_a_reply_cost(said: object, cost: float | None) -> None:
    assert cost_of(said) == cost


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 5, reasoning=3)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(10, 8, reasoning=3),
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}},
            Usage(10, 0, cached=4, cache_write=5),
        ),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 99}}, Usage(10, 0, cached=10)),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 4}, Usage(10, 0, cached=4)),
    ],
)
def test_servers_count_in_several_ways(said: object, usage: Usage) -> None:
    assert usage_of(said) == usage


LISTING = [
    {"id": "old", "created": 1},
    {"id": "text-embedding-3", "created": 9},
    {"id": "new", "created": 5, "max_model_len": 4096},
    {"id": "local", "meta": {"n_ctx": 8192}},
    {
        "id": "rich",
        "created": 2,
        "context_length": 1000,
        "architecture": {"input_modalities": ["text", "image", "file"]},
        "supported_parameters": ["tools", "structured_outputs", "reasoning", "temperature"],
    },
    {"name": "no id"},
]


class Lister(ThreadServer):
    """Lists models to everybody, and knows one key."""

    async def answer(self, request: Received, connection: Connection) -> None:
        if request.path == "/v1/key" and request.headers.get("authorization") != f"Bearer {KEY}":
            connection.send(401, {"error": {"message": "No auth credentials found", "code": 401}})
        else:
            connection.send(200, {"data": LISTING})


async def test_models_are_listed_best_first_with_what_the_server_says_of_them() -> None:
    opened = OpenAICompatible("openai-compatible", Reach())
    with Lister() as server:
        found = await opened.models(profile(server.base_url))
    await opened.close()

    assert found == [
        Listed("new", context_window=4096),
        Listed("rich", context_window=1000, capabilities=frozenset({"tools", "structured_output", "thinking", "vision", "files"})),
        Listed("old"),
        Listed("local", context_window=8192),
        Listed("text-embedding-3", chat=False),
    ]


@pytest.mark.parametrize("key", [KEY, "sk-wrong"])
async def test_openrouters_list_is_open_to_all_so_the_key_is_tried_by_itself(key: str) -> None:
    with Lister() as server:
        opened = OpenAICompatible("openrouter", Reach({"OPENROUTER_API_KEY": key}, frozenset({server.origin})))
        asked = profile(server.base_url, "openrouter")
        if key == KEY:
            assert len(await opened.models(asked)) == 5
        else:
            with pytest.raises(FailedError) as caught:
                await opened.models(asked)
            assert (caught.value.failure.kind, caught.value.usage) == (Kind.AUTHENTICATION, NO_USAGE)
        await opened.close()


@pytest.mark.parametrize("provider", ["vllm", "lmstudio"])
@pytest.mark.parametrize(("path", "keys", "kind"), [("/v1", ["other"], Kind.AUTHENTICATION), ("/elsewhere", None, Kind.NOT_FOUND)])
async def test_a_listing_that_is_refused_or_not_there_is_a_failure(
    provider: str, path: str, keys: list[str] | None, kind: Kind, openai_server: NewServer
) -> None:
    server = openai_server(keys=keys)
    opened = OpenAICompatible(provider, Reach())
    with pytest.raises(FailedError) as caught:
        await opened.models(profile(server.origin + path, provider))
    await opened.close()

    assert (caught.value.failure.kind, caught.value.usage) == (kind, NO_USAGE)
    assert caught.value.failure.hint
