"""Doors for Python programs. Nothing is imported before it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_orc.library.config import AgentPool, get_config
    from llm_orc.library.graph import BaseEdge, BaseGraph, BaseNode, GraphError
    from llm_orc.library.responses import BasePrompt, BaseResponse, ContextMetrics, ExecutionMetadata, LLMResponse, TokenUsage
    from llm_orc.library.unknown import UnknownError
    from llm_orc.library.waiting import wait

_ROOMS = {
    "config": "AgentPool get_config",
    "graph": "BaseEdge BaseGraph BaseNode GraphError",
    "responses": "BasePrompt BaseResponse ContextMetrics ExecutionMetadata LLMResponse TokenUsage",
    "unknown": "UnknownError",
    "waiting": "wait",
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "AgentPool",
    "BaseEdge",
    "BaseGraph",
    "BaseNode",
    "BasePrompt",
    "BaseResponse",
    "ContextMetrics",
    "ExecutionMetadata",
    "GraphError",
    "LLMResponse",
    "TokenUsage",
    "UnknownError",
    "get_config",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module 'llm_orc.library' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(f"llm_orc.library.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
