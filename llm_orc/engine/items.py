"""What a fan-out goes over, and how much of it at once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import partial
from sys import maxsize
from typing import Any, TypeVar

from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.findings import findings_of, grouped_by
from llm_orc.domain.item import Item, Unread
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.said import ProfileItem, Said, SaidByAll, Scope, json_of, selected, text_of
from llm_orc.domain.split import Pieces, grouped, item_of
from llm_orc.domain.tree import names_of
from llm_orc.engine.limits import Place
from llm_orc.engine.means import Means

T = TypeVar("T")
_LARGE = 256 * 1024
DEFAULT_WIDTH = 64
"""Children of a fan-out that are open at once where no smaller bound is known."""


async def items_of(planned: PlannedAgent, scope: Scope, means: Means, warn: Callable[[str], None]) -> Sequence[Any]:
    """One entry per child; raises FailedError where there is no list. A file is `Unread` until it is its turn."""
    fan_out = planned.agent.fan_out
    match fan_out.source if isinstance(fan_out, FanOut) else "":
        case "profiles":
            return [ProfileItem(variant.name) for variant in planned.variants]
        case "chunks":
            return await _chunks(planned, scope)
        case "files":
            return await _files(planned, scope, means, warn)
        case "errors":
            return await _findings(planned, scope, means, warn)
        case _:
            return _listed(planned, scope)


async def opened(item: Any) -> Any:
    """An item with all that is in it, once it is its turn; raises FailedError."""
    return await asyncio.to_thread(item.item) if isinstance(item, Unread) else item


def _listed(planned: PlannedAgent, scope: Scope) -> Sequence[Any]:
    agent = planned.agent
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


async def _chunks(planned: PlannedAgent, scope: Scope) -> Sequence[Any]:
    fan_out = _of(planned)
    value = planned.items.value(scope) if planned.items else fan_out.chunks
    if isinstance(value, Said) and not value.ok:
        raise FailedError(Failure(Kind.MALFORMED, f"'chunks': no reply from '{value.name}' ({value.cause})"))
    if isinstance(value, SaidByAll):
        value = list(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [item_of(group) for group in grouped(value, fan_out.measure)]
    text = text_of(value)
    return await _worked_out(partial(Pieces, text, fan_out.measure), text)


async def _files(planned: PlannedAgent, scope: Scope, means: Means, warn: Callable[[str], None]) -> Sequence[Any]:
    if planned.items is None:
        message = f"'{planned.name}' was planned without its files"
        raise TypeError(message)
    bounds = planned.files.bounds if planned.files else None
    if bounds is None and planned.items.names.agents:
        bounds = means.tree.project  # however trusted the ensemble is: what an agent replied is nobody's word
    names = names_of(planned.items.render(scope))
    found = await asyncio.to_thread(means.tree.find, names, bounds)
    for warning in found.warnings:
        warn(warning)
    return found.files


async def _findings(planned: PlannedAgent, scope: Scope, means: Means, warn: Callable[[str], None]) -> Sequence[Any]:
    fan_out = _of(planned)
    said = planned.items.render(scope) if planned.items else fan_out.errors or []
    findings: Sequence[Item] = await _worked_out(partial(findings_of, said, fan_out.pattern, means.tree.naming()), said)
    if not findings and isinstance(said, str) and said.strip() and said.strip()[0] not in "[{":
        warn(f"nothing found in what '{fan_out.source}' says: {_head(said)}")
    return findings if fan_out.group_by is None else grouped_by(fan_out.group_by, findings)


async def _worked_out(work: Callable[[], T], of: Sized) -> T:
    """What may take a while, out of the way of everything else."""
    return await asyncio.to_thread(work) if len(of) > _LARGE else work()


def _of(planned: PlannedAgent) -> FanOut:
    if not isinstance(planned.agent.fan_out, FanOut):
        message = f"'{planned.name}' has no items of its own"
        raise TypeError(message)
    return planned.agent.fan_out


def _head(text: str) -> str:
    line = " ".join(text[:200].split())
    return f"'{line[:60]}...'" if len(line) > 60 else f"'{line}'"


def width_of(planned: PlannedAgent, places: Iterable[Place], means: Means) -> int:
    """How many children are open at once: no more than the narrowest bound they all have to pass."""
    if means.bounds.closed:
        return maxsize  # none of them costs anything
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
