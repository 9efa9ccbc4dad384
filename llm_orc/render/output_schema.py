"""The JSON Schema of what `--output-format json` writes."""

from typing import Any, get_args

from llm_orc.domain.message import Status
from llm_orc.domain.run import RunStatus
from llm_orc.render.json import VERSION

_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": ["string", "null"]}


def output_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The output of llm-orc invoke --output-format json",
        **_object(
            version={"const": VERSION, "description": "The version of this format."},
            run={"type": "string", "description": "The id of the run."},
            ensemble={"type": "string"},
            status={"enum": list(get_args(RunStatus))},
            result={"type": "string", "description": "What the text format prints; empty where no leaf succeeded."},
            agents={"type": "array", "items": {"$ref": "#/$defs/agent"}, "description": "In file order, 'synthesis' last."},
            totals=_object(
                usage={"$ref": "#/$defs/usage"}, cost=_cost("null if a call has no known price"), seconds=_seconds("Wall time.")
            ),
        ),
        "$defs": {"agent": _agent(), "prompt": _prompt(), "usage": _usage()},
    }


def _agent() -> dict[str, Any]:
    return _object(
        name={"type": "string", "description": "In a fan-out 'agent[3]'."},
        status={"enum": list(get_args(Status))},
        cause={**_TEXT, "description": "Why there is no reply."},
        text={**_TEXT, "description": "The reply; null where there is none."},
        json={"description": "The reply as JSON, whole or its only fenced block; null where it is none."},
        prompt={"$ref": "#/$defs/prompt"},
        profile=_TEXT,
        provider=_TEXT,
        model={**_TEXT, "description": "The model that really answered."},
        attempts={"type": ["integer", "null"], "minimum": 1, "description": "How many requests the reply took."},
        usage={"$ref": "#/$defs/usage"},
        cost=_cost("null if the price is not known"),
        seconds={**_seconds("From the first slot to the end; null if it never started."), "type": ["number", "null"]},
        children={"type": "array", "items": {"$ref": "#/$defs/agent"}, "description": "Of a fan-out or an ensemble, in order."},
    )


def _prompt() -> dict[str, Any]:
    return {
        "description": "What was sent; null where nothing was; beyond 8 kB its hash, size and beginning, unless -v is given.",
        "oneOf": [
            {"type": "string"},
            {"type": "null"},
            _object(sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"}, bytes=_COUNT, head={"type": "string"}),
        ],
    }


def _usage() -> dict[str, Any]:
    return _object(
        input={**_COUNT, "description": "Tokens sent, cached ones too."},
        output={**_COUNT, "description": "Tokens received, reasoning ones too."},
        total=_COUNT,
        cached=_COUNT,
        reasoning=_COUNT,
        estimated={"type": "boolean", "description": "Whether some of it is our own count."},
    )


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _cost(otherwise: str) -> dict[str, Any]:
    return {"type": ["number", "null"], "minimum": 0, "description": f"US dollars; {otherwise}."}


def _seconds(what: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "description": what}
