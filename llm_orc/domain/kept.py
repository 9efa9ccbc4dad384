"""Runs and nodes as a store lists them: what can be said of them without folding a single event."""

from collections.abc import Iterator
from dataclasses import dataclass

from llm_orc.domain.message import Status
from llm_orc.domain.run import Node, Run, RunStatus


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run. Times are seconds since 1970 UTC."""

    id: str
    ensemble: str
    status: RunStatus
    cause: str
    """What cut it short; `lost` where its process was gone before its end."""
    started_at: float
    last_at: float
    """When the last thing so far happened."""
    cost: float | None
    """US dollars of all calls with a known price; None where there is none."""
    tokens: int
    agents: int
    """Nodes so far, children included."""
    failed: int
    input: str
    """How its input begins."""
    pinned: bool
    paused: float = 0.0
    """Seconds in which nobody worked on it, before it was gone on with."""

    @property
    def seconds(self) -> float:
        """Wall time that was worked on it, up to the last thing that happened."""
        return max(self.last_at - self.started_at - self.paused, 0.0)


@dataclass(frozen=True, slots=True)
class KeptArtifact:
    """A file that the program of a node left."""

    node: str
    name: str
    """Its path below the folder that it was left in."""
    media_type: str
    size: int
    """In bytes."""
    sha256: str
    """Of its bytes."""


@dataclass(frozen=True, slots=True)
class KeptNode:
    """One node of a run; tokens and dollars are those of its children, too."""

    id: str
    parent: str
    number: int
    """Its place among its siblings, from 0."""
    depth: int
    body: str
    status: Status
    cause: str
    """How the reason begins why it has no reply."""
    started_at: float | None
    ended_at: float | None
    cost: float | None
    tokens: int
    model: str
    items: int | None
    """How many children a fan-out will have."""
    cached: bool
    """Whether its reply was there already."""
    children: int
    """So many are there."""
    ended: int
    """Of the children, that nothing more comes of."""
    failed: int
    """Of the children."""
    earlier: float = 0.0
    """Seconds that it had taken when it was decided again."""

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rpartition("/")[2]

    @property
    def seconds(self) -> float | None:
        """From its first slot to its end, and what it had taken before it was decided again."""
        if self.started_at is None or self.ended_at is None:
            return self.earlier or None
        return self.earlier + max(self.ended_at - self.started_at, 0.0)


def row_of(run: Run) -> KeptRun:
    """A run as it would be listed."""
    cost, tokens, failed = run.cost, run.usage.total, run.count("failed")
    times = run.started_at, run.last_at
    counts = tokens, len(run.nodes), failed
    return KeptRun(run.id, run.ensemble, run.status, run.cause, *times, cost, *counts, run.input, pinned=False, paused=run.paused)


def rows_of(run: Run) -> list[KeptNode]:
    """Its nodes likewise, each followed by those below it."""

    def rows(nodes: Iterator[Node], depth: int) -> Iterator[KeptNode]:
        for number, node in enumerate(nodes):
            yield _row(run, node, number, depth)
            yield from rows(run.below(node), depth + 1)

    return list(rows(run.top(), 0))


def _row(run: Run, node: Node, number: int, depth: int) -> KeptNode:
    below = [child.status for child in run.below(node)]
    return KeptNode(
        node.id,
        node.parent,
        number,
        depth,
        node.body,
        node.status,
        node.cause,
        node.started_at,
        node.ended_at,
        node.cost,
        node.usage.total,
        node.model,
        node.expected,
        node.cached,
        len(below),
        sum(status not in {"pending", "running"} for status in below),
        below.count("failed"),
        node.earlier,
    )
