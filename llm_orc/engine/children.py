"""The plan of a child run, and what it wishes of the servers it asks."""

import json
from contextlib import AbstractContextManager

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.profile import Profile
from llm_orc.domain.said import Said, Scope
from llm_orc.engine.limits import Wish
from llm_orc.engine.means import Means


async def child_of(planned: PlannedAgent, scope: Scope, parent: Plan, means: Means) -> Plan:
    """What an ensemble agent runs: the ensemble that it names, or the one that an agent replied with; raises FailedError."""
    if planned.child is not None:
        return planned.child
    if planned.draft is None:
        message = f"'{planned.name}' was planned without its child"
        raise TypeError(message)
    written = planned.draft.value(scope)
    if isinstance(written, Said) and not written.ok:
        raise FailedError(Failure(Kind.MALFORMED, f"no ensemble from '{written.name}': it has no reply ({written.cause})"))
    text = str(written) if isinstance(written, str) else json.dumps(written, indent=2, default=str)
    return await means.draft(text, planned, parent)


def wished(plan: Plan, means: Means) -> AbstractContextManager[None]:
    """As long as it goes on, what the plan's profiles wish holds for their servers."""
    return means.bounds.wished((means.endpoint(profile), _wish(profile, means)) for profile in plan.profiles() if means.reachable(profile))


def _wish(profile: Profile, means: Means) -> Wish:
    card = means.card(profile)
    requests, tokens = profile.requests_per_minute or card.requests_per_minute, profile.tokens_per_minute or card.tokens_per_minute
    return Wish(profile.max_parallel, requests, tokens)
