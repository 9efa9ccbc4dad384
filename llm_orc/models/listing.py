"""The models that a server lists, in OpenAI's form with what OpenRouter, vLLM and llama.cpp add to it, or in LM Studio's own."""

import re
from collections.abc import Iterable
from typing import Any

from llm_orc.domain.model import Capability
from llm_orc.models.base import Listed

NATIVE = "/api/v0/models"
"""Where LM Studio has its own listing, beside `/v1`."""
PLAIN = "/v1/models"
_NO_CHAT = re.compile(
    r"embed|whisper|\btts\b|-tts|dall-e|moderation|transcribe|rerank|-image|\bsora\b|realtime|-audio|davinci|babbage", re.IGNORECASE
)
_ABLE: dict[str, Capability] = {"tools": "tools", "structured_outputs": "structured_output", "reasoning": "thinking"}
"""OpenRouter's words for what a model can do."""


def rows_of(said: Any) -> list[dict[str, Any]] | None:
    """The rows of a listing; None where it is none."""
    data = said.get("data") if isinstance(said, dict) else None
    return [row for row in data if isinstance(row, dict) and isinstance(row.get("id"), str)] if isinstance(data, list) else None


def plain(rows: Iterable[dict[str, Any]]) -> list[Listed]:
    """OpenAI's form: chat models first, the newest first."""
    newest = sorted(rows, key=lambda row: -(_count(row.get("created")) or 0))
    return sorted((_plain(row) for row in newest), key=lambda model: not model.chat)


def native(rows: Iterable[dict[str, Any]]) -> list[Listed]:
    """LM Studio's own: chat models first, the loaded ones first."""
    return sorted((_native(row) for row in rows), key=lambda model: (not model.chat, not model.loaded))


def _plain(row: dict[str, Any]) -> Listed:
    meta = row.get("meta")
    windows = (row.get("context_length"), row.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    able: frozenset[Capability] | None = None
    if isinstance(parameters := row.get("supported_parameters"), list):
        able = frozenset(_ABLE[each] for each in parameters if isinstance(each, str) and each in _ABLE) | _seen(row)
    return Listed(
        row["id"],
        chat=not _NO_CHAT.search(row["id"]),
        context_window=next((count for window in windows if (count := _count(window))), None),
        capabilities=able,
    )


def _seen(row: dict[str, Any]) -> frozenset[Capability]:
    architecture = row.get("architecture")
    inputs = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    words: dict[str, Capability] = {"image": "vision", "file": "files"}
    return frozenset(words[each] for each in inputs if isinstance(each, str) and each in words) if isinstance(inputs, list) else frozenset()


def _native(row: dict[str, Any]) -> Listed:
    loaded = row.get("state") == "loaded"
    able: set[Capability] = {"structured_output"}
    if row.get("type") == "vlm":
        able.add("vision")
    if isinstance(said := row.get("capabilities"), list) and "tool_use" in said:
        able.add("tools")
    window = (_count(row.get("loaded_context_length")) if loaded else None) or _count(row.get("max_context_length"))
    chat = row.get("type") in ("llm", "vlm")
    return Listed(row["id"], chat=chat, loaded=loaded, context_window=window, capabilities=frozenset(able) if chat else frozenset())


def _count(said: Any) -> int | None:
    return said if isinstance(said, int) and said > 0 else None
