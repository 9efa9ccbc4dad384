"""Run ensembles of language models: `llm_orc.run("code-review", input=...)`. Nothing is imported before it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_orc.domain.ensemble import (
        AgentSynthesis,
        CommandAgent,
        ConcatSynthesis,
        Defaults,
        DocumentSynthesis,
        Ensemble,
        EnsembleAgent,
        FunctionAgent,
        Limits,
        ModelAgent,
        ModelSynthesis,
        ScriptAgent,
        TemplateSynthesis,
        Variable,
    )
    from llm_orc.domain.fan_out import FanOut
    from llm_orc.domain.message import Attachment, FailedError, Failure, Kind, Message, Reply, Request, Usage
    from llm_orc.domain.problem import Problem, ProblemError
    from llm_orc.domain.profile import Profile
    from llm_orc.domain.run import Run
    from llm_orc.library.config import get_config
    from llm_orc.library.logs import configure_logging
    from llm_orc.library.run import arun, run
    from llm_orc.library.waiting import wait

__version__ = "0.1.0"

_ENSEMBLE = (
    "AgentSynthesis CommandAgent ConcatSynthesis Defaults DocumentSynthesis Ensemble EnsembleAgent FanOut FunctionAgent Limits ModelAgent "
    "ModelSynthesis ScriptAgent TemplateSynthesis Variable"
)
_WHERE = {
    **dict.fromkeys(_ENSEMBLE.split(), "llm_orc.domain.ensemble"),
    **dict.fromkeys(["Attachment", "FailedError", "Failure", "Kind", "Message", "Reply", "Request", "Usage"], "llm_orc.domain.message"),
    **dict.fromkeys(["Problem", "ProblemError"], "llm_orc.domain.problem"),
    "Profile": "llm_orc.domain.profile",
    "Run": "llm_orc.domain.run",
    "arun": "llm_orc.library.run",
    "configure_logging": "llm_orc.library.logs",
    "get_config": "llm_orc.library.config",
    "run": "llm_orc.library.run",
    "wait": "llm_orc.library.waiting",
}

__all__ = [
    "AgentSynthesis",
    "Attachment",
    "CommandAgent",
    "ConcatSynthesis",
    "Defaults",
    "DocumentSynthesis",
    "Ensemble",
    "EnsembleAgent",
    "FailedError",
    "Failure",
    "FanOut",
    "FunctionAgent",
    "Kind",
    "Limits",
    "Message",
    "ModelAgent",
    "ModelSynthesis",
    "Problem",
    "ProblemError",
    "Profile",
    "Reply",
    "Request",
    "Run",
    "ScriptAgent",
    "TemplateSynthesis",
    "Usage",
    "Variable",
    "__version__",
    "arun",
    "configure_logging",
    "get_config",
    "run",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module 'llm_orc' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
