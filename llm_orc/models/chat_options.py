"""The `options` of chat completions that are known, with their types; all others are passed on as they are."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llm_orc.models.base import Options

Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ResponseFormat(BaseModel):
    """The form of the reply."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["text", "json_object", "json_schema", "grammar"]


class ChatOptions(Options):
    """OpenAI's own first, then those of OpenRouter, vLLM, llama.cpp and LM Studio."""

    n: Literal[1] | None = None
    """An agent has one reply; for several there is `fan_out`."""
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    reasoning_effort: Annotated[str, Field(min_length=1)] | None = None
    verbosity: Annotated[str, Field(min_length=1)] | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream_options: dict[str, Any] | None = None
    user: str | None = None
    web_search_options: dict[str, Any] | None = None

    models: list[str] | None = None
    """OpenRouter: whom to ask if the model is not there."""
    plugins: list[dict[str, Any]] | None = None
    provider: dict[str, Any] | None = None
    """OpenRouter: who may serve the model."""
    reasoning: dict[str, Any] | None = None
    transforms: list[str] | None = None
    usage: dict[str, Any] | None = None

    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Share | None = None
    top_a: Share | None = None
    typical_p: Share | None = None
    repetition_penalty: Positive | None = None
    repeat_penalty: Positive | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    chat_template_kwargs: dict[str, JsonValue] | None = None
    cache_prompt: bool | None = None
    grammar: str | None = None
    ttl: Annotated[int, Field(ge=1)] | None = None
    """LM Studio: seconds for which a model that is loaded for this request stays."""
    draft_model: str | None = None


SAID_ELSEWHERE = {
    "model": "say model: in the profile or agent",
    "messages": "say prompt: and system_prompt:",
    "stream": "the reply comes in pieces wherever somebody watches",
}
"""What a request holds and `options` may not set -> where it is set."""
