"""Tokens of a request, from below, from above and as they usually come."""

from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.message import Attachment, Message, Usage
from llm_orc.domain.price import FREE, Price, least_tokens, likely_tokens, most_tokens

MESSAGES = st.lists(st.builds(Message, role=st.just("user"), text=st.text()))


def said(text: str, *attachments: Attachment) -> list[Message]:
    return [Message("user", text, attachments)]


def test_cached_tokens_have_a_price_of_their_own() -> None:
    price = Price(input=10, output=100, cached_input=1)
    assert price.cost(Usage(input=1_000_000, cached=500_000, cache_write=250_000, output=10_000)) == 5 + 0.5 + 1
    assert Price(input=10, output=100).cost(Usage(input=1_000_000, cached=500_000)) == 10


def test_a_server_that_counts_wrongly_earns_nothing_by_it() -> None:
    assert Price(input=10, output=0, cached_input=1).cost(Usage(input=1_000_000, cached=9_000_000)) == 1


def test_nothing_costs_nothing() -> None:
    assert (FREE.cost(Usage(5, 5)), FREE.most(10**9, 10**9)) == (0, 0)


@given(MESSAGES)
def test_a_byte_is_at_most_a_token(messages: list[Message]) -> None:
    text = sum(len(message.text.encode()) for message in messages)
    assert least_tokens(messages) <= text < most_tokens(messages)
    assert least_tokens(messages) <= likely_tokens(messages)


def test_four_characters_are_likely_a_token() -> None:
    assert likely_tokens([*said("x" * 400), *said("abcde")]) == 102


def test_blanks_may_be_nothing() -> None:
    assert least_tokens(said("word\n" + " " * 1000)) == 0
    assert least_tokens(said("x" * 800)) == 100


def test_attachments_and_schemas_count() -> None:
    image, text = Attachment("a.png", "image/png", b"x" * 9_000_000), Attachment("a.txt", "text/plain", b"x" * 10_000)
    bare = most_tokens(said(""))
    assert most_tokens(said("", image)) == bare + 6_000
    assert bare + 10_000 < most_tokens(said("", text)) < bare + 10_100
    assert most_tokens(said(""), {"type": "object"}) > bare + len('{"type": "object"}')
    assert likely_tokens(said("", image, text)) == 1_500 + 2_500


def test_half_a_character_is_counted_too() -> None:
    assert most_tokens(said("\ud800")) > most_tokens(said(""))
