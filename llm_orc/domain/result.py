"""What a finished run comes to."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from llm_orc.domain.ensemble import ConcatSynthesis, DocumentSynthesis
from llm_orc.domain.message import FailedError, Failure, Outcome
from llm_orc.domain.plan import Plan
from llm_orc.domain.said import Scope

UNASKED = ("when",)
"""Causes of having no reply that leave nothing to be missed."""


class Made(NamedTuple):
    """Which run it is, and when it was begun."""

    run: str
    at: float
    """Seconds since 1970 UTC."""


def result_of(plan: Plan, outcomes: Mapping[str, Outcome], text: str, made: Made) -> tuple[str, Failure | None]:
    """The result, and why its synthesis could not be rendered; it is then that of the leaves. Empty where no leaf succeeded."""
    leaves = {name: outcomes[name] for name in plan.leaves if name in outcomes}
    if plan.final is not None and plan.final in outcomes:
        reply = outcomes[plan.final].reply
        if reply is not None:
            return reply.text, None
    if not any(outcome.ok for outcome in leaves.values()):
        return "", None
    try:
        rendered = _rendered(plan, outcomes, Scope(text, plan.variables, {**plan.missing, **outcomes}), made)
    except FailedError as error:
        return _joined(leaves.items()), error.failure
    if rendered is not None:
        return rendered, None
    return _joined(leaves.items(), always=isinstance(plan.ensemble.synthesis, ConcatSynthesis)), None


def _rendered(plan: Plan, outcomes: Mapping[str, Outcome], scope: Scope, made: Made) -> str | None:
    """What a template or a document makes of it; raises FailedError."""
    if isinstance(plan.ensemble.synthesis, DocumentSynthesis):
        from llm_orc.domain.documented import documented  # few ensembles make one

        return documented(plan, plan.ensemble.synthesis.document, outcomes, scope, made)
    return plan.template.render(scope) if plan.template is not None and plan.synthesised else None


def _joined(leaves: Iterable[tuple[str, Outcome]], *, always: bool = False) -> str:
    """One reply verbatim, several under their names; headings `always` if asked for."""
    told = [(name, outcome) for name, outcome in leaves if outcome.ok or outcome.cause not in UNASKED]
    if len(told) == 1 and told[0][1].reply and not always:
        return told[0][1].reply.text
    return "\n\n".join(f"## {name}\n\n{outcome.reply.text if outcome.reply else f'(missing: {outcome.cause})'}" for name, outcome in told)
