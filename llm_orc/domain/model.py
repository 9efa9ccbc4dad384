"""What is known of providers and their models, from the catalogue and from the user's own `catalog:`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from llm_orc.domain.price import Price
from llm_orc.domain.read import Read

Capability = Literal["vision", "files", "tools", "structured_output", "thinking"]
Count = Annotated[int, Field(ge=1)]


class ModelCard(Read):
    """One model; what is not known is None, and refuses nothing."""

    context_window: Count | None = None
    """Tokens of prompt and reply together."""
    max_output: Count | None = None
    """The longest reply, in tokens."""
    capabilities: frozenset[Capability] | None = None
    """What it can do besides reading and writing text."""
    refuses: frozenset[str] = frozenset()
    """Parameters that it does not take: temperature, top_p, seed, stop."""
    requests_per_minute: Count | None = None
    """How many requests its provider lets through."""
    tokens_per_minute: Count | None = None
    """How many tokens, of prompt and reply together."""
    price: Price | None = None
    """Where it differs from the public price list."""
    gone: str = ""
    """Since when it is no longer there, and what took its place."""


class ProviderCard(Read):
    """One provider."""

    base_url: str | None = None
    """Where it listens."""
    tiers: dict[str, str] = Field(default_factory=dict)
    """Tier -> model; `*` is whichever chat model runs there."""
    models: dict[str, ModelCard] = Field(default_factory=dict)
    """By the name that the provider gives them."""


Catalog = Mapping[str, ProviderCard]
"""By provider, in the order in which `auto` tries them."""
