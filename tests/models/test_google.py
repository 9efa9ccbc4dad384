"""Google's models: what reaches the wire, what is made of replies, and what of faults; against a server of our own alone."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from llm_orc.domain.credential import Given
from llm_orc.domain.event import Happening, Warned
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Kind, Message, Reply, Request, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import Price
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Listed, Reach
from llm_orc.models.google import Google
from llm_orc.models.google_options import GoogleOptions
from llm_orc.models.google_wire import Answer, usage_of
from llm_orc.models.target import aim
from llm_orc.models.transport import Patience
from llm_orc.testing import Subject, provider_conformance
from tests.models.asking import texts
from tests.servers import tls
from tests.servers.google import FAULTS, TOO_LONG, GoogleFaults, GoogleServer, Row, Said
from tests.servers.proxy import TunnelServer
from tests.servers.wire import Gate

KEY = "AIzaSyCanary-4711-key"
TOKEN = "ya29.canary-4711-token"
MODEL = "gemini-2.5-flash"
HELLO = Message("user", "hello there")
TURN = {"role": "user", "parts": [{"text": "hello there"}]}
BARE: dict[str, Any] = {"contents": [TURN], "generationConfig": {}}
FAR = "http://models.example:8000"


class NewGoogle(Protocol):
    """Start a server; it stops with the test."""

    def __call__(self, script: Any = "ok", **settings: Any) -> GoogleServer: ...


@pytest.fixture
def google_server() -> Iterator[NewGoogle]:
    with ExitStack() as running:
        yield lambda script="ok", **settings: running.enter_context(GoogleServer(script, **settings))


@pytest.fixture
def faults() -> Iterator[GoogleFaults]:
    with GoogleFaults() as server:
        yield server


def profile(base_url: str | None = None, **keys: Any) -> Profile:
    return Profile(**{"name": "p", "model": MODEL, "provider": "google", "base_url": base_url} | keys)


def knowing(**card: Any) -> Reach:
    """Of every model the same is known."""
    return Reach(card=lambda _: ModelCard(**card))


@asynccontextmanager
async def opened(reach: Reach | None = None, patience: Patience | None = None) -> AsyncIterator[Google]:
    provider = Google("google", reach or Reach(), patience)
    try:
        yield provider
    finally:
        await provider.close()


async def ask(
    provider: Google, asked: Profile, *messages: Message, told: list[Happening] | None = None, schema: dict[str, Any] | None = None
) -> Reply:
    """Streams where `told` is given."""
    request = Request("a", messages or (HELLO,), asked, stream=told is not None, schema=schema)
    return await provider.ask(asked)(request, (told if told is not None else []).append)


async def failed(provider: Google, asked: Profile, *messages: Message, told: list[Happening] | None = None) -> FailedError:
    with pytest.raises(FailedError) as caught:
        await ask(provider, asked, *messages, told=told)
    return caught.value


async def sent(server: GoogleServer, *messages: Message, reach: Reach | None = None, schema: Any = None, **keys: Any) -> dict[str, Any]:
    """The body of the one request that reaches the server."""
    async with opened(reach) as provider:
        await ask(provider, profile(server.base_url, **keys), *messages, schema=schema)
    [request] = server.chats
    body: dict[str, Any] = request.json
    return body


def generation(**config: Any) -> dict[str, Any]:
    return BARE | {"generationConfig": config}


# ---- what reaches the wire

PARAMETERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.25, generation(temperature=0.25)),
    "max_tokens": (77, generation(maxOutputTokens=77)),
    "top_p": (0.5, generation(topP=0.5)),
    "seed": (42, generation(seed=42)),
    "stop": (("END", "STOP"), generation(stopSequences=["END", "STOP"])),
    "system_prompt": ("Be brief.", BARE | {"systemInstruction": {"parts": [{"text": "Be brief."}]}}),
    "options": ({"top_k": 3, "new_one": {"a_b": [1]}}, generation(topK=3, new_one={"a_b": [1]})),
    # These are the engine's or the catalogue's and never sent:
    "timeout_seconds": (9.0, BARE),
    "name": ("other", BARE),
    "fallback": (("cheap",), BARE),
    "cache": (True, BARE),
    "max_parallel": (2, BARE),
    "requests_per_minute": (60, BARE),
    "tokens_per_minute": (6000, BARE),
    "price": (Price(input=1, output=2), BARE),
    "context_window": (9000, BARE),
    "capabilities": (frozenset({"vision"}), BARE),
    "insecure": (True, BARE),
}
ELSEWHERE = {"model", "provider", "base_url", "credential"}
"""Fields that are told by where a request goes and with which key; they have tests of their own below."""

OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "top_k": (40, generation(topK=40)),
    "candidate_count": (1, generation(candidateCount=1)),
    "presence_penalty": (0.5, generation(presencePenalty=0.5)),
    "frequency_penalty": (-0.5, generation(frequencyPenalty=-0.5)),
    "response_logprobs": (True, generation(responseLogprobs=True)),
    "logprobs": (3, generation(logprobs=3)),
    "media_resolution": ("MEDIA_RESOLUTION_LOW", generation(mediaResolution="MEDIA_RESOLUTION_LOW")),
    "thinking_config": ({"thinking_budget": 9, "new_one": 1}, generation(thinkingConfig={"thinkingBudget": 9, "newOne": 1})),
    "generation_config": ({"topK": 7}, generation(topK=7)),
    "safety_settings": (
        [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        BARE | {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
    ),
    "tools": ([{"google_search": {}}], BARE | {"tools": [{"google_search": {}}]}),
    "tool_config": (
        {"functionCallingConfig": {"mode": "NONE"}},
        BARE | {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
    ),
    "cached_content": ("cachedContents/c1", BARE | {"cachedContent": "cachedContents/c1"}),
    "labels": ({"team_a": "Blue"}, BARE | {"labels": {"team_a": "Blue"}}),
    "service_tier": ("flex", BARE | {"serviceTier": "flex"}),
    "store": (False, BARE | {"store": False}),
    # Where and how it is sent, which is asserted below:
    "api_version": ("v1alpha", BARE),
    "quota_project": ("my-project", BARE),
    "vertex": ({"project": "my-project", "location": "europe-west4"}, BARE),
}
WHERE = {
    "api_version": ("/v1alpha/models/gemini-2.5-flash:generateContent", None),
    "quota_project": ("/v1beta/models/gemini-2.5-flash:generateContent", "my-project"),
    "vertex": (
        "/v1beta1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent",
        None,
    ),
}


def test_every_field_of_a_profile_has_its_assertion() -> None:
    assert PARAMETERS.keys() | ELSEWHERE == Profile.model_fields.keys()
    assert not PARAMETERS.keys() & ELSEWHERE


def test_every_option_has_its_assertion() -> None:
    assert OPTIONS.keys() == GoogleOptions.model_fields.keys()


@pytest.mark.parametrize("name", PARAMETERS)
async def test_the_parameter_reaches_the_wire_and_nothing_else_does(name: str, google_server: NewGoogle) -> None:
    value, expected = PARAMETERS[name]

    assert await sent(google_server(), **{name: value}) == expected


@pytest.mark.parametrize("name", OPTIONS)
async def test_the_option_reaches_the_wire_and_nothing_else_does(name: str, google_server: NewGoogle) -> None:
    server, (value, expected) = google_server(), OPTIONS[name]

    assert await sent(server, options={name: value}) == expected
    request = server.chats[0]
    path, project = WHERE.get(name, ("/v1beta/models/gemini-2.5-flash:generateContent", None))
    assert (request.path, request.headers.get("x-goog-user-project")) == (path, project)


async def test_all_of_them_reach_the_wire_together(google_server: NewGoogle) -> None:
    options = {name: value for name, (value, _) in OPTIONS.items() if name not in {*WHERE, "generation_config"}}
    keys = {name: value for name, (value, _) in PARAMETERS.items() if name != "options"}
    expected: dict[str, Any] = {"generationConfig": {}}
    for body in [*(PARAMETERS[name][1] for name in keys), *(OPTIONS[name][1] for name in options)]:
        together = expected["generationConfig"] | body["generationConfig"]
        expected |= body | {"generationConfig": together}

    assert await sent(google_server(), **keys, options=options) == expected


async def test_options_go_over_parameters_by_either_spelling(google_server: NewGoogle) -> None:
    options = {"temperature": 0.9, "max_output_tokens": 5, "topP": 0.1}

    assert await sent(google_server(), temperature=0.1, max_tokens=9, top_p=0.9, options=options) == generation(
        temperature=0.9, maxOutputTokens=5, topP=0.1
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidate_count": 2}, "option 'candidate_count' must be 1"),
        ({"top_k": "many"}, "option 'top_k'"),
        ({"thinking_config": {"thinking_budget": -2}}, "option 'thinking_config.thinking_budget'"),
        ({"safety_settings": [{"category": "X"}]}, "option 'safety_settings.0.threshold'"),
        ({"vertex": {"project": "p", "location": "evil.example/"}}, "option 'vertex.location'"),
        ({"vertex": {"project": "p/../q"}}, "option 'vertex.project'"),
        ({"api_version": "../v1"}, "option 'api_version'"),
        ({"contents": []}, "option 'contents' goes over what is asked"),
        ({"system_instruction": "x"}, "option 'system_instruction' goes over what is asked"),
        ({"model": "x"}, "option 'model' goes over what is asked"),
    ],
)
def test_an_option_that_cannot_be_is_a_problem(options: dict[str, Any], said: str) -> None:
    asked = profile("http://localhost:1", options=options)
    with pytest.raises(ProblemError) as caught:
        Google("google", Reach()).ask(asked)

    assert caught.value.problems[0].what.startswith(said)


@pytest.mark.parametrize("name", ["../files", "a?key=1", "a b", "a#b", "/x", "x&y"])
def test_a_model_that_would_change_the_address_is_a_problem(name: str) -> None:
    with pytest.raises(ProblemError) as caught:
        Google("google", Reach()).ask(profile("http://localhost:1", model=name))

    assert caught.value.problems[0].what == f"'{name}' is no name of a model"


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
async def test_options_that_are_no_json_fail_in_words(value: object, google_server: NewGoogle) -> None:
    server = google_server()
    async with opened() as provider:
        error = await failed(provider, profile(server.base_url, options={"x": value}))

    assert (error.failure.kind, error.failure.what) == (Kind.INVALID_REQUEST, "options hold something that JSON has no word for")
    assert (error.usage, server.requests) == (NO_USAGE, [])


async def test_a_parameter_that_the_model_does_not_take_is_named_and_not_sent(google_server: NewGoogle) -> None:
    server, told = google_server(), list[Happening]()
    async with opened(knowing(refuses={"temperature", "seed", "stop"})) as provider:
        await ask(provider, profile(server.base_url, temperature=0.1, seed=3, top_p=0.5), told=told)

    assert server.chats[0].json == generation(topP=0.5)
    assert [event.what for event in told if isinstance(event, Warned)] == [
        f"{MODEL} takes no temperature: it was not sent",
        f"{MODEL} takes no seed: it was not sent",
    ]


async def test_a_conversation_is_sent_in_order_with_its_system_messages_apart(google_server: NewGoogle) -> None:
    turns = [Message("system", "S"), Message("user", "one"), Message("assistant", "two"), Message("user", "three \u2028 \u2603")]
    body = await sent(google_server(), *turns, system_prompt="ignored for S")

    assert body["systemInstruction"] == {"parts": [{"text": "S"}]}
    assert [(turn["role"], turn["parts"][0]["text"]) for turn in body["contents"]] == [
        ("user", "one"),
        ("model", "two"),
        ("user", "three \u2028 \u2603"),
    ]


async def test_images_and_files_are_sent_with_the_message(google_server: NewGoogle) -> None:
    image, document = Attachment("a.png", "image/png", b"\xff\xfe\xfbPNG"), Attachment("b.pdf", "application/pdf", b"%PDF")
    text = Attachment("c.py", "text/plain", "\u00fc = 1".encode())
    body = await sent(google_server(), Message("user", "what?", (image, document, text)), Message("user", "", (image,)))

    [first, second] = body["contents"]
    files = [json.loads(json.dumps(part["inlineData"]).replace("mime_type", "mimeType")) for part in first["parts"][:2]]
    assert [each["mimeType"] for each in files] == ["image/png", "application/pdf"]
    assert [base64.urlsafe_b64decode(each["data"]) for each in files] == [image.data, document.data]
    assert first["parts"][2:] == [{"text": '<file name="c.py">\n\u00fc = 1\n</file>'}, {"text": "what?"}]
    assert len(second["parts"]) == 1


async def test_nothing_but_a_system_prompt_is_not_sent(google_server: NewGoogle) -> None:
    server = google_server()
    async with opened() as provider:
        error = await failed(provider, profile(server.base_url), Message("system", "Be brief."))

    assert (error.failure.kind, error.usage, server.requests) == (Kind.INVALID_REQUEST, NO_USAGE, [])


SCHEMA = {"type": "object", "properties": {"aB": {"type": "string"}, "a_b": {"enum": [1, None]}}, "$defs": {"x_y": True}}


@pytest.mark.parametrize("capabilities", [None, {"structured_output"}])
async def test_a_schema_is_sent_as_it_is(capabilities: Any, google_server: NewGoogle) -> None:
    body = await sent(google_server(), reach=knowing(capabilities=capabilities), schema=SCHEMA)

    assert body == generation(responseMimeType="application/json", responseJsonSchema=SCHEMA)


async def test_a_model_that_cannot_be_held_to_a_schema_is_told_of_it(google_server: NewGoogle) -> None:
    body = await sent(google_server(), reach=knowing(capabilities=[]), schema=SCHEMA, system_prompt="Be brief.")

    [said] = body["systemInstruction"]["parts"]
    assert said["text"].startswith("Be brief.\n\n")
    assert json.dumps(SCHEMA) in said["text"]
    assert body["generationConfig"] == {}


@pytest.mark.parametrize(
    ("stream", "capabilities", "given", "expected"),
    [
        (True, {"thinking"}, None, {"includeThoughts": True}),
        (True, {"thinking"}, {"thinking_budget": 64}, {"thinkingBudget": 64, "includeThoughts": True}),
        (True, {"thinking"}, {"thinking_budget": 0}, {"thinkingBudget": 0}),
        (True, {"thinking"}, {"include_thoughts": False}, {"includeThoughts": False}),
        (True, {"vision"}, None, None),
        (True, None, None, None),
        (False, {"thinking"}, None, None),
        (False, None, {"include_thoughts": True}, {"includeThoughts": True}),
    ],
)
async def test_thoughts_are_asked_for_where_somebody_watches(
    capabilities: Any, given: Any, expected: Any, google_server: NewGoogle, *, stream: bool
) -> None:
    server = google_server()
    async with opened(knowing(capabilities=capabilities)) as provider:
        asked = profile(server.base_url, options={"thinking_config": given} if given else {})
        await ask(provider, asked, told=[] if stream else None)

    assert server.chats[0].json["generationConfig"].get("thinkingConfig") == expected


# ---- what is made of replies

COUNTED = Said("fine \u2028 words\nhere \u00e9", usage=(100, 20), cached=60, thoughts=5, tool_prompt=7, model="gemini-2.5-flash-001")


async def test_a_whole_reply(google_server: NewGoogle) -> None:
    async with opened() as provider:
        reply = await ask(provider, profile(google_server(COUNTED).base_url))

    assert reply.text == COUNTED.text
    assert reply.usage == Usage(107, 25, cached=60, reasoning=5)
    assert (reply.finish, reply.model, reply.attempts) == ("stop", "gemini-2.5-flash-001", 1)


async def test_a_streamed_reply_is_the_same_and_told_piece_by_piece(google_server: NewGoogle) -> None:
    server, told = google_server(COUNTED), list[Happening]()
    async with opened() as provider:
        asked = profile(server.base_url)
        assert await ask(provider, asked, told=told) == await ask(provider, asked)

    assert texts(told) == ["fine ", "\u2028 ", "words\nhere ", "\u00e9"]
    assert [request.target.rpartition(":")[2] for request in server.chats] == ["streamGenerateContent?alt=sse", "generateContent"]


async def test_thoughts_are_told_apart_from_the_reply(google_server: NewGoogle) -> None:
    server, told = google_server(Said("yes", thought="hm so")), list[Happening]()
    async with opened() as provider:
        streamed, whole = await ask(provider, profile(server.base_url), told=told), await ask(provider, profile(server.base_url))

    assert (streamed.text, whole.text) == ("yes", "yes")
    assert (texts(told), texts(told, thinking=True)) == (["yes"], ["hm ", "so"])


async def test_what_a_server_does_not_count_is_estimated(google_server: NewGoogle) -> None:
    async with opened() as provider:
        reply = await ask(provider, profile(google_server(Said("four four", usage=None)).base_url))

    assert reply.usage == Usage(3, 3, estimated=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("OTHER", "other"),
        ("LANGUAGE", "other"),
        ("MALFORMED_FUNCTION_CALL", "other"),
        ("A_REASON_OF_TOMORROW", "other"),
    ],
)
async def test_how_a_reply_ends(said: str, finish: str, google_server: NewGoogle, *, stream: bool) -> None:
    server = google_server(Said("half a", finish=said))
    async with opened() as provider:
        reply = await ask(provider, profile(server.base_url), told=[] if stream else None)

    assert (reply.text, reply.finish, len(server.requests)) == ("half a", finish, 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"])
async def test_a_filtered_reply_keeps_its_text_and_its_count(reason: str, google_server: NewGoogle, *, stream: bool) -> None:
    async with opened() as provider:
        error = await failed(provider, profile(google_server(Said("I will", finish=reason)).base_url), told=[] if stream else None)

    assert error.failure.kind is Kind.CONTENT_FILTER
    assert f"filtered the reply ({reason.lower().replace('_', ' ')})" in error.failure.what
    assert (error.partial, error.usage) == ("I will", Usage(3, 1))


async def test_a_stream_is_told_while_it_goes_on(google_server: NewGoogle) -> None:
    gate, begun, told = Gate(), asyncio.Event(), list[Happening]()
    server = google_server(Said("first second", gate=gate))

    def tell(event: Happening) -> None:
        told.append(event)
        begun.set()

    asked = profile(server.base_url)
    async with opened() as provider:
        call = asyncio.ensure_future(provider.ask(asked)(Request("a", (HELLO,), asked, stream=True), tell))
        await begun.wait()
        assert (texts(told), call.done()) == (["first "], False)
        gate.release()
        assert (await call).text == "first second"


@pytest.mark.parametrize("finish", ["CONTINUATION", ""])
async def test_a_reply_that_could_be_continued_is_not_asked_for_again(finish: str, google_server: NewGoogle) -> None:
    server = google_server(Said("half a", finish=finish, token="dG9rZW4="))
    async with opened() as provider:
        asked = profile(server.base_url)
        assert (await ask(provider, asked)).finish == ("length" if finish else "stop")
        if finish:
            assert (await ask(provider, asked, told=[])).finish == "length"
        else:
            assert (await failed(provider, asked, told=[])).partial == "half a"

    assert len(server.requests) == 2


async def test_a_listener_that_raises_ends_the_call(google_server: NewGoogle) -> None:
    gate = Gate()
    server = google_server(Said("a b c", gate=gate))
    asked = profile(server.base_url)

    def tell(_: Happening) -> None:
        raise ZeroDivisionError

    async with opened() as provider:
        with pytest.raises(ZeroDivisionError):
            await provider.ask(asked)(Request("a", (HELLO,), asked, stream=True), tell)
        await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)


async def test_each_project_has_its_own_address(google_server: NewGoogle) -> None:
    server = google_server()
    async with opened() as provider:
        for project in ("one", "two"):
            await ask(provider, profile(server.base_url, options={"vertex": {"project": project}}))

    assert [request.path.split("/")[3] for request in server.requests] == ["one", "two"]


async def test_models_are_listed_through_all_pages(google_server: NewGoogle) -> None:
    rows = [
        Row("gemini-2.5-flash", 1048576, thinking=True),
        Row("gemini-unknown", 32000, thinking=True),
        Row("text-embedding-004", 2048, ["embedContent"]),
    ]
    server = google_server(models=rows)

    def card(asked: Profile) -> ModelCard:
        assert asked.capabilities is None
        return ModelCard(capabilities=frozenset({"vision"}) if asked.model == "gemini-2.5-flash" else None)

    async with opened(Reach(card=card)) as provider:
        listed = await provider.models(profile(server.base_url, capabilities={"files"}))

    assert listed == [
        Listed("gemini-2.5-flash", context_window=1048576, capabilities=frozenset({"vision", "thinking"})),
        Listed("gemini-unknown", context_window=32000),
        Listed("text-embedding-004", chat=False, context_window=2048),
    ]
    assert [request.path for request in server.requests] == ["/v1beta/models"] * 2


async def test_vertex_lists_what_google_publishes(google_server: NewGoogle) -> None:
    server = google_server(models=[Row("gemini-2.5-pro"), Row("imagen-4"), Row("gemini-embedding-001")], page=9)
    async with opened() as provider:
        listed = await provider.models(profile(server.base_url, options={"vertex": {"project": "p"}}))

    assert [(each.name, each.chat) for each in listed] == [("gemini-2.5-pro", True), ("imagen-4", False), ("gemini-embedding-001", False)]
    assert server.requests[0].path == "/v1beta1/publishers/google/models"


@pytest.mark.parametrize(("fault", "kind"), [("html", Kind.MALFORMED), ("html-as-json", Kind.MALFORMED), ("401", Kind.AUTHENTICATION)])
async def test_a_listing_that_goes_wrong_is_a_typed_failure(fault: str, kind: Kind, faults: GoogleFaults) -> None:
    async with opened() as provider:
        with pytest.raises(FailedError) as caught:
            await provider.models(profile(faults.url(fault)))

    assert (caught.value.failure.kind, faults.counts[fault]) == (kind, 1)


async def test_a_listing_that_is_not_there_names_no_model(faults: GoogleFaults) -> None:
    async with opened() as provider:
        with pytest.raises(FailedError) as caught:
            await provider.models(profile(faults.url("404")))

    assert caught.value.failure.hint == f"is base_url right? {faults.url('404')}"


# ---- keys


def found(secret: str, *, oauth: bool = False) -> Reach:
    credential = Given("GEMINI_API_KEY", SecretStr(secret), oauth=oauth)
    return Reach(find=lambda provider, variable, _: credential if (provider, variable) == ("google", "GEMINI_API_KEY") else None)


async def through_a_tunnel(tmp_path: Path, reach: Reach, host: str, **keys: Any) -> tuple[GoogleServer, TunnelServer]:
    """Ask whatever host the provider thinks right."""
    authority = tls.authority(tmp_path, [host])
    with GoogleServer(tls=authority.context) as server, TunnelServer(to=server.port) as proxy:
        env = {"HTTPS_PROXY": proxy.origin, "SSL_CERT_FILE": str(authority.ca_file)}
        async with opened(Reach({**reach.env, **env}, find=reach.find)) as provider:
            assert (await ask(provider, profile(**keys))).text == "ok"
    return server, proxy


async def test_a_key_goes_to_googles_own_host_in_a_header_through_the_proxy(tmp_path: Path) -> None:
    host = "generativelanguage.googleapis.com"
    server, proxy = await through_a_tunnel(tmp_path, Reach({"GEMINI_API_KEY": KEY}), host)

    [request] = server.requests
    assert (request.headers["x-goog-api-key"], "authorization" in request.headers) == (KEY, False)
    assert KEY not in request.target + request.body.decode()
    assert proxy.targets == [f"{host}:443"]
    assert KEY not in str(proxy.requests)


async def test_a_token_is_a_bearer_whose_quota_may_be_somebodys(tmp_path: Path) -> None:
    host = "generativelanguage.googleapis.com"
    server, _ = await through_a_tunnel(tmp_path, found(TOKEN, oauth=True), host, options={"quota_project": "pays"})

    headers = server.requests[0].headers
    assert (headers["authorization"], "x-goog-api-key" in headers, headers["x-goog-user-project"]) == (f"Bearer {TOKEN}", False, "pays")


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
async def test_vertex_is_googles_own_host_too(location: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_USE_MTLS_ENDPOINT", "always")  # which the SDK would follow to another host
    options = {"vertex": {"project": "my-project", "location": location}}
    server, proxy = await through_a_tunnel(tmp_path, found(TOKEN, oauth=True), host, options=options)

    [request] = server.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.path == f"/v1beta1/projects/my-project/locations/{location}/publishers/google/models/{MODEL}:generateContent"
    assert proxy.targets == [f"{host}:443"]


async def test_vertex_without_a_login_is_not_asked() -> None:
    async with opened() as provider:
        error = await failed(provider, profile(options={"vertex": {"project": "p"}}))

    assert (error.failure.kind, error.usage) == (Kind.AUTHENTICATION, NO_USAGE)
    assert "llm-orc auth login google" in error.failure.hint


async def test_without_a_key_google_itself_is_not_asked() -> None:
    async with opened() as provider:
        error = await failed(provider, profile())

    assert (error.failure.kind, error.failure.what, error.usage) == (Kind.AUTHENTICATION, "GEMINI_API_KEY is not set", NO_USAGE)


async def test_a_named_key_and_a_new_one_are_used_as_they_are_then(google_server: NewGoogle) -> None:
    server, keys = google_server(), iter(["first", "second"])

    class Changing(Given):
        async def secret(self) -> SecretStr:
            return SecretStr(next(keys))

    names = list[str | None]()

    def find(_provider: str, _variable: str | None, name: str | None) -> Changing:
        names.append(name)
        return Changing("vault", SecretStr(""))

    async with opened(Reach(trusted_hosts=frozenset({server.origin}), find=find)) as provider:
        for _ in range(2):
            await ask(provider, profile(server.base_url, credential="work"))

    assert [request.headers["x-goog-api-key"] for request in server.requests] == ["first", "second"]
    assert set(names) == {"work"}


async def test_a_host_that_is_not_trusted_gets_no_key(google_server: NewGoogle) -> None:
    server = google_server(401)
    async with opened(Reach({"GEMINI_API_KEY": KEY})) as provider:
        error = await failed(provider, profile(server.base_url))

    assert KEY not in str(server.requests) + str(server.requests[0].body)
    assert not {"x-goog-api-key", "authorization"} & server.requests[0].headers.keys()
    assert error.failure.hint.startswith("GEMINI_API_KEY was not sent there")


PLANTED = {
    "GOOGLE_API_KEY": KEY,
    "GEMINI_API_KEY": KEY,
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_GENAI_API_VERSION": "v9",
    "GOOGLE_GENAI_HTTP_CLIENT": "httpx",
    "GOOGLE_GENAI_CLIENT_MODE": "replay",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/nowhere",
    "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.2:9",
    "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.2:9",
    "GOOGLE_CLOUD_PROJECT": "planted",
    "GOOGLE_CLOUD_LOCATION": "planted",
    "GOOGLE_CLOUD_QUOTA_PROJECT": "planted",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
    "HTTP_PROXY": "http://127.0.0.2:9",
    "ALL_PROXY": "http://127.0.0.2:9",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSL_CERT_DIR": "/nowhere",
}
IN_THE_ENVIRONMENT = """
import asyncio, json, sys
from tests.models.test_google import *
async def main():
    for options in ({}, {"vertex": {"project": "p", "location": "l"}}):
        async with opened() as provider:
            for told in (None, []):
                print((await ask(provider, profile(sys.argv[1], options=options), told=told)).text)
            await provider.models(profile(sys.argv[1], options=options))
asyncio.run(main())
"""


def test_the_sdk_takes_nothing_from_the_environment_by_itself_and_prints_nothing(google_server: NewGoogle) -> None:
    server = google_server()
    command = [sys.executable, "-c", IN_THE_ENVIRONMENT, server.base_url]
    done = subprocess.run(command, env=PLANTED | {"PYTHONPATH": "."}, capture_output=True, text=True, check=False)

    assert (done.stderr, done.stdout) == ("", "ok\n" * 4)
    assert KEY not in str([(request, request.body) for request in server.requests])
    assert {"x-goog-api-key", "authorization", "x-goog-user-project"}.isdisjoint(name for each in server.requests for name in each.headers)
    assert {request.path.split("/")[1] for request in server.requests} == {"v1beta", "v1beta1"}
    assert "planted" not in str(server.requests)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_shows_nowhere(google_server: NewGoogle, *, stream: bool) -> None:
    told: list[Happening] = []
    server = google_server(Said(f"bad key {KEY}, really {KEY}", status=403))
    reach = Reach({"GEMINI_API_KEY": KEY}, frozenset({server.origin}), card=lambda _: ModelCard(refuses=frozenset({"seed"})))
    async with opened(reach) as provider:
        asked = profile(server.base_url, seed=3)
        with pytest.raises(FailedError) as caught:
            await provider.ask(asked)(Request("a", (HELLO,), asked, stream=stream), told.append)
        seen = repr((provider, vars(provider), [vars(each) for each in provider._lines.values()], provider.endpoint(asked)))

    error = caught.value
    assert "bad key [key], really [key]" in error.failure.what
    assert any(isinstance(event, Warned) for event in told)
    assert error.__cause__ is None
    assert KEY not in repr((error, error.failure, error.args, told)) + seen
    assert [KEY in request.target for request in server.requests] == [False]


# ---- connections


async def test_a_plain_request_goes_through_the_proxy_unless_its_host_is_excepted(google_server: NewGoogle) -> None:
    proxy = google_server()
    env = {"HTTP_PROXY": proxy.origin}
    async with opened(Reach(env, frozenset({FAR}))) as provider, opened(Reach(env | {"NO_PROXY": "models.example"})) as direct:
        reply = await ask(provider, profile(FAR, insecure=True))
        error = await failed(direct, profile(FAR, insecure=True))

    assert reply.text == "ok"
    assert [request.target for request in proxy.requests] == [f"{FAR}/v1beta/models/{MODEL}:generateContent"]
    assert (error.failure.kind, error.usage) == (Kind.NETWORK, NO_USAGE)


async def test_a_company_bundle_is_trusted_and_another_is_not(tmp_path: Path, google_server: NewGoogle) -> None:
    authority = tls.authority(tmp_path)
    server = google_server(tls=authority.context)
    async with opened(Reach({"SSL_CERT_FILE": str(authority.ca_file)})) as provider, opened() as stranger:
        assert (await ask(provider, profile(server.base_url))).text == "ok"
        error = await failed(stranger, profile(server.base_url))

    assert error.failure.what == f"the certificate of 127.0.0.1:{server.port} is not trusted"
    assert len(server.requests) == 1


async def test_a_bundle_that_is_not_there_is_said() -> None:
    async with opened(Reach({"SSL_CERT_FILE": "/nowhere/ca.pem"})) as provider:
        error = await failed(provider, profile("https://127.0.0.1:1"))

    assert error.failure.what == "the certificates in SSL_CERT_FILE (/nowhere/ca.pem) cannot be read"


async def test_nothing_queues_for_a_connection(google_server: NewGoogle) -> None:
    gate = Gate()
    server = google_server(Said(gate=gate))
    async with opened() as provider:
        calls = [asyncio.create_task(ask(provider, profile(server.base_url))) for _ in range(300)]
        await gate.arrivals(300)
        gate.release()
        assert {reply.text for reply in await asyncio.gather(*calls)} == {"ok"}

    assert server.peak == 300


async def test_one_connection_serves_one_call_after_the_other_and_closing_ends_it(google_server: NewGoogle) -> None:
    server = google_server()
    async with opened() as provider:
        ways: list[list[Happening] | None] = [None, [], None]
        for told in ways:
            await ask(provider, profile(server.base_url), told=told)
        assert server.connections == 1
    await asyncio.to_thread(server.wait_until, lambda: server.connections == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_call_closes_its_connection(google_server: NewGoogle, *, stream: bool) -> None:
    gate = Gate()
    server = google_server(Said("a b c", gate=gate))
    async with opened() as provider:
        call = asyncio.create_task(ask(provider, profile(server.base_url), told=[] if stream else None))
        await gate.arrivals(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)


def test_the_sdk_is_imported_by_ready_and_not_before() -> None:
    script = """
import sys
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Reach
from llm_orc.models.google import Google
asked = Profile(provider="google", model="gemini-x", options={"vertex": {"project": "p"}})
provider = Google("google", Reach())
provider.endpoint(asked), provider.ask(asked)
print([name for name in ("google.genai", "httpx", "httpx2", "aiohttp") if name in sys.modules])
provider.ready()
print("google.genai" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\nTrue\n"


# ---- faults

HALF = "one two "
ENDED, BROKEN, MALFORMED, FILTERED = Kind.NETWORK, Kind.NETWORK, Kind.MALFORMED, Kind.CONTENT_FILTER
KINDS: dict[str, tuple[Kind, Kind]] = {
    "html": (MALFORMED, MALFORMED),
    "html-as-json": (MALFORMED, MALFORMED),
    "html-as-stream": (MALFORMED, MALFORMED),
    "malformed": (MALFORMED, MALFORMED),
    "wrong-shape": (MALFORMED, MALFORMED),
    "wrong-part": (MALFORMED, MALFORMED),
    "no-candidates": (MALFORMED, MALFORMED),
    "list": (MALFORMED, MALFORMED),
    "nothing": (MALFORMED, MALFORMED),
    "no-utf8": (MALFORMED, MALFORMED),
    "nested": (MALFORMED, MALFORMED),
    "number": (MALFORMED, MALFORMED),
    "error-body": (Kind.RATE_LIMIT, Kind.RATE_LIMIT),
    "empty": (Kind.EMPTY, Kind.EMPTY),
    "blank": (Kind.EMPTY, Kind.EMPTY),
    "empty-length": (Kind.EMPTY, Kind.EMPTY),
    "thought-only": (Kind.EMPTY, Kind.EMPTY),
    "call-only": (Kind.INVALID_REQUEST, Kind.INVALID_REQUEST),
    "bad-call": (Kind.EMPTY, Kind.EMPTY),
    "filtered": (FILTERED, FILTERED),
    "blocked": (FILTERED, FILTERED),
    "early-end": (MALFORMED, ENDED),
    "empty-stream": (MALFORMED, MALFORMED),
    "cut": (BROKEN, BROKEN),
    "reset-middle": (BROKEN, BROKEN),
    "malformed-event": (MALFORMED, MALFORMED),
    "no-utf8-event": (MALFORMED, MALFORMED),
    "list-event": (MALFORMED, ENDED),
    "number-event": (MALFORMED, MALFORMED),
    "wrong-event": (MALFORMED, ENDED),
    "wrong-usage": (MALFORMED, MALFORMED),
    "error-event": (MALFORMED, Kind.SERVER),
    "error-first": (MALFORMED, Kind.RATE_LIMIT),
    "error-without-code": (MALFORMED, MALFORMED),
    "closed": (BROKEN, BROKEN),
    "reset-before": (BROKEN, BROKEN),
    "half-header": (BROKEN, BROKEN),
    "not-http": (MALFORMED, MALFORMED),
    "short-body": (BROKEN, BROKEN),
    "short-error": (BROKEN, BROKEN),
    "400": (Kind.INVALID_REQUEST, Kind.INVALID_REQUEST),
    "bad-key": (Kind.AUTHENTICATION, Kind.AUTHENTICATION),
    "too-long": (Kind.CONTEXT_LENGTH, Kind.CONTEXT_LENGTH),
    "401": (Kind.AUTHENTICATION, Kind.AUTHENTICATION),
    "403": (Kind.PERMISSION, Kind.PERMISSION),
    "404": (Kind.NOT_FOUND, Kind.NOT_FOUND),
    "429": (Kind.RATE_LIMIT, Kind.RATE_LIMIT),
    "429-delay": (Kind.RATE_LIMIT, Kind.RATE_LIMIT),
    "500": (Kind.SERVER, Kind.SERVER),
    "503": (Kind.SERVER, Kind.SERVER),
    "html-502": (Kind.SERVER, Kind.SERVER),
    "no-utf8-401": (Kind.AUTHENTICATION, Kind.AUTHENTICATION),
    "nested-500": (Kind.SERVER, Kind.SERVER),
    "redirect": (Kind.INVALID_REQUEST, Kind.INVALID_REQUEST),
}
"""Fault -> what it is without a stream, and in one."""
STATUSES = {name for name in KINDS if name[0].isdigit()} | {"bad-key", "too-long", "html-502", "no-utf8-401", "nested-500", "redirect"}
"""Whoever refuses with a status bills nothing."""
BILLED = {
    "empty": Usage(3, 1),
    "blank": Usage(3, 1),
    "empty-length": Usage(3, 10, reasoning=9),
    "thought-only": Usage(3, 5, reasoning=4),
    "call-only": Usage(3, 1),
    "bad-call": Usage(3, 1),
    "filtered": Usage(3, 1),
    "blocked": Usage(5),
}
PARTIAL = {"blank": " \n", "filtered": "I"}
IN_A_STREAM = dict.fromkeys(
    [name for name in KINDS if name.endswith("-event")] + ["early-end", "cut", "reset-middle", "wrong-usage", "error-without-code"],
    HALF,
)
HANGS = {"hang", "hang-middle"}
FOREIGN = ("Traceback", "Error", "Exception", "genai", "pydantic", "aiohttp", "httpx", "object at 0x", "<html", "<!DOCTYPE", "\n")


def test_every_fault_of_the_server_is_accounted_for() -> None:
    assert KINDS.keys() | HANGS | {"ok", "stream-for-whole"} == FAULTS.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", KINDS)
async def test_a_fault_is_one_request_and_a_typed_failure(fault: str, faults: GoogleFaults, *, stream: bool) -> None:
    async with opened() as provider:
        error = await failed(provider, profile(faults.url(fault), model="m"), told=[] if stream else None)

    failure = error.failure
    assert failure.kind is KINDS[fault][stream]
    assert failure.what
    assert failure.hint
    assert not [word for word in FOREIGN if word in failure.what + failure.hint]
    assert error.partial == (IN_A_STREAM | PARTIAL if stream else PARTIAL).get(fault, "")
    assert error.usage == (NO_USAGE if fault in STATUSES else BILLED.get(fault))
    assert faults.counts[fault] == 1


@pytest.mark.parametrize("fault", sorted(HANGS))
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_falls_silent_is_given_up(fault: str, faults: GoogleFaults, *, stream: bool) -> None:
    async with opened(patience=Patience(answer=0.2, idle=0.2)) as provider:
        error = await failed(provider, profile(faults.url(fault)), told=[] if stream else None)

    assert (error.failure.kind, error.usage) == (Kind.TIMEOUT, None)
    assert error.partial == (HALF if stream and fault == "hang-middle" else "")
    assert faults.counts[fault] == 1


@pytest.mark.parametrize(("fault", "seconds"), [("429", 7.0), ("429-delay", 12.5), ("503", None)])
async def test_the_wait_that_the_server_asks_for_is_read(fault: str, seconds: float | None, faults: GoogleFaults) -> None:
    async with opened() as provider:
        assert (await failed(provider, profile(faults.url(fault)))).failure.retry_after == seconds


async def test_what_is_said_of_some_faults(faults: GoogleFaults) -> None:
    where = faults.origin[7:]
    async with opened(Reach({"GEMINI_API_KEY": KEY}, frozenset({faults.origin}))) as provider:
        said = {name: (await failed(provider, profile(faults.url(name)))).failure for name in KINDS}
        ended = (await failed(provider, profile(faults.url("early-end")), told=[])).failure

    assert said["html"].what == f"{where} sent a web page"
    assert said["html"].hint == f"is base_url right? {faults.url('html')}"
    assert said["html-502"].what == f"{where} answered 502"
    assert said["too-long"].what == f"{where} answered 400: {TOO_LONG}"
    assert said["404"].hint == f"is '{MODEL}' the model's name there, and {faults.url('404')} the server's address?"
    assert said["bad-key"].hint == "check GEMINI_API_KEY: llm-orc auth test google"
    assert said["filtered"].what == f"{where} filtered the reply (safety): unsafe [key]"
    assert said["blocked"].what == f"{where} filtered the prompt (prohibited content)"
    assert said["empty-length"].hint == "raise max_tokens; thinking counts too"
    assert said["call-only"].what == f"{where} sent an empty reply that calls the tool 'look_up'"
    assert said["bad-call"].what == f"{where} sent an empty reply (malformed function call)"
    assert said["thought-only"].what == f"{where} sent an empty reply after thinking"
    assert ended.what == f"the stream of {where} ended before its last event"


async def test_a_reply_in_one_piece_where_a_stream_was_asked_for_is_read(faults: GoogleFaults) -> None:
    told: list[Happening] = []
    async with opened() as provider:
        assert (await ask(provider, profile(faults.url("stream-for-whole")), told=told)).text == "one two"


PARTS = ("candidates", "content", "parts", "text", "thought", "finishReason", "usageMetadata", "promptFeedback", "blockReason", "error")
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=4),
    max_leaves=12,
)
CANDIDATES = st.fixed_dictionaries({"candidates": st.lists(st.fixed_dictionaries({"content": JSON, "finishReason": JSON}))})


@settings(max_examples=150, deadline=None)
@given(JSON | CANDIDATES, st.booleans())
def test_whatever_is_said_is_a_reply_or_a_failure(said: object, stream: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    asked = profile("http://localhost:1")
    answer = Answer(aim(asked, Reach()), Request("a", (HELLO,), asked, stream=stream), lambda _: None)
    try:
        answer.take(said)
        assert answer.reply().text.strip()
    except FailedError as error:
        assert error.failure.hint  # noqa: PT017 - either outcome is right for some JSON


def test_usage_in_strange_forms_is_no_usage() -> None:
    strange: tuple[object, ...] = (None, 3, [], {}, {"promptTokenCount": None}, {"promptTokenCount": "7"}, {"promptTokenCount": 10**4000})

    assert [usage_of(said) for said in strange] == [None] * 7


# ---- the conformance suite of every provider


def subject() -> Iterator[Subject]:
    with GoogleServer(keys=[KEY], models=[Row(MODEL, 1048576)]) as server, GoogleFaults() as broken:
        yield Subject(
            Google,
            profile(server.base_url),
            Reach({"GEMINI_API_KEY": KEY}, frozenset({server.origin, broken.origin})),
            secrets=[KEY],
            sent=lambda: [request.body for each in (server, broken) for request in each.requests if request.method == "POST"],
            endless=profile(broken.url("hang")),
            failing={
                Kind.AUTHENTICATION: profile(broken.url("bad-key")),
                Kind.PERMISSION: profile(broken.url("403")),
                Kind.NOT_FOUND: profile(broken.url("404")),
                Kind.RATE_LIMIT: profile(broken.url("429")),
                Kind.SERVER: profile(broken.url("503")),
                Kind.NETWORK: profile(broken.url("reset-before")),
                Kind.MALFORMED: profile(broken.url("html")),
                Kind.EMPTY: profile(broken.url("empty")),
                Kind.CONTEXT_LENGTH: profile(broken.url("too-long")),
                Kind.CONTENT_FILTER: profile(broken.url("blocked")),
            },
            wrong=[profile(server.base_url, options={"candidate_count": 2}), profile(server.base_url, model="a/../b")],
            takes=frozenset({"vision", "files", "structured_output"}),
            lists=True,
        )


TestConformance = provider_conformance(subject)
