"""What the engine is given to work with."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llm_orc.domain.message import Ask, FailedError, Failure, Kind
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.price import Pricing
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.tree import NoTree, Tree
from llm_orc.engine.limits import Bounds
from llm_orc.engine.summaries import Summaries

if TYPE_CHECKING:
    from llm_orc.engine.reuse import Reuse

Clock = Callable[[], float]
"""Seconds since 1970 UTC, never running backwards."""


def steady_clock() -> Clock:
    """The time of day now, carried on by a clock that nobody sets."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


Keep = Callable[[Iterable[bytes]], str]
"""Keeps bytes as a file, and gives their SHA-256; called in threads, raises ProblemError and what the bytes raise."""
Drafted = Callable[[str, PlannedAgent, Plan], Awaitable[Plan]]


async def no_draft(text: str, planned: PlannedAgent, parent: Plan) -> Plan:  # noqa: ARG001 - the contract
    """Where no ensemble is made of a reply; raises FailedError."""
    raise FailedError(Failure(Kind.INVALID_REQUEST, f"'{planned.name}' would run an ensemble that an agent replied with"))


@dataclass(frozen=True, slots=True)
class Means:
    """Everything from outside that a run needs."""

    ask: Callable[[Profile], Ask]
    endpoint: Callable[[Profile], Endpoint]
    bounds: Bounds
    cwd: Path
    """Where scripts and commands run."""
    env: Mapping[str, str] = field(repr=False)
    """Of which they see a few: it holds keys."""
    python: str
    """The interpreter of `.py` scripts."""
    pricing: Callable[[Profile], Pricing | None] = lambda _: None
    """What a profile's model costs; None where that is not known."""
    card: Callable[[Profile], ModelCard] = lambda _: ModelCard()
    """What is known of a profile's model."""
    reachable: Callable[[Profile], bool] = lambda _: True
    """Whether a profile's model may be asked; what may not be is skipped as `offline`."""
    clock: Clock = field(default_factory=steady_clock)
    draft: Drafted = no_draft
    """Makes a plan of an ensemble that an agent replied with: of the text, for this agent, in the run of that plan."""
    keep: Keep | None = None
    """Keeps the files that programs leave; None where the run is not kept."""
    tree: Tree = field(default_factory=NoTree)
    """The files that agents work on."""
    reuse: "Reuse | None" = None
    """The replies that may be used again; None where none is."""
    summaries: Summaries = field(default_factory=Summaries)
    """Of what was too long in this run."""
    stream: bool = False
    """Whether somebody watches the replies as they come."""
    shown: str = ""
    """The node whose tokens go to stdout as they come, so that they cannot be taken back."""
