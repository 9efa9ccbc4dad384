"""How a fan-out joins the replies of its children."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

from llm_orc.domain.message import FailedError, Failure, Kind, Outcome, Reply
from llm_orc.domain.said import as_json, json_of, parsed


def gathered(how: Literal["list", "text", "merge", "reduce"], name: str, children: Sequence[Outcome]) -> Reply:
    """One reply of all children, in item order, or of none where they reduce to nothing; raises FailedError where they cannot be merged."""
    if how in {"text", "reduce"}:
        parts = [
            child.reply.text if child.reply else f"[no reply from {name}[{index}]: {child.cause}]" for index, child in enumerate(children)
        ]
        return Reply("\n\n".join(parts))
    value = _listed(children) if how == "list" else _merged(name, children)
    return Reply(as_json(value), value, structured=True)


def _listed(children: Sequence[Outcome]) -> list[Any]:
    return [_entry(child.reply) if child.reply else None for child in children]


def _entry(reply: Reply) -> Any:
    """A reply as JSON where it is JSON, else its text."""
    if reply.structured:
        return reply.value
    try:
        return parsed(reply.text)
    except ValueError:
        return reply.text


def _merged(name: str, children: Sequence[Outcome]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for index, child in enumerate(children):
        if child.reply is None:
            continue
        value = json_of(f"{name}[{index}]", child)
        if not isinstance(value, Mapping):
            raise FailedError(Failure(Kind.MALFORMED, f"'gather: merge' needs JSON objects; the reply of '{name}[{index}]' is none"))
        _merge(merged, value, f"{name}[{index}]")
    return merged


def _merge(into: dict[str, Any], value: Mapping[str, Any], whose: str) -> None:
    for key, new in value.items():
        old = into.get(key, new)
        if key not in into:
            into[key] = deepcopy(new)  # what is appended later is not said by that child
        elif isinstance(old, list) and isinstance(new, list):
            old += new
        elif isinstance(old, dict) and isinstance(new, Mapping):
            _merge(old, new, whose)
        elif old != new:
            what = f"'gather: merge' finds two values of '{key}': {as_json(old)}, and {as_json(new)} in the reply of '{whose}'"
            raise FailedError(Failure(Kind.MALFORMED, what, "gather: list keeps both"))
