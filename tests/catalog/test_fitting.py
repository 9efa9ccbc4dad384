"""What an agent requires decides which model of a provider answers for a tier."""

from datetime import UTC, datetime
from typing import Any

import pytest

from llm_orc.catalog.cards import catalog
from llm_orc.catalog.fitting import Fit, fitting
from llm_orc.domain.model import Catalog, ProviderCard


def known(**models: Any) -> Catalog:
    tiers = {"fast": "own", "careful": "unknown"}
    return {"mine": ProviderCard.model_validate({"tiers": tiers, "models": {"own": {"capabilities": ["tools"]}, **models}})}


def able(price: int, *, gone: str | None = None) -> dict[str, Any]:
    return {"capabilities": ["vision", "tools"], "price": {"input": price, "output": price}, "gone": gone}


MINE = known(dear=able(9), cheap=able(2), cheapest=able(1, gone="2026-11-21"), blind={"price": {"input": 0, "output": 0}})
WHY = "own has no vision, and this is the cheapest of mine that has"


def fit(mine: Catalog, tier: str, *requires: Any, day: int = 21) -> Fit | None:
    return fitting(mine, "mine", tier, requires, lambda: datetime(2026, 11, day, tzinfo=UTC))


def test_the_tiers_own_model_is_enough() -> None:
    assert fit(MINE, "fast", "tools") == fit(MINE, "fast") == Fit("own")


def test_else_it_is_the_cheapest_that_can_and_is_still_there() -> None:
    assert fit(MINE, "fast", "vision") == Fit("cheap", WHY)
    assert fit(MINE, "fast", "vision", day=20) == Fit("cheapest", WHY)


def test_what_is_not_known_refuses_nothing() -> None:
    assert fit(MINE, "careful", "vision") == Fit("unknown")
    assert fitting(catalog(), "lmstudio", "fast", ["vision"]) == Fit("*")


def test_nobody_can() -> None:
    assert fit(MINE, "fast", "vision", "thinking") is None


@pytest.mark.parametrize("tier", ["default", "fast", "careful"])
def test_shipped_tiers_can_do_all(tier: str) -> None:
    for provider in ("anthropic", "openai", "google", "openrouter"):
        fit = fitting(catalog(), provider, tier, ["vision", "files", "tools", "structured_output", "thinking"])
        assert fit == Fit(catalog()[provider].tiers[tier])
