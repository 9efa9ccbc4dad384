"""Keys of this format that no code stands behind yet: refused, so that nobody believes they do something."""

from typing import Any

from llm_orc.config.reading import Document
from llm_orc.domain.problem import KeyPath

UNBUILT: dict[str, tuple[str, ...]] = {
    "agent": ("context",),
    "ensemble": (),
    "limits": (),
    "fan_out": (),
    "synthesis": ("context",),
    "document": (),
    "profile": (),
    "config": (),
}
"""By where they stand; `defaults` takes those of an agent. Whoever builds one deletes its row."""


def refuse_unbuilt(document: Document, data: dict[str, Any], where: str, path: KeyPath) -> bool:
    """Note the keys of `data` that are not built, and take them out; whether there were any."""
    found = [key for key in data if key in UNBUILT[where]]
    for key in found:
        document.fault_of_key((*path, key), f"'{key}' is not supported yet", "leave it out")
        del data[key]
    return bool(found)
