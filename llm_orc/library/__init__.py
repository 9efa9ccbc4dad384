"""Doors for Python programs. Nothing is imported before it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_orc.library.artifacts import Artifact, ArtifactStorage, DatabaseArtifactStorage, FileSystemArtifactStorage, artifacts_of
    from llm_orc.library.config import AgentPool, get_config
    from llm_orc.library.context import ConversationContext
    from llm_orc.library.conversation import ConversationEdge, ConversationGraph, ConversationNode
    from llm_orc.library.deliverables import DeliverableResult, DeliverableType, OrchestrationResult
    from llm_orc.library.documents import OrchestrationEngine, quick_generate
    from llm_orc.library.graph import BaseEdge, BaseGraph, BaseNode, GraphError
    from llm_orc.library.logs import configure_logging
    from llm_orc.library.modes import CompletionMode, ConfigError, OrchestrationConfig
    from llm_orc.library.orchestrator import Orchestrator
    from llm_orc.library.prompts import PromptGenerator
    from llm_orc.library.responses import BasePrompt, BaseResponse, ContextMetrics, ExecutionMetadata, LLMResponse, TokenUsage
    from llm_orc.library.stats import ConversationSummary
    from llm_orc.library.tasks import SubTask, Task, TaskManager
    from llm_orc.library.unknown import UnknownError
    from llm_orc.library.waiting import wait

_ROOMS = {
    "artifacts": "Artifact ArtifactStorage DatabaseArtifactStorage FileSystemArtifactStorage artifacts_of",
    "config": "AgentPool get_config",
    "context": "ConversationContext",
    "conversation": "ConversationEdge ConversationGraph ConversationNode",
    "deliverables": "DeliverableResult DeliverableType OrchestrationResult",
    "documents": "OrchestrationEngine quick_generate",
    "graph": "BaseEdge BaseGraph BaseNode GraphError",
    "logs": "configure_logging",
    "modes": "CompletionMode ConfigError OrchestrationConfig",
    "orchestrator": "Orchestrator",
    "prompts": "PromptGenerator",
    "responses": "BasePrompt BaseResponse ContextMetrics ExecutionMetadata LLMResponse TokenUsage",
    "stats": "ConversationSummary",
    "tasks": "SubTask Task TaskManager",
    "unknown": "UnknownError",
    "waiting": "wait",
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "AgentPool",
    "Artifact",
    "ArtifactStorage",
    "BaseEdge",
    "BaseGraph",
    "BaseNode",
    "BasePrompt",
    "BaseResponse",
    "CompletionMode",
    "ConfigError",
    "ContextMetrics",
    "ConversationContext",
    "ConversationEdge",
    "ConversationGraph",
    "ConversationNode",
    "ConversationSummary",
    "DatabaseArtifactStorage",
    "DeliverableResult",
    "DeliverableType",
    "ExecutionMetadata",
    "FileSystemArtifactStorage",
    "GraphError",
    "LLMResponse",
    "OrchestrationConfig",
    "OrchestrationEngine",
    "OrchestrationResult",
    "Orchestrator",
    "PromptGenerator",
    "SubTask",
    "Task",
    "TaskManager",
    "TokenUsage",
    "UnknownError",
    "artifacts_of",
    "configure_logging",
    "get_config",
    "quick_generate",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module 'llm_orc.library' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(f"llm_orc.library.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
