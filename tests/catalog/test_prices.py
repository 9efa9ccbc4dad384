"""What calls cost: who says so, how cached and long prompts count, and the bound that a budget reserves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import example, given
from hypothesis import strategies as st

from llm_orc.catalog.cards import catalog
from llm_orc.catalog.prices import ListPrice, pricing
from llm_orc.domain.message import Usage
from llm_orc.domain.model import ProviderCard
from llm_orc.domain.price import FREE, Price, Pricing
from llm_orc.domain.profile import Profile

SHIPPED = catalog()
MILLION = 1_000_000
LATE = datetime(2026, 12, 24, tzinfo=UTC)


def priced(provider: str, model: str, at: datetime = LATE, **more: Any) -> Pricing | None:
    return pricing(SHIPPED, Profile(provider=provider, model=model, **more), local=False, clock=lambda: at)


def cost(provider: str, model: str, at: datetime = LATE, **usage: Any) -> float:
    found = priced(provider, model, at)
    assert found
    return found.cost(Usage(**usage))


class TestWhoSaysSo:
    MINE = catalog({"openai": ProviderCard.model_validate({"models": {"gpt-6-luna": {"price": {"input": 7, "output": 8}}}})})
    PRICE = Price(input=1, output=2)

    def test_the_profile_before_all(self) -> None:
        for local in (True, False):
            profile = Profile(provider="openai", model="gpt-6-luna", price=self.PRICE)
            assert pricing(self.MINE, profile, local=local) == self.PRICE

    def test_a_model_on_this_machine_is_free(self) -> None:
        assert pricing(self.MINE, Profile(provider="openai", model="gpt-6-luna"), local=True) == FREE

    def test_the_users_catalogue_before_the_list(self) -> None:
        assert pricing(self.MINE, Profile(provider="openai", model="gpt-6-luna"), local=False) == Price(input=7, output=8)

    @pytest.mark.parametrize(
        ("provider", "model"),
        [
            ("openai", "gpt-9"),
            ("anthropic", "claude-opus-9"),
            ("nobody", "gpt-6-luna"),
            ("vllm", "gpt-6-luna"),
            ("google", "gemma-3-27b-it"),
            ("openrouter", "openai/gpt-oss-20b:free"),
        ],
    )
    def test_nobody_knows_and_that_is_not_nothing(self, provider: str, model: str) -> None:
        assert priced(provider, model) is None

    def test_a_server_that_the_list_knows_by_its_address_has_prices(self) -> None:
        assert priced("openai-compatible", "mistral-large-latest", base_url="https://api.mistral.ai/v1")
        assert priced("openai-compatible", "mistral-large-latest", base_url="https://mistral.example/v1") is None

    def test_every_tier_of_the_catalogue_has_a_price(self) -> None:
        for name, provider in SHIPPED.items():
            assert all(priced(name, model) for model in provider.tiers.values() if model != "*"), name


class TestTheList:
    def test_plain_cached_and_written_tokens_have_prices_of_their_own(self) -> None:
        assert cost("anthropic", "claude-opus-5-5", input=MILLION) == 4
        assert cost("anthropic", "claude-opus-5-5", input=MILLION, cached=MILLION) == 0.2
        assert cost("anthropic", "claude-opus-5-5", input=MILLION, cache_write=MILLION) == 5
        assert cost("anthropic", "claude-opus-5-5", output=MILLION, reasoning=MILLION // 2) == 20
        mixed = cost("anthropic", "claude-opus-5-5", input=1000, cached=500, cache_write=250, output=100)
        assert mixed == pytest.approx((250 * 4 + 500 * 0.2 + 250 * 5 + 100 * 20) / MILLION)

    def test_a_long_prompt_costs_more_from_its_first_token_on(self) -> None:
        short, long = (cost("openai", "gpt-6.1-sol", input=tokens) for tokens in (272_000, 272_001))
        assert short == pytest.approx(0.544)
        assert long == pytest.approx(1.088, rel=1e-4)

    def test_names_are_matched_as_providers_write_them(self) -> None:
        for provider, model in (
            ("anthropic", "claude-opus-4-5-20251101"),
            ("google", "models/gemini-2.5-pro"),
            ("google", "publishers/google/models/gemini-2.5-pro"),
            ("openrouter", "anthropic/claude-sonnet-5.5"),
        ):
            assert priced(provider, model), model

    def test_a_price_changes_on_its_day(self) -> None:
        before, after = (cost("google", "gemini-4-argon", datetime(2026, *day, tzinfo=UTC), input=MILLION) for day in ((11, 21), (12, 1)))
        assert (before, after) == (2, 4)

    def test_the_bound_knows_what_tomorrow_costs(self) -> None:
        eve = priced("google", "gemini-4-argon", datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        assert eve
        assert (eve.cost(Usage(input=MILLION)), eve.most(MILLION, 0)) == (2, 4)

    def test_numbers_that_do_not_add_up_are_no_reason_to_fail(self) -> None:
        assert cost("anthropic", "claude-opus-5-5", input=MILLION, cached=2 * MILLION, cache_write=9) == 0.2
        assert cost("anthropic", "claude-opus-5-5", output=MILLION, reasoning=2 * MILLION) == 20

    def test_more_thinking_than_output_is_no_reason_either(self) -> None:
        assert cost("openrouter", "perplexity/sonar-deep-research", output=MILLION, reasoning=2 * MILLION) == 3

    def test_what_each_request_costs_is_in_it(self) -> None:
        sonar = priced("openai-compatible", "sonar", base_url="https://api.perplexity.ai")
        assert sonar
        assert sonar.cost(Usage()) == sonar.most(0, 0) == 0.012

    def test_it_shows_whose_price_it_is(self) -> None:
        assert repr(priced("openai", "gpt-6-luna")) == "ListPrice(openai/gpt-6-luna)"


def everything() -> Iterator[ListPrice]:
    for provider in get_snapshot().providers:
        for model in provider.models:
            listed = ListPrice(provider, model, lambda: LATE)
            if listed.known:
                yield listed


TOKENS = st.integers(0, 2 * MILLION)
PRICES = st.builds(Price, input=st.floats(0, 1000), output=st.floats(0, 1000), cached_input=st.none() | st.floats(0, 1000))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    tokens, output = draw(TOKENS), draw(TOKENS)
    cached = draw(st.integers(0, tokens))
    return Usage(tokens, output, cached, draw(st.integers(0, output)), cache_write=draw(st.integers(0, tokens - cached)))


@example(price=Price(input=1.1, output=0.3, cached_input=1.1), usage=Usage(20, 6, 3), more=0)  # the bound is a sum of other floats
@given(price=PRICES | st.sampled_from(list(everything())), usage=usages(), more=TOKENS)
def test_no_usage_costs_more_than_was_reserved(price: Pricing, usage: Usage, more: int) -> None:
    assert 0 <= price.cost(usage) <= price.most(usage.input, usage.output)
    assert price.most(usage.input, usage.output) <= price.most(usage.input + more, usage.output + more)


@given(price=PRICES | st.sampled_from(list(everything())), usage=usages(), more=TOKENS)
def test_more_tokens_never_cost_less(price: Pricing, usage: Usage, more: int) -> None:
    for added in (Usage(input=more), Usage(output=more), Usage(input=more, cached=more), Usage(input=more, cache_write=more)):
        assert price.cost(usage) <= price.cost(usage + added) * (1 + 1e-12)


def test_nothing_on_the_list_breaks_the_bound() -> None:
    splits = [
        Usage(tokens, 1000, cached, 500, cache_write=written)
        for tokens in (1, 150_000, 900_000)
        for cached, written in ((0, 0), (tokens, 0), (0, tokens))
    ]
    listed = list(everything())
    assert len(listed) > 1500
    assert not [price.model.id for price in listed for usage in splits if price.cost(usage) > price.most(usage.input, usage.output)]
