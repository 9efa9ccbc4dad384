"""The providers that reach a server: where each listens, what its key is called, and what is particular to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Preset:
    """What is particular to one of them."""

    base_url: str | None
    start: str
    """What to do when it cannot be reached."""
    key: str | None = None
    """The variable with its key."""
    needs_key: bool = False
    at_home: bool = False
    """Whether it runs where its user wants it to, most often on this machine."""
    max_parallel: int = 64
    one_model: bool = False
    lists_all: bool = False
    """Whether its list of models is the truth: one that is not in it is not there, though the server may answer with another."""
    longest: str = "max_tokens"
    """The field of a chat completion that bounds the reply."""
    wire: str = ""
    """The wire format, where it is not the provider's own."""
    listens: str | None = None
    """The variable that says where it listens, if not at `base_url`."""


_ONLINE = "check the connection, and HTTPS_PROXY if there is a proxy"
_CHAT = "openai-compatible"
PRESETS: Mapping[str, Preset] = {
    "anthropic": Preset("https://api.anthropic.com", _ONLINE, "ANTHROPIC_API_KEY", needs_key=True, listens="ANTHROPIC_BASE_URL"),
    "google": Preset(
        "https://generativelanguage.googleapis.com", _ONLINE, "GEMINI_API_KEY", needs_key=True, listens="GOOGLE_GEMINI_BASE_URL"
    ),
    "openai": Preset(
        "https://api.openai.com/v1",
        _ONLINE,
        "OPENAI_API_KEY",
        needs_key=True,
        longest="max_completion_tokens",
        listens="OPENAI_BASE_URL",
    ),
    "openrouter": Preset("https://openrouter.ai/api/v1", _ONLINE, "OPENROUTER_API_KEY", needs_key=True),
    "lmstudio": Preset(
        "http://localhost:1234/v1",
        "start LM Studio's server: lms server start (or its Developer tab)",
        "LM_API_TOKEN",
        at_home=True,
        max_parallel=1,
        one_model=True,
        lists_all=True,
        wire=_CHAT,
        listens="LMSTUDIO_BASE_URL",
    ),
    "ollama": Preset(
        "http://localhost:11434",
        "start Ollama: ollama serve (or its app)",
        at_home=True,
        max_parallel=1,
        one_model=True,
        lists_all=True,
        listens="OLLAMA_HOST",
    ),
    "vllm": Preset("http://localhost:8000/v1", "start it: vllm serve MODEL", at_home=True, wire=_CHAT),
    "llamacpp": Preset("http://localhost:8080/v1", "start it: llama-server -m MODEL.gguf --port 8080", at_home=True, wire=_CHAT),
    _CHAT: Preset(None, "is the server running, and is base_url right?", "OPENAI_COMPATIBLE_API_KEY"),
}


def base_url_of(provider: str, env: Mapping[str, str], own: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """Where a provider listens, when a profile does not say: the environment's word, else the user's own, else the usual place."""
    preset = PRESETS[provider]
    said = env.get(preset.listens, "").strip() if preset.listens else ""
    if not said:
        return own.get(provider) or preset.base_url
    return _host_of_ollama(said) if provider == "ollama" else said


def _host_of_ollama(said: str) -> str:
    """Ollama's server and its clients read one variable, as `HOST`, `HOST:PORT`, `:PORT` or a URL; a server's 0.0.0.0 is this machine."""
    scheme, parted, rest = said.partition("://")
    scheme, place = (scheme, rest) if parted else ("http", said)
    place, slash, path = place.partition("/")
    if place.count(":") > 1 and not place.startswith("["):
        place = f"[{place}]"  # an address of the newer kind, without brackets
    host, port = (
        (place, "") if place.endswith("]") else (place.rpartition(":")[0], place.rpartition(":")[2]) if ":" in place else (place, "")
    )
    host = "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host  # noqa: S104 - read, not listened at
    port = port or ("" if parted else "11434")
    return f"{scheme}://{host}" + (f":{port}" if port else "") + slash + path
