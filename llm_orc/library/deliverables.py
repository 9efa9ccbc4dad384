"""Deliverables: the documents that an ensemble writes about an idea, each by one of its agents, and what came of them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_orc.config.layers import Layers, read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.message import FinishReason
from llm_orc.domain.run import Node, Run
from llm_orc.library.modes import OrchestrationConfig
from llm_orc.render.json import plain

SHIPPED = "product-docs"
"""The ensemble whose agents write the deliverables that everybody has."""


@dataclass(frozen=True, slots=True)
class Written:
    """An ensemble that writes deliverables, and where it is called from."""

    named: str | os.PathLike[str] | Ensemble = SHIPPED
    cwd: str | os.PathLike[str] | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def layers(self) -> Layers:
        """The files as they are now, with those around the ensemble."""
        environment = dict(os.environ if self.env is None else self.env)
        where = Surroundings(Path(self.cwd or Path.cwd()), Path(environment.get("HOME") or Path.home()), environment)
        layers = read_layers(where)
        return layers if isinstance(self.named, Ensemble) else layers.around(os.fspath(self.named))

    def ensemble(self, layers: Layers) -> Ensemble:
        """As it is written now; raises ProblemError."""
        return self.named if isinstance(self.named, Ensemble) else layers.ensemble(os.fspath(self.named))


class _Open(type):
    """`DeliverableType.TOOL_OUTLINE` is the agent `tool_outline` of whichever ensemble is asked for it."""

    def __getattr__(cls, name: str) -> "DeliverableType":
        if not (name.isupper() and name[0].isalpha()):
            message = f"type object '{cls.__name__}' has no attribute '{name}'"
            raise AttributeError(message)
        return DeliverableType(name.lower())

    def __iter__(cls) -> "Iterator[DeliverableType]":
        """Those that everybody has, in their order."""
        written = Written()
        return (DeliverableType(agent.name) for agent in written.ensemble(written.layers).agents)


class DeliverableType(str, metaclass=_Open):
    """The name of a deliverable: of an agent of the ensemble, or of one that a prompt generator knows. A text will do instead."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The agent's name."""
        return str(self)

    @property
    def name(self) -> str:
        """How programs call it."""
        return self.upper()

    def __repr__(self) -> str:
        return f"<DeliverableType.{self.name}: {str(self)!r}>"


@dataclass(frozen=True, slots=True)
class DeliverableResult:
    """What came of one deliverable."""

    deliverable_type: DeliverableType
    content: str
    """What the model wrote; of one that failed what had come by then."""
    success: bool
    error_message: str | None = None
    execution_time: float = 0.0
    """Seconds."""
    token_usage: dict[str, int] | None = None
    """`prompt_tokens`, `completion_tokens` and `total_tokens` of all attempts; None where nothing was sent."""
    prompt_used: str | None = None
    """What was sent last; None where nothing was."""
    hint: str = ""
    """What to do about the error."""
    model: str = ""
    """The one that really answered."""
    attempts: int = 0
    """Requests that were sent."""
    finish_reason: FinishReason = "other"
    """`length` where it was cut by `max_tokens`."""

    @classmethod
    def of(cls, name: DeliverableType, node: Node) -> "DeliverableResult":
        """What became of its agent."""
        used = node.usage
        tokens = {"prompt_tokens": used.input, "completion_tokens": used.output, "total_tokens": used.total}
        return cls(
            name,
            node.text,
            success=node.reply is not None,
            error_message=None if node.reply else node.cause or node.status,
            execution_time=node.seconds or 0.0,
            token_usage=tokens if node.sent or used.total else None,
            prompt_used=node.prompt or None,
            hint=node.failure.hint if node.failure else "",
            model=(node.reply.model if node.reply else None) or node.model,
            attempts=node.sent,
            finish_reason=node.reply.finish if node.reply else "other",
        )


@dataclass(frozen=True, slots=True)
class OrchestrationResult:
    """What came of all that was asked for: one result each, in the order they were asked for."""

    deliverable_results: list[DeliverableResult]
    merged_document: str | None = None
    """Those that succeeded as one Markdown document, in which the others are noted as missing; None where none did, or none is wanted."""
    total_execution_time: float = 0.0
    """Seconds."""
    total_tokens_used: int = 0
    """Of all attempts, those that failed and those of other agents that had to run included."""
    success_count: int = 0
    error_count: int = 0
    config_used: OrchestrationConfig | None = None
    run: Run | None = field(default=None, repr=False)
    """The run itself, with its id, cost and every node; None where it could not begin."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it, without keys."""
        return {
            "run": self.run.id if self.run else None,
            "cost": self.run.cost if self.run and not self.run.unpriced else None,
            "deliverable_results": [plain(each) for each in self.deliverable_results],
            "merged_document": self.merged_document,
            "total_execution_time": self.total_execution_time,
            "total_tokens_used": self.total_tokens_used,
            "success_count": self.success_count,
            "error_count": self.error_count,
            "config_used": self.config_used.to_dict() if self.config_used else None,
        }
