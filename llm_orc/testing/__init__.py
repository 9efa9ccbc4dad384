"""What a plugin author runs against their own provider: `TestMine = provider_conformance(subject)` in a file that pytest collects."""

from llm_orc.testing.conformance import provider_conformance
from llm_orc.testing.subject import Subject

__all__ = ["Subject", "provider_conformance"]
