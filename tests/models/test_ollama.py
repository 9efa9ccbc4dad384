"""Ollama: what reaches the wire, windows that suffice, models that are loaded first, and faults; against a server of our own alone."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from llm_orc.domain.event import Happening, Loaded, Loading, Warned
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, Kind, Message, Reply, Request, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Listed, Reach
from llm_orc.models.ollama import Ollama, in_cloud
from llm_orc.models.ollama_call import Options
from tests.models.asking import texts
from tests.servers.ollama import FAULTS, Model, OllamaServer, Scripted
from tests.servers.wire import Connection, Gate, Received

HELLO = Message("user", "hello there")
BARE = {
    "model": "qwen3:8b",
    "messages": [{"role": "user", "content": "hello there"}],
    "tools": [],
    "options": {"num_ctx": 4096},
    "stream": False,
    "truncate": False,
    "shift": False,
}


class NewOllama(Protocol):
    """Start a server; it stops with the test."""

    def __call__(self, script: Any = None, **settings: Any) -> OllamaServer: ...


@pytest.fixture
def ollama_server() -> Iterator[NewOllama]:
    with ExitStack() as running:
        yield lambda script=None, **settings: running.enter_context(OllamaServer(script, **settings))


def profile(server: OllamaServer, **keys: Any) -> Profile:
    return Profile(**{"name": "p", "model": "qwen3:8b", "provider": "ollama", "base_url": server.origin} | keys)


async def ask(
    asked: Profile,
    *messages: Message,
    told: list[Happening] | None = None,
    stream: bool = False,
    schema: dict[str, Any] | None = None,
    reach: Reach | None = None,
) -> Reply:
    provider = Ollama("ollama", reach or Reach())
    try:
        request = Request("a", messages or (HELLO,), asked, stream=stream, schema=schema)
        return await provider.ask(asked)(request, (told if told is not None else []).append)
    finally:
        await provider.close()


async def failed(asked: Profile, *messages: Message, **how: Any) -> FailedError:
    with pytest.raises(FailedError) as caught:
        await ask(asked, *messages, **how)
    return caught.value


async def failure(asked: Profile, *messages: Message, **how: Any) -> Failure:
    return (await failed(asked, *messages, **how)).failure


# ---- what reaches the wire

SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.25, {"options": {"temperature": 0.25}}),
    "max_tokens": (77, {"options": {"num_predict": 77}}),
    "top_p": (0.5, {"options": {"top_p": 0.5}}),
    "seed": (42, {"options": {"seed": 42}}),
    "stop": (("END", "STOP"), {"options": {"stop": ["END", "STOP"]}}),
    "options": ({"num_ctx": 8192, "dry": {"a": 1}}, {"options": {"num_ctx": 8192, "dry": {"a": 1}}}),
    "system_prompt": ("Be brief.", {"messages": [{"role": "system", "content": "Be brief."}, *BARE["messages"]]}),  # type: ignore[misc]
    "model": ("qwen3:8b", {"model": "qwen3:8b"}),
    "context_window": (3000, {"options": {"num_ctx": 3000}}),
    "name": ("other", {}),
    "provider": ("ollama", {}),
    "base_url": (None, {}),
    "credential": (None, {}),
    "insecure": (True, {}),
    "timeout_seconds": (9.0, {}),
    "fallback": (("cheap",), {}),
    "cache": (True, {}),
    "max_parallel": (3, {}),
    "requests_per_minute": (3, {}),
    "tokens_per_minute": (3, {}),
    "price": ({"input": 1, "output": 2}, {}),
    "capabilities": (["vision"], {}),
}
"""Field of a profile -> a value, and what the request must hold of it; what is empty belongs to the engine, or says where to go."""

OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "think": ("low", {"think": "low"}),
    "keep_alive": ("10m", {"keep_alive": "10m"}),
    "format": ("json", {"format": "json"}),
    **{
        name: (value, {"options": {name: value}})
        for name, value in {
            "num_ctx": 5000,
            "num_predict": 60,
            "num_keep": 5,
            "num_gpu": 0,
            "num_thread": 3,
            "num_batch": 256,
            "main_gpu": 1,
            "use_mmap": False,
            "use_mlock": True,
            "numa": True,
            "temperature": 0.5,
            "seed": 7,
            "stop": ["x"],
            "top_k": 20,
            "top_p": 0.8,
            "min_p": 0.05,
            "typical_p": 0.7,
            "tfs_z": 1.0,
            "repeat_last_n": 64,
            "repeat_penalty": 1.2,
            "presence_penalty": 1.5,
            "frequency_penalty": 1.0,
            "penalize_newline": False,
            "mirostat": 2,
            "mirostat_tau": 0.8,
            "mirostat_eta": 0.6,
        }.items()
    },
}
"""Entry of `options` -> a value, and where it stands in the request."""


def merged(expected: dict[str, Any]) -> dict[str, Any]:
    return {**BARE, **expected, "options": {**BARE["options"], **expected.get("options", {})}}  # type: ignore[dict-item]


def test_every_field_and_every_option_has_its_assertion() -> None:
    assert SENT.keys() == Profile.model_fields.keys()
    assert OPTIONS.keys() == Options.model_fields.keys()


@pytest.mark.parametrize("name", SENT)
async def test_the_field_reaches_the_wire_and_nothing_else_does(name: str, ollama_server: NewOllama) -> None:
    value, expected = SENT[name]
    server = ollama_server()
    keys = {} if value is None else {name: value}
    await ask(profile(server, **keys))

    assert [chat.json for chat in server.chats] == [merged(expected)]


@pytest.mark.parametrize("name", OPTIONS)
async def test_the_option_reaches_its_place(name: str, ollama_server: NewOllama) -> None:
    value, expected = OPTIONS[name]
    server = ollama_server(models=[Model(capabilities=("completion", "thinking"))])
    await ask(profile(server, options={name: value}))

    assert server.chats[0].json == merged(expected)


async def test_options_go_over_parameters(ollama_server: NewOllama) -> None:
    server = ollama_server()
    await ask(profile(server, temperature=0.1, max_tokens=10, options={"temperature": 0.9, "num_predict": 20}))

    assert server.chats[0].json["options"] == {"temperature": 0.9, "num_predict": 20, "num_ctx": 4096}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_ctx": "many"}, "option 'num_ctx' must be a whole number"),
        ({"num_ctx": 0}, "option 'num_ctx' must be at least 1"),
        ({"raw": True}, "option 'raw' has no place in a chat"),
        ({"messages": []}, "option 'messages' has no place in a chat"),
        ({"truncate": True}, "option 'truncate': no prompt is cut unseen"),
    ],
)
def test_options_that_cannot_be_are_found_before_anything_runs(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(words)):
        Ollama("ollama", Reach()).ask(Profile(model="m", provider="ollama", options=options))


async def test_a_schema_is_sent_whole(ollama_server: NewOllama) -> None:
    server = ollama_server({"": '{"a": null}'})
    schema = {"type": "object", "properties": {"a": {"enum": ["x", None], "default": None}}}
    await ask(profile(server, options={"format": "json"}), schema=schema)

    assert server.chats[0].json["format"] == schema


async def test_a_conversation_goes_in_order_and_its_system_message_not_twice(ollama_server: NewOllama) -> None:
    server = ollama_server()
    turns = [Message("system", "S"), Message("user", "one"), Message("assistant", "two"), Message("user", "three \u2028 \u2603")]
    await ask(profile(server, system_prompt="S"), *turns)

    assert server.chats[0].json["messages"] == [{"role": turn.role, "content": turn.text} for turn in turns]


async def test_what_a_model_does_not_take_is_named_and_not_sent(ollama_server: NewOllama) -> None:
    server, told = ollama_server(), list[Happening]()
    card = ModelCard(refuses=frozenset({"temperature", "stop"}))
    asked = profile(server, temperature=0.1, seed=3, options={"think": True})
    await ask(asked, told=told, reach=Reach(card=lambda _: card))

    assert server.chats[0].json == merged({"options": {"seed": 3}})
    assert [event.what for event in told if isinstance(event, Warned)] == [
        "qwen3:8b does not take temperature: it is not sent",
        "qwen3:8b does not think before it answers: option think is not sent",
    ]


async def test_images_go_beside_the_text_and_texts_within(ollama_server: NewOllama) -> None:
    server = ollama_server(models=[Model(capabilities=("completion", "vision"))])
    files = (Attachment("a.png", "image/png", b"\x89PNG"), Attachment("b.md", "text/markdown", "# \u00dc".encode()))
    await ask(profile(server), Message("user", "Look.", files))

    said = 'Look.\n\n<file name="b.md">\n# \u00dc\n</file>'
    assert server.chats[0].json["messages"] == [{"role": "user", "content": said, "images": ["iVBORw=="]}]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (Attachment("a.pdf", "application/pdf", b"%PDF"), "Ollama takes images and texts, and a.pdf is application/pdf"),
        (Attachment("a.txt", "text/plain", b"\xff"), "a.txt is no UTF-8 text"),
        (Attachment("a.png", "image/png", b"\x89PNG"), "qwen3:8b cannot see a.png"),
    ],
)
async def test_a_file_that_the_model_cannot_read_fails_before_it_is_sent(file: Attachment, what: str, ollama_server: NewOllama) -> None:
    server = ollama_server()
    error = await failed(profile(server), Message("user", "Look.", (file,)))

    assert (error.failure.kind, error.failure.what, error.usage) == (Kind.INVALID_REQUEST, what, NO_USAGE)
    assert error.failure.hint
    assert (server.chats, server.loads) == ([], [])


async def test_the_sdk_reads_neither_key_nor_host_from_the_environment(ollama_server: NewOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-leak")
    monkeypatch.setenv("OLLAMA_HOST", "http://far.example:1")  # conftest would raise at the attempt
    server = ollama_server()
    await ask(profile(server))

    assert not [request for request in server.requests if "authorization" in request.headers]
    assert {request.headers["user-agent"] for request in server.requests} == {"llm-orc"}


async def test_the_users_own_variable_says_where_it_listens(ollama_server: NewOllama) -> None:
    server = ollama_server()
    asked = Profile(model="qwen3:8b", provider="ollama")
    reply = await ask(asked, reach=Reach({"OLLAMA_HOST": f"127.0.0.1:{server.port}"}))

    assert reply.text == "ok"


# ---- what is made of a reply


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_whole_and_piece_by_piece(ollama_server: NewOllama, *, stream: bool) -> None:
    said = Scripted("fine \u2028 words\nhere \x85 \u00e9", thinking="hm so", counts={"prompt_eval_count": 100, "eval_count": 20})
    server, told = ollama_server({"": said}), list[Happening]()
    reply = await ask(profile(server), told=told, stream=stream)

    assert (reply.text, reply.usage, reply.finish) == (said.text, Usage(100, 20), "stop")
    assert (reply.model, reply.cost) == ("qwen3:8b", None)
    assert "".join(texts(told)) == (said.text if stream else "")
    assert "".join(texts(told, thinking=True)) == ("hm so" if stream else "")


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("load", "other"), ("unload", "other"), ("", "stop")]
)
async def test_why_a_reply_ended(reason: str, finish: str, ollama_server: NewOllama) -> None:
    server = ollama_server({"": Scripted("half a", done_reason=reason)})

    assert (await ask(profile(server))).finish == finish


@pytest.mark.parametrize("counts", [{}, {"prompt_eval_count": 0, "eval_count": 2}])
async def test_a_count_that_is_not_there_is_estimated(counts: dict[str, int], ollama_server: NewOllama) -> None:
    server = ollama_server({"": Scripted("four words or so", counts=counts)})
    reply = await ask(profile(server), Message("user", "x" * 4000))

    assert reply.usage == Usage(1000, counts.get("eval_count", 4), estimated=True)


@pytest.mark.parametrize("count", [-5, 10**19])
async def test_a_count_that_cannot_be_is_none(count: int, ollama_server: NewOllama) -> None:
    server = ollama_server({"": Scripted("four words or so", counts={"prompt_eval_count": count, "eval_count": count})})
    reply = await ask(profile(server), Message("user", "x" * 4000))

    assert reply.usage == Usage(1000, 4, estimated=True)


async def test_a_stream_is_told_while_it_goes_on_and_a_cancelled_one_is_dropped(ollama_server: NewOllama) -> None:
    gate = Gate()
    server, told = ollama_server({"": Scripted("first second third", gate=gate)}), list[Happening]()
    call = asyncio.create_task(ask(profile(server), told=told, stream=True))
    await gate.arrivals(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)
    assert "".join(texts(told)) in ("", "first ", "first second ")


# ---- windows


@pytest.mark.parametrize(
    ("text", "keys", "window"),
    [
        ("hi", {}, 4096),
        ("word " * 2000, {}, 6144),
        ("word " * 2000, {"max_tokens": 4096}, 8192),
        ("7" * 8000, {}, 10240),
        ("word " * 2000, {"context_window": 5000}, 5000),
        ("word " * 20000, {}, 32768),
        ("hi", {"options": {"num_ctx": 1234}}, 1234),
    ],
)
async def test_the_window_is_what_prompt_and_reply_need(text: str, keys: dict[str, Any], window: int, ollama_server: NewOllama) -> None:
    server = ollama_server()
    await ask(profile(server, **keys), Message("user", text))

    assert server.chats[0].json["options"]["num_ctx"] == window
    assert server.loads == [("qwen3:8b", window)]


async def test_a_model_stays_loaded_as_it_is_where_that_suffices(ollama_server: NewOllama) -> None:
    server, told = ollama_server(models=[Model(loaded=20000)]), list[Happening]()
    await ask(profile(server), told=told)

    assert server.chats[0].json["options"]["num_ctx"] == 20000
    assert (server.loads, told) == ([], [])


async def test_a_model_is_loaded_anew_where_it_does_not(ollama_server: NewOllama) -> None:
    server, told = ollama_server(models=[Model(loaded=4096)]), list[Happening]()
    await ask(profile(server), Message("user", "word " * 4000), told=told)

    assert server.loads == [("qwen3:8b", 10240)]
    assert told == [Loading(node="a", model="qwen3:8b"), Loaded(node="a")]


async def test_a_server_that_tells_no_windows_is_not_made_to_load_for_each_call(ollama_server: NewOllama) -> None:
    server, told = ollama_server(tells_window=False), list[Happening]()
    asked = profile(server)
    provider = Ollama("ollama", Reach())
    for _ in range(3):
        await provider.ask(asked)(Request("a", (HELLO,), asked), told.append)
    await provider.close()

    assert [event for event in told if isinstance(event, Loading)] == [Loading(node="a", model="qwen3:8b")]


async def test_many_at_once_ask_once_what_the_server_has_and_load_the_model_once(ollama_server: NewOllama) -> None:
    server = ollama_server()
    asked, provider = profile(server), Ollama("ollama", Reach())
    await asyncio.gather(*(provider.generate(Request(f"a{number}", (HELLO,), asked), lambda _: None) for number in range(20)))
    await provider.close()

    asked_for = Counter(request.path for request in server.requests)
    assert asked_for == {
        "/api/tags": 1,
        "/api/show": 1,
        "/api/generate": 1,
        "/api/ps": 2,
        "/api/chat": 20,
    }  # before it was loaded, and after


@pytest.mark.parametrize("tells_window", [True, False])
async def test_a_model_that_was_put_out_of_memory_meanwhile_is_loaded_again(ollama_server: NewOllama, *, tells_window: bool) -> None:
    server, told = ollama_server(tells_window=tells_window), list[Happening]()
    asked, provider = profile(server), Ollama("ollama", Reach())
    for _ in range(2):
        await provider.generate(Request("a", (HELLO,), asked), told.append)
        server.resident.clear()
    await provider.close()

    assert told == 2 * [Loading(node="a", model="qwen3:8b"), Loaded(node="a")]


@pytest.mark.parametrize(
    ("keys", "model", "window", "hint"),
    [
        ({}, Model(window=4096), 4096, "choose a model with a larger window"),
        ({"context_window": 3000}, Model(), 3000, "raise context_window in the profile"),
        ({"options": {"num_ctx": 2048}}, Model(), 2048, "raise num_ctx in the profile's options (or leave it out)"),
    ],
)
async def test_what_does_not_fit_fails_before_it_is_sent(
    keys: dict[str, Any], model: Model, window: int, hint: str, ollama_server: NewOllama
) -> None:
    server = ollama_server(models=[model])
    error = await failed(profile(server, **keys), Message("user", "word " * 4000))

    assert error.failure.kind is Kind.CONTEXT_LENGTH
    assert error.failure.what == f"the prompt has about 5004 tokens, and qwen3:8b a window of {window} for prompt and reply"
    assert error.failure.hint == f"{hint}, or send less: split the input with fan_out"
    assert error.usage == NO_USAGE
    assert (server.chats, server.loads) == ([], [])


async def test_a_reply_that_the_window_cuts_short_is_named(ollama_server: NewOllama) -> None:
    server, told = ollama_server(models=[Model(window=4096)]), list[Happening]()
    await ask(profile(server, max_tokens=4096), Message("user", "word " * 800), told=told)

    assert server.chats[0].json["options"] == {"num_ctx": 4096, "num_predict": 3092}
    assert [event.what for event in told if isinstance(event, Warned)] == [
        "the prompt leaves 3092 tokens for the reply in a window of 4096: max_tokens 4096 is more"
    ]


async def test_a_server_that_gives_less_than_was_asked_for_is_not_sent_what_it_would_cut(ollama_server: NewOllama) -> None:
    server = ollama_server(window=4096)
    found = await failure(profile(server), Message("user", "word " * 4000))

    assert (found.kind, server.chats) == (Kind.CONTEXT_LENGTH, [])
    assert "window of 4096" in found.what
    assert "OLLAMA_CONTEXT_LENGTH" in found.hint


async def test_a_server_that_says_what_it_would_have_cut(ollama_server: NewOllama) -> None:
    server = ollama_server(honest=True, window=4096, tells_window=False)
    error = await failed(profile(server), Message("user", "word " * 4000))

    assert (error.failure.kind, error.usage) == (Kind.CONTEXT_LENGTH, NO_USAGE)
    assert "request (5004 tokens) exceeds the available context size (4096 tokens)" in error.failure.what


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_was_cut_without_a_word_is_no_success(ollama_server: NewOllama, *, stream: bool) -> None:
    server = ollama_server({"": "fine words"}, window=2048, tells_window=False)
    error = await failed(profile(server), Message("user", "word " * 4000), stream=stream)

    assert error.failure.kind is Kind.CONTEXT_LENGTH
    assert re.fullmatch(r"127\.0\.0\.1:\d+ read 2048 tokens of a prompt of about 5004: it was cut", error.failure.what)
    assert "raise num_ctx: options: {num_ctx: 10240}" in error.failure.hint
    assert (error.partial, error.usage) == ("fine words", Usage(2048, 2))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("internationalization of characteristics " * 200, 1000),
        (("    " * 10 + "x = 1\n") * 200, 900),
        ("=" * 4000 + "title", 6),
        ("-+" * 4000, 6),
        ("word " * 4000, None),
        ("word " * 4000, 0),
    ],
)
async def test_text_that_is_few_tokens_is_not_taken_for_cut(text: str, count: int | None, ollama_server: NewOllama) -> None:
    counts = {"eval_count": 1} if count is None else {"prompt_eval_count": count, "eval_count": 1}
    server = ollama_server({"": Scripted("ok", counts=counts)})

    assert (await ask(profile(server), Message("user", text))).text == "ok"


async def test_the_count_of_a_server_too_old_to_count_what_it_remembered_is_not_held_against_it(ollama_server: NewOllama) -> None:
    server = ollama_server({"": Scripted("ok", counts={"prompt_eval_count": 3, "eval_count": 1})}, models=[Model(window=None)])

    assert (await ask(profile(server), Message("user", "word " * 4000))).text == "ok"


# ---- models that are there, and in memory


@pytest.mark.parametrize(
    ("asked", "pulled"), [("llama3", "llama3:latest"), ("hf.co/a/b", "hf.co/a/b:latest"), ("hf.co/a/b:Q4", "hf.co/a/b:Q4")]
)
async def test_a_name_without_a_tag_is_the_latest(asked: str, pulled: str, ollama_server: NewOllama) -> None:
    server = ollama_server(models=[Model(pulled)])
    await ask(profile(server, model=asked))

    assert server.chats[0].json["model"] == pulled


async def test_a_model_that_was_not_pulled_is_not_found_and_the_hint_is_the_command(ollama_server: NewOllama) -> None:
    server = ollama_server()
    near = await failure(profile(server, model="qwen3:7b"))
    far = await failure(profile(server, model="llama3"))

    assert (far.kind, far.hint) == (Kind.NOT_FOUND, "ollama pull llama3")
    assert far.what == f"127.0.0.1:{server.port} has no model 'llama3'"
    assert near.hint == "ollama pull qwen3:7b; did you mean 'qwen3:8b'?"
    assert server.chats == []


async def test_a_model_that_was_pulled_meanwhile_is_found(ollama_server: NewOllama) -> None:
    server = ollama_server()
    asked, provider = profile(server, model="new:1b"), Ollama("ollama", Reach())
    request = Request("a", (HELLO,), asked)
    with pytest.raises(FailedError):
        await provider.generate(request, list[Happening]().append)
    server.models["new:1b"] = Model("new:1b")
    reply = await provider.generate(request, list[Happening]().append)
    await provider.close()

    assert reply.text == "ok"


async def test_a_model_is_loaded_with_what_belongs_to_loading(ollama_server: NewOllama) -> None:
    server, told = ollama_server(), list[Happening]()
    options = {"num_gpu": 3, "num_ctx": 5000, "keep_alive": "1h", "top_k": 3, "num_thread": 2}
    await ask(profile(server, temperature=0.5, options=options), told=told)
    load = next(request.json for request in server.requests if request.path == "/api/generate")

    assert load["options"] == {"num_ctx": 5000, "num_gpu": 3, "num_thread": 2}
    assert (load["model"], load["keep_alive"], load.get("prompt")) == ("qwen3:8b", "1h", None)
    assert told == [Loading(node="a", model="qwen3:8b"), Loaded(node="a")]
    assert len(server.chats) == 1


async def test_calls_at_once_share_one_loading_and_each_is_told(ollama_server: NewOllama) -> None:
    gate = Gate()
    server, told, all_told = ollama_server(load_gate=gate), list[Happening](), asyncio.Event()
    asked, provider = profile(server), Ollama("ollama", Reach())

    def tell(event: Happening) -> None:
        told.append(event)
        if len(told) == 4:
            all_told.set()

    calls = [asyncio.create_task(provider.generate(Request(node, (HELLO,), asked), tell)) for node in "abc"]
    await gate.arrivals(1)
    late = asyncio.create_task(provider.generate(Request("d", (HELLO,), asked), tell))
    await all_told.wait()
    assert told == [Loading(node=node, model="qwen3:8b") for node in "abcd"]
    gate.release()
    replies = await asyncio.gather(*calls, late)
    await provider.close()

    assert {reply.text for reply in replies} == {"ok"}
    assert [request.path for request in server.requests].count("/api/generate") == 1
    assert sorted(event.node for event in told if isinstance(event, Loaded)) == list("abcd")
    assert len(server.loads) == 1


async def test_a_cancelled_loading_is_taken_over_by_the_next(ollama_server: NewOllama) -> None:
    gate = Gate()
    server = ollama_server(load_gate=gate)
    asked, provider = profile(server), Ollama("ollama", Reach())
    first, second = (asyncio.create_task(provider.generate(Request(node, (HELLO,), asked), list[Happening]().append)) for node in "ab")
    await gate.arrivals(1)
    first.cancel()
    await gate.arrivals(2)
    gate.release()

    assert (await second).text == "ok"
    assert first.cancelled() or first.done()
    await provider.close()


async def test_a_model_that_the_memory_has_no_room_for(ollama_server: NewOllama) -> None:
    server = ollama_server(load_status=500)
    error = await failed(profile(server))

    assert (error.failure.kind, error.usage) == (Kind.SERVER, NO_USAGE)
    assert "requires more system memory" in error.failure.what
    assert error.failure.hint == "choose a smaller model, or lower context_window or num_ctx in its profile"
    assert server.chats == []


async def test_a_model_in_the_cloud_is_neither_local_nor_loaded(ollama_server: NewOllama) -> None:
    server = ollama_server(models=[Model("gpt-oss:120b-cloud", window=131072)])
    asked = profile(server, model="gpt-oss:120b-cloud")
    reply = await ask(asked)

    assert (reply.text, [request.path for request in server.requests]) == ("ok", ["/api/tags", "/api/show", "/api/chat"])
    assert server.chats[0].json["options"] == {}
    assert (await failure(asked, Message("user", "word " * 200_000))).kind is Kind.CONTEXT_LENGTH
    assert not Ollama("ollama", Reach()).endpoint(asked).local
    assert Ollama("ollama", Reach()).endpoint(profile(server)).local
    assert (in_cloud("minimax-m2:cloud"), in_cloud("cloudy:8b"), in_cloud("cloud")) == (True, False, False)


async def test_its_models_those_in_memory_first_and_embedding_models_last(ollama_server: NewOllama) -> None:
    pulled = [
        Model("nomic-embed-text:latest", family="nomic-bert", capabilities=("embedding",), window=2048),
        Model("old:1b", capabilities=None, window=None),
        Model("oldvec:1b", family="bert", capabilities=None, window=None),
        Model("llava:7b", capabilities=("completion", "vision"), window=4096),
        Model("qwen3:8b", capabilities=("completion", "tools", "thinking"), loaded=8192),
    ]
    server, provider = ollama_server(models=pulled), Ollama("ollama", Reach())
    listed = await provider.models(profile(server))
    await provider.close()

    assert listed == [
        Listed("qwen3:8b", loaded=True, context_window=8192, capabilities=frozenset({"tools", "thinking", "structured_output"})),
        Listed("old:1b", loaded=False),
        Listed("llava:7b", loaded=False, context_window=4096, capabilities=frozenset({"vision", "structured_output"})),
        Listed("nomic-embed-text:latest", chat=False, loaded=False, context_window=2048, capabilities=frozenset()),
        Listed("oldvec:1b", chat=False, loaded=False),
    ]


# ---- faults

KINDS = {
    "html": Kind.MALFORMED,
    "malformed": Kind.MALFORMED,
    "wrong-shape": Kind.MALFORMED,
    "no-message": Kind.MALFORMED,
    "list": Kind.MALFORMED,
    "nothing": Kind.MALFORMED,
    "no-utf-8": Kind.MALFORMED,
    "error-body": Kind.SERVER,
    "empty": Kind.EMPTY,
    "blank": Kind.EMPTY,
    "unloaded": Kind.EMPTY,
    "early-end": Kind.NETWORK,
    "cut": Kind.NETWORK,
    "reset-middle": Kind.NETWORK,
    "malformed-line": Kind.MALFORMED,
    "list-line": Kind.MALFORMED,
    "error-line": Kind.SERVER,
    "reset-before": Kind.NETWORK,
    "closed": Kind.NETWORK,
    "half-header": Kind.NETWORK,
    "not-http": Kind.MALFORMED,
    "short-body": Kind.NETWORK,
    "400": Kind.INVALID_REQUEST,
    "context-length": Kind.CONTEXT_LENGTH,
    "401": Kind.AUTHENTICATION,
    "401-list": Kind.AUTHENTICATION,
    "403": Kind.PERMISSION,
    "404": Kind.NOT_FOUND,
    "429": Kind.RATE_LIMIT,
    "500": Kind.SERVER,
    "503": Kind.SERVER,
    "529": Kind.SERVER,
    "html-502": Kind.SERVER,
    "redirect": Kind.INVALID_REQUEST,
    "redirect-away": Kind.INVALID_REQUEST,
}
HANGS = {"hang", "hang-middle"}
STREAMED = {"early-end", "cut", "reset-middle", "malformed-line", "list-line", "error-line"}
BILLED_NOT = {"400", "context-length", "401", "401-list", "403", "404", "429", "500", "503", "529", "html-502", "redirect", "redirect-away"}
FOREIGN = re.compile(r"Traceback|Error\b|Exception|aiohttp|httpx|object at 0x|Errno|Connector|<class|<html|<!DOCTYPE", re.IGNORECASE)


def test_every_fault_of_the_server_is_accounted_for() -> None:
    assert KINDS.keys() | HANGS == FAULTS.keys()


@pytest.mark.parametrize(
    ("fault", "stream"), [(fault, stream) for fault in KINDS for stream in (False, True) if stream or fault not in STREAMED]
)
async def test_a_fault_is_a_typed_failure_after_exactly_one_request(fault: str, ollama_server: NewOllama, *, stream: bool) -> None:
    server = ollama_server(fault=fault)
    error = await failed(profile(server), stream=stream)

    assert error.failure.kind is KINDS[fault]
    assert error.failure.what
    assert error.failure.hint
    assert not FOREIGN.search(error.failure.what + error.failure.hint)
    assert error.partial == ("one two " if fault in STREAMED else " \n" if fault == "blank" else "")
    assert (error.usage == NO_USAGE) is (fault in BILLED_NOT)
    assert len(server.chats) == 1


async def test_what_the_server_asks_and_says_is_handed_on(ollama_server: NewOllama) -> None:
    assert (await failure(profile(ollama_server(fault="429")))).retry_after == 7
    assert "llama runner process has terminated" in (await failure(profile(ollama_server(fault="error-line")), stream=True)).what
    assert (await failure(profile(ollama_server(fault="404")))).hint == "ollama pull qwen3:8b"


async def test_a_reply_that_is_thinking_alone_says_so(ollama_server: NewOllama) -> None:
    server = ollama_server({"": Scripted("", thinking="hm", done_reason="length")})
    cut = await failure(profile(server))
    thought = await failure(profile(ollama_server({"": Scripted("", thinking="hm")})), stream=True)

    assert (cut.kind, cut.hint) == (Kind.EMPTY, "raise max_tokens; thinking counts too")
    assert thought.what.endswith("sent an empty reply after thinking")


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/api/generate"])
async def test_what_only_looks_or_loads_costs_nothing_however_it_fails(path: str) -> None:
    class Garbled(OllamaServer):
        async def answer(self, request: Received, connection: Connection) -> None:
            if request.path == path:
                connection.send(200, "<html>")
            else:
                await super().answer(request, connection)

    with Garbled() as server:
        error = await failed(profile(server))

    assert (error.failure.kind, error.usage) == (Kind.MALFORMED, NO_USAGE)
    assert not server.chats


async def test_half_a_letter_in_a_prompt_is_a_question_mark(ollama_server: NewOllama) -> None:
    server = ollama_server()

    assert (await ask(profile(server), Message("user", "half a \ud83d"))).text == "ok"
    assert server.chats[0].json["messages"][0]["content"] == "half a ?"


async def test_where_nobody_listens_the_hint_says_how_to_start_it() -> None:
    error = await failed(Profile(model="m", provider="ollama", base_url="http://127.0.0.1:1"))

    assert (error.failure.kind, error.failure.hint) == (Kind.NETWORK, "start Ollama: ollama serve (or its app)")
    assert (error.failure.what, error.usage) == ("no connection to 127.0.0.1:1", NO_USAGE)


async def test_what_is_no_ollama_says_so(ollama_server: NewOllama) -> None:
    server = ollama_server()
    found = await failure(profile(server, base_url=f"{server.origin}/v1"))

    assert found.kind is Kind.NOT_FOUND
    assert f"{server.origin}/v1" in found.hint


async def test_closing_leaves_no_connection_open(ollama_server: NewOllama) -> None:
    server, second = ollama_server(), Ollama("ollama", Reach())
    await ask(profile(server))
    await second.models(profile(server, model="other"))  # tells the server to look around again
    await second.close()
    last = Ollama("ollama", Reach())
    await last.generate(Request("a", (HELLO,), profile(server)), list[Happening]().append)
    await asyncio.to_thread(server.wait_until, lambda: server.connections <= 1)
    await last.close()
