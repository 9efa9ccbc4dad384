"""What a call costs: by the profile's own word, by the catalogue's, else by the public price list that genai-prices carries with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from llm_orc.catalog.cards import card, plain_name
from llm_orc.domain.message import Usage
from llm_orc.domain.model import Catalog
from llm_orc.domain.price import FREE, Price, Pricing, parts
from llm_orc.domain.profile import Profile

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

Clock = Callable[[], datetime]
_LISTED = ("anthropic", "google", "openai", "openrouter")
"""Providers that the price list calls by our names; the others are found by their address."""
_INPUT = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok")
_OUTPUT = ("output_mtok", "output_reasoning_mtok")
_MILLION = 1_000_000


def now() -> datetime:
    """The time, by which prices change."""
    return datetime.now(tz=UTC)


def pricing(known: Catalog, profile: Profile, *, local: bool, clock: Clock = now) -> Pricing | None:
    """What the profile's model costs; None where nobody knows. A model on this machine is free, unless its profile has a price."""
    if profile.price is not None:
        return profile.price
    if local:
        return FREE
    return card(known, profile).price or _listed(profile, clock)


def _listed(profile: Profile, clock: Clock) -> "ListPrice | None":
    from genai_prices.data_snapshot import get_snapshot  # takes 0.3 s; reads what is installed, and asks nobody

    provider = profile.provider if profile.provider in _LISTED else None
    if provider is None and profile.base_url is None:
        return None
    try:
        found = get_snapshot().find_provider_model(plain_name(profile.model), None, provider, profile.base_url)
    except LookupError:
        return None
    listed = ListPrice(*found, clock)
    return listed if listed.known else None


@dataclass(frozen=True, slots=True, repr=False)
class ListPrice:
    """The public price of a model, which may have steps by the length of the prompt, by the hour and by the day."""

    provider: "Provider"
    model: "ModelInfo"
    clock: Clock

    def __repr__(self) -> str:
        return f"ListPrice({self.provider.id}/{self.model.id})"

    @property
    def known(self) -> bool:
        """Whether tokens have a price: a model without one may be free, or just not be on the list."""
        price = self.model.get_prices(self.clock())
        return price.input_mtok is not None and price.output_mtok is not None

    @property
    def usual(self) -> Price:
        """What short prompts cost now; long ones may cost more."""
        price = self.model.get_prices(self.clock())
        cached = None if price.cache_read_mtok is None else float(_rate(price.cache_read_mtok, 0))
        return Price(input=float(_rate(price.input_mtok, 0)), output=float(_rate(price.output_mtok, 0)), cached_input=cached)

    def cost(self, usage: Usage) -> float:
        """US dollars for so many tokens; those written to a cache are taken to stay there for five minutes."""
        from genai_prices import Usage as Tokens

        _, cached, written = parts(usage)
        tokens = Tokens(
            input_tokens=usage.input,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=usage.output,
            output_reasoning_tokens=min(usage.reasoning, usage.output),
        )
        return float(self.model.calc_price(tokens, self.provider, genai_request_timestamp=self.clock()).total_price)

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars that no usage of at most so many tokens is above, in any hour of the day that follows."""
        return float(max(_most(price, input_tokens, output_tokens) for price in self._prices()))

    def _prices(self) -> "Iterator[ModelPrice]":
        start = self.clock()
        changes = isinstance(self.model.prices, list)
        for half_hours in range(50 if changes else 1):
            yield self.model.get_prices(start + timedelta(minutes=30 * half_hours))


def _most(price: "ModelPrice", input_tokens: int, output_tokens: int) -> Decimal:
    dearest = [max((_rate(getattr(price, key), input_tokens) for key in keys), default=Decimal(0)) for keys in (_INPUT, _OUTPUT)]
    each = _rate(price.requests_kcount, input_tokens) / 1000
    return (input_tokens * dearest[0] + output_tokens * dearest[1]) / _MILLION + each


def _rate(price: "Decimal | TieredPrices | None", input_tokens: int) -> Decimal:
    """The dearest step that a prompt of at most so many tokens can reach."""
    if price is None or isinstance(price, Decimal):
        return price or Decimal(0)
    return max([price.base, *(tier.price for tier in price.tiers if tier.start < input_tokens)])
