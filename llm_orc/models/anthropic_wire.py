"""What Anthropic's Messages API is sent, and what it lists; without the SDK."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, Kind, Message, Request
from llm_orc.domain.model import Capability, ModelCard
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Listed, Options, messages_of
from llm_orc.models.target import Target

MAX_TOKENS = 4096
"""The API wants a bound; this one where neither the profile nor the catalogue knows any."""
IMAGES = ("image/gif", "image/jpeg", "image/png", "image/webp")
WRITTEN = {
    "model": "it is the profile's model",
    "messages": "they are made of the agent's prompt",
    "system": "say it in system_prompt",
    "stream": "llm-orc streams where somebody watches: --stream",
    "stop_sequences": "say it in stop",
}
"""Options that would go over what is said elsewhere."""
SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""Parameters that only some models take, and only in the version of the API before 2026-10-21, which answers 400 to them."""
SAMPLING_VERSION = "2023-06-01"
_HEADERS = {"betas": "anthropic-beta", "user_profile_id": "anthropic-user-profile-id", "workspace_id": "anthropic-workspace-id"}
_CAPABILITIES: Mapping[str, Capability] = {
    "image_input": "vision",
    "pdf_input": "files",
    "structured_outputs": "structured_output",
    "thinking": "thinking",
}
_Header = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]
_Object = dict[str, Any]


class AnthropicOptions(Options):
    """What the API takes besides the parameters of a profile."""

    top_k: Annotated[int, Field(ge=0)] | None = None
    """Sample from so many tokens only; not every model takes it."""
    thinking: _Object | None = None
    """`{type: adaptive}`, `{type: enabled, budget_tokens: 2000}` or `{type: disabled}`."""
    output_config: _Object | None = None
    """`{effort: high}`; an output_schema joins it."""
    metadata: _Object | None = None
    """`{user_id: ...}`."""
    service_tier: Literal["auto", "standard_only"] | None = None
    """Whether priority capacity may be used."""
    speed: Literal["standard", "fast"] | None = None
    """Fast costs more."""
    inference_geo: str | None = None
    """Where the model may run."""
    cache_control: _Object | None = None
    """`{type: ephemeral}` lets the server keep the prompt."""
    tools: list[_Object] | None = None
    """Those that the server runs itself, as web search."""
    tool_choice: _Object | None = None
    """Whether the model may, must or must not call a tool."""
    container: str | _Object | None = None
    """Where the server runs code."""
    betas: list[_Header] | None = None
    """Features in trial, named in the header `anthropic-beta`."""
    user_profile_id: _Header | None = None
    """On whose behalf; a header."""
    workspace_id: _Header | None = None
    """Which workspace pays; a header."""


def written(profile: Profile) -> dict[str, str]:
    """The options of a profile that are said elsewhere, and where."""
    return {key: hint for key, hint in WRITTEN.items() if key in profile.options}


def unsent(profile: Profile, card: ModelCard) -> Iterator[str]:
    """What has to be said of parameters that are not sent."""
    if profile.seed is not None:
        yield "anthropic takes no seed: it is not sent"
    for name in ("temperature", "top_p", "stop"):
        if name in card.refuses and getattr(profile, name) is not None:
            yield f"{profile.model} takes no {name}: it is not sent"


def headers_of(profile: Profile, body: Mapping[str, Any]) -> dict[str, str]:
    """The options that go into headers, and the version of the API that takes all of a body, where that is not the SDK's."""
    said = {header: profile.options[key] for key, header in _HEADERS.items() if profile.options.get(key)}
    headers = {header: value if isinstance(value, str) else ",".join(value) for header, value in said.items()}
    return headers | {"anthropic-version": SAMPLING_VERSION} if SAMPLING & body.keys() else headers


def body_of(request: Request, card: ModelCard, shape: dict[str, Any] | None) -> dict[str, Any]:
    """The JSON of a request; `shape` is the schema as the API's grammar takes it, and without one it is asked for in words."""
    profile, messages = request.profile, messages_of(request)
    system = [message.text for message in messages if message.role == "system" and message.text]
    body: dict[str, Any] = {"model": profile.model, "max_tokens": profile.max_tokens or card.max_output or MAX_TOKENS}
    for name, key in (("temperature", "temperature"), ("top_p", "top_p"), ("stop", "stop_sequences")):
        if (value := getattr(profile, name)) is not None and name not in card.refuses:
            body[key] = value
    body |= {key: value for key, value in profile.options.items() if key not in _HEADERS and key not in WRITTEN}
    if shape is not None:
        body["output_config"] = {**(body.get("output_config") or {}), "format": {"type": "json_schema", "schema": shape}}
    elif request.schema is not None:
        wanted = json.dumps(request.schema, ensure_ascii=False, default=str)
        system.append(f"Reply with JSON alone, without a fence or a word beside it, that follows this JSON Schema:\n{wanted}")
    if system:
        body["system"] = "\n\n".join(system)
    body["messages"] = [_turn(message) for message in messages if message.role != "system"]
    if request.stream:
        body["stream"] = True
    return body


def expressible(schema: Any, defs: Mapping[str, Any] | None = None, within: frozenset[str] = frozenset()) -> bool:
    """Whether the API's grammar can hold a reply to a schema.

    It knows objects whose properties are all named, and no recursion; and it would silently make any other object an empty one.
    """
    if not isinstance(schema, Mapping) or (defs is None and schema.get("type") != "object") or (defs is not None and "$defs" in schema):
        return False
    defs = schema.get("$defs", {}) if defs is None else defs
    if (ref := schema.get("$ref")) is not None:
        name = str(ref).removeprefix("#/$defs/")
        return name not in within and name in defs and expressible(defs[name], defs, within | {name})
    kind, properties = schema.get("type"), schema.get("properties")
    variants = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or []
    if not (isinstance(kind, str) or variants or "enum" in schema or "const" in schema):
        return False
    if kind == "object" and not (isinstance(properties, Mapping) and properties and not schema.get("additionalProperties")):
        return False
    parts = [
        *variants,
        *(properties.values() if kind == "object" and properties else ()),
        *([schema.get("items")] if kind == "array" else ()),
    ]
    return "patternProperties" not in schema and all(expressible(part, defs, within) for part in parts)


def listed(said: Any, target: Target) -> tuple[list[Listed], str]:
    """The models of a page that can be asked, and after which the next page begins; raises FailedError for what is no page."""
    rows = said.get("data") if isinstance(said, dict) else None
    if not isinstance(rows, list):
        what = f"{target.address.label} sent a list of models in no known form"
        raise FailedError(Failure(Kind.MALFORMED, what, f"is base_url right? {target.address.url}"), usage=NO_USAGE)
    models = [
        _listed(row) for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str) and row.get("lifecycle") != "retired"
    ]
    last = said.get("last_id")
    return models, last if said.get("has_more") is True and isinstance(last, str) else ""


def _listed(row: dict[str, Any]) -> Listed:
    window, able = row.get("max_input_tokens"), row.get("capabilities")
    capabilities: frozenset[Capability] | None = None
    if isinstance(able, dict):
        can = {name for key, name in _CAPABILITIES.items() if isinstance(said := able.get(key), dict) and said.get("supported") is True}
        capabilities = frozenset({*can, "tools"})  # all of them can, so the API does not say it
    return Listed(row["id"], context_window=window if type(window) is int and window > 0 else None, capabilities=capabilities)


def _turn(message: Message) -> dict[str, Any]:
    if not message.attachments:
        return {"role": message.role, "content": message.text}
    text = [{"type": "text", "text": message.text}] if message.text else []
    return {"role": message.role, "content": [*map(_block, message.attachments), *text]}


def _block(attachment: Attachment) -> dict[str, Any]:
    kind = attachment.media_type.partition(";")[0].strip().lower()
    if kind in IMAGES:
        return {"type": "image", "source": _base64(kind, attachment.data)}
    if kind == "application/pdf":
        return {"type": "document", "source": _base64(kind, attachment.data), "title": attachment.name}
    try:
        text = attachment.data.decode()
    except UnicodeDecodeError:
        what = f"anthropic takes no {kind}: {attachment.name}"
        failure = Failure(Kind.INVALID_REQUEST, what, "attach it as PNG, JPEG, GIF, WebP, PDF or UTF-8 text")
        raise FailedError(failure, usage=NO_USAGE) from None
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, "title": attachment.name}


def _base64(kind: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": kind, "data": b64encode(data).decode()}
