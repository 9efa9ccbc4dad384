"""What a linter, compiler or test told, as a list of findings: JSON, JSON lines, SARIF, or a pattern over its text."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from llm_orc.domain.item import Item
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.said import parsed, text_of

COMPILER = (
    r"(?:(?:^E(?: .*)?\n)+\n)?"
    r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+)(?::(?P<column>\d+))?:? +(?P<message>\S.*)"
    r"(?:\n(?: {4}|\t|E ).*)*$"
)
"""How compilers, most linters and pytest say it, with the lines that belong to it; where no other pattern is given."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "path", "filename", "filePath", "file_name", "file_path", "uri"),
    "line": ("line", "line_number", "lineno", "row", "start_line", "startLine", "location.row", "start.line", "Pos.Line"),
    "message": ("message", "msg", "text", "Text", "issue_text", "description", "title"),
}
"""What programs call these, the first that is there counts."""
_INNER = {"file": ("location.file", "location.path", "Pos.Filename")}
_HINT = "fan_out takes JSON, JSON lines, SARIF, or lines such as file:line: message; a pattern says how others are read"


def findings_of(told: str | Sequence[Any], pattern: str | None = None, naming: Callable[[str], str] = normpath) -> list[Item]:
    """One item per finding, in order, with `file`, `line`, `message`, `text` and whatever else was told; raises FailedError `malformed`.

    `naming` gives a file the same name however it is spelt.
    """
    named = cache(lambda file: naming(unquote(urlsplit(file).path) if file.startswith("file:") else file))
    if not isinstance(told, str):
        entries: Iterable[Any] = told
    elif pattern is not None:
        entries = _matched(pattern, told)
    else:
        entries = _read(told)
    return [_finding(entry, named) for entry in entries]


def grouped_by(key: str, findings: Iterable[Item]) -> list[Item]:
    """One item for all findings that have the same `key`, which has their texts and messages line by line, and themselves as `findings`."""
    groups: dict[str, list[Item]] = {}
    for finding in findings:
        groups.setdefault(text_of(finding.parts.get(key, "")), []).append(finding)
    return [_group(key, each) for each in groups.values()]


def _group(key: str, findings: Sequence[Item]) -> Item:
    first = findings[0].parts
    same = {"file": first["file"], "line": first["line"], key: first.get(key, "")}
    lines = {name: "\n".join(str(each.parts[name]) for each in findings) for name in ("message", "text")}
    return Item({**same, **lines, "findings": [dict(each.parts) for each in findings]})


# What was told


def _read(text: str) -> Iterable[Any]:
    try:
        return _entries(parsed(text))
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines or not all(line.lstrip().startswith("{") for line in lines):
            return _matched(COMPILER, text)
    return [_line(number, line) for number, line in enumerate(lines, 1)]


def _line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise _malformed(f"line {number} of the findings is no JSON, as the others are") from None


def _entries(value: Any) -> Iterable[Any]:
    """The findings in what one JSON text says: a list, SARIF, or an object that has one list of objects."""
    if isinstance(value, list):
        return [finding for entry in value for finding in _of_file(entry)]
    if isinstance(value, Mapping) and isinstance(value.get("runs"), list):
        return list(_sarif(value["runs"]))
    if isinstance(value, Mapping):
        lists = [inner for inner in value.values() if isinstance(inner, list) and all(isinstance(each, Mapping) for each in inner)]
        if len(lists) == 1:
            return lists[0]
        if _first(value, _NAMES["message"]) is not None:
            return [value]
    raise _malformed("the findings are JSON, but no list")


def _of_file(entry: Any) -> Iterable[Any]:
    """The findings of an entry that is a whole file with a list of them, as ESLint tells it."""
    messages = entry.get("messages") if isinstance(entry, Mapping) else None
    if not isinstance(messages, list) or not all(isinstance(each, Mapping) for each in messages):
        return [entry]
    file = {"file": _first(entry, _NAMES["file"])}
    return [{**file, **each} for each in messages]


def _sarif(runs: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for result in (result for run in runs for result in _at(run, "results") or ()):
        place = next(iter(_at(result, "locations") or ()), None)
        uri = _at(place, "physicalLocation.artifactLocation.uri")
        said = {
            "file": unquote(urlsplit(uri).path) if isinstance(uri, str) else "",
            "line": _at(place, "physicalLocation.region.startLine"),
            "message": _at(result, "message.text") or _at(result, "message.markdown"),
            "rule": _at(result, "ruleId") or _at(result, "rule.id"),
            "level": _at(result, "level"),
        }
        yield {key: value for key, value in said.items() if value is not None}


def _matched(pattern: str, text: str) -> Iterator[Mapping[str, Any]]:
    for found in re.finditer(pattern, text, re.MULTILINE):
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        yield {"message": found[0], **groups, "text": found[0]}


# One finding


def _finding(entry: Any, named: Callable[[str], str]) -> Item:
    if not isinstance(entry, Mapping):
        return Item({"file": "", "line": None, "message": text_of(entry), "text": text_of(entry)})
    file = _first(entry, (*_NAMES["file"], *_INNER["file"]))
    file = named(file) if isinstance(file, str) and file else ""
    line = _number(_first(entry, _NAMES["line"]))
    message = _first(entry, _NAMES["message"])
    message = text_of(message) if message is not None else text_of(dict(entry))
    place = ":".join(str(part) for part in (file, line) if part)
    text = entry["text"] if isinstance(entry.get("text"), str) and "message" in entry else f"{place}: {message}" if place else message
    return Item({**entry, "file": file, "line": line, "message": message, "text": text})


def _first(entry: Mapping[str, Any], paths: Iterable[str]) -> Any:
    return next((value for path in paths if (value := _at(entry, path)) is not None), None)


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


def _malformed(what: str) -> FailedError:
    return FailedError(Failure(Kind.MALFORMED, what, _HINT))
