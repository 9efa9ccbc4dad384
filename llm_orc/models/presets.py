"""The servers that speak OpenAI's format and are known by name."""

from collections.abc import Mapping
from dataclasses import dataclass

LMSTUDIO_ADDRESS = "LMSTUDIO_BASE_URL"
"""The variable that says where LM Studio listens, if not at its usual port."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is particular to one of them."""

    base_url: str | None
    start: str
    """What to do when it cannot be reached."""
    key: str | None = None
    """The variable with its key."""
    needs_key: bool = False
    max_parallel: int = 64
    one_model: bool = False
    lists_all: bool = False
    """Whether it answers for a model that it does not have with one that it has, so that its list must be looked at first."""
    longest: str = "max_tokens"
    """The field of the request that bounds the reply."""


_ONLINE = "check the connection, and HTTPS_PROXY if there is a proxy"
PRESETS: Mapping[str, Preset] = {
    "openai": Preset("https://api.openai.com/v1", _ONLINE, "OPENAI_API_KEY", needs_key=True, longest="max_completion_tokens"),
    "openrouter": Preset("https://openrouter.ai/api/v1", _ONLINE, "OPENROUTER_API_KEY", needs_key=True),
    "lmstudio": Preset(
        "http://localhost:1234/v1",
        "start LM Studio's server: lms server start (or its Developer tab)",
        max_parallel=1,
        one_model=True,
        lists_all=True,
    ),
    "vllm": Preset("http://localhost:8000/v1", "start it: vllm serve MODEL"),
    "llamacpp": Preset("http://localhost:8080/v1", "start it: llama-server -m MODEL.gguf --port 8080"),
    "openai-compatible": Preset(None, "is the server running, and is base_url right?", "OPENAI_COMPATIBLE_API_KEY"),
}


def base_url_of(provider: str, env: Mapping[str, str]) -> str | None:
    """Where a preset listens, when a profile does not say."""
    if provider == "lmstudio" and env.get(LMSTUDIO_ADDRESS):
        return env[LMSTUDIO_ADDRESS]
    return PRESETS[provider].base_url
