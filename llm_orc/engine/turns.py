"""What a turn goes on from: what was said before it in the run, and by whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_orc.domain.conversation import messages_of
from llm_orc.domain.message import Attachment, Message
from llm_orc.domain.run import Run


@dataclass(frozen=True, slots=True)
class Before:
    """The nodes that a turn goes on from."""

    run: Run
    """Has folded all that was told so far."""
    after: tuple[str, ...]
    """Their ids."""
    spec: Mapping[str, Any]
    """What it takes to make the turn's plan again."""
    attached: Mapping[str, Sequence[Attachment]] = field(default_factory=dict)
    """The files that went along with earlier prompts, by node."""

    def messages(self) -> tuple[Message, ...]:
        """What was said up to them."""
        return messages_of(self.run, self.after, attached=self.attached)

    def lacking(self) -> list[str]:
        """Those of them that have no reply."""
        return [id_ for id_ in self.after if self.run.nodes[id_].status != "succeeded"]

    def phase(self, turn: str) -> int:
        """The phase of this turn: one of its own, after all that was submitted before."""
        known = self.run.nodes.get(turn)
        return len(self.run.phases) if known is None else known.phase
