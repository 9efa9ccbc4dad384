"""What a run had come to before it is gone on with: which of its nodes stand, and what the others have taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from llm_orc.domain.message import FailedError, Kind, Outcome
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.run import SUMMARY, Node, Run
from llm_orc.domain.said import as_json


@dataclass(frozen=True, slots=True)
class Past:
    """The nodes of a run as they were."""

    seq: int = 0
    """The number of the last event."""
    began: float = 0.0
    """When it was begun, in seconds since 1970 UTC."""
    charged: float = 0.0
    """US dollars that all of it, or of a child run, may have cost."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    void: bool = False
    """Whether nothing stands: a child run has another input now."""
    _open: frozenset[str] = frozenset()
    """Those that are decided again, and those that something below is."""

    @classmethod
    def of(cls, run: Run) -> "Past":
        """What stands of it; the run may go on meanwhile."""
        return cls(run.last_seq, run.started_at, run.charged, {node.id: replace(node) for node in run.nodes.values()}, _open=_open(run))

    def within(self, id: str, text: str) -> "Past":  # noqa: A002 - the word for it
        """What an ensemble agent's child run had come to, whose input is this now."""
        node = self.nodes.get(id)
        if node is None:
            return NO_PAST
        return replace(self, charged=node.charged, void=self.void or node.prompt != text)

    def stands(self, id: str, item: str) -> bool:  # noqa: A002
        """Whether a node has succeeded, on this very item where it is one of a fan-out, with all that is below it."""
        node = self.nodes.get(id)
        return not self.void and node is not None and node.status == "succeeded" and node.item == item and id not in self._open

    def differs(self, id: str, outcome: Outcome) -> bool:  # noqa: A002
        """Whether a node has another reply than it had."""
        node = self.nodes.get(id)
        before = node.reply.text if node is not None and node.status == "succeeded" and node.reply else None
        return outcome.ok and outcome.text != before

    def outcome(self, id: str, planned: PlannedAgent) -> Outcome:  # noqa: A002
        """What came of a node."""
        node = self.nodes[id]
        items = [child for child in node.children if child.startswith(f"{id}[")]
        below = tuple(self.outcome(child, planned.of_item(index)) for index, child in enumerate(items))
        listed = node.expected is not None and planned.reduces is None
        outcome = replace(self.spent(id), status=node.status, reply=node.reply, children=below, fanned_out=listed)
        return replace(outcome, profile=planned.profile)

    def spent(self, id: str) -> Outcome:  # noqa: A002
        """What a node took; nothing where it was not there."""
        node = self.nodes.get(id)
        if node is None:
            return Outcome("pending")
        return Outcome("pending", usage=node.usage, cost=None if node.unpriced else node.cost or 0.0)


NO_PAST = Past()


def is_whole(run: Run) -> bool:
    """Whether nothing is left to be decided again."""
    return run.ended_at is not None and not run.cause and not _open(run)


def told_apart(item: Any) -> str:
    """A short text that two items share only if they are equal."""
    try:
        text = as_json(item)
    except FailedError:
        text = repr(item)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _open(run: Run) -> frozenset[str]:
    found: set[str] = set()
    for node in run.nodes.values():
        if node.body == SUMMARY or node.status == "succeeded" or (node.status == "skipped" and node.cause != Kind.OFFLINE):
            continue
        known: str = node.id
        while known and known not in found:
            found.add(known)
            known = run.nodes[known].parent
    return frozenset(found)
