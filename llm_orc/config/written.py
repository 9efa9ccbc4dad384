"""A document as an ensemble or a profile: what is written is screened, then validated."""

import re
from collections.abc import Collection
from pathlib import PurePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llm_orc.config.faults import KEYS, at, note_faults
from llm_orc.config.foreign import refuse_references, translate, translate_agent, translate_ensemble
from llm_orc.config.reading import Document
from llm_orc.config.rest import half_read
from llm_orc.config.secrets import refuse_keys
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.files import Files
from llm_orc.domain.problem import KeyPath, Problem, ProblemError
from llm_orc.domain.profile import Profile

Model = TypeVar("Model", bound=BaseModel)
_NUMBERS = (
    *("temperature", "max_tokens", "top_p", "seed", "timeout_seconds", "max_parallel", "max_cost"),
    *("requests_per_minute", "tokens_per_minute", "context_window"),
)
_BODIES = {
    "script": "script",
    "command": "command",
    "ensemble": "ensemble",
    "model_profile": "model_profile",
    "model": "model",
    "provider": "model",
}


def ensemble_of(document: Document, files: Files, name: str) -> Ensemble:
    """The ensemble that a document holds, called `name` unless it says otherwise; raises ProblemError with all that is wrong."""
    data = mapping_of(document, "an ensemble begins with its agents: agents: [{name: first, prompt: ...}]")
    refuse_keys(document, data, ())
    refuse_references(document, data)
    translate_ensemble(document, data)
    screen(document, data, ())
    _screen_part(document, data, "defaults")
    _screen_part(document, data, "limits")
    if isinstance(variables := data.get("variables"), dict):
        data["variables"] = {key: {} if value is None else value for key, value in variables.items()}
    if isinstance(synthesis := data.get("synthesis"), dict):
        _screen_synthesis(document, synthesis)
    if isinstance(agents := data.get("agents"), list):
        for index, agent in enumerate(agents):
            if isinstance(agent, dict):
                _screen_agent(document, agent, ("agents", index))
    data.setdefault("name", name)
    try:
        return validated(document, Ensemble).found(document.source, files)
    except ProblemError as error:
        raise half_read(document, data, files, error) from None


def profile_of(document: Document, name: str, path: KeyPath = ()) -> Profile:
    """The profile that stands at `path` in a document; raises ProblemError with all that is wrong."""
    data = at(document.data, path) if path else mapping_of(document, "a profile names a model and a provider")
    if isinstance(data, dict):
        refuse_keys(document, data, path)
        translate(document, data, path)
        screen(document, data, path)
        data["name"] = name
    return validated(document, Profile, path)


def mapping_of(document: Document, hint: str) -> dict[str, Any]:
    """What a document holds, if it is keys and values; raises ProblemError otherwise."""
    if isinstance(document.data, dict) and document.data:
        return document.data
    if not document.data:
        document.check()  # it is empty because of what is wrong with it
        document.fault((), "is empty", hint)
    else:
        what = "a list" if isinstance(document.data, list) else "a single text"
        document.fault((), f"holds {what}, not keys and values", hint)
    document.check()
    return {}


def validated(document: Document, model: type[Model], path: KeyPath = ()) -> Model:
    """The value at `path` as `model`; raises ProblemError with everything that is wrong in the document."""
    try:
        made = model.model_validate(at(document.data, path))
    except ValidationError as error:
        note_faults(document, model, error, path)
        document.check()
        raise ProblemError(
            Problem("cannot be read as it is", document.source.at(*path))
        ) from None  # pragma: no cover - each fault was noted
    document.check()
    return made


def file_name(path: PurePath) -> str:
    """The name that a file gives to what it holds."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).lstrip("-_0123456789") or "ensemble"


def screen(document: Document, data: dict[str, Any], path: KeyPath, known: Collection[str] = KEYS) -> None:
    """Take out the keys without a value, and what pydantic would be too kind to."""
    for key in [key for key, value in data.items() if value is None and key in known]:
        del data[key]
    for key in _NUMBERS:
        if isinstance(data.get(key), bool):
            document.fault((*path, key), f"'{key}' must be a number, not {str(data.pop(key)).lower()}")


def _screen_part(document: Document, data: dict[str, Any], key: str) -> None:
    if isinstance(part := data.get(key), dict):
        screen(document, part, (key,))


def _screen_agent(document: Document, agent: dict[str, Any], path: KeyPath) -> None:
    translate_agent(document, agent, path)
    _one_body(document, agent, path)
    screen(document, agent, path)
    fan_out = agent.get("fan_out")
    if isinstance(fan_out, dict):
        screen(document, fan_out, (*path, "fan_out"))


def _screen_synthesis(document: Document, synthesis: dict[str, Any]) -> None:
    translate(document, synthesis, ("synthesis",))
    _one_body(document, synthesis, ("synthesis",))
    screen(document, synthesis, ("synthesis",))
    if isinstance(layout := synthesis.get("document"), dict):
        screen(document, layout, ("synthesis", "document"))


def _one_body(document: Document, data: dict[str, Any], path: KeyPath) -> None:
    """Note a second body; the first stays."""
    keys = [key for key in data if key in _BODIES and data[key] is not None]
    first = keys[0] if keys else ""
    others = [key for key in keys if _BODIES[key] != _BODIES[first]]
    if others:
        document.fault_of_key((*path, others[0]), f"'{others[0]}' beside '{first}'", "keep one: they say what answers here")
    for key in others:
        del data[key]
