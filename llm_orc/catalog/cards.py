"""The catalogue of known models: what is shipped, dated, in `catalogue.json`, and over it what the user writes under `catalog:`."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache, reduce
from pathlib import Path
from typing import NamedTuple

from llm_orc.domain.model import Catalog, ModelCard, ProviderCard, overlaid
from llm_orc.domain.profile import Profile

FILE = Path(__file__).with_name("catalogue.json")
_OWN_WORDS = ("context_window", "capabilities", "requests_per_minute", "tokens_per_minute", "price")
"""What a profile may say of its model itself."""
_OF_A_SELLER = ("requests_per_minute", "tokens_per_minute", "attachments", "price", "gone", "instead")
"""What holds where a model is sold, and need not hold elsewhere."""
_PATH = re.compile(r"^(?:models|publishers/[^/]+/models)/")
_SNAPSHOT = re.compile(r"[-@]20\d\d-?[01]\d-?[0-3]\d$|-0\d\d$|-latest$")
_VARIANT = re.compile(r":[a-z-]+$")


def catalog(own: Catalog | None = None) -> Catalog:
    """What is shipped, with the user's own words over it; the providers that those give tiers are tried first."""
    return overlaid(_shipped(), own) if own else _shipped()


@cache
def _shipped() -> Catalog:
    providers = json.loads(FILE.read_bytes())["providers"]
    return {name: ProviderCard.model_validate(card) for name, card in providers.items()}


def tiers(known: Catalog) -> dict[str, dict[str, str]]:
    """Provider -> tier -> model, of those that answer for tiers, in the order in which they are tried."""
    return {name: card.tiers for name, card in known.items() if card.tiers}


def card(known: Catalog, profile: Profile) -> ModelCard:
    """What is known of a profile's model: the profile's own words first; nothing is looked up anywhere."""
    own = {key: value for key in _OWN_WORDS if (value := getattr(profile, key)) is not None}
    found = model_card(known, profile.provider, profile.model)
    if found.attachments is None and found != ModelCard():  # of a model that is not known nothing is
        own["attachments"] = known[profile.provider].attachments
    return found.model_copy(update=own)


def model_card(known: Catalog, provider: str, model: str) -> ModelCard:
    """What is known of a model of a provider, also by the name of a dated snapshot; an empty card if that is nothing."""
    models = known[provider].models if provider in known else {}
    if found := [models[name] for name in _names(model) if name in models]:
        return reduce(ModelCard.overlaid, reversed(found))
    maker, sold, name = model.partition("/")
    if sold and maker.lower() in known:  # as openrouter calls them: anthropic/claude-sonnet-5.5
        empty = {key: ModelCard.model_fields[key].default for key in _OF_A_SELLER}
        return _of_maker(known[maker.lower()].models, name).model_copy(update=empty)
    return ModelCard()


def _of_maker(models: Mapping[str, ModelCard], model: str) -> ModelCard:
    dashed = {name.replace(".", "-"): found for name, found in models.items()}
    names = (name.replace(".", "-") for name in _names(_VARIANT.sub("", model)))
    return next((dashed[name] for name in names if name in dashed), ModelCard())


def plain_name(model: str) -> str:
    """The name of a model without the path before it, as in `models/gemini-3.8-flash`."""
    return _PATH.sub("", model.lower())


def _names(model: str) -> dict[str, None]:
    """The name as it is written, without what stands before it, and without what dates it; each once."""
    plain = plain_name(model)
    return dict.fromkeys([model, plain, _SNAPSHOT.sub("", plain)])


class Gone(NamedTuple):
    """A profile whose model its provider does not answer for, or soon will not."""

    profile: Profile
    since: date
    """May still be to come."""
    instead: str
    """The model that takes its place, where one is known."""

    def __str__(self) -> str:
        """What a person is told."""
        return f"profile '{self.profile.name}': {self.profile.provider} ends {self.profile.model} on {self.since}"

    @property
    def hint(self) -> str:
        """What to do."""
        return f"write instead: model: {self.instead}" if self.instead else f"see: llm-orc list models, and {self.profile.provider}'s pages"


def gone_models(known: Catalog, profiles: Iterable[Profile]) -> tuple[Gone, ...]:
    """The profiles whose models have gone, or have a day on which they go."""
    cards = ((profile, card(known, profile)) for profile in profiles)
    return tuple(Gone(profile, found.gone, found.instead) for profile, found in cards if found.gone)
