"""The counterparts are trusted by every other test, so they are tested as a client sees them: bytes on a socket."""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from tests.servers.faults import FAULTS, FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.openai import NativeModel, OpenAIServer, Scripted
from tests.servers.proxy import TunnelServer
from tests.servers.tls import authority
from tests.servers.wire import Gate, Received

PATIENCE = 10.0


class Ask(Protocol):
    """Ask for a completion; what the client opened is closed with the test."""

    def __call__(self, base_url: str, prompt: str, headers: dict[str, str] | None = None, **more: Any) -> HTTPResponse: ...


@pytest.fixture
def ask() -> Iterator[Ask]:
    with ExitStack() as opened:

        def post(base_url: str, prompt: str, headers: dict[str, str] | None = None, **more: Any) -> HTTPResponse:
            place = urlsplit(base_url)
            connection = opened.enter_context(closing(HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE)))
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}], **more})
            connection.request("POST", f"{place.path}/chat/completions", body, headers or {})
            return opened.enter_context(connection.getresponse())

        yield post


def get(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as response:
        return json.load(response)


def events(response: HTTPResponse) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.read().decode().split("\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_replies_follow_the_script(ask: Ask, openai_server: NewServer) -> None:
    server = openai_server({"red": "stop", "flaky": [500, 429, "at last"], "": Scripted("whatever", model="m-2")})
    assert json.load(ask(server.base_url, "a red light"))["choices"][0]["message"]["content"] == "stop"
    assert [ask(server.base_url, "flaky").status for _ in range(4)] == [500, 429, 200, 200]
    assert json.load(ask(server.base_url, "green"))["model"] == "m-2"
    assert [request.json["messages"][0]["content"] for request in server.chats] == ["a red light", *["flaky"] * 4, "green"]


def test_a_script_may_be_a_function_of_the_request(ask: Ask, openai_server: NewServer) -> None:
    server = openai_server(lambda request: f"you are {request.headers['x-name']}")
    assert json.load(ask(server.base_url, "who?", {"X-Name": "Ann"}))["choices"][0]["message"]["content"] == "you are Ann"


def test_an_error_in_a_script_is_not_swallowed(ask: Ask) -> None:
    def fails(_: Received) -> str:
        raise LookupError("not foreseen")

    with pytest.raises(LookupError, match="not foreseen"), OpenAIServer(fails) as server, pytest.raises(RemoteDisconnected):
        ask(server.base_url, "x")


def test_the_bill_counts_what_was_answered(ask: Ask, openai_server: NewServer) -> None:
    server = openai_server({"dear": Scripted("x", usage=(100, 7), cached=40, reasoning=5), "no": 500})
    usage = json.load(ask(server.base_url, "dear"))["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 40}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}
    ask(server.base_url, "no")
    ask(server.base_url, "three words here")
    assert (server.bill.calls, server.bill.input, server.bill.output, server.bill.cached) == (2, 103, 8, 40)


def test_a_stream_has_every_word_the_usage_and_an_end(ask: Ask, openai_server: NewServer) -> None:
    server = openai_server({"": "one two  three"})
    frames = events(ask(server.base_url, "x", stream=True, stream_options={"include_usage": True}))
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames[:-2]) == "one two  three"
    assert frames[-3]["choices"][0]["finish_reason"] == "stop"
    assert (frames[-2]["choices"], frames[-2]["usage"]["completion_tokens"]) == ([], 3)
    assert frames[-1] == "[DONE]"
    assert "usage" not in events(ask(server.base_url, "x", stream=True))[-2]


def test_a_gate_holds_replies_and_peak_counts_them(openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"": gate})
    clients = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(3)]
    request = b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"messages":[]}'
    for client in clients:
        client.sendall(request)
    gate.wait_for(3)
    assert (server.peak, server.bill.calls) == (3, 0)
    gate.release()
    assert all(client.recv(15) == b"HTTP/1.1 200 OK" for client in clients)
    assert server.peak == 3
    for client in clients:
        client.close()


def test_a_gate_in_the_middle_of_a_stream(ask: Ask, openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"": Scripted("one two three", gate=gate, gate_after=2)})
    response = ask(server.base_url, "x", stream=True)
    gate.wait_for(1)
    assert b"two" in b"".join(response.readline() for _ in range(6))
    gate.release()
    assert b"three" in response.read()


def test_a_gate_says_how_many_did_not_come() -> None:
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        Gate().wait_for(1, seconds=0.01)


def test_waiting_for_what_does_not_come_ends(openai_server: NewServer) -> None:
    with pytest.raises(TimeoutError, match="0 requests came"):
        openai_server().wait_until(lambda: False, seconds=0.01)


async def test_a_gate_waits_for_a_test_in_a_loop_and_drops_clients_that_leave(ask: Ask, openai_server: NewServer) -> None:
    gate = Gate()
    server = openai_server({"": [gate, "ok"]})
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"messages":[]}')
    await gate.arrivals(1)
    writer.transport.abort()
    await asyncio.to_thread(server.wait_until, lambda: server.dropped == 1)
    assert await asyncio.to_thread(lambda: ask(server.base_url, "x").status) == 200
    assert (server.dropped, server.bill.calls) == (1, 1)


def test_keys_listings_and_unknown_paths(ask: Ask, openai_server: NewServer) -> None:
    locked = openai_server(keys=["good"])
    assert ask(locked.base_url, "x", {"Authorization": "Bearer bad"}).status == 401
    assert ask(locked.base_url, "x", {"Authorization": "Bearer good"}).status == 200
    server = openai_server(models=["a", "b"], native=[NativeModel("a", state="not-loaded"), NativeModel("e", type="embeddings")])
    assert [model["id"] for model in get(f"{server.base_url}/models")["data"]] == ["a", "b"]
    assert [model["state"] for model in get(f"{server.origin}/api/v0/models")["data"]] == ["not-loaded", "loaded"]
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        get(f"{openai_server().origin}/api/v0/models")
    refusal.value.close()


def test_a_connection_is_kept_and_a_large_request_comes_whole(openai_server: NewServer) -> None:
    server = openai_server()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    for size in (10, 5_000_000, 10):
        connection.request("POST", "/v1/chat/completions", json.dumps({"messages": [{"content": "x" * size}]}))
        assert connection.getresponse().read()
        assert server.connections == 1
    assert [len(request.json["messages"][0]["content"]) for request in server.requests] == [10, 5_000_000, 10]
    connection.close()


def test_any_host_can_be_stood_in_for(tmp_path: Path) -> None:
    ca = authority(tmp_path, ["api.example.com"])
    with OpenAIServer(tls=ca.context) as server, TunnelServer(server.port) as proxy:
        proxies = urllib.request.ProxyHandler({"https": proxy.origin})
        trusting = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca.ca_file))
        with urllib.request.build_opener(proxies, trusting).open("https://api.example.com/v1/models", timeout=PATIENCE) as response:
            assert response.status == 200
        assert proxy.targets == ["api.example.com:443"]
        strange = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.build_opener(proxies, strange).open("https://api.example.com/v1/models", timeout=PATIENCE)


def test_a_whole_url_is_answered_as_by_a_proxy(openai_server: NewServer) -> None:
    server = openai_server()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": server.origin}))
    with opener.open("http://api.example.com/v1/models", timeout=PATIENCE) as response:
        assert response.status == 200
    assert server.requests[0].target == "http://api.example.com/v1/models"


def test_the_server_is_a_program_too(ask: Ask) -> None:
    command = [sys.executable, "-m", "tests.servers.openai", "--script", '{"bad": {"status": 503}}']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        base_url = f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        assert [ask(base_url, prompt).status for prompt in ("good", "bad")] == [200, 503]
        assert get(base_url.replace("/v1", "/stats"))["peak"] == 1
        process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize("fault", ["400", "401", "403", "404", "429", "500", "503"])
def test_a_status_is_that_status(ask: Ask, faults_server: FaultServer, fault: str) -> None:
    assert ask(faults_server.url(fault), "x").status == int(fault)


@pytest.mark.parametrize(
    ("fault", "start"),
    [
        ("html", b"<!DOCTYPE html>"),
        ("nothing", b""),
        ("list", b"[]"),
        ("malformed", b'{"choices": [{'),
        ("wrong-shape", b'{"choices": "none"'),
        ("error-body", b'{"error"'),
    ],
)
def test_a_wrong_body_on_a_200(ask: Ask, faults_server: FaultServer, fault: str, start: bytes) -> None:
    response = ask(faults_server.url(fault), "x")
    body = response.read()
    assert (response.status, body[: len(start)]) == (200, start)
    assert bool(body) == bool(start)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset-before", ConnectionResetError),
        ("closed", RemoteDisconnected),
        ("half-header", HTTPException),
        ("not-http", HTTPException),
        ("short-body", IncompleteRead),
        ("cut", IncompleteRead),
        ("reset-middle", ConnectionResetError),
    ],
)
def test_a_connection_that_breaks(ask: Ask, faults_server: FaultServer, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        content_type(ask(faults_server.url(fault), "x", stream=True))


def content_type(response: HTTPResponse) -> str:
    """The content type of a response that came whole; a header that was cut off has none."""
    response.read()
    kind = response.getheader("Content-Type")
    if kind is None:
        raise HTTPException("half a header")
    return kind


@pytest.mark.parametrize("fault", ["early-end", "malformed-event", "error-event"])
def test_a_stream_that_ends_cleanly_but_early(ask: Ask, faults_server: FaultServer, fault: str) -> None:
    body = ask(faults_server.url(fault), "x", stream=True).read()
    assert b"two" in body
    assert b"DONE" not in body
    assert b'"stop"' not in body


@pytest.mark.parametrize("fault", ["hang", "hang-middle"])
def test_a_hang_says_nothing_more(faults_server: FaultServer, fault: str) -> None:
    with socket.create_connection(("127.0.0.1", faults_server.port), PATIENCE) as client:
        client.sendall(f"POST /{fault}/v1/chat/completions HTTP/1.1\r\n\r\n".encode())
        while fault == "hang-middle" and b"two" not in client.recv(65536):
            pass
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert faults_server.counts[fault] == 1


def test_slow_goes_on_and_on(ask: Ask, faults_server: FaultServer) -> None:
    response = ask(faults_server.url("slow"), "x", stream=True)
    lines = [line for _ in range(20) if (line := response.readline()).strip()]
    assert sum(b"more" in line for line in lines) == len(lines) - 2
    response.close()


def test_redirects_point_where_they_say(ask: Ask, faults_server: FaultServer) -> None:
    assert ask(faults_server.url("redirect"), "x").getheader("Location") == "/ok/v1/chat/completions"
    assert "127.0.0.2" in str(ask(faults_server.url("redirect-away"), "x").getheader("Location"))


def test_a_fault_may_pass_after_some_times(ask: Ask, faults_server: FaultServer) -> None:
    assert [ask(faults_server.url("503", times=2), "x").status for _ in range(3)] == [503, 503, 200]
    assert ask(faults_server.url("429", retry_after="7"), "x").getheader("Retry-After") == "7"
    assert faults_server.counts == {"503": 3, "429": 1}


def test_an_empty_reply_has_no_text_in_either_form(ask: Ask, faults_server: FaultServer) -> None:
    assert json.load(ask(faults_server.url("empty"), "x"))["choices"][0]["message"]["content"] == ""
    assert b"content" not in ask(faults_server.url("empty"), "x", stream=True).read()


def test_letters_may_be_split_over_chunks(ask: Ask, faults_server: FaultServer) -> None:
    body = ask(faults_server.url("crumbled"), "x", stream=True).read().decode()
    assert ": ping\r\n" in body
    assert "é" in body


def test_an_unknown_fault_names_those_that_exist(faults_server: FaultServer) -> None:
    with pytest.raises(KeyError, match="reset-before"):
        faults_server.url("typo")
    assert "typo" not in FAULTS


async def test_a_thousand_clients_at_once(faults_server: FaultServer) -> None:
    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", faults_server.port)
        writer.write(b"POST /429/v1/chat/completions HTTP/1.1\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return line

    lines = await asyncio.gather(*(one() for _ in range(1000)))
    assert set(lines) == {b"HTTP/1.1 429 Too Many Requests\r\n"}
    assert faults_server.counts["429"] == 1000
