"""Records without their long texts, which are kept as files; and without secrets."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from llm_orc.domain.record import ANYTHING, Record, json_of, text_of
from llm_orc.domain.secret import LONG, without_secrets

SMALL = 16_000
"""Characters up to which a text stays in its row."""
SPEC = "value"
"""The key that what a run was begun with has in its record."""
LIFTED = "texts"
"""Key of a record -> the name under which its value is kept."""


def lifted(record: Record, keep: Callable[[str], str]) -> str:
    """The record as a row holds it."""
    text = text_of(record)
    if without_secrets(text, LONG) != text:
        record = _cleaned(json.loads(text))
        text = text_of(record)
    return text if len(text) <= SMALL else text_of(_light(record, keep))


def whole(row: str, read: Callable[[str], str]) -> Record:
    """The record that a row holds; raises ValueError for what is none, and what `read` raises."""
    record: Record = json.loads(row)
    return _filled(record, read)


def _light(record: Record, keep: Callable[[str], str]) -> Record:
    light: Record = {}
    names: dict[str, str] = {}
    for key, value in record.items():
        text = value if isinstance(value, str) else json_of(value) if key in ANYTHING else ""
        if len(text) > SMALL:
            names[key] = keep(text if key not in ANYTHING else json_of(value))
        else:
            light[key] = _light(value, keep) if isinstance(value, dict) and key not in ANYTHING else value
    return {**light, LIFTED: names} if names else light


def _filled(record: Record, read: Callable[[str], str]) -> Record:
    names: Mapping[str, str] = record.pop(LIFTED, {})
    for key, value in record.items():
        if isinstance(value, dict) and key not in ANYTHING:
            record[key] = _filled(value, read)
    for key, name in names.items():
        text = read(name)
        record[key] = json.loads(text) if key in ANYTHING else text
    return record


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value, LONG)
        case Mapping():
            return {_cleaned(key): _cleaned(each) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each) for each in value]
        case _:
            return value
