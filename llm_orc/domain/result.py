"""What a finished run comes to."""

from collections.abc import Iterable, Mapping

from llm_orc.domain.ensemble import ConcatSynthesis
from llm_orc.domain.message import FailedError, Failure, Outcome
from llm_orc.domain.plan import Plan
from llm_orc.domain.said import Scope

UNASKED = ("when",)
"""Causes of having no reply that leave nothing to be missed."""


def result_of(plan: Plan, outcomes: Mapping[str, Outcome], text: str) -> tuple[str, Failure | None]:
    """The result, and why its synthesis could not be rendered; it is then that of the leaves. Empty where no leaf succeeded."""
    leaves = {name: outcomes[name] for name in plan.leaves if name in outcomes}
    if plan.final is not None and plan.final in outcomes:
        reply = outcomes[plan.final].reply
        if reply is not None:
            return reply.text, None
    if not any(outcome.ok for outcome in leaves.values()):
        return "", None
    if plan.template is not None and plan.synthesised:
        try:
            return plan.template.render(Scope(text, plan.variables, {**plan.missing, **outcomes})), None
        except FailedError as error:
            return _joined(leaves.items()), error.failure
    return _joined(leaves.items(), always=isinstance(plan.ensemble.synthesis, ConcatSynthesis)), None


def _joined(leaves: Iterable[tuple[str, Outcome]], *, always: bool = False) -> str:
    """One reply verbatim, several under their names; headings `always` if asked for."""
    told = [(name, outcome) for name, outcome in leaves if outcome.ok or outcome.cause not in UNASKED]
    if len(told) == 1 and told[0][1].reply and not always:
        return told[0][1].reply.text
    return "\n\n".join(f"## {name}\n\n{outcome.reply.text if outcome.reply else f'(missing: {outcome.cause})'}" for name, outcome in told)
