"""What the engine is given to work with."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llm_orc.domain.message import Ask
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import Pricing
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.tree import NoTree, Tree
from llm_orc.engine.limits import Bounds

Clock = Callable[[], float]
"""Seconds since 1970 UTC, never running backwards."""


def steady_clock() -> Clock:
    """The time of day now, carried on by a clock that nobody sets."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


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
    tree: Tree = field(default_factory=NoTree)
    """The files that agents work on."""
    stream: bool = False
    """Whether somebody watches the replies as they come."""
    shown: str = ""
    """The node whose tokens go to stdout as they come, so that they cannot be taken back."""
