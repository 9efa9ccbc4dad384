"""A run is the fold of its events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, assert_never

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Cause,
    Delta,
    Failed,
    FellBack,
    Happening,
    Loaded,
    Loading,
    Queued,
    Received,
    Repairing,
    Retrying,
    RunEnded,
    RunStarted,
    Sent,
    Skipped,
    Started,
    Submitted,
    Waiting,
    Warned,
)
from llm_orc.domain.message import NO_USAGE, Failure, Reply, Status, Usage
from llm_orc.domain.use import EndpointUse, Spending

OfNode = Waiting | Started | Sent | Received | FellBack | Repairing | Delta | Answered | Failed | Skipped | Cancelled
RunStatus = Literal["pending", "running", "succeeded", "partial", "failed", "cancelled"]


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
    usage: Usage = NO_USAGE
    """Tokens, children's included."""
    cost: float | None = None
    """US dollars, children's included; None where no price is known."""
    started_at: float | None = None
    ended_at: float | None = None

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
        """From its first slot to its end."""
        return None if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at


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
    endpoints: dict[str, EndpointUse] = field(default_factory=dict)
    """By the name that people know a server by."""
    started_at: float = 0.0
    ended_at: float | None = None
    last_seq: int = 0

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
        """Wall time of the run; 0 while it goes on."""
        return 0.0 if self.ended_at is None else self.ended_at - self.started_at

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
        failed = self.failure is not None or any(node.status == "failed" for node in self.nodes.values())
        return ExitCode.SOME_FAILED if failed else ExitCode.OK


def fold(run: Run, event: Happening) -> None:
    """Let the run know what happened; constant work per event, but for the last."""
    run.last_seq = event.seq
    match event:
        case RunStarted():
            run.id, run.ensemble, run.phases, run.leaves = event.run, event.ensemble, event.phases, event.leaves
            run.input, run.variables, run.started_at, run.status = event.input, event.variables, event.at, "running"
        case Submitted():
            run.nodes[event.node] = Node(event.node, event.body, event.depends_on, event.parent, event.phase)
            if event.parent:
                run.nodes[event.parent].children.append(event.node)
        case Warned():
            run.warnings.append((event.node, event.what))
        case RunEnded():
            for node in run.nodes.values():
                if node.status in {"pending", "running"}:
                    _end(run, node, "cancelled", event.at, "cancelled")
            run.result = event.result if event.result or run.answered else finished(run)
            run.cause, run.failure, run.ended_at = event.cause, event.failure, event.at
            run.status = _final(run)
        case _:
            _fold_node(run, run.nodes[event.node], event)


def _fold_node(run: Run, node: Node, event: OfNode) -> None:
    match event:
        case Queued() | Loading() | Loaded() | Retrying():
            _wait(run, node, event)
        case Started():
            _go_on(run, node, event.at)
            node.status, node.started_at = "running", event.at
            node.prompt, node.profile, node.provider, node.model = event.prompt, event.profile, event.provider, event.model
            node.expected = event.items
        case Sent() | Received() | FellBack() | Repairing():
            _exchange(run, node, event)
        case Delta():
            (node.thinking if event.thinking else node.pieces).append(event.text)
        case Answered():
            _end(run, node, "succeeded", event.at)
            node.reply, node.model = event.reply, event.reply.model or node.model
            node.pieces.clear()
        case Failed():
            _end(run, node, "failed", event.at, str(event.failure))
            node.failure, node.pieces = event.failure, [event.partial] if event.partial else node.pieces
        case Skipped():
            _end(run, node, "skipped", event.at, event.cause)
        case Cancelled():
            _end(run, node, "cancelled", event.at, "cancelled")
        case _:
            assert_never(event)


def _wait(run: Run, node: Node, event: Waiting) -> None:
    _go_on(run, node, event.at)
    match event:
        case Queued():
            node.waiting_for, node.waiting_at = event.limit, event.endpoint
            if event.endpoint:
                _at(run, event.endpoint).wait(event.limit, 1)
        case Loading():
            node.waiting_for = f"loading {event.model}"
        case Retrying():
            node.waiting_for = "retry"
            _void(node)
        case Loaded():
            return
        case _:
            assert_never(event)
    node.waiting_since = event.at


def _go_on(run: Run, node: Node, at: float) -> None:
    """Nothing keeps the node any more."""
    waited = 0.0 if node.waiting_since is None else at - node.waiting_since
    if node.waiting_at:
        _at(run, node.waiting_at).wait(node.waiting_for, -1)
        _at(run, node.waiting_at).waited += waited
    node.waited += waited
    node.waiting_for, node.waiting_at, node.waiting_since = "", "", None


def _exchange(run: Run, node: Node, event: Sent | Received | FellBack | Repairing) -> None:
    _go_on(run, node, event.at)
    _land(run, node)
    match event:
        case Sent():
            _at(run, event.endpoint).send()
            node.sent += 1
            node.endpoint = event.endpoint
            node.profile, node.provider, node.model = event.profile, event.provider, event.model
            node.context_window = event.context_window
        case Received():
            node.taken = event.usage.total
            _spend(run, node, event)
        case FellBack():
            node.fell_back.append((event.instead_of or node.profile or node.model, event.failure))
            _void(node)
        case Repairing():
            _void(node)
        case _:
            assert_never(event)


def _land(run: Run, node: Node) -> None:
    """No attempt is under way any more."""
    if node.endpoint:
        _at(run, node.endpoint).running -= 1
        node.endpoint = ""


def _at(run: Run, endpoint: str) -> EndpointUse:
    return run.endpoints.setdefault(endpoint, EndpointUse())


def _void(node: Node) -> None:
    """What has come of its reply does not count."""
    node.pieces.clear()
    node.thinking.clear()


def _end(run: Run, node: Node, status: Status, at: float, cause: str = "") -> None:
    _go_on(run, node, at)
    _land(run, node)
    node.status, node.cause, node.ended_at = status, cause, at


def _spend(run: Run, node: Node, event: Received) -> None:
    usage, cost = event.usage, event.cost
    if not (usage.total or cost):
        return
    if cost is None:
        run.unpriced.add(event.model or node.model)
    run.models.setdefault(event.model or node.model, Spending()).add(usage, cost)
    spender: Node | Run | None = node
    while spender is not None:
        spender.usage += usage
        if cost is not None:
            spender.cost = (spender.cost or 0.0) + cost
        if isinstance(spender, Run):
            break
        spender = run.nodes[spender.parent] if spender.parent else run


def finished(run: Run) -> str:
    """What was answered in a run that came to no result: the replies that nothing answered has read, each under its node's id."""
    succeeded = {node.id: node for node in run.nodes.values() if node.status == "succeeded"}
    read = {needed for node in succeeded.values() for needed in node.depends_on} | {
        child for node in succeeded.values() for child in node.children
    }
    last = [node for node in succeeded.values() if node.id not in read]
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
