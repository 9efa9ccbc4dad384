"""Which model answers for profiles that name none: the chat model that their server has, one in memory first."""

import asyncio
from collections.abc import Iterable

from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Wanted
from llm_orc.models.auto import Choice
from llm_orc.models.auto import Wanted as Tier
from llm_orc.models.lmstudio import first_chat
from llm_orc.models.probe import PATIENT_SECONDS
from llm_orc.models.registry import Models

_WHY = {True: "loaded", False: "not loaded yet", None: "listed"}


async def whichever(models: Models, wanted: Iterable[Wanted], *, near: bool) -> dict[Tier, Choice]:
    """A choice for each server and set of capabilities, with `near` only on this machine; without those that do not say what they have."""
    asked = {each.tier: each for each in wanted}
    there = {tier: each for tier, each in asked.items() if models.endpoint(each.profile).local or not near}
    found = await asyncio.gather(*(_one(models, each) for each in there.values()))
    return {tier: choice for tier, choice in zip(there, found, strict=True) if choice}


async def _one(models: Models, wanted: Wanted) -> Choice | None:
    try:
        async with asyncio.timeout(PATIENT_SECONDS):
            listed = await models.listed(wanted.profile)
    except (FailedError, TimeoutError):
        return None  # who asks it is told why
    if (model := first_chat(listed, wanted.requires)) is None:
        return None
    endpoint = models.endpoint(wanted.profile)
    return Choice(wanted.tier[0], wanted.profile.provider, model.name, _WHY[model.loaded], endpoint.label, endpoint.local)
