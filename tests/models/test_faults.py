"""Whatever a server does wrong is a typed failure with a hint, in our own words."""

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import Happening
from llm_orc.domain.message import NO_USAGE, FailedError, Kind, Message, Request, Usage
from llm_orc.models.base import Reach
from llm_orc.models.chat_body import body_of
from llm_orc.models.completion import Completion, usage_of
from llm_orc.models.openai_compatible import answer
from llm_orc.models.pool import Pool
from llm_orc.models.refusals import refusal, retry_after, shortened
from llm_orc.models.target import aim
from llm_orc.models.transport import Patience
from tests.models.asking import KEY, ask, failure, models, profile, texts
from tests.models.asking import fault as fault_of
from tests.servers.faults import FAULTS, FaultServer, frame
from tests.servers.fixtures import NewServer
from tests.servers.openai import Scripted
from tests.servers.wire import Connection, Received, ThreadServer

KINDS = {
    "html": Kind.MALFORMED,
    "malformed": Kind.MALFORMED,
    "wrong-shape": Kind.MALFORMED,
    "no-choices": Kind.MALFORMED,
    "list": Kind.MALFORMED,
    "error-body": Kind.PERMISSION,
    "nothing": Kind.MALFORMED,
    "empty": Kind.EMPTY,
    "null": Kind.EMPTY,
    "content-filter": Kind.CONTENT_FILTER,
    "early-end": Kind.NETWORK,
    "cut": Kind.NETWORK,
    "reset-middle": Kind.NETWORK,
    "malformed-event": Kind.MALFORMED,
    "error-event": Kind.SERVER,
    "reset-before": Kind.NETWORK,
    "closed": Kind.NETWORK,
    "half-header": Kind.NETWORK,
    "not-http": Kind.MALFORMED,
    "short-body": Kind.NETWORK,
    "400": Kind.INVALID_REQUEST,
    "context-length": Kind.CONTEXT_LENGTH,
    "401": Kind.AUTHENTICATION,
    "403": Kind.PERMISSION,
    "404": Kind.NOT_FOUND,
    "429": Kind.RATE_LIMIT,
    "500": Kind.SERVER,
    "503": Kind.SERVER,
    "html-502": Kind.SERVER,
    "redirect": Kind.INVALID_REQUEST,
    "redirect-loop": Kind.INVALID_REQUEST,
    "redirect-away": Kind.INVALID_REQUEST,
}
WITH_PARTIAL = {"early-end", "cut", "reset-middle", "malformed-event", "error-event"}
STATUSES = {"400", "context-length", "401", "403", "404", "429", "500", "503", "html-502", "redirect", "redirect-loop", "redirect-away"}
USED = {"empty": Usage(3, 0), "null": Usage(3, 0), "content-filter": Usage(3, 0)}
"""What the server counted though there is no reply; in a stream it counts nothing."""
HANGS = {"hang", "hang-middle"}
PATIENCE = {"hang": Patience(answer=0.2), "hang-middle": Patience(idle=0.2)}
NO_FAULT = {"ok", "length", "crumbled", "slow"}
FOREIGN = re.compile(r"Traceback|Error\b|Exception|aiohttp|httpx|object at 0x|Errno|Connector|<class|<html|<!DOCTYPE", re.IGNORECASE)


def test_every_fault_of_the_server_is_accounted_for() -> None:
    assert KINDS.keys() | HANGS | NO_FAULT == FAULTS.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", KINDS)
async def test_a_fault_is_a_typed_failure_with_a_hint(fault: str, faults_server: FaultServer, *, stream: bool) -> None:
    async with models() as opened:
        error = await fault_of(opened, profile(faults_server.url(fault)), told=[] if stream else None)
    failed, partial = error.failure, error.partial

    assert error.usage == (NO_USAGE if fault in STATUSES else None if stream else USED.get(fault))
    assert failed.kind is KINDS[fault]
    assert failed.what
    assert failed.hint
    assert "\n" not in failed.what + failed.hint
    assert not FOREIGN.search(failed.what + failed.hint)
    assert partial == ("one two " if fault in WITH_PARTIAL else "")
    assert faults_server.counts[fault] == 1


@pytest.mark.parametrize("fault", sorted(HANGS))
async def test_a_server_that_falls_silent_is_given_up(fault: str, faults_server: FaultServer) -> None:
    asked = profile(faults_server.url(fault))
    target = aim(asked, Reach())
    pool = Pool(target, {}, PATIENCE[fault])

    told: list[Happening] = []
    request = Request("a", (Message("user", "hi"),), asked, stream=True)
    with pytest.raises(FailedError) as caught:
        await answer(pool, request, told.append, body_of(request, target).encoded())
    await pool.close()

    assert (caught.value.failure.kind, caught.value.usage) == (Kind.TIMEOUT, None)
    assert caught.value.partial == ("one two " if fault == "hang-middle" else "")


async def test_a_stream_with_comments_and_split_letters_is_read(faults_server: FaultServer) -> None:
    told: list[Happening] = []
    async with models() as opened:
        reply = await ask(opened, profile(faults_server.url("crumbled")), told=told)

    assert reply.text == "\u00e9 \u00fc"
    assert texts(told) == ["\u00e9 ", "\u00fc"]
    assert reply.usage.estimated


@pytest.mark.parametrize(
    ("provider", "hint"),
    [
        ("lmstudio", "start LM Studio's server: lms server start (or its Developer tab)"),
        ("vllm", "start it: vllm serve MODEL"),
        ("llamacpp", "start it: llama-server -m MODEL.gguf --port 8080"),
        ("openai-compatible", "is the server running, and is base_url right?"),
    ],
)
async def test_where_nobody_listens_the_hint_says_how_to_start_it(provider: str, hint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with models() as opened:
        failed, _ = await failure(opened, profile(f"http://127.0.0.1:{port}/v1", provider))

    assert failed.kind is Kind.NETWORK
    assert failed.what == f"no connection to 127.0.0.1:{port}"
    assert failed.hint == hint


async def test_a_host_that_does_not_exist() -> None:
    async with models() as opened:
        failed, _ = await failure(opened, profile("https://nowhere.localhost:1/v1"))

    assert failed.kind is Kind.NETWORK


async def test_a_servers_words_are_shortened_and_lose_what_looks_like_a_key(openai_server: NewServer) -> None:
    key = "correct-horse-4711"
    server = openai_server({"": Scripted(f"bad key {key} or sk-abc***xyz\x1b[31m\nand more {'x' * 500}", status=401)}, keys=[key])
    async with models({"OPENAI_COMPATIBLE_API_KEY": key}, trusted=server.origin) as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.what.startswith(f"{server.origin[7:]} answered 401: bad key [key] or [key] [31m and more xxx")
    assert len(failed.what) < 300
    assert failed.hint == "check OPENAI_COMPATIBLE_API_KEY: llm-orc auth test openai-compatible"


async def test_a_reply_that_max_tokens_cut_before_its_first_word(openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("", finish_reason="length")})
    async with models() as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert (failed.kind, failed.hint) == (Kind.EMPTY, "raise max_tokens; thinking counts too")


@pytest.mark.parametrize("status", [408, 413, 422, 409, 418, 504])
async def test_other_statuses(status: int, openai_server: NewServer) -> None:
    kinds = {
        408: Kind.TIMEOUT,
        413: Kind.CONTEXT_LENGTH,
        422: Kind.INVALID_REQUEST,
        409: Kind.SERVER,
        418: Kind.INVALID_REQUEST,
        504: Kind.SERVER,
    }
    server = openai_server({"": status})
    async with models() as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is kinds[status]


@pytest.mark.parametrize(
    "words",
    ["This model's maximum context length is 8192 tokens", "the request exceeds the available context size", "prompt is too long: 9000"],
)
async def test_a_window_that_is_too_small_is_known_by_each_servers_words(words: str, openai_server: NewServer) -> None:
    server = openai_server({"": Scripted(words, status=400)})
    async with models() as opened:
        failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is Kind.CONTEXT_LENGTH


CODED = {
    ("insufficient_quota", 429): (Kind.PERMISSION, "the account has no credit left: see the provider's billing page"),
    ("content_policy_violation", 400): (Kind.CONTENT_FILTER, "the provider's filter refused it: reword the prompt or choose another model"),
    ("context_length_exceeded", 400): (
        Kind.CONTEXT_LENGTH,
        "send less: split the input with fan_out, or choose a model with a larger window",
    ),
}


@pytest.mark.parametrize(("code", "status"), CODED)
def test_a_code_says_more_than_the_status(code: str, status: int) -> None:
    failed = refusal(aim(profile("http://localhost:1/v1"), Reach()), "m", status, {"error": {"code": code, "message": "no"}}, {})

    assert (failed.kind, failed.hint) == CODED[code, status]


@pytest.mark.parametrize(
    "said", [{"error": "no such model"}, {"message": "no such model"}, {"detail": "no such model"}, {"error": {"message": "no such model"}}]
)
def test_a_servers_words_are_found_where_it_puts_them(said: object) -> None:
    failed = refusal(aim(profile("http://localhost:1/v1"), Reach()), "m", 404, said, {})

    assert failed.what == "localhost:1 answered 404: no such model"


async def test_a_key_that_is_wanted_is_named(faults_server: FaultServer) -> None:
    asked = profile(faults_server.url("401"))
    async with models() as opened, models({"OPENAI_COMPATIBLE_API_KEY": KEY}, trusted=faults_server.origin) as keyed:
        hints = [(await failure(each, asked))[0].hint for each in (opened, keyed)]
        hints.append((await failure(opened, profile(faults_server.url("401"), "vllm")))[0].hint)

    assert hints == [
        "this server wants a key: llm-orc auth add openai-compatible, or export OPENAI_COMPATIBLE_API_KEY=...",
        "check OPENAI_COMPATIBLE_API_KEY: llm-orc auth test openai-compatible",
        "this server wants a key: llm-orc auth add vllm",
    ]


PARTS = (
    "choices",
    "message",
    "delta",
    "content",
    "usage",
    "error",
    "model",
    "finish_reason",
    "prompt_tokens",
    "code",
    "reasoning",
    "refusal",
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON | st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": JSON, "delta": JSON, "finish_reason": JSON}))}))
def test_whatever_is_said_is_a_reply_or_a_failure(said: object) -> None:
    asked = profile("http://localhost:1/v1")
    request = Request("a", (Message("user", "hi"),), asked, stream=True)
    body = json.dumps(said).encode()
    for whole in (True, False):
        completion = Completion(aim(asked, Reach()), request, lambda _: None)
        try:
            if whole:
                completion.add_whole(body)
            else:
                completion.add_line(b"data: " + body)
                completion.end_stream()
            assert completion.reply().text.strip()
        except FailedError as error:
            assert error.failure.hint  # noqa: PT017 - either outcome is right for some JSON


class Deep(ThreadServer):
    """Nests deeper than any parser follows."""

    status = 200

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.send(self.status, "[" * 200_000)


@pytest.mark.parametrize(("status", "kind"), [(200, Kind.MALFORMED), (500, Kind.SERVER)])
async def test_json_that_is_nested_too_deeply(status: int, kind: Kind) -> None:
    with Deep() as server:
        server.status = status
        async with models() as opened:
            failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is kind


class Raw(ThreadServer):
    """Sends bytes as they are."""

    said = b""

    async def answer(self, _: Received, connection: Connection) -> None:
        connection.write(self.said)
        connection.hang_up()


async def test_a_status_line_in_a_language_of_its_own() -> None:
    with Raw() as server:
        server.said = b"HTTP/1.1 401 Non autoris\xe9\r\nContent-Length: 0\r\n\r\n"
        async with models() as opened:
            failed, _ = await failure(opened, profile(server.base_url))

    assert failed.kind is Kind.MALFORMED
    assert failed.what == f"{server.origin[7:]} does not speak HTTP"


async def test_a_stream_may_begin_with_a_mark_and_its_type_be_in_capitals() -> None:
    with Raw() as server:
        events = frame("one ") + frame("two", "stop")
        server.said = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nConnection: close\r\n\r\n\xef\xbb\xbf" + events
        async with models() as opened:
            reply = await ask(opened, profile(server.base_url), told=[])

    assert reply.text == "one two"


async def test_retry_after_is_read(faults_server: FaultServer) -> None:
    async with models() as opened:
        failed, _ = await failure(opened, profile(faults_server.url("429", retry_after="7")))

    assert failed.retry_after == 7


def test_retry_after_may_be_a_date_and_nonsense_is_none() -> None:
    later = retry_after({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})

    assert later is not None
    assert 3500 < later <= 3600
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    nonsense = ("soon", "", "-3", f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", f"Mon, 01 Jan 2030 00:00:00 +{'9' * 20}")
    assert [retry_after({"retry-after": said}) for said in nonsense] == [None] * 5
    assert retry_after({}) is None


def test_usage_in_strange_forms_is_no_usage() -> None:
    strange: tuple[object, ...] = (None, 3, [], {}, {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"prompt_tokens": 10**4000})

    assert [usage_of(said) for said in strange] == [None] * 7


def test_shortened_keeps_one_printable_line() -> None:
    assert shortened("a\tb\r\n\x1b]0;title\x07c \u202e") == "a b ]0;title c"
