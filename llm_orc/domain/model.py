"""What is known of providers and their models, from the catalogue and from the user's own `catalog:`."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from llm_orc.domain.price import Price
from llm_orc.domain.read import Read

Capability = Literal["vision", "files", "tools", "structured_output", "thinking"]
Count = Annotated[int, Field(ge=1)]


class AttachmentLimits(Read):
    """What may be attached to one request; what is not known is None, and refuses nothing."""

    count: Count | None = None
    """How many files."""
    bytes: Count | None = None
    """All of them together, before they are encoded."""
    side: Count | None = None
    """Pixels of an image's longer side."""
    media_types: frozenset[str] | None = None
    """The images and documents that are taken besides text, such as image/png, application/pdf."""


class ModelCard(Read):
    """One model; what is not known is None, and refuses nothing."""

    context_window: Count | None = None
    """Tokens of prompt and reply together."""
    max_output: Count | None = None
    """The longest reply, in tokens."""
    capabilities: frozenset[Capability] | None = None
    """What it can do besides reading and writing text: vision, files, tools, structured_output, thinking."""
    refuses: frozenset[str] = frozenset()
    """Parameters that it does not take, such as temperature, top_p, seed, stop."""
    requests_per_minute: Count | None = None
    """How many requests its provider lets through."""
    tokens_per_minute: Count | None = None
    """How many tokens, of prompt and reply together."""
    attachments: AttachmentLimits | None = None
    """What may be attached to a request; what its provider lets through where nothing is said of the model."""
    price: Price | None = None
    """US dollars per million tokens, where it differs from the public price list."""
    gone: date | None = None
    """The day, perhaps still to come, from which its provider does not answer for it any more."""
    instead: str = ""
    """The model that takes its place."""

    def overlaid(self, above: "ModelCard | None") -> "ModelCard":
        """Both, field by field, `above` winning."""
        return self.model_copy(update={key: getattr(above, key) for key in above.model_fields_set}) if above else self


class ProviderCard(Read):
    """One provider."""

    base_url: str | None = None
    """Where it listens; not in a project's config.yaml."""
    tiers: dict[str, str] = Field(default_factory=dict)
    """Tier -> model; `*` is whichever chat model runs there."""
    attachments: AttachmentLimits | None = None
    """What may be attached to a request to any of its models."""
    models: dict[str, ModelCard] = Field(default_factory=dict)
    """Model -> what is known of it, by the name that the provider gives it."""


Catalog = Mapping[str, ProviderCard]
"""By provider, in the order in which `auto` tries them."""


def overlaid(below: Catalog, above: Catalog) -> Catalog:
    """Both, merged by provider, by tier or model, then by field, `above` winning; providers that it gives tiers are tried first."""
    first = [name for name, card in above.items() if "tiers" in card.model_fields_set]
    names = dict.fromkeys([*first, *below, *above])
    return {name: _provider(below.get(name), above.get(name)) for name in names}


def _provider(below: ProviderCard | None, above: ProviderCard | None) -> ProviderCard:
    if below is None or above is None:
        return above or below or ProviderCard()
    update = {key: getattr(above, key) for key in above.model_fields_set}
    if "tiers" in update:
        update["tiers"] = {**below.tiers, **above.tiers}
    if "models" in update:
        both = below.models.keys() & above.models.keys()
        update["models"] = {**below.models, **above.models, **{name: below.models[name].overlaid(above.models[name]) for name in both}}
    return below.model_copy(update=update)
