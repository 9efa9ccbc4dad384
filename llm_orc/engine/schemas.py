"""Replies that have to follow a JSON Schema."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY, specification_with

from llm_orc.domain.event import Repairing, Warned
from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Message, Reply, Request, Tell
from llm_orc.domain.said import as_json, parsed

if TYPE_CHECKING:
    from llm_orc.engine.asks import Turn

REPAIRS = 1
"""Times that a model is asked to mend its reply."""
SHOWN = 300
"""Letters of what is wrong that are shown."""


def validated(ask: Ask, schema: Mapping[str, Any], when: "Turn", *, free: bool = False) -> Ask:
    """Ask for a reply that follows the schema; what is no JSON and what does not follow go through one round of repair.

    With `free`, a model that cannot do it even then is asked for its text without the schema, which is marked.
    """
    validator = _kind(schema)(schema, registry=EMPTY_REGISTRY)  # of its own accord it would fetch what a reference names from anywhere

    async def asked(request: Request, tell: Tell) -> Reply:
        bare, request = request, replace(request, schema=schema)
        left = REPAIRS
        while True:
            reply = await ask(request, tell)
            value, wrong = _checked(reply.text, validator)
            if not wrong:
                return replace(reply, value=value, structured=True)
            if free and when.shown:
                return replace(reply, mismatch=wrong)
            if free and not left:
                tell(Warned(bare.node, f"free text instead of a reply that follows its output_schema: {wrong}"))
                return replace(await _anew(ask, bare, tell, reply.text), mismatch=wrong)
            if not left or when.shown:
                what = f"{request.profile.model} did not follow the output_schema: {wrong}"
                raise FailedError(Failure(Kind.MALFORMED, what, "loosen the schema, or choose another model"), partial=reply.text)
            left -= 1
            tell(Repairing(request.node, wrong))
            again = (Message("assistant", reply.text), Message("user", _please(wrong, schema)))
            request = replace(request, messages=(*request.messages, *again))

    return asked


async def _anew(ask: Ask, request: Request, tell: Tell, so_far: str) -> Reply:
    """The reply to another request; where there is none, what was said before is kept."""
    try:
        return await ask(request, tell)
    except FailedError as error:
        error.partial = error.partial or so_far
        raise


def wrong_schema(schema: Mapping[str, Any]) -> str:
    """What makes it no JSON Schema that a reply can be held against; nothing where it is one. Nothing is fetched."""
    kind = _kind(schema)
    try:
        kind.check_schema(dict(schema))
        root = specification_with(kind.META_SCHEMA["$schema"]).create_resource(schema)
        lost = next(_lost(root, EMPTY_REGISTRY.resolver_with_root(root)), None)
    except SchemaError as error:
        return f"at {error.json_path}: {error.message}"
    except RecursionError:
        return "it is nested too deeply"
    return f"'{lost}' names nothing within it" if lost is not None else ""


def _kind(schema: Mapping[str, Any]) -> type[Validator]:
    told = schema if isinstance(schema.get("$schema"), str) else {}
    return validator_for(told, default=Draft202012Validator)


def _lost(resource: Resource[Any], resolver: Any) -> Iterator[str]:
    """References that lead nowhere, and those that lead beyond the schema."""
    if isinstance(resource.contents, Mapping):
        for key in ("$ref", "$dynamicRef"):
            if isinstance(to := resource.contents.get(key), str) and not _leads(to, resolver):
                yield to
    for below in resource.subresources():
        yield from _lost(below, resolver.in_subresource(below))


def _leads(to: str, resolver: Any) -> bool:
    try:
        resolver.lookup(to)
    except Unresolvable:
        return False
    return True


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
    except OverflowError:
        return None, "a number in it is too large for its schema"
    except Unresolvable as error:
        return None, f"its schema refers to '{error.ref}', which is not there"
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
