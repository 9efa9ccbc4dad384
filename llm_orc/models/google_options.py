"""The `options` of Google's models that are known, with their types, and where in a request each belongs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from llm_orc.models.base import Options

Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Project = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*$")]


class Vertex(BaseModel):
    """Ask Vertex AI, in this project, instead of the Gemini API."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    project: Project
    location: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "global"

    @property
    def url(self) -> str:
        """Where a location's models are."""
        if self.location == "global":
            return "https://aiplatform.googleapis.com"
        if self.location in ("us", "eu"):
            return f"https://aiplatform.{self.location}.rep.googleapis.com"
        return f"https://{self.location}-aiplatform.googleapis.com"


class Thinking(BaseModel):
    """How much the model thinks, and whether it shows it."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Field(ge=-1)] | None = None
    thinking_level: Name | None = None


class Safety(BaseModel):
    """From when on one kind of harm is filtered."""

    model_config = ConfigDict(extra="allow", frozen=True)
    category: Name
    threshold: Name


class GoogleOptions(Options):
    """Those of the request first, then what shapes the call itself."""

    top_k: Annotated[int, Field(ge=1)] | None = None
    candidate_count: Literal[1] | None = None
    """An agent has one reply; for several there is `fan_out`."""
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    media_resolution: Name | None = None
    thinking_config: Thinking | None = None
    safety_settings: list[Safety] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: dict[str, Any] | None = None
    cached_content: Name | None = None
    labels: dict[str, str] | None = None
    service_tier: Name | None = None
    store: bool | None = None
    generation_config: dict[str, Any] | None = None

    api_version: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] | None = None
    """v1beta unless told, which knows thoughts and JSON schemas; of Vertex v1beta1."""
    quota_project: Project | None = None
    """Whose quota an OAuth login is counted against."""
    vertex: Vertex | None = None


OF_THE_CALL = frozenset({"api_version", "quota_project", "vertex"})
SAID_ELSEWHERE = {"contents": "prompt", "model": "model", "system_instruction": "system_prompt"}
"""Options that would go over the messages -> the key that is meant for them."""
_OF_THE_BODY = frozenset({"safety_settings", "tools", "tool_config", "cached_content", "labels", "service_tier", "store"})
_WIRE = {name: to_camel(name) for name in GoogleOptions.model_fields.keys() - OF_THE_CALL}
_PARAMETERS = ("max_output_tokens", "top_p", "stop_sequences", "response_mime_type", "response_schema", "response_json_schema")
_WIRE |= {name: to_camel(name) for name in _PARAMETERS}
_BESIDE = frozenset(to_camel(name) for name in _OF_THE_BODY)
"""Names of options, as Google's own SDK writes them -> how they are sent; all others are sent as they are written."""


def laid_on(body: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Put options into a request, over what is there: into its `generationConfig`, unless they belong beside it."""
    generation: dict[str, Any] = body.setdefault("generationConfig", {})
    for name, value in options.items():
        wire = _WIRE.get(name, name)
        if name in OF_THE_CALL:
            continue
        if wire == "generationConfig" and isinstance(value, Mapping):
            generation |= value
        elif wire == "thinkingConfig" and isinstance(value, Mapping):
            generation[wire] = {to_camel(key): each for key, each in value.items()}
        elif wire in _BESIDE:
            body[wire] = value
        else:
            generation[wire] = value
