"""Which model answers for profiles that name none: the chat model that their server has, one in memory first."""

import asyncio
from collections.abc import Sequence

from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Wanted
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import WHICHEVER
from llm_orc.models.auto import Choice
from llm_orc.models.auto import Wanted as Tier
from llm_orc.models.lmstudio import first_chat
from llm_orc.models.probe import PATIENT_SECONDS
from llm_orc.models.registry import Models

_WHY = {True: "loaded", False: "not loaded yet", None: "listed"}


async def whichever(models: Models, ways: Sequence[Sequence[Wanted]], *, near: bool) -> dict[Tier, Choice]:
    """A choice for each server and set of capabilities, with `near` only on this machine; without those that do not say what they have.

    `ways` are whom each agent may ask; raises ProblemError where one is left with servers that lack what it requires.
    """
    asked = {each.tier: each for agent in ways for each in agent if _is_open(each)}
    there = [each for each in asked.values() if models.endpoint(each.profile).local or not near]
    found = dict(zip((each.tier for each in there), await asyncio.gather(*(_one(models, each) for each in there)), strict=True))
    for agent in ways:
        lacking = [said for each in agent if _is_open(each) and isinstance(said := found.get(each.tier), Problem)]
        if lacking and len(lacking) == len(agent):
            raise ProblemError(*lacking)
    return {tier: choice for tier, choice in found.items() if isinstance(choice, Choice)}


def _is_open(wanted: Wanted) -> bool:
    return wanted.profile.model == WHICHEVER


async def _one(models: Models, wanted: Wanted) -> Choice | Problem | None:
    """The choice, or what all of its models lack."""
    try:
        async with asyncio.timeout(PATIENT_SECONDS):
            listed = await models.listed(wanted.profile)
    except (FailedError, TimeoutError):
        return None  # who asks it is told why
    endpoint = models.endpoint(wanted.profile)
    if model := first_chat(listed, wanted.requires):
        return Choice(wanted.tier[0], wanted.profile.provider, model.name, _WHY[model.loaded], endpoint.label, endpoint.local)
    if first_chat(listed) is None:
        return None  # likewise
    words = " and ".join(sorted(wanted.requires)).replace("_", " ")
    return Problem(
        f"{endpoint.label} has no chat model with {words}", hint="get one: lms get MODEL; or name another profile: --profile NAME"
    )
