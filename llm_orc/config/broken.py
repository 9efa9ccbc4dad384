"""What is wrong with YAML that cannot be parsed, in words that say what to change."""

import re
from typing import Any

from llm_orc.domain.problem import Place, Problem

_INDENTED_BY_TAB = re.compile(r" *\t")
_BARE_TEMPLATE = re.compile(r"\s*(?:-\s+)*+(?P<key>[\w-]+:\s+)?(?:-\s+)*+(?P<text>\{[{%#].*)")
TOO_DEEP = "more than 100 levels of brackets or indentation"
_LEVEL = "let keys of one level begin in one column; quote a text with ': ' or brackets in it"
_WORDS = (
    # part of libyaml's words, what we say (with the character found there), the hint, whether the fault lies where the construct began
    (
        "mapping values are not allowed",
        "a colon that does not fit here",
        "quote a text that holds ': ', and indent keys of one level alike",
        False,
    ),
    ("cannot start any token", "a text cannot begin with '{char}' here", "quote it", False),
    ("undefined alias", "no anchor of this name above", "an alias (*name) repeats what was marked with &name", False),
    ("another document", "a second document begins here", "one file holds one; remove the line '---'", False),
    ("unexpected end of stream", "a quote that is never closed", "close it, or double a quote that is part of the text", True),
    ("unexpected document indicator", "a quote that is never closed", "close it, or double a quote that is part of the text", True),
    ("expected ',' or", "a bracket that is never closed", "close it, or quote a text that begins with a bracket", True),
    ("node content", "a bracket that is never closed", "close it, or quote a text that begins with a bracket", True),
    ("could not find expected ':'", "a key without a colon", "write 'key: value'", True),
    ("escape", "a backslash begins an escape in double quotes", "double it, or take single quotes", False),
    (
        "did not find expected '-' indicator",
        "a line that does not belong to the list above it",
        "begin each entry with '- ' in one column",
        False,
    ),
    ("did not find expected key", "a line that does not fit what stands above it", _LEVEL, False),
    ("too deep", TOO_DEEP, "", False),
)


def broken(error: Any, text: str, file: str) -> Problem:
    """The problem that a parser's error stands for."""
    said = error.problem or ""
    words = next((row for row in _WORDS if row[0] in said), ("", "a line that is not YAML", _LEVEL, False))
    mark = (error.context_mark if words[3] else None) or error.problem_mark or error.context_mark
    if mark is None:
        return Problem(words[1], Place(file), words[2])
    lines = text.splitlines() or [""]
    number = min(mark.line, len(lines) - 1)
    line, column = lines[number], min(mark.column, len(lines[number])) if mark.line == number else len(lines[number])
    if tab := _INDENTED_BY_TAB.match(line):
        return Problem("a tab, where YAML wants spaces", Place(file, number + 1, tab.end()), "indent with spaces")
    if template := _BARE_TEMPLATE.match(line.rstrip()):
        written, key = template["text"], template["key"] or ""
        quoted = f"'{written}'" if '"' in written else f'"{written}"'
        what = "a text that begins with a bracket needs quotes"
        return Problem(what, Place(file, number + 1, template.start("text") + 1), f"quote it: {key}{quoted}")
    return Problem(words[1].format(char=line[column : column + 1]), Place(file, number + 1, column + 1), words[2])
