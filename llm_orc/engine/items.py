"""What a fan-out goes over, and how much of it at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_orc.domain.ensemble import FanOut
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.said import ProfileItem, SaidByAll, Scope, json_of, selected
from llm_orc.engine.limits import Place
from llm_orc.engine.means import Means

DEFAULT_WIDTH = 64
"""Children of a fan-out that are open at once where no smaller bound is known."""


def items_of(planned: PlannedAgent, scope: Scope) -> Sequence[Any]:
    """One entry per child; raises FailedError where there is no list."""
    agent = planned.agent
    if planned.variants:
        return [ProfileItem(variant.name) for variant in planned.variants]
    if planned.items is not None:
        items, whence = planned.items.value(scope), "'items'"
    elif isinstance(agent.fan_out, FanOut):
        items, whence = agent.fan_out.items, "'items'"
    else:
        source = planned.depends_on[0]
        outcome, whence = scope.outcomes[source], f"the reply of '{source}'"
        items = selected(source, outcome, agent.input_key) if agent.input_key else json_of(source, outcome)
    if isinstance(items, SaidByAll):
        items = list(items)
    if isinstance(items, Mapping | str) or not isinstance(items, Sequence):
        raise FailedError(Failure(Kind.MALFORMED, f"{whence} is no list", "fan_out needs a JSON list to go over"))
    return items


def width_of(planned: PlannedAgent, places: Iterable[Place], means: Means) -> int:
    """How many children are open at once: no more than the narrowest bound they all have to pass."""
    own = planned.agent.fan_out.max_parallel if isinstance(planned.agent.fan_out, FanOut) else None
    if own is not None:
        return own
    sizes = [place.slots.size for place in places]
    profile = planned.profile
    if profile is not None and means.reachable(profile):
        sizes.append(means.bounds.of(means.endpoint(profile)).size)
    elif planned.agent.body in {"script", "command"}:
        sizes.append(means.bounds.programs.size)
    return min((size for size in sizes if size is not None), default=DEFAULT_WIDTH)
