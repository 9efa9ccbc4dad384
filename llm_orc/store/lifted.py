"""Records without their long texts, which are kept as files; and without secrets."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from llm_orc.domain.record import ANYTHING, Record, json_of, text_of
from llm_orc.domain.secret import LONG, without_secrets

SMALL = 16_000
"""Characters up to which a text stays in its row."""
_SPEC = "value"
"""The key that what a run was begun with has in its record."""
_INPUT = "input"
"""What of it stands beside it there, for it may be long, and is kept once, whoever else says it."""
LIFTED = "texts"
"""Key of a record -> the name under which its value is kept."""


def lifted(record: Record, keep: Callable[[str], str]) -> str:
    """The record as a row holds it."""
    return _clean(text_of(_light(record, keep)))


def record_of_spec(spec: Mapping[str, Any]) -> Record:
    """What a run was begun with as a record."""
    return {_SPEC: {key: value for key, value in spec.items() if key != _INPUT}, _INPUT: spec[_INPUT]} if _INPUT in spec else {_SPEC: spec}


def spec_of_record(record: Record) -> Mapping[str, Any]:
    """And back; in older records it is one whole."""
    return {**record[_SPEC], _INPUT: record[_INPUT]} if _INPUT in record else record[_SPEC]


def whole(row: str, read: Callable[[str], str]) -> Record:
    """The record that a row holds; raises ValueError for what is none, and what `read` raises."""
    record: Record = json.loads(row)
    return _filled(record, read)


def _light(record: Record, keep: Callable[[str], str]) -> Record:
    light: Record = {}
    names: dict[str, str] = {}
    for key, value in record.items():
        text = json_of(value) if key in ANYTHING and value is not None else value if isinstance(value, str) else ""
        if len(text) > SMALL:
            names[key] = keep(_clean(text) if key in ANYTHING else without_secrets(text, LONG))
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


def _clean(text: str) -> str:
    """A text of JSON without secrets, however they are written in it."""
    return text_of(_cleaned(json.loads(text))) if without_secrets(text, LONG) != text else text


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
