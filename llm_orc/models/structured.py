"""A reply that follows a JSON Schema: where the server sees to it, and where the model is only told."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llm_orc.domain.message import Message

_NOT_STRICT = frozenset(
    {
        "allOf",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Words of JSON Schema that OpenAI's strict mode does not know."""
_MAPS = ("properties", "$defs", "definitions")


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """How chat completions are asked for it; strict only where the schema keeps the rules of strict mode."""
    strict = schema.get("type") == "object" and "anyOf" not in schema and is_strict(schema)
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(schema), "strict": strict}}


def is_strict(schema: Any) -> bool:
    """Whether every object in it is closed and requires all its properties, and no word of it is unknown to strict mode."""
    if not isinstance(schema, Mapping):
        return False  # true and false are schemas too
    if schema.keys() & _NOT_STRICT:
        return False
    properties = schema.get("properties", {})
    if "object" in _types(schema) or properties:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    if "array" in _types(schema) and "items" not in schema:
        return False
    inner = [each for key in _MAPS for each in schema.get(key, {}).values()]
    inner += [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    return all(is_strict(each) for each in inner)


def _types(schema: Mapping[str, Any]) -> Iterable[str]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def with_schema(messages: tuple[Message, ...], schema: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages, their system message telling what the reply has to follow."""
    told = f"Reply with JSON alone, without a word around it, that follows this JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"
    if messages and messages[0].role == "system":
        return (Message("system", f"{messages[0].text}\n\n{told}", messages[0].attachments), *messages[1:])
    return (Message("system", told), *messages)
