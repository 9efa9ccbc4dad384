"""Nothing that was remembered is left in a text, in whatever way it is written there."""

from base64 import b64encode
from collections.abc import Iterator
from secrets import token_hex

import pytest

from llm_orc.domain.secret import LONG, MARK, begun, remember, without_secrets
from tests.secrets.canaries import Canaries, canary
from tests.secrets.test_canaries import WAYS

KEY = canary("a key")
SHORT = "ollama"


@pytest.fixture(autouse=True)
def remembered() -> Iterator[None]:
    for each in ("", "a", SHORT, KEY):
        remember(each)
    yield
    for _ in range(100):
        remember(token_hex(16))


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_cut_out_however_it_is_written(way: str) -> None:
    said = without_secrets(f"before {WAYS[way]} after {WAYS[way]}")

    assert Canaries({"it": KEY}).found(said) == []
    assert said.startswith("before ")
    assert MARK in said


def test_the_whole_of_it_becomes_one_mark() -> None:
    assert without_secrets(f"no key {KEY}, nor {KEY[:-4]}...") == f"no key {MARK}, nor {MARK}..."
    assert without_secrets(b64encode(KEY.encode()).decode()).count(MARK) == 1


@pytest.mark.parametrize("key", [b"sk-\xff\xfe-0123456789".decode(errors="surrogateescape"), "sk-\ud800-0123456789"])
def test_a_secret_need_not_be_text(key: str) -> None:
    remember(key)
    assert without_secrets(f"before {key} after") == f"before {MARK} after"


def test_what_a_model_says_keeps_the_words_that_are_short_keys_and_the_way_keys_begin() -> None:
    said = f"run {SHORT} with {KEY[: LONG - 1]}..."

    assert without_secrets(said, LONG) == said
    assert without_secrets(said) == f"run {MARK} with {MARK}..."
    assert without_secrets(f"{KEY[3 : 3 + LONG]}", LONG) == MARK


def test_the_end_of_a_text_may_be_the_beginning_of_a_secret() -> None:
    assert [begun(f"It is {KEY[:size]}") for size in (0, 3, 4, 20)] == [0, 0, 4, 20]
    assert begun(f"It is {KEY} or so") == 0


def test_so_many_are_kept_in_mind_and_no_more() -> None:
    for number in range(100):
        remember(f"{number:03}{KEY}"[:12] + f"token {number}" * 3)

    assert without_secrets("token 99" * 3) == MARK
    assert without_secrets(KEY) == KEY
