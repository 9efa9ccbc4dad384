"""What happens to one node of a run, told by an event."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Loaded,
    Loading,
    Missed,
    Produced,
    Queued,
    Received,
    Repairing,
    Retrying,
    Reused,
    Sent,
    Shortened,
    Skipped,
    Started,
    Waiting,
)
from llm_orc.domain.message import Status
from llm_orc.domain.use import EndpointUse, Spending

if TYPE_CHECKING:
    from llm_orc.domain.run import Node, Run

OfNode = (
    Waiting
    | Started
    | Sent
    | Received
    | Missed
    | Reused
    | FellBack
    | Repairing
    | Shortened
    | Delta
    | Produced
    | Answered
    | Failed
    | Skipped
    | Cancelled
)


def go_on_with(run: "Run", node: "Node", event: OfNode) -> None:
    """Let a node of the run know what happened to it."""
    match event:
        case Queued() | Loading() | Loaded() | Retrying():
            _wait(run, node, event)
        case Started():
            _go_on(run, node, event.at)
            node.status, node.started_at = "running", event.at
            node.prompt, node.profile, node.provider, node.model = event.prompt, event.profile, event.provider, event.model
            node.expected = event.items
        case Sent() | Received() | Missed() | Reused() | FellBack() | Repairing():
            _exchange(run, node, event)
        case Delta():
            (node.thinking if event.thinking else node.pieces).append(event.text)
        case Shortened() | Produced():
            _note(node, event)
        case Answered():
            end(run, node, "succeeded", event.at)
            node.reply, node.model = event.reply, event.reply.model or node.model
            node.pieces.clear()
        case Failed():
            end(run, node, "failed", event.at, str(event.failure))
            node.failure, node.pieces = event.failure, [event.partial] if event.partial else node.pieces
        case Skipped():
            end(run, node, "skipped", event.at, event.cause)
        case Cancelled():
            end(run, node, "cancelled", event.at, "cancelled")
        case _:
            assert_never(event)


def _note(node: "Node", event: Shortened | Produced) -> None:
    """What is known of it besides."""
    match event:
        case Shortened():
            node.shortened = event
        case Produced():
            node.artifacts.append(event)


def _wait(run: "Run", node: "Node", event: Waiting) -> None:
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


def _go_on(run: "Run", node: "Node", at: float) -> None:
    """Nothing keeps the node any more."""
    waited = 0.0 if node.waiting_since is None else at - node.waiting_since
    if node.waiting_at:
        _at(run, node.waiting_at).wait(node.waiting_for, -1)
        _at(run, node.waiting_at).waited += waited
    node.waited += waited
    node.waiting_for, node.waiting_at, node.waiting_since = "", "", None


def _exchange(run: "Run", node: "Node", event: Sent | Received | Missed | Reused | FellBack | Repairing) -> None:
    _go_on(run, node, event.at)
    _land(run, node)
    match event:
        case Sent():
            _at(run, event.endpoint).send()
            node.sent += 1
            node.endpoint = event.endpoint
            node.profile, node.provider, node.model = event.profile, event.provider, event.model
            node.context_window, node.at_risk = event.context_window, event.most
            _charge(run, node, event.most)
        case Received():
            node.taken = event.usage.total
            _spend(run, node, event)
        case Missed():
            node.changed = event.changed
        case Reused():
            node.cached, node.profile, node.provider, node.model = True, event.profile, event.provider, event.model
            _save(run, node, event)
        case FellBack():
            node.fell_back.append((event.instead_of or node.profile or node.model, event.failure))
            _void(node)
        case Repairing():
            _void(node)
        case _:
            assert_never(event)


def _land(run: "Run", node: "Node") -> None:
    """No attempt is under way any more."""
    if node.endpoint:
        _at(run, node.endpoint).running -= 1
        node.endpoint = ""


def _at(run: "Run", endpoint: str) -> EndpointUse:
    return run.endpoints.setdefault(endpoint, EndpointUse())


def _void(node: "Node") -> None:
    """What has come of its reply does not count."""
    node.pieces.clear()
    node.thinking.clear()


def end(run: "Run", node: "Node", status: Status, at: float, cause: str = "") -> None:
    """Nothing more comes of it."""
    _go_on(run, node, at)
    _land(run, node)
    node.status, node.cause, node.ended_at = status, cause, at


def _spend(run: "Run", node: "Node", event: Received) -> None:
    usage, cost = event.usage, event.cost
    _charge(run, node, max(cost or 0.0, node.at_risk if usage.estimated else 0.0) - node.at_risk)
    node.at_risk = 0.0
    if not (usage.total or cost):
        return
    if cost is None:
        run.unpriced.add(event.model or node.model)
    run.models.setdefault(event.model or node.model, Spending()).add(usage, cost)
    for spender in _spenders(run, node):
        spender.usage += usage
        if cost is not None:
            spender.cost = (spender.cost or 0.0) + cost
    for each in _with_parents(run, node) if cost is None else ():
        each.unpriced = True


def _save(run: "Run", node: "Node", event: Reused) -> None:
    run.reused += 1
    for spender in _spenders(run, node):
        spender.cost = spender.cost or 0.0  # nothing was spent, and that is known
        spender.saved = spender.saved or Spending()
        spender.saved.add(event.usage, event.cost)


def _charge(run: "Run", node: "Node", dollars: float) -> None:
    for spender in _spenders(run, node) if dollars else ():
        spender.charged += dollars


def _spenders(run: "Run", node: "Node") -> "Iterator[Node | Run]":
    """All whose expense it is."""
    yield from _with_parents(run, node)
    yield run


def _with_parents(run: "Run", node: "Node") -> "Iterator[Node]":
    yield node
    while node.parent:
        node = run.nodes[node.parent]
        yield node
