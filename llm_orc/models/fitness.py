"""Whether the models of a plan are there, and can do what their agents want of them, as far as that is known before anything runs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from llm_orc.domain.ensemble import ModelAgent
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import Plan, PlannedAgent, Variant
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.models.registry import Models

Card = Callable[[Profile], ModelCard]


def check(plan: Plan, models: Models, card: Card, wrong: Callable[[Mapping[str, Any]], str]) -> None:
    """Raises ProblemError, at the agents that name them, for providers and schemas that are not there and models that cannot do enough.

    `wrong` says what keeps a reply from being held against a schema.
    """
    problems: list[Problem] = []
    for planned in plan.agents.values():
        given = planned.agent.model_fields_set
        key = next((key for key in ("provider", "model_profile", "fan_out") if key in given), "name")
        place = plan.ensemble.source.at(*planned.path, key)
        for variant in (Variant("", planned.profile, planned.child), *planned.variants):
            for profile in filter(None, (variant.profile, *planned.fallbacks)):
                try:
                    models.ask(profile)
                    problems += _lacking(planned, profile, card)
                except ProblemError as error:
                    problems += error.problems
            if variant.child is not None:
                check(variant.child, models, card, wrong)
        problems = [problem if problem.place else replace(problem, place=place) for problem in problems]
        if planned.schema is not None and (why := wrong(planned.schema)):
            problems.append(Problem(f"'output_schema' is no JSON Schema: {why}", plan.ensemble.source.at(*planned.path, "output_schema")))
    if problems:
        raise ProblemError(*problems)


def _lacking(planned: PlannedAgent, profile: Profile, known: Card) -> Iterator[Problem]:
    """What a model is known not to be able to do that its agent requires, and not to take of what is attached; a tier is chosen by it."""
    if profile.provider == AUTO or not (planned.requires or planned.attached) or not isinstance(planned.agent, ModelAgent):
        return
    card, model = known(profile), f"{profile.provider}/{profile.model}"
    lacking = sorted(planned.agent.requires - card.capabilities) if card.capabilities is not None else ()
    if lacking:
        hint = "take a profile with provider: auto, which chooses a model by it, or say in the profile: capabilities"
        yield Problem(f"{model} has no {' and no '.join(lacking)}, which '{planned.name}' requires", hint=hint)
    if planned.attached:
        from llm_orc.domain.attached import refusals  # most agents are sent nothing but text

        yield from (Problem(f"'{planned.name}': {what}", hint=hint) for what, hint in refusals(model, planned.attached, card))
