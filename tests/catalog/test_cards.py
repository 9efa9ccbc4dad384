"""What is known of models: the shipped catalogue, the user's words over it, and the names that mean the same model."""

import json
import subprocess
import sys
from datetime import date
from typing import Any, get_args

import pytest

from llm_orc.catalog.cards import FILE, card, catalog, gone_models, tiers
from llm_orc.domain.model import AttachmentLimits, Capability, Catalog, ModelCard, ProviderCard
from llm_orc.domain.profile import Profile
from llm_orc.models.presets import PRESETS
from llm_orc.models.registry import BUILT_IN

SHIPPED = catalog()
TIERS = {"default", "fast", "careful"}


def profile(provider: str, model: str, **more: Any) -> Profile:
    return Profile(name="mine", provider=provider, model=model, **more)


def own(**providers: Any) -> Catalog:
    return {name: ProviderCard.model_validate(given) for name, given in providers.items()}


class TestShipped:
    def test_the_file_is_dated_and_says_where_it_comes_from(self) -> None:
        data = json.loads(FILE.read_bytes())
        assert date.fromisoformat(data["date"]) >= date(2026, 11, 21)
        assert "genai-prices" in " ".join(data["about"])

    def test_this_machine_comes_first_and_who_passes_prompts_on_last(self) -> None:
        assert list(tiers(SHIPPED)) == ["lmstudio", "ollama", "anthropic", "openai", "google", "openrouter"]
        assert {frozenset(models) for models in tiers(SHIPPED).values()} == {frozenset(TIERS)}

    def test_every_provider_is_one_of_ours_at_its_own_address(self) -> None:
        for name, provider in SHIPPED.items():
            assert name in BUILT_IN
            if provider.base_url:
                assert provider.base_url == PRESETS[name].base_url

    @pytest.mark.parametrize("provider", [name for name, models in tiers(SHIPPED).items() if models["default"] != "*"])
    def test_a_tier_is_a_model_that_is_known_there_and_does_not_go(self, provider: str) -> None:
        for model in SHIPPED[provider].tiers.values():
            found = card(SHIPPED, profile(provider, model))
            assert found.context_window is not None
            assert found.capabilities is not None
            assert found.gone is None

    def test_what_takes_a_place_is_there_and_stays_longer(self) -> None:
        for provider in SHIPPED.values():
            for found in provider.models.values():
                if found.instead:
                    assert found.gone
                    assert (provider.models[found.instead].gone or date.max) > found.gone

    def test_only_known_capabilities_and_parameters_are_named(self) -> None:
        for provider in SHIPPED.values():
            for found in provider.models.values():
                assert (found.capabilities or frozenset()) <= set(get_args(Capability))
                assert found.refuses <= Profile.model_fields.keys()

    def test_reading_it_imports_no_price_list(self) -> None:
        script = "import sys, llm_orc.catalog.cards as cards; cards.catalog(); print('genai_prices' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


class TestNames:
    @pytest.mark.parametrize(
        ("provider", "model", "same"),
        [
            ("anthropic", "claude-opus-5-5", "claude-opus-5-5"),
            ("anthropic", "claude-opus-4-5-20251101", "claude-opus-4-5"),
            ("anthropic", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku"),
            ("anthropic", "Claude-Opus-5-5", "claude-opus-5-5"),
            ("openai", "gpt-4o-2024-11-20", "gpt-4o"),
            ("google", "models/gemini-3.8-flash", "gemini-3.8-flash"),
            ("google", "publishers/google/models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ],
    )
    def test_a_snapshot_is_its_model(self, provider: str, model: str, same: str) -> None:
        its = SHIPPED[provider].models[same].model_copy(update={"attachments": SHIPPED[provider].attachments})
        assert card(SHIPPED, profile(provider, model)) == its

    def test_a_snapshot_of_its_own_is_said_over_its_model(self) -> None:
        found = card(SHIPPED, profile("openai", "gpt-4o-2024-05-13"))
        assert found.gone == date(2026, 10, 23)
        assert found.context_window == SHIPPED["openai"].models["gpt-4o"].context_window

    @pytest.mark.parametrize(
        "model", ["anthropic/claude-opus-4.5", "anthropic/claude-opus-4.5:batch", "anthropic/claude-opus-4.5-20251101"]
    )
    def test_who_sells_the_models_of_others_has_their_abilities_and_not_their_terms(self, model: str) -> None:
        mine = own(
            anthropic={"models": {"claude-opus-4-5": {"price": {"input": 1, "output": 1}, "requests_per_minute": 5, "gone": "2027-01-01"}}}
        )
        found = card(catalog(mine), profile("openrouter", model))
        assert found.context_window == 200_000
        assert (found.price, found.requests_per_minute, found.gone) == (None, None, None)

    @pytest.mark.parametrize(
        ("provider", "model"),
        [
            ("anthropic", "claude-opus-5-50"),
            ("anthropic", "opus-5-5"),
            ("nobody", "x"),
            ("openrouter", "nobody/x"),
            ("openrouter", "x"),
            ("auto", "fast"),
        ],
    )
    def test_of_a_model_that_is_not_there_nothing_is_known(self, provider: str, model: str) -> None:
        assert card(SHIPPED, profile(provider, model)) == ModelCard()


class TestAttachments:
    def test_a_providers_limits_are_those_of_its_models(self) -> None:
        found = card(SHIPPED, profile("anthropic", "claude-opus-5-5")).attachments
        assert found is not None
        assert (found.side, found.count) == (8_000, 600)

    def test_a_model_has_the_last_word(self) -> None:
        mine = catalog(own(anthropic={"attachments": {"count": 7}, "models": {"claude-opus-5-5": {"attachments": {"count": 3}}}}))
        assert card(mine, profile("anthropic", "claude-opus-5-5")).attachments == AttachmentLimits(count=3)
        assert card(mine, profile("anthropic", "claude-sonnet-5-5")).attachments == AttachmentLimits(count=7)

    def test_who_sells_the_models_of_others_has_limits_of_its_own(self) -> None:
        assert card(SHIPPED, profile("openrouter", "anthropic/claude-opus-4.5")).attachments is None


class TestOwn:
    def test_a_field_is_replaced_and_its_neighbours_stay(self) -> None:
        mine = catalog(own(anthropic={"models": {"claude-opus-5-5": {"max_output": 5, "refuses": []}, "claude-x": {"context_window": 9}}}))
        shipped = SHIPPED["anthropic"].models["claude-opus-5-5"]
        assert mine["anthropic"].models["claude-opus-5-5"] == shipped.model_copy(update={"max_output": 5, "refuses": frozenset()})
        assert mine["anthropic"].models["claude-x"].context_window == 9
        assert mine["anthropic"].models.keys() == {*SHIPPED["anthropic"].models, "claude-x"}
        assert mine["openai"] == SHIPPED["openai"]

    def test_words_of_a_snapshot_leave_what_is_known_of_its_model(self) -> None:
        mine = catalog(own(anthropic={"models": {"claude-opus-4-5-20251101": {"requests_per_minute": 7}}}))
        found = card(mine, profile("anthropic", "claude-opus-4-5-20251101"))
        assert (found.requests_per_minute, found.context_window) == (7, 200_000)

    def test_providers_with_tiers_are_tried_first_in_the_order_given(self) -> None:
        mine = catalog(own(groq={"tiers": {"fast": "x"}}, google={"tiers": {"fast": "y"}}, openrouter={"base_url": "https://mine/"}))
        assert list(mine) == ["groq", "google", "lmstudio", "ollama", "anthropic", "openai", "openrouter", "embedded"]
        assert mine["google"].tiers == {**SHIPPED["google"].tiers, "fast": "y"}
        assert mine["openrouter"].base_url == "https://mine/"

    def test_the_shipped_catalogue_stays_as_it_is(self) -> None:
        catalog(own(anthropic={"models": {"claude-opus-5-5": {"max_output": 5}}, "tiers": {"fast": "z"}}))
        assert catalog() == SHIPPED

    def test_a_profile_has_the_last_word(self) -> None:
        mine = profile(
            "anthropic", "claude-opus-5-5", context_window=7, capabilities=["tools"], price={"input": 1, "output": 2}, tokens_per_minute=8
        )
        found = card(SHIPPED, mine)
        assert (found.context_window, found.capabilities, found.tokens_per_minute) == (7, frozenset({"tools"}), 8)
        assert found.price == mine.price
        assert found.max_output == SHIPPED["anthropic"].models["claude-opus-5-5"].max_output


class TestGone:
    def test_profiles_of_models_that_go_are_told_with_what_to_write(self) -> None:
        profiles = [
            profile("openai", "gpt-4o"),
            profile("openai", "gpt-6-luna"),
            profile("openai", "gpt-4.1-nano"),
            profile("auto", "fast"),
        ]
        assert [(str(one), one.hint) for one in gone_models(SHIPPED, profiles)] == [
            ("profile 'mine': openai ends gpt-4o on 2027-01-14", "write instead: model: gpt-6-luna"),
            ("profile 'mine': openai ends gpt-4.1-nano on 2026-10-23", "see: llm-orc list models, and openai's pages"),
        ]

    def test_the_user_knows_better(self) -> None:
        mine = catalog(own(openai={"models": {"gpt-4o": {"gone": None}}}))
        assert gone_models(mine, [profile("openai", "gpt-4o")]) == ()
