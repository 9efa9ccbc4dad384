"""Two requests are equal exactly where the same would be sent to the same address."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from llm_orc.domain.message import Attachment, Message, Request
from llm_orc.domain.profile import Profile
from llm_orc.domain.reuse import changed, hashed, key_of, parts_of
from llm_orc.models.base import Reach
from llm_orc.models.chat_body import body_of
from llm_orc.models.target import aim

TEXTS = st.sampled_from(["", "x", "y", "x\n\ny", "\ud800", "é"])
FILES = st.builds(
    Attachment,
    st.sampled_from(["a.txt", "b.txt"]),
    st.sampled_from(["text/plain", "text/csv", "image/png", "application/pdf"]),
    st.sampled_from([b"1", b"2"]),
)
MESSAGES = st.builds(
    lambda system, before, last, files: (
        *([Message("system", system)] if system is not None else []),
        *(Message(role, text) for role, text in before),
        Message("user", last, tuple(files)),
    ),
    st.none() | TEXTS,
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS), max_size=2),
    TEXTS,
    st.lists(FILES, max_size=2),
)
SCHEMAS = st.none() | st.sampled_from([{"type": "object"}, {"type": "array"}, {}, {"a": 1, "b": 2}, {"b": 2, "a": 1}])
PROFILES = st.builds(
    Profile,
    # What reaches the server:
    model=st.sampled_from(["m", "n"]),
    provider=st.sampled_from(["openai-compatible", "vllm", "llamacpp"]),
    base_url=st.sampled_from(["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/", "http://127.0.0.1:2/v1", "http://127.0.0.1:1/V1"]),
    temperature=st.none() | st.sampled_from([0, 0.0, 1]),
    top_p=st.none() | st.sampled_from([0.5, 1]),
    max_tokens=st.none() | st.sampled_from([1, 10]),
    seed=st.none() | st.sampled_from([0, 1]),
    stop=st.none() | st.sampled_from([("a",), ("a", "b"), ("b", "a"), ()]),
    options=st.dictionaries(st.sampled_from(["top_k", "user"]), st.sampled_from([1, "1", True, None, [1], {"a": 1}]), max_size=2),
    # What does not:
    name=st.sampled_from(["", "p", "q"]),
    timeout_seconds=st.none() | st.sampled_from([1, 2]),
    max_parallel=st.none() | st.sampled_from([1, 2]),
    fallback=st.none() | st.just(("q",)),
    cache=st.none() | st.booleans(),
    context_window=st.none() | st.just(100),
)
REQUESTS = st.builds(Request, st.sampled_from(["a", "b[1]"]), MESSAGES, PROFILES, st.booleans(), SCHEMAS)


def sent(request: Request) -> tuple[str, Any]:
    """The address and the body, but for how the reply comes."""
    target = aim(request.profile, Reach())
    body = {key: value for key, value in body_of(request, target).json.items() if key not in ("stream", "stream_options")}
    return target.address.url, json.dumps(body, sort_keys=True)


def key(request: Request) -> str:
    return key_of(parts_of(request, aim(request.profile, Reach()).endpoint.address, request.schema))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Request, Request]:
    """Two requests, mostly near one another."""
    one, other = draw(REQUESTS), draw(REQUESTS)
    if draw(st.booleans()):
        keys = draw(st.sets(st.sampled_from(sorted(Profile.model_fields)), max_size=3))
        profile = one.profile.model_copy(update={name: getattr(other.profile, name) for name in keys})
        schema = other.schema if draw(st.booleans()) else one.schema
        messages = other.messages if draw(st.booleans()) else one.messages
        other = Request(other.node, messages, profile, other.stream, schema)
    return one, other


@given(pairs())
@example(
    (
        Request("a", (Message("user", "x"),), Profile(model="m", provider="vllm", base_url="http://127.0.0.1:1/v1", temperature=0)),
        Request("b", (Message("user", "x"),), Profile(model="m", provider="llamacpp", base_url="http://127.0.0.1:1/v1/", temperature=0.0)),
    )
)
def test_keys_are_equal_exactly_where_the_same_is_sent_to_the_same_address(both: tuple[Request, Request]) -> None:
    one, other = both
    assert (key(one) == key(other)) == (sent(one) == sent(other))


@given(pairs())
def test_what_changed_is_nothing_exactly_where_the_keys_are_equal(both: tuple[Request, Request]) -> None:
    one, other = (parts_of(each, aim(each.profile, Reach()).endpoint.address, each.schema) for each in both)
    assert (changed(one, [other]) == ()) == (key_of(one) == key_of(other))
    assert set(changed(one, [other])) == set(changed(other, [one]))


def test_the_nearest_is_compared_and_the_first_of_several() -> None:
    now = hashed({"a": 1, "b": 1, "c": 1, "d": None})
    far, near, as_near = hashed({"a": 2, "b": 2, "c": 1}), hashed({"a": 1, "b": 2, "c": 1}), hashed({"a": 2, "b": 1, "c": 1})
    assert changed(now, [far, near, as_near]) == ("b",)
    assert changed(now, [as_near, near]) == ("a",)
    assert changed(now, []) == ()


def test_a_parameter_that_the_model_is_not_sent_is_no_part() -> None:
    request = Request("a", (Message("user", "x"),), Profile(model="m", provider="openai", temperature=1))
    assert "temperature" in parts_of(request, "x")
    assert "temperature" not in parts_of(request, "x", refuses=frozenset({"temperature"}))
