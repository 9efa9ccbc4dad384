"""A run is the fold of its events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from llm_orc.domain.event import Cause, Happening, Produced, Resumed, RunEnded, RunStarted, Shortened, Submitted, Warned
from llm_orc.domain.message import NO_USAGE, Failure, Reply, Status, Usage
from llm_orc.domain.progress import end, go_on_with
from llm_orc.domain.use import EndpointUse, Spending

RunStatus = Literal["pending", "running", "succeeded", "partial", "failed", "cancelled"]


SUMMARY = "summary"
"""The body of a node that is a part of another: a model's summary of what was too long for that one."""


class ExitCode(IntEnum):
    """What a command says to the shell."""

    OK = 0
    NO_LEAF = 1
    BAD_INPUT = 2
    SOME_FAILED = 3
    SPENT = 4
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(slots=True)
class Node:
    """One node of a run, as far as it has come. Times are seconds since 1970 UTC."""

    id: str
    body: str
    depends_on: tuple[str, ...] = ()
    parent: str = ""
    phase: int = 0
    item: str = ""
    """Tells its item from any other in that place; empty outside a fan-out."""
    turn: Mapping[str, Any] | None = None
    """Of a turn: what it takes to make its plan again."""
    children: list[str] = field(default_factory=list)
    expected: int | None = None
    """How many children a fan-out will have."""
    status: Status = "pending"
    waiting_for: str = ""
    """The limit that it waits for, or what else keeps it: `retry`, `loading MODEL`."""
    waiting_at: str = ""
    """The server whose queue it stands in."""
    waiting_since: float | None = None
    waited: float = 0.0
    """Seconds in queues, between attempts and while a model was loaded, so far."""
    endpoint: str = ""
    """Where an attempt is under way."""
    context_window: int | None = None
    """Tokens that the model asked last has room for, where that is known."""
    taken: int = 0
    """Tokens of it that the last attempt took."""
    sent: int = 0
    """Requests so far, those of fallbacks and repairs included."""
    cached: bool = False
    """Whether its reply was there already, so that nothing was sent for it."""
    changed: tuple[str, ...] = ()
    """Of what was sent, the parts that differ from the nearest call whose reply is kept."""
    saved: Spending | None = None
    """What the replies that were there already took when they were made, children's included."""
    shortened: Shortened | None = None
    """How its request was made to fit, if it had to be; as told last."""
    fell_back: list[tuple[str, Failure]] = field(default_factory=list)
    """Profiles that could not answer, in order, and why."""
    prompt: str = ""
    profile: str = ""
    provider: str = ""
    model: str = ""
    reply: Reply | None = None
    failure: Failure | None = None
    cause: str = ""
    pieces: list[str] = field(default_factory=list)
    """What has come of its reply, piece by piece; what there was of it when it failed."""
    thinking: list[str] = field(default_factory=list)
    artifacts: list[Produced] = field(default_factory=list)
    """The files that its program left."""
    usage: Usage = NO_USAGE
    """Tokens, children's included."""
    cost: float | None = None
    """US dollars, children's included; None where no price is known."""
    unpriced: bool = False
    """Whether the price of a part of it is not known."""
    charged: float = 0.0
    """US dollars that it may have cost at most, as a `max_cost` reckons; children's included."""
    at_risk: float = 0.0
    """Those of them that belong to the attempt under way."""
    started_at: float | None = None
    ended_at: float | None = None
    earlier: float = 0.0
    """Seconds that it had taken when it was decided again."""

    @property
    def name(self) -> str:
        """The last part of its id: `child` of `agent[2]/child`."""
        return self.id.rpartition("/")[2]

    @property
    def text(self) -> str:
        """Its reply, or what has come of it so far."""
        return self.reply.text if self.reply else "".join(self.pieces)

    @property
    def seconds(self) -> float | None:
        """From its first slot to its end, and what it had taken before it was decided again."""
        if self.started_at is None or self.ended_at is None:
            return self.earlier or None
        return self.earlier + self.ended_at - self.started_at


@dataclass(slots=True)
class Run:
    """What the events add up to; written only by `fold`."""

    id: str = ""
    ensemble: str = ""
    phases: tuple[tuple[str, ...], ...] = ()
    input: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()
    status: RunStatus = "pending"
    cause: Cause = ""
    result: str = ""
    failure: Failure | None = None
    """Why the synthesis could not be rendered."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Node id (empty: the run) and what should be known."""
    usage: Usage = NO_USAGE
    cost: float | None = None
    """US dollars of all calls with a known price; None where there is none."""
    unpriced: set[str] = field(default_factory=set)
    """Models that were used and whose price is not known."""
    models: dict[str, Spending] = field(default_factory=dict)
    """What each model took."""
    reused: int = 0
    """Nodes whose replies were there already."""
    saved: Spending | None = None
    """What those took when they were made."""
    endpoints: dict[str, EndpointUse] = field(default_factory=dict)
    """By the name that people know a server by."""
    charged: float = 0.0
    """US dollars that all calls may have cost at most, as a `max_cost` reckons."""
    started_at: float = 0.0
    ended_at: float | None = None
    paused: float = 0.0
    """Seconds in which nobody worked on it, before it was gone on with."""
    last_seq: int = 0
    last_at: float = 0.0
    """When the last thing so far happened."""

    def top(self) -> Iterator[Node]:
        """The agents of the ensemble itself, phase by phase, in file order within each."""
        return (node for node in self.nodes.values() if not node.parent)

    def below(self, node: Node) -> Iterator[Node]:
        """The children of a node, in order."""
        return (self.nodes[child] for child in node.children)

    def count(self, status: Status) -> int:
        """How many nodes, children included, have this status."""
        return sum(node.status == status for node in self.nodes.values())

    @property
    def seconds(self) -> float:
        """Wall time that was worked on it; 0 while it goes on."""
        return 0.0 if self.ended_at is None else self.ended_at - self.started_at - self.paused

    @property
    def answered(self) -> bool:
        """Whether a leaf succeeded, so that there is a result."""
        return any(leaf in self.nodes and self.nodes[leaf].status == "succeeded" for leaf in self.leaves)

    @property
    def exit_code(self) -> ExitCode:
        """What the shell is told; the first that holds of 143, 130, 4, 1, 3, 0."""
        match self.cause:
            case "terminate":
                return ExitCode.TERMINATED
            case "interrupt":
                return ExitCode.INTERRUPTED
            case "timeout" | "budget":
                return ExitCode.SPENT
        if not self.answered:
            return ExitCode.NO_LEAF
        failed = self.failure is not None or any(node.status == "failed" and node.body != SUMMARY for node in self.nodes.values())
        return ExitCode.SOME_FAILED if failed else ExitCode.OK


def fold(run: Run, event: Happening) -> None:
    """Let the run know what happened; constant work per event, but for those that cut it short or go on with it."""
    match event:
        case RunStarted():
            run.id, run.ensemble, run.phases, run.leaves = event.run, event.ensemble, event.phases, event.leaves
            run.input, run.variables, run.started_at, run.status = event.input, event.variables, event.at, "running"
        case Resumed():
            run.id = event.run
            _cut_off(run, run.last_at)
            run.status, run.cause, run.result, run.failure, run.ended_at = "running", "", "", None, None
            run.paused += event.at - run.last_at  # below 0 where the clock was set back meanwhile
        case Submitted():
            _submit(run, event)
        case Warned():
            run.warnings.append((event.node, event.what))
        case RunEnded():
            _cut_off(run, event.at)
            run.result = event.result if event.result or run.answered or _is_talk(run) else finished(run)
            run.cause, run.failure, run.ended_at = event.cause, event.failure, event.at
            run.status = _final(run)
        case _:
            go_on_with(run, run.nodes[event.node], event)
    run.last_seq, run.last_at = event.seq, event.at


def _cut_off(run: Run, at: float) -> None:
    """Nobody works on what has no end yet."""
    for node in run.nodes.values():
        if node.status in {"pending", "running"}:
            end(run, node, "cancelled", at, "cancelled")


def _submit(run: Run, event: Submitted) -> None:
    node = Node(event.node, event.body, event.depends_on, event.parent, event.phase, event.item, event.turn)
    if (before := run.nodes.get(event.node)) is not None:  # what it took is not undone by deciding it again
        node.children, node.earlier, node.waited, node.sent = before.children, before.seconds or 0.0, before.waited, before.sent
        node.usage, node.cost, node.unpriced, node.charged = before.usage, before.cost, before.unpriced, before.charged
        node.saved = before.saved
    elif event.parent:
        run.nodes[event.parent].children.append(event.node)
    elif event.turn is not None:
        run.phases = (*run.phases, (event.node,))
    run.nodes[event.node] = node
    if event.turn is not None:  # what was said last is what the run comes to: with it, what is asked at the same time
        run.leaves = (*(leaf for leaf in run.leaves if leaf != event.node and _goes_on(run, leaf)), event.node)


def _is_talk(run: Run) -> bool:
    """Whether the last word in it is a turn."""
    return any(run.nodes[leaf].turn is not None for leaf in run.leaves if leaf in run.nodes)


def _goes_on(run: Run, id_: str) -> bool:
    return id_ in run.nodes and run.nodes[id_].status in {"pending", "running"}


def finished(run: Run) -> str:
    """What was answered in a run that came to no result: the replies that nothing answered has read, each under its node's id."""
    succeeded = {node.id: node for node in run.nodes.values() if node.status == "succeeded"}
    read = {needed for node in succeeded.values() for needed in node.depends_on} | {
        child for node in succeeded.values() for child in node.children
    }
    last = [node for node in succeeded.values() if node.id not in read and node.body != SUMMARY]
    return "\n\n".join(f"## {node.id}\n\n{node.text}" for node in last)


def _final(run: Run) -> RunStatus:
    match run.exit_code:
        case ExitCode.OK:
            return "succeeded"
        case ExitCode.INTERRUPTED | ExitCode.TERMINATED:
            return "cancelled"
        case ExitCode.NO_LEAF:
            return "failed"
    return "partial" if any(node.status == "succeeded" for node in run.nodes.values()) else "failed"
