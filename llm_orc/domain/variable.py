"""The values of an ensemble's variables."""

from collections.abc import Mapping
from typing import Any

from llm_orc.domain.ensemble import Ensemble, Variable
from llm_orc.domain.problem import Place, Problem, nearest

_KINDS: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
_NOWHERE: Mapping[str, Place | None] = {}
_BOOLEANS = {"true": True, "false": False}


def typed_variables(
    ensemble: Ensemble, given: Mapping[str, Any], places: Mapping[str, Place | None] = _NOWHERE
) -> tuple[dict[str, Any], list[Problem]]:
    """Every variable with its value, and what is wrong with those given; a text is read as the variable's type.

    `places` are those of values that stand in a file.
    """
    problems = [
        Problem(f"'{ensemble.name}' has no variable '{name}'", hint=nearest(name, ensemble.variables) or _declared(ensemble))
        for name in given
        if name not in ensemble.variables
    ]
    values: dict[str, Any] = {}
    for name, variable in ensemble.variables.items():
        place = ensemble.source.at("variables", name)
        if name in given:
            value, fault = _typed(variable, given[name])
            if fault:
                problems.append(Problem(f"variable '{name}' of '{ensemble.name}': {fault}", places.get(name)))
        elif variable.required:
            value = None
            problems.append(Problem(f"variable '{name}' of '{ensemble.name}' has no value", place, f"give it: --var {name}=..."))
        else:
            value = variable.default
            fault = "" if value is None else _fault(variable, value)
            if fault:
                problems.append(Problem(f"the default of '{name}': {fault}", ensemble.source.at("variables", name, "default")))
        values[name] = value
    return values, problems


def stand_ins(ensemble: Ensemble) -> dict[str, Any]:
    """Values for the variables that only a caller can know, for whoever looks at an ensemble before they are known."""
    return {name: _stand_in(variable) for name, variable in ensemble.variables.items() if variable.required}


def _stand_in(variable: Variable) -> Any:
    if variable.choices:
        return variable.choices[0]
    return {"integer": 1, "number": 1.0, "boolean": True}.get(variable.type or "", "text")


def _declared(ensemble: Ensemble) -> str:
    return "it has: " + ", ".join(ensemble.variables) if ensemble.variables else "it declares none"


def _kind(variable: Variable) -> str:
    if variable.type:
        return variable.type
    examples = variable.choices or ((variable.default,) if variable.default is not None else ())
    return next((kind for kind in ("boolean", "integer", "number") if examples and all(_is(kind, each) for each in examples)), "string")


def _is(kind: str, value: object) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _typed(variable: Variable, value: Any) -> tuple[Any, str]:
    if isinstance(value, str):
        try:
            value = _from_text(_kind(variable), value)
        except ValueError:
            return value, f"'{value}' is no {_kind(variable)}"
    return value, _fault(variable, value)


def _from_text(kind: str, text: str) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "boolean":
            if text.lower() not in _BOOLEANS:
                raise ValueError(text)
            return _BOOLEANS[text.lower()]
    return text


def _fault(variable: Variable, value: object) -> str:
    if variable.choices and value not in variable.choices:
        return f"'{value}' is none of " + ", ".join(map(str, variable.choices))
    if variable.type and not _is(variable.type, value):
        return f"'{value}' is no {variable.type}"
    return ""
