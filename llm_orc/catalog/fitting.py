"""Which model of a provider answers for a tier when an agent requires more of it than text."""

from collections.abc import Collection
from typing import NamedTuple

from llm_orc.catalog.cards import model_card
from llm_orc.catalog.prices import Clock, now, pricing
from llm_orc.domain.model import Capability, Catalog
from llm_orc.domain.profile import Profile

ANY = "*"


class Fit(NamedTuple):
    """A model that can do what is asked, and why it is this one."""

    model: str
    why: str = ""
    """Empty where it is the tier's own."""


def fitting(known: Catalog, provider: str, tier: str, requires: Collection[Capability], clock: Clock = now) -> Fit | None:
    """The tier's own model if it can do all that is required, as far as is known; else the cheapest of the provider that can; else None."""
    own = known[provider].tiers[tier]
    able = model_card(known, provider, own).capabilities
    if own == ANY or able is None or able >= set(requires):
        return Fit(own)
    today = clock().date()
    cards = known[provider].models.items()
    fit = [name for name, card in cards if (card.capabilities or set()) >= set(requires) and not (card.gone and card.gone <= today)]
    prices = {name: price.most(3, 1) for name in fit if (price := pricing(known, Profile(provider=provider, model=name), local=False))}
    if not prices:
        return None
    lacking = " and ".join(sorted(set(requires) - able))
    return Fit(min(prices, key=lambda name: prices[name]), f"{own} has no {lacking}, and this is the cheapest of {provider} that has")
