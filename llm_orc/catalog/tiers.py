"""The tiers of the shipped catalogue, for a choice that knows no other providers yet."""

from collections.abc import Mapping

from llm_orc.catalog.cards import FILE, catalog, tiers

__all__ = ["FILE", "read_tiers"]


def read_tiers() -> Mapping[str, Mapping[str, str]]:
    """Provider -> tier -> model, the providers in the order in which they are tried."""
    return {name: models for name, models in tiers(catalog()).items() if name in ("lmstudio", "openai")}
