"""Error bodies of all four formats, and what is made of their words."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from llm_orc.domain.credential import Given
from llm_orc.domain.message import Kind
from llm_orc.models.base import Reach
from llm_orc.models.presets import PRESETS
from llm_orc.models.refusals import event_refusal, refusal, retry_delay, shortened
from llm_orc.models.target import Target, aim
from tests.models.asking import KEY, profile


def target(provider: str = "openai-compatible", key: str = "") -> Target:
    preset = PRESETS[provider]
    return aim(profile(preset.base_url or "https://models.example/v1", provider), Reach({preset.key or "": key}))


def anthropic(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google(code: int, status: str, message: str = "no", **detail: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": [{"@type": "x"}, detail]}}


SAID: list[tuple[str, int, Any, Kind, str]] = [
    ("anthropic", 400, anthropic("invalid_request_error"), Kind.INVALID_REQUEST, "check the profile's model"),
    ("anthropic", 400, anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), Kind.CONTEXT_LENGTH, "send less"),
    (
        "anthropic",
        400,
        anthropic("invalid_request_error", "Your credit balance is too low to access"),
        Kind.PERMISSION,
        "the account has no",
    ),
    ("anthropic", 401, anthropic("authentication_error"), Kind.AUTHENTICATION, "check ANTHROPIC_API_KEY: llm-orc auth test anthropic"),
    ("anthropic", 403, anthropic("permission_error"), Kind.PERMISSION, "see what this key may do"),
    ("anthropic", 404, anthropic("not_found_error"), Kind.NOT_FOUND, "is 'm' the model's name"),
    ("anthropic", 413, anthropic("request_too_large"), Kind.CONTEXT_LENGTH, "send less"),
    ("anthropic", 429, anthropic("rate_limit_error"), Kind.RATE_LIMIT, "try again later"),
    ("anthropic", 500, anthropic("api_error"), Kind.SERVER, "try again later"),
    ("anthropic", 529, anthropic("overloaded_error"), Kind.SERVER, "try again later"),
    ("google", 400, google(400, "INVALID_ARGUMENT"), Kind.INVALID_REQUEST, "check the profile's model"),
    ("google", 400, google(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), Kind.AUTHENTICATION, "check GEMINI_API_KEY"),
    ("google", 400, [google(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID")], Kind.AUTHENTICATION, "check GEMINI_API_KEY"),
    ("google", 400, google(400, "FAILED_PRECONDITION", "User location is not supported"), Kind.PERMISSION, "see what this key may do"),
    (
        "google",
        400,
        google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        Kind.CONTEXT_LENGTH,
        "send less",
    ),
    ("google", 401, google(401, "UNAUTHENTICATED"), Kind.AUTHENTICATION, "check GEMINI_API_KEY"),
    ("google", 403, google(403, "PERMISSION_DENIED"), Kind.PERMISSION, "see what this key may do"),
    ("google", 404, google(404, "NOT_FOUND"), Kind.NOT_FOUND, "is 'm' the model's name"),
    ("google", 429, google(429, "RESOURCE_EXHAUSTED"), Kind.RATE_LIMIT, "try again later"),
    ("google", 503, google(503, "UNAVAILABLE", "The model is overloaded."), Kind.SERVER, "try again later"),
    ("ollama", 404, {"error": "model 'm' not found"}, Kind.NOT_FOUND, "ollama pull m"),
    ("ollama", 400, {"error": "the input length exceeds the context length"}, Kind.CONTEXT_LENGTH, "send less"),
    ("ollama", 500, {"error": "llama runner process has terminated"}, Kind.SERVER, "try again later"),
    ("openai", 429, {"error": {"code": "insufficient_quota", "message": "no"}}, Kind.PERMISSION, "the account has no credit left"),
    ("openai", 400, {"error": {"code": "context_length_exceeded"}}, Kind.CONTEXT_LENGTH, "send less"),
    ("openai", 400, {"error": {"message": "Unsupported value: 'temperature' does not"}}, Kind.INVALID_REQUEST, "take 'temperature' out"),
    ("openai", 502, "<html>", Kind.SERVER, "try again later"),
]


@pytest.mark.parametrize(("provider", "status", "said", "kind", "hint"), SAID)
def test_an_error_status_has_its_kind_and_hint(provider: str, status: int, said: object, kind: Kind, hint: str) -> None:
    failed = refusal(target(provider, KEY), "m", status, said, {})

    assert failed.kind is kind
    assert failed.hint.startswith(hint)


@pytest.mark.parametrize(
    ("said", "window"),
    [
        (anthropic("invalid_request_error", "prompt is too long: 210,000 tokens > 200000 maximum"), 200_000),
        (google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (1048576)."), 1_048_576),
        ({"error": {"message": "This model's maximum context length is 8,192 tokens. However, you requested 9000 tokens"}}, 8192),
        ({"error": {"message": "the request exceeds the available context size", "n_ctx": 4096}}, 4096),
        ({"error": "the prompt is longer than n_ctx = 2048"}, 2048),
        ({"error": {"message": "this model's maximum context length is secret"}}, None),
        ({"error": {"message": "the request exceeds the available context size", "n_ctx": "many"}}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_window_is_read_wherever_it_is_said(said: object, window: int | None) -> None:
    assert refusal(target(), "m", 413, said, {}).window == window
    assert refusal(target(), "m", 401, said, {}).window is None


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (anthropic("overloaded_error"), Kind.SERVER),
        (anthropic("rate_limit_error"), Kind.RATE_LIMIT),
        (anthropic("authentication_error"), Kind.AUTHENTICATION),
        (anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8"), Kind.CONTEXT_LENGTH),
        (google(503, "UNAVAILABLE"), Kind.SERVER),
        ({"error": {"status": "RESOURCE_EXHAUSTED"}}, Kind.RATE_LIMIT),
        ({"error": {"code": "429"}}, Kind.RATE_LIMIT),
        ({"error": {"code": "rate_limit_exceeded"}}, Kind.RATE_LIMIT),
        ({"error": {"code": "9" * 5000}}, Kind.SERVER),
        ({"error": "an error was encountered while running the model"}, Kind.SERVER),
    ],
)
def test_an_error_inside_a_stream_has_the_kind_that_its_status_would_have_had(said: object, kind: Kind) -> None:
    assert event_refusal(target(), "m", said).kind is kind


@pytest.mark.parametrize(
    ("said", "headers", "seconds"),
    [
        (google(429, "RESOURCE_EXHAUSTED", retryDelay="12s"), {}, 12),
        ([google(429, "RESOURCE_EXHAUSTED", retryDelay="1.5s")], {}, 1.5),
        (google(429, "RESOURCE_EXHAUSTED", retryDelay="12s"), {"Retry-After": "3"}, 3),
        (google(429, "RESOURCE_EXHAUSTED", retryDelay="soon"), {}, None),
        (anthropic("rate_limit_error"), {"Retry-After": "0"}, 0),
        (None, {"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ],
)
def test_how_long_to_wait_is_read_wherever_it_is_said(said: object, headers: dict[str, str], seconds: float | None) -> None:
    assert refusal(target(), "m", 429, said, headers).retry_after == seconds


@pytest.mark.parametrize("said", [None, [], {}, {"error": 3}, {"error": {"details": 3}}, {"error": {"details": [3, {"retryDelay": 3}]}}])
def test_a_body_in_a_strange_form_says_nothing_of_waiting(said: object) -> None:
    assert retry_delay(said) is None
    assert refusal(target(), "m", 429, said, {}).kind is Kind.RATE_LIMIT


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdef123456",
        "sk-ant-api03-AbC_dEf-123456",
        "sk-or-v1-0123456789abcdef",
        "sk-abc***xyz",
        "AIzaSyA-1234567890_abcdefghijk",
        "ya29.a0AfH6SMBx_1234-abc",
        "gsk_abcdefghijkl",
        "hf_abcdefghijkl",
        "xai-abcdefghijkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("words", ["bad key {}.", "x-api-key:{}", 'Bearer {}"', "({})", "https://h/?key={}&x=1"])
def test_whatever_looks_like_a_key_is_not_repeated(key: str, words: str) -> None:
    said = shortened(words.format(key))

    assert key[4:] not in said
    assert "[key]" in said


def test_a_token_that_looks_like_nothing_is_known_by_its_place() -> None:
    assert shortened("rejected: Bearer abcd1234efgh") == "rejected: Bearer [key]"


@pytest.mark.parametrize("key", ["correct-horse-4711", "p@ss/w+rd==", 'a\\\\b"c'])
async def test_a_key_that_was_sent_is_not_repeated_whatever_it_looks_like(key: str) -> None:
    aimed = Target("openai", PRESETS["openai"], target("openai", key).address, Given("vault", SecretStr(key)))
    await aimed.key()

    written = [key, quote(key, safe=""), json.dumps(key), b64encode(key.encode()).decode()]
    assert [shortened(f"no such key: {each}").replace('"', "") for each in written] == ["no such key: [key]"] * 4


def test_a_word_is_no_key() -> None:
    said = "risk-free task-based keyboard monkey-patching disk-usage, hf is fine"

    assert shortened(said) == said


def test_a_very_long_message_costs_no_time() -> None:
    assert len(shortened("sk-" + "x" * 10_000_000)) < 250
