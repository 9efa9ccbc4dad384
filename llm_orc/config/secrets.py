"""Keys of providers do not belong in files."""

import re
from typing import Any

from llm_orc.config.reading import Document
from llm_orc.domain.problem import KeyPath

_KEY_NAMES = frozenset({"api_key", "apikey", "api-key", "api_token", "access_token", "secret_key"})
_LOOKS_LIKE_KEY = re.compile(r"(?:Bearer\s+)?(?:sk-(?=[\w-]*\d)[\w-]{16,}|AIza[\w-]{30,}|gsk_\w{20,}|hf_\w{20,}|gh[pousr]_\w{30,})")
_BETWEEN = re.compile(r"[^\w-]")
_VARIABLES = {
    "anthropic": "ANTHROPIC_API_KEY",
    "anthropic-api": "ANTHROPIC_API_KEY",
    "google": "GEMINI_API_KEY",
    "google-gemini": "GEMINI_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "lmstudio": "LM_API_TOKEN",
}
_OURS = {**{name: name for name in _VARIABLES}, "anthropic-api": "anthropic", "google-gemini": "google"}
"""What a provider that is named here is called by us."""


def refuse_keys(document: Document, data: Any, path: KeyPath, provider: str = "") -> None:
    """Note each key at or below `path`, and take it out so that nothing else can show it; one that a variable filled in may be there."""
    if isinstance(data, dict) and isinstance(data.get("provider"), str):
        provider = data["provider"]
    entries = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in entries:
        here = (*path, key)
        named = isinstance(key, str) and key.lower() in _KEY_NAMES
        words = [value.strip()] if isinstance(value, str) and here not in document.filled else []
        if key == "base_url" and words:
            words = _BETWEEN.split(words[0])
        if any(map(_LOOKS_LIKE_KEY.fullmatch, words)) or (named and value):
            variable = _VARIABLES.get(provider, "OPENAI_COMPATIBLE_API_KEY")
            hint = f"leave it out, and keep it: llm-orc auth add {_OURS.get(provider, 'PROVIDER')}; or export {variable}=..."
            document.fault_of_key(here, "a key does not belong in a file", hint)
            data[key] = None
            if isinstance(data, dict):
                del data[key]
        else:
            refuse_keys(document, value, here, provider)
