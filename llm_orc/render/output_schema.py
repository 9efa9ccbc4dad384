"""The JSON Schema of what `--output-format json` writes."""

from typing import Any, get_args

from llm_orc.domain.message import FinishReason, Status
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
            totals=_totals(),
        ),
        "$defs": {"agent": _agent(), "prompt": _prompt(), "usage": _usage()},
    }


def _totals() -> dict[str, Any]:
    spent = _object(usage={"$ref": "#/$defs/usage"}, cost=_cost("null if the price is not known"))
    endpoint = _object(
        requests={**_COUNT, "description": "How many were sent."},
        peak={**_COUNT, "description": "The most that went on at once."},
        running={**_COUNT, "description": "How many were going on at the end."},
        queued={**_COUNT, "description": "How many were waiting at the end."},
        waited=_seconds("Spent in its queues, all calls together."),
    )
    return _object(
        usage={"$ref": "#/$defs/usage"},
        cost=_cost("null if a call has no known price"),
        cached={**_COUNT, "description": "How many replies were there already, so that nothing was sent for them."},
        saved=_saved(),
        seconds=_seconds("Wall time."),
        waited=_seconds("Spent in queues, between attempts and while models were loaded, all agents together."),
        models={"type": "object", "additionalProperties": spent, "description": "By the model that answered, failed attempts included."},
        endpoints={"type": "object", "additionalProperties": endpoint, "description": "By server."},
    )


def _agent() -> dict[str, Any]:
    return _object(
        name={"type": "string", "description": "In a fan-out 'agent[3]'."},
        status={"enum": list(get_args(Status))},
        cached={"type": "boolean", "description": "Whether the reply was there already, so that nothing was sent for it."},
        cause={**_TEXT, "description": "Why there is no reply."},
        text={**_TEXT, "description": "The reply; null where there is none."},
        json={"description": "The reply as JSON, whole or its only fenced block; null where it is none."},
        partial={**_TEXT, "description": "What had come of a reply that never was whole; null where there is a reply."},
        prompt={"$ref": "#/$defs/prompt"},
        profile={**_TEXT, "description": "The profile asked last: where there is a reply, the one that answered."},
        provider=_TEXT,
        model={**_TEXT, "description": "The model that really answered."},
        attempts={
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "How many requests were sent, those of fallbacks and repairs included; null where none was.",
        },
        fell_back={
            "type": "array",
            "items": _object(profile={"type": "string"}, cause={"type": "string"}),
            "description": "The profiles that could not answer, in order, and why.",
        },
        finish={"enum": [*get_args(FinishReason), None], "description": "Why a model's reply ends: 'length' is one cut by max_tokens."},
        mismatch={**_TEXT, "description": "Of a free text that came instead of a reply to an output_schema: what kept it from following."},
        usage={"$ref": "#/$defs/usage"},
        window={"oneOf": [{"type": "null"}, _window()], "description": "The context window; null where its size is not known."},
        shortened={"oneOf": [{"type": "null"}, _shortened()], "description": "How a request was made to fit; null where it fitted."},
        cost=_cost("null if the price is not known"),
        saved=_saved(),
        changed={
            "type": "array",
            "items": {"type": "string"},
            "description": "With the cache: in what the request differs from the nearest one whose reply is kept; empty where none is.",
        },
        seconds={**_seconds("From the first slot to the end; null if it never started."), "type": ["number", "null"]},
        waited=_seconds("Spent in queues, between attempts and while a model was loaded."),
        artifacts={"type": "array", "items": _artifact(), "description": "The files that its program left in $LLM_ORC_ARTIFACTS."},
        children={"type": "array", "items": {"$ref": "#/$defs/agent"}, "description": "Of a fan-out or an ensemble, in order."},
    )


def _artifact() -> dict[str, Any]:
    return _object(
        name={"type": "string", "description": "Its path below that folder."},
        media_type={"type": "string"},
        bytes=_COUNT,
        sha256={"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$", "description": "null where it is not kept."},
    )


def _saved() -> dict[str, Any]:
    spent = _object(usage={"$ref": "#/$defs/usage"}, cost=_cost("null if the price is not known"))
    what = "What replies that were there already took when they were made, children's too; no part of usage and cost. Null if none was."
    return {"oneOf": [{"type": "null"}, spent], "description": what}


def _window() -> dict[str, Any]:
    return _object(
        size={**_COUNT, "description": "Tokens of prompt and reply together."},
        used={**_COUNT, "description": "Those that the last request and its reply took."},
        available=_COUNT,
        utilisation={
            "type": "number",
            "minimum": 0,
            "description": "The share used; above 1 where the server has more room than is known.",
        },
    )


def _shortened() -> dict[str, Any]:
    return _object(
        policy={"enum": ["truncate", "summarize"]},
        before={**_COUNT, "description": "Tokens of the whole request, by our own count."},
        after={**_COUNT, "description": "Those that were sent."},
        room={**_COUNT, "description": "Those that a request may have."},
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
