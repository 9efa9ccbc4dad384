"""What pydantic finds wrong with one value, in our words."""

from collections.abc import Sequence
from typing import Any

from llm_orc.domain.problem import KeyPath, nearest
from llm_orc.domain.read import NAME_OR_TEMPLATE_PATTERN, NAME_PATTERN

NAME_RULE = "a name has letters, digits, - and _, a letter first"
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
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def said(path: KeyPath, faults: Sequence[Any]) -> tuple[str, str]:
    """What is wrong with the value at `path`, and a hint; several faults are those of the branches of a union."""
    fault = next((one for one in faults if one["type"] == "value_error"), faults[0])
    kind, value, subject = fault["type"], fault["input"], _subject(path)
    match kind:
        case "value_error":
            return str(fault["ctx"]["error"]), ""
        case "string_pattern_mismatch" if fault["ctx"]["pattern"] not in (NAME_PATTERN, NAME_OR_TEMPLATE_PATTERN):
            return f"{subject} must match {fault['ctx']['pattern']}, not {shown(value)}", ""
        case "string_pattern_mismatch":
            return f"'{cut(value)}' is no name", NAME_RULE
        case "missing":
            return f"{subject} is missing", ""
        case "string_too_short" | "too_short":
            return f"{subject} must not be empty", ""
        case _:
            expected = " or ".join(dict.fromkeys(map(_expected, faults)))
            return f"{subject} must be {expected}, not {shown(value)}", _hint(faults, value, path)


def shown(value: Any) -> str:
    """A value as the file has it, short enough for one line."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f"'{cut(value)}'"
    if isinstance(value, list | tuple):
        return "a list"
    return "keys and values" if isinstance(value, dict) else _plain(value)


def cut(text: str) -> str:
    """At most sixty characters of the first line."""
    first, _, rest = text.strip().partition("\n")
    return first if len(first) <= 60 and not rest else first[:57] + "..."


def _expected(fault: Any) -> str:
    kind = fault["type"]
    if kind == "literal_error":
        return str(fault["ctx"]["expected"]).replace("'", "").replace("True", "true")
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        return f"{word} {fault['ctx'][name]:g}"
    return _EXPECTED.get(kind.partition("_")[0], "something else")


def _hint(faults: Sequence[Any], value: Any, path: KeyPath) -> str:
    kinds = [fault["type"] for fault in faults]
    if "literal_error" in kinds:
        choices = [word for fault in faults for word in str(fault.get("ctx", {}).get("expected", "")).split("'")[1::2]]
        return nearest(value, choices) if isinstance(value, str) else ""
    if kinds == ["string_type"] and isinstance(value, bool | int | float):
        return f'quote it: "{_plain(value)}"'
    if kinds[0] in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        words = _plain(value).split() if path[-1:] == ("command",) else [_plain(value)]
        return f"write {path[-1]}: [{', '.join(words)}]"
    return ""


def _subject(path: KeyPath) -> str:
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return f"an entry of '{name}'" if path and isinstance(path[-1], int) else f"'{cut(name)}'"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else cut(str(value))
