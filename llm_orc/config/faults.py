"""What pydantic finds wrong, told as problems: in our words, at their places, with what to write instead."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from llm_orc.config.reading import Document
from llm_orc.domain.ensemble import (
    SYNTHESIS_KEYS,
    AgentSynthesis,
    CommandAgent,
    ConcatSynthesis,
    Defaults,
    Ensemble,
    EnsembleAgent,
    FanOut,
    Limits,
    ModelAgent,
    ModelSynthesis,
    ScriptAgent,
    TemplateSynthesis,
    Variable,
)
from llm_orc.domain.problem import KeyPath, nearest

BODIES: Mapping[str, type[BaseModel]] = {"model": ModelAgent, "script": ScriptAgent, "command": CommandAgent, "ensemble": EnsembleAgent}
_FORMS: Mapping[str, type[BaseModel]] = {
    "model": ModelSynthesis,
    "concat": ConcatSynthesis,
    "template": TemplateSynthesis,
    "agent": AgentSynthesis,
}
_NAME = "letters, digits, - and _, a letter first"


def note_faults(document: Document, model: type[BaseModel], error: ValidationError, prefix: KeyPath = ()) -> None:
    """Add to the document what is wrong with its value at `prefix`, read as `model`."""
    value = document.data
    for step in prefix:
        value = value[step]
    found: dict[KeyPath, list[tuple[KeyPath, Any]]] = {}
    for fault in error.errors(include_url=False):
        path = _path_in(value, fault["loc"], missing=fault["type"] == "missing")
        found.setdefault(path, []).append((fault["loc"], fault))
    for path, faults in found.items():
        if _told_better(path, faults, found):
            continue
        if path and isinstance(path[-1], str) and any(fault["type"] == "extra_forbidden" for _, fault in faults):
            what, hint = _unknown_key(model, faults[-1][0], path[-1])
            document.fault_of_key(prefix + path, what, hint)
        elif any(loc[-1:] == ("[key]",) for loc, _ in faults):
            document.fault_of_key(prefix + path, f"{_shown(path[-1])} is no name", _NAME)
        else:
            what, hint = _said(path, [fault for _, fault in faults])
            document.fault(prefix + path, what, hint)


def _told_better(path: KeyPath, faults: list[tuple[KeyPath, Any]], found: Mapping[KeyPath, Any]) -> bool:
    """Whether another branch of a union came further, and says what is really wrong."""
    if all(fault["type"] == "missing" for _, fault in faults):
        return False
    deeper = any(other[: len(path)] == path and len(other) > len(path) for other in found)
    return deeper and any(fault["type"].endswith("_type") or fault["type"] == "literal_error" for _, fault in faults)


def _path_in(data: Any, loc: tuple[str | int, ...], *, missing: bool) -> KeyPath:
    """The steps of pydantic's `loc` that lead through the data; the others are its own labels."""
    path: list[str | int] = []
    for step in loc[:-1] if missing else loc:
        if isinstance(data, dict) and step in data:
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def owner_of(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[type[BaseModel], str]:
    """The model that the last step of `loc` is a key of, and what to call it."""
    tag = next((str(step)[1:-1] for step in loc if str(step).startswith("<")), "")
    if model is not Ensemble or len(loc) < 2:  # noqa: PLR2004 - the key itself, and what holds it
        return (Limits, "limits") if loc[:1] == ("limits",) and len(loc) > 1 else (model, _called(model))
    match loc[0]:
        case "agents" if "fan_out" in loc[3:-1]:
            return FanOut, "fan_out"
        case "agents":
            return BODIES.get(tag, ModelAgent), f"a {tag or 'model'} agent"
        case "synthesis":
            return _FORMS.get(tag, ModelSynthesis), "synthesis"
        case "variables":
            return Variable, "a variable"
        case "defaults":
            return Defaults, "defaults"
        case "limits":
            return Limits, "limits"
    return model, _called(model)


def _called(model: type[BaseModel]) -> str:
    return {"Ensemble": "an ensemble", "Profile": "a profile", "Settings": "config.yaml"}.get(model.__name__, "")


def legal_keys(model: type[BaseModel]) -> list[str]:
    """The keys that may be written, in the order of the model."""
    return list(model.model_fields)


def _unknown_key(model: type[BaseModel], loc: KeyPath, key: str) -> tuple[str, str]:
    owner, called = owner_of(model, loc)
    others = [body for body, agent in BODIES.items() if key in agent.model_fields]
    if owner in BODIES.values() and others:
        return f"'{key}' belongs to {' and '.join(others)} agents, and this is {called}", "leave it out"
    if owner in _FORMS.values() and owner is not ModelSynthesis and (key in SYNTHESIS_KEYS or key in ModelSynthesis.model_fields):
        return f"'{key}' is another form of synthesis", "keep one: model_profile and prompt, concat, template or agent"
    legal = legal_keys(owner)
    return f"no key '{_cut(key)}' in {called}", nearest(key, legal) or "there are: " + ", ".join(legal)


_EXPECTED = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys and values",
    "model": "keys and values",
    "none": "nothing",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def _said(path: KeyPath, faults: list[Any]) -> tuple[str, str]:
    """What is wrong with one value; several faults are the branches of a union."""
    fault = faults[0]
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    subject = _subject(path)
    match kind:
        case "missing":
            return _missing(str(fault["loc"][-1]), path)
        case "value_error":
            return str(context["error"]), ""
        case "string_pattern_mismatch":
            return f"{_shown(value)} is no name", _NAME
        case "string_too_short" | "too_short":
            return f"{subject} must not be empty", ""
        case _:
            pass
    if bound := _BOUNDS.get(kind):
        return f"{subject} must be {bound[1]} {context[bound[0]]:g}, not {_shown(value)}", ""
    expected = " or ".join(dict.fromkeys(_expected(one) for one in faults))
    choices = [word for one in faults if one["type"] == "literal_error" for word in str(one["ctx"]["expected"]).split("'")[1::2]]
    hint = nearest(value, choices) if isinstance(value, str) and choices else _hint(kind, value, path)
    return f"{subject} must be {expected}, not {_shown(value)}", hint


def _expected(fault: Any) -> str:
    kind = fault["type"]
    if kind == "literal_error":
        return str(fault["ctx"]["expected"]).replace("'", "")
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        return f"{word} {fault['ctx'][name]:g}"
    return _EXPECTED.get(kind.partition("_")[0], "something else")


def _missing(key: str, path: KeyPath) -> tuple[str, str]:
    if key == "agents":
        return "no agents", "an ensemble lists them: agents: [{name: first, prompt: ...}]"
    where = f" in {_subject(path)}" if path and isinstance(path[-1], str) else ""
    return f"'{key}' is missing{where}", ""


def _hint(kind: str, value: Any, path: KeyPath) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'quote it: "{_plain(value)}"'
    if kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"write {path[-1]}: [{_plain(value)}]" if path else ""
    return ""


def _subject(path: KeyPath) -> str:
    if not path:
        return "the file"
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return f"an entry of '{name}'" if isinstance(path[-1], int) else f"'{_cut(name)}'"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else _cut(str(value))


def _shown(value: Any) -> str:
    """A value as the file has it, short enough for one line."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f"'{_cut(value.splitlines()[0] if value.strip() else value)}'"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "keys and values"
    return _plain(value)


def _cut(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
