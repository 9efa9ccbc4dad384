"""`pytest` runs every check of a provider."""

from loud import Loud

from llm_orc.domain.profile import Profile
from llm_orc.testing import Subject, provider_conformance

PROFILE = Profile(provider="loud", model="any")
TOO_LOUD = Profile(provider="loud", model="any", options={"marks": 99})

TestLoud = provider_conformance(Subject(Loud, PROFILE, wrong=[TOO_LOUD]))
