"""Events as JSON and back: what is read again is equal to what was written, but for values that JSON does not know.

What a field holds by default is left out, so that fields may be added later.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple, get_args, get_origin

from llm_orc.domain.event import Happening
from llm_orc.domain.message import Failure, Kind, Reply, Usage

Record = dict[str, Any]
ANYTHING = ("value", "variables", "turn")
"""The keys that hold what others made; all else is ours."""
EVENT = "event"
_OURS = (Usage, Failure, Reply)
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def record_of(event: Happening) -> Record:
    """The event by its keys; its number is not among them."""
    name, keys = _NAMED[type(event)]
    return {EVENT: name, "at": event.at, **_written(keys, event)}


def record_of_reply(reply: Reply) -> Record:
    """A reply by its keys."""
    return _written(_REPLY, reply)


def reply_of(record: Mapping[str, Any]) -> Reply:
    """The reply that was written so; raises as `event_of` does."""
    reply: Reply = _made(Reply, _REPLY, record)
    return reply


def name_of(event: Happening) -> str:
    """What kind of event it is, as JSON has it: `run_started`."""
    return _NAMED[type(event)][0]


def event_of(record: Mapping[str, Any], seq: int) -> Happening:
    """The event that was written so; raises LookupError, TypeError or ValueError for what is none."""
    kind, keys = _KINDS[record[EVENT]]
    event: Happening = kind(**_read(keys, record), seq=seq, at=record["at"])
    return event


def text_of(record: Record) -> str:
    """A record as JSON on one line that UTF-8 can hold."""
    try:
        return _json(record)
    except (TypeError, ValueError, RecursionError):
        return _json(_sayable(record))


def json_of(value: Any) -> str:
    """Any value likewise; one that JSON cannot say, having keys that are no texts or itself within itself, as a text."""
    try:
        return _json(value)
    except (TypeError, ValueError, RecursionError):
        return _json(str(value))


def _json(value: Any) -> str:
    text = _ENCODER.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a character
        return json.dumps(value, default=str)
    return text


def _sayable(record: Record) -> Record:
    own = {key: json.loads(json_of(value)) for key, value in record.items() if key in ANYTHING}
    below = {key: _sayable(value) for key, value in record.items() if isinstance(value, dict) and key not in ANYTHING}
    return {**record, **own, **below}


class _Key(NamedTuple):
    name: str
    usual: Any
    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None


def _written(keys: tuple[_Key, ...], value: Any) -> Record:
    record: Record = {}
    for name, usual, write, _ in keys:
        held = getattr(value, name)
        if held is not usual and (name in ANYTHING or held != usual):
            record[name] = held if write is None else write(held)
    return record


def _read(keys: tuple[_Key, ...], record: Mapping[str, Any]) -> Record:
    return {name: record[name] if read is None else read(record[name]) for name, _, _, read in keys if name in record}


def _keys(kind: Any) -> tuple[_Key, ...]:
    return tuple(_key(each.name, each.default, each.type) for each in fields(kind) if each.name not in {"seq", "at"})


def _key(name: str, usual: Any, kind: Any) -> _Key:
    if kind is Kind:
        return _Key(name, usual, None, Kind)
    if get_origin(kind) is tuple:
        return _Key(name, usual, None, _tuple)
    for ours in _OURS:
        if ours in (kind, *get_args(kind)):
            keys = _keys(ours)
            return _Key(name, usual, partial(_written, keys), partial(_made, ours, keys))
    return _Key(name, usual)


def _made(kind: Callable[..., Any], keys: tuple[_Key, ...], record: Mapping[str, Any]) -> Any:
    return kind(**_read(keys, record))


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


_NAMED: Mapping[Any, tuple[str, tuple[_Key, ...]]] = {
    kind: (_WORD.sub("_", kind.__name__).lower(), _keys(kind)) for kind in get_args(Happening)
}
_KINDS = {name: (kind, keys) for kind, (name, keys) in _NAMED.items()}
_REPLY = _keys(Reply)
