"""Why an agent is not run, and why one made of others came to nothing."""

from collections.abc import Mapping
from typing import Any

from llm_orc.domain.message import FailedError, Failure, Kind, Outcome
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.said import Scope


def wanted(planned: PlannedAgent, scope: Scope) -> bool:
    """Whether `when` lets an agent run; raises FailedError where it is neither true nor false."""
    if planned.when is None:
        return planned.agent.when is not False
    value = planned.when.value(scope)
    if type(value) is str:  # the reply of an agent is more than a text: it knows whether there is one
        hint = "compare it, as in {{ variables.mode == 'deep' }}"
        raise FailedError(Failure(Kind.MALFORMED, f"'when' gave the text '{value[:40]}', which is neither true nor false", hint))
    return bool(value)


def common_failure(what: str, outcomes: Mapping[Any, Outcome]) -> Failure:
    """Why all of them came to nothing: as one kind of failure, that of the first."""
    causes = {outcome.cause for outcome in outcomes.values() if not outcome.ok}
    if causes == {Kind.OFFLINE}:
        return Failure(Kind.OFFLINE, what)
    first = next((outcome.failure for outcome in outcomes.values() if outcome.failure), None)
    if first is None:
        return Failure(Kind.EMPTY, f"{what}: every one was skipped ({', '.join(sorted(causes))})")
    return Failure(first.kind, f"{what}; first: {first.what}", first.hint)
