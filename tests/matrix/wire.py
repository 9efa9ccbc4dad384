"""What each key of a profile becomes in the JSON that is sent, as a path into it: shown by the page on providers, and checked by a test."""

from collections.abc import Mapping

NOT_SENT = ""
"""A warning names it instead."""
WIRE: Mapping[str, Mapping[str, str]] = {
    "openai-compatible": {
        "system_prompt": "messages.0.content",
        "temperature": "temperature",
        "max_tokens": "max_tokens",
        "top_p": "top_p",
        "seed": "seed",
        "stop": "stop",
        "output_schema": "response_format.json_schema.schema",
    },
    "anthropic": {
        "system_prompt": "system",
        "temperature": "temperature",
        "max_tokens": "max_tokens",
        "top_p": "top_p",
        "seed": NOT_SENT,
        "stop": "stop_sequences",
        "output_schema": "output_config.format.schema",
    },
    "google": {
        "system_prompt": "systemInstruction.parts.0.text",
        "temperature": "generationConfig.temperature",
        "max_tokens": "generationConfig.maxOutputTokens",
        "top_p": "generationConfig.topP",
        "seed": "generationConfig.seed",
        "stop": "generationConfig.stopSequences",
        "output_schema": "generationConfig.responseJsonSchema",
    },
    "ollama": {
        "system_prompt": "messages.0.content",
        "temperature": "options.temperature",
        "max_tokens": "options.num_predict",
        "top_p": "options.top_p",
        "seed": "options.seed",
        "stop": "options.stop",
        "output_schema": "format",
    },
}
