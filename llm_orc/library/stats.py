"""A conversation in numbers."""

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from llm_orc.library.responses import Made, TokenUsage

if TYPE_CHECKING:
    from llm_orc.library.conversation import ConversationGraph


class ConversationSummary(Made):
    """Its statistics; as a text, one fact per line."""

    id: str
    name: str
    nodes: int
    edges: int
    by_type: dict[str, int]
    by_status: dict[str, int]
    """Of the responses."""
    depth: int
    """How many exchanges went on from one another at most."""
    critical_path: tuple[str, ...]
    """The responses that went on from one another and took longest together."""
    critical_seconds: float
    token_usage: TokenUsage
    by_model: dict[str, TokenUsage]
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    """When the last thing so far ended."""

    def __str__(self) -> str:
        cost = "not known" if self.token_usage.cost is None else f"${self.token_usage.cost:.4f}"
        statuses = ", ".join(f"{count} {status}" for status, count in self.by_status.items())
        path = f"{self.critical_seconds:.1f} s: {' -> '.join(self.critical_path)}" if self.critical_path else "none"
        facts = {
            "conversation": f"{self.id} {self.name}".rstrip(),
            "responses": statuses or "none",
            "depth": self.depth,
            "critical path": path,
            "tokens": f"{self.token_usage.total_tokens:,}",
            "cost": cost,
        }
        return "\n".join(f"{key}: {fact}" for key, fact in facts.items())


def summary_of(conversation: "ConversationGraph") -> ConversationSummary:
    """The statistics of a conversation as it stands."""
    responses = conversation.get_nodes("response")
    outer = [node for node in responses if node.parent not in conversation.nodes]
    models: dict[str, TokenUsage] = {}
    for node in responses:
        if node.execution.model:
            models[node.execution.model] = models.get(node.execution.model, TokenUsage()) + node.token_usage
    path, depth, seconds = _longest(conversation, {node.id: node.execution.seconds or 0.0 for node in outer})
    started = [node.execution.started_at for node in outer if node.execution.started_at]
    ended = [node.execution.completed_at for node in outer if node.execution.completed_at]
    return ConversationSummary(
        id=conversation.id,
        name=conversation.name,
        nodes=len(conversation.nodes),
        edges=len(conversation.edges),
        by_type=dict(Counter(node.node_type for node in conversation.nodes.values())),
        by_status=dict(Counter(node.status for node in responses)),
        depth=depth,
        critical_path=path,
        critical_seconds=seconds,
        token_usage=conversation.get_token_usage(),
        by_model=models,
        started_at=min(started, default=None),
        ended_at=max(ended, default=None),
    )


def _longest(conversation: "ConversationGraph", seconds: dict[str, float]) -> tuple[tuple[str, ...], int, float]:
    """The way through the exchanges that took longest, how many exchanges the deepest has, and how long that took."""
    ways: dict[str, tuple[float, int, tuple[str, ...]]] = {}
    for node in (each for level in conversation.get_execution_order() for each in level):
        before = [ways[needed] for needed in conversation.get_node_dependencies(node) if needed in ways]
        most, deepest = max(before, key=lambda way: way[0], default=(0.0, 0, ())), max((way[1] for way in before), default=0)
        counts = node in seconds
        ways[node] = (most[0] + seconds.get(node, 0.0), deepest + counts, (*most[2], node) if counts else most[2])
    longest = max(ways.values(), key=lambda way: way[0], default=(0.0, 0, ()))
    return longest[2], max((way[1] for way in ways.values()), default=0), longest[0]
