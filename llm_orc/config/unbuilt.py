"""Keys of this format that no code stands behind yet: refused, so that nobody believes they do something."""

from typing import Any

from llm_orc.config.reading import Document
from llm_orc.domain.problem import KeyPath

UNBUILT: dict[str, tuple[str, ...]] = {
    "agent": (
        "output_schema",
        "template",
        "attachments",
        "context",
        "retry",
        "fallback",
        "requires",
        "cache",
        "pure",
        "fallback_model_profile",
        "response_format",
    ),
    "ensemble": ("cache",),
    "limits": ("max_cost",),
    "fan_out": ("files", "chunks", "tokens", "overlap", "errors", "pattern", "group_by"),
    "synthesis": (
        "document",
        "output_schema",
        "attachments",
        "context",
        "retry",
        "fallback",
        "requires",
        "cache",
        "fallback_model_profile",
    ),
    "profile": (
        "fallback",
        "price",
        "requests_per_minute",
        "tokens_per_minute",
        "credential",
        "insecure",
        "cache",
        "context_window",
        "capabilities",
        "fallback_model_profile",
    ),
    "config": ("store", "catalog", "cache"),
}
"""By where they stand; `defaults` takes those of an agent. Whoever builds one deletes its row."""


def refuse_unbuilt(document: Document, data: dict[str, Any], where: str, path: KeyPath) -> bool:
    """Note the keys of `data` that are not built, and take them out; whether there were any."""
    found = [key for key in data if key in UNBUILT[where]]
    for key in found:
        document.fault_of_key((*path, key), f"'{key}' is not supported yet", "leave it out")
        del data[key]
    return bool(found)
