"""Replies that have to follow a JSON Schema."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from llm_orc.domain.event import Repairing
from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Message, Reply, Request, Tell
from llm_orc.domain.said import as_json, parsed

if TYPE_CHECKING:
    from llm_orc.engine.asks import Turn

REPAIRS = 1
"""Times that a model is asked to mend its reply."""
SHOWN = 300
"""Letters of what is wrong that are shown."""


def validated(ask: Ask, schema: Mapping[str, Any], when: "Turn") -> Ask:
    """Ask for a reply that follows the schema; what is no JSON and what does not follow go through one round of repair."""
    validator = validator_for(schema)(schema)

    async def asked(request: Request, tell: Tell) -> Reply:
        request = replace(request, schema=schema)
        left = REPAIRS
        while True:
            reply = await ask(request, tell)
            value, wrong = _checked(reply.text, validator)
            if not wrong:
                return replace(reply, value=value, structured=True)
            if not left or when.shown:
                what = f"{request.profile.model} did not follow the output_schema: {wrong}"
                raise FailedError(Failure(Kind.MALFORMED, what, "loosen the schema, or choose another model"), partial=reply.text)
            left -= 1
            tell(Repairing(request.node, wrong))
            again = (Message("assistant", reply.text), Message("user", _please(wrong, schema)))
            request = replace(request, messages=(*request.messages, *again))

    return asked


def _checked(text: str, validator: Any) -> tuple[Any, str]:
    """The value, and what is wrong with it."""
    try:
        value = _extracted(text)
    except ValueError as error:
        return None, f"it is no JSON: {error}"[:SHOWN]
    try:
        fault = best_match(validator.iter_errors(value))
    except RecursionError:
        return None, "it is nested too deeply for its schema"
    if fault is None:
        return value, ""
    return None, f"at {fault.json_path}: {fault.message}"[:SHOWN]


def _extracted(text: str) -> Any:
    """The JSON in a text: the whole, its only fenced block, or what stands between the first bracket and the last; raises ValueError."""
    try:
        return parsed(text)
    except ValueError:
        first = min((at for bracket in "{[" if (at := text.find(bracket)) >= 0), default=-1)
        last = max(text.rfind("}"), text.rfind("]"))
        if first < 0 or last < first:
            raise
        return parsed(text[first : last + 1])


def _please(wrong: str, schema: Mapping[str, Any]) -> str:
    again = "Send the whole reply again, as JSON and nothing else, following this JSON Schema:"
    return f"Your reply cannot be used: {wrong}\n\n{again}\n{as_json(schema)}"
