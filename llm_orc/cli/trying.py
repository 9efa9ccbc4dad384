"""Whether a provider lets a key in."""

from contextlib import suppress
from dataclasses import replace

from llm_orc.app import Known
from llm_orc.config.layers import Layers
from llm_orc.domain.credential import Credential
from llm_orc.domain.message import NO_USAGE, FailedError
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Reach
from llm_orc.models.registry import Models

TRY_SECONDS = 10.0
"""For a provider to say so."""


async def try_key(layers: Layers, provider: str, credential: Credential) -> bool:
    """Ask a provider for its models with this key and no other; raises FailedError where it is not let in, or not answered in time.

    False where nobody can be asked: the provider has no address of its own, and no profile that may be given the key says one.
    """
    from llm_orc.models.look import ANY, look_at  # what it imports, a run does not need

    await credential.secret()  # a keyring may wait for a person, whose time is not the provider's
    reach = replace(Known(layers).reach, find=lambda *_: credential)
    asked = _where_to_try(layers, Profile(provider=provider, model=ANY), reach)
    if asked is None:
        return False
    opened = Models(reach)
    try:
        looks = await look_at(opened, [asked], lambda: TRY_SECONDS)
    finally:
        await opened.close()
    for failure in (look.failure for look in looks.values() if look.failure):
        raise FailedError(failure, usage=NO_USAGE)
    return True


def _where_to_try(layers: Layers, bare: Profile, reach: Reach) -> Profile | None:
    """A profile whose server a key may be tried at."""
    from llm_orc.models.presets import PRESETS, base_url_of
    from llm_orc.models.target import aim

    if bare.provider not in PRESETS or base_url_of(bare.provider, reach.env, reach.base_urls):
        return bare
    for entry in layers.profiles.entries():
        with suppress(ProblemError):  # a broken file is told by whoever uses it
            profile = layers.profiles[entry.name]
            if profile.provider == bare.provider and (target := aim(profile, reach)).credential and not target.refusal:
                return bare.model_copy(update={"base_url": profile.base_url})
    return None
