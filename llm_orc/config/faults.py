"""What pydantic finds wrong, told as problems: in our words, at their places, with what to write instead."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from llm_orc.config.reading import Document
from llm_orc.domain.context import Context
from llm_orc.domain.ensemble import (
    AgentSynthesis,
    CommandAgent,
    ConcatSynthesis,
    Defaults,
    DocumentSynthesis,
    Ensemble,
    EnsembleAgent,
    Limits,
    ModelAgent,
    ModelSynthesis,
    Retry,
    ScriptAgent,
    TemplateSynthesis,
    Variable,
)
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.keeping import Keeping
from llm_orc.domain.layout import Layout, SectionLayout, Toc
from llm_orc.domain.model import ModelCard, ProviderCard
from llm_orc.domain.price import Price
from llm_orc.domain.problem import KeyPath, nearest
from llm_orc.domain.profile import Profile
from llm_orc.domain.wrong import NAME_RULE, cut, said, shown

BODIES: Mapping[str, type[BaseModel]] = {"model": ModelAgent, "script": ScriptAgent, "command": CommandAgent, "ensemble": EnsembleAgent}
_FORMS: Mapping[str, type[BaseModel]] = {
    "model": ModelSynthesis,
    "concat": ConcatSynthesis,
    "template": TemplateSynthesis,
    "agent": AgentSynthesis,
    "document": DocumentSynthesis,
}
_IN_SYNTHESIS: Mapping[str, tuple[type[BaseModel], str]] = {
    "toc": (Toc, "the table of contents"),
    "sections": (SectionLayout, "a section"),
    "document": (Layout, "a document"),
}
"""By the key that they stand under, the innermost first."""
_PARTS: Mapping[str, tuple[type[BaseModel], str]] = {
    "variables": (Variable, "a variable"),
    "defaults": (Defaults, "defaults"),
    "limits": (Limits, "limits"),
    "store": (Keeping, "store"),
}
_WITHIN: Mapping[str, tuple[type[BaseModel], str]] = {
    "context": (Context, "context"),
    "price": (Price, "a price"),
    "retry": (Retry, "retry"),
}
"""Those that stand wherever a model is asked, or is described."""
_WHOLES: tuple[type[BaseModel], ...] = (Ensemble, FanOut, Layout, Profile, SectionLayout, Toc)
KEYS = frozenset(
    key for model in (*BODIES.values(), *_FORMS.values(), *(part for part, _ in _PARTS.values()), *_WHOLES) for key in model.model_fields
)
"""Every key that is known anywhere in an ensemble or a profile."""


def note_faults(document: Document, model: type[BaseModel], error: ValidationError, prefix: KeyPath = ()) -> None:
    """Add to the document what is wrong with its value at `prefix`, read as `model`."""
    value = at(document.data, prefix)
    faults = error.errors(include_url=False)
    unknown = {fault["loc"] for fault in faults if fault["type"] == "extra_forbidden"}
    values: dict[KeyPath, list[Any]] = {}
    around: set[KeyPath] = set()
    for fault in faults:
        kind, loc = fault["type"], fault["loc"]
        path = prefix + _path_in(value, loc[:-1] if kind == "missing" else loc)
        around |= {path[:end] for end in range(len(path) + (kind == "missing"))}
        if kind == "extra_forbidden":
            document.fault_of_key(path, *_unknown_key(model, loc))
        elif kind == "missing":
            _note_missing(document, path, loc, unknown)
        elif loc[-1] == "[key]":
            document.fault_of_key(path, f"{shown(path[-1])} is no name", NAME_RULE)
        else:
            fault["input"] = document.filled.get(path, fault["input"])
            values.setdefault(path, []).append(fault)
    for path, branches in values.items():
        if path not in around:  # else it is told better: by the branch of a union that came further, or by the entries of a list
            document.fault(path, *said(path, branches))


def at(data: Any, path: KeyPath) -> Any:
    """The value that `path` leads to."""
    for step in path:
        data = data[step]
    return data


def _note_missing(document: Document, path: KeyPath, loc: KeyPath, unknown: set[KeyPath]) -> None:
    key = str(loc[-1])
    if any(other[:-1] == loc[:-1] and nearest(str(other[-1]), [key]) for other in unknown):
        return  # it is there, with a typo that is told
    if key == "agents":
        document.fault(path, "no agents", "an ensemble lists them: agents: [{name: first, prompt: ...}]")
    else:
        document.fault(path, f"'{key}' is missing")


def _path_in(data: Any, loc: KeyPath) -> KeyPath:
    """The steps of pydantic's `loc` that lead through the data; the others are its own labels."""
    path: list[str | int] = []
    for step in loc:
        known = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
        if step in known:
            data = data[step]
            path.append(step)
    return tuple(path)


def _owner_of(model: type[BaseModel], loc: KeyPath) -> tuple[type[BaseModel], str]:
    """The model that the last step of `loc` is a key of, and what to call it."""
    tag = next((str(step)[1:-1] for step in loc if str(step).startswith("<")), "model")
    match loc[:-1]:
        case (*_, str(part)) if part in _WITHIN:
            return _WITHIN[part]
        case ("agents", _, _, "fan_out", *_):
            return FanOut, "fan_out"
        case ("agents", *_):
            return BODIES[tag], f"{'an' if tag == 'ensemble' else 'a'} {tag} agent"
        case ("synthesis", *inner):
            return next((owner for key, owner in _IN_SYNTHESIS.items() if key in inner), (_FORMS[tag], "synthesis"))
        case (str(part), *_) if part in _PARTS:
            return _PARTS[part]
        case ("catalog", _, "models", _):
            return ModelCard, "a model of the catalogue"
        case ("catalog", _):
            return ProviderCard, "a provider of the catalogue"
    return model, {"Ensemble": "an ensemble", "Profile": "a profile", "Settings": "config.yaml"}[model.__name__]


def _legal_keys(model: type[BaseModel]) -> list[str]:
    """The keys that may be written, in the order of the model, the name first."""
    return sorted(model.model_fields, key=lambda key: key != "name")


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _unknown_key(model: type[BaseModel], loc: KeyPath) -> tuple[str, str]:
    owner, called = _owner_of(model, loc)
    key = str(loc[-1])
    others = [body for body, agent in BODIES.items() if key in agent.model_fields]
    if owner in BODIES.values() and others:
        return f"'{key}' belongs to {_listed(others)} agents, and this is {called}", "leave it out"
    if owner in _FORMS.values() and any(key in form.model_fields for form in _FORMS.values()):
        return f"'{key}' belongs to another form of synthesis", "keep one: model_profile and prompt, concat, template, agent or document"
    legal = _legal_keys(owner)
    bodies = BODIES if owner is ModelAgent else ()  # a misspelt body key leaves a model agent behind
    return f"no key '{cut(key)}' in {called}", nearest(key, [*legal, *bodies]) or "there are: " + ", ".join(legal)
