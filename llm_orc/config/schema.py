"""JSON Schemas of the files that people write, for editors and for the reference; the models' own docstrings describe the keys."""

import ast
import inspect
import sys
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

from llm_orc.config.settings import Settings
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.profile import Profile
from llm_orc.domain.read import NAME_PATTERN

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, type[BaseModel]] = {"ensemble": Ensemble, "profile": Profile, "config": Settings}


def schema(of: Literal["ensemble", "profile", "config"] = "ensemble") -> dict[str, Any]:
    """What may stand in an ensemble, in a profile or in config.yaml."""
    made = _MODELS[of].model_json_schema()
    parts = {_MODELS[of].__name__: made, **made.get("$defs", {})}
    models = {model.__name__: model for model in _all_models()}
    for name, part in parts.items():
        _describe(part, models[name])
    made["required"] = [key for key in made.get("required", []) if key != "name"]  # the file gives the name
    if of == "config":
        profile = schema("profile")
        del profile["$schema"]
        made["properties"]["model_profiles"]["patternProperties"] = {NAME_PATTERN: profile}
    return {"$schema": DRAFT, **made}


def described(model: type[BaseModel]) -> dict[str, str]:
    """What each key of a model means, in the order of its fields; from the docstrings below its attributes."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _docstrings(owner.__module__).get(owner.__name__, {})
    return {key: found.get(key, "") for key in model.model_fields}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """By class and attribute, the text that stands below each attribute in the source of a module."""
    classes = [node for node in ast.parse(inspect.getsource(sys.modules[module])).body if isinstance(node, ast.ClassDef)]
    return {owner.name: dict(_attributes(owner)) for owner in classes}


def _attributes(owner: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for attribute, below in zip(owner.body, owner.body[1:], strict=False):
        match attribute, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found.append((name, inspect.cleandoc(text)))
    return found


def _describe(part: dict[str, Any], model: type[BaseModel]) -> None:
    part.pop("title", None)
    texts = described(model)
    for key, value in part.get("properties", {}).items():
        value.pop("title", None)
        if texts.get(key):
            value["description"] = texts[key]


def _all_models() -> list[type[BaseModel]]:
    from llm_orc.domain import ensemble, keeping, layout, model, profile

    spaces = (vars(ensemble), vars(profile), vars(model), {"Settings": Settings}, vars(keeping), vars(layout))
    return [thing for space in spaces for thing in space.values() if isinstance(thing, type) and issubclass(thing, BaseModel)]
