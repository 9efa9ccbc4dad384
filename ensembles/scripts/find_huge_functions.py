"""Functions that are too long to be understood at a glance."""

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from inputs import sources
from languages import masked, parsed_python
from reviewing import Finding, Source, found, read_request, reply, unknown_languages

CHECK = "huge functions"
WORDS = r"(?!if\b|for\b|while\b|switch\b|catch\b|return\b|else\b|do\b|with\b|synchronized\b|using\b|lock\b)"
METHOD = rf"^[ \t]*(?:[\w<>\[\],.?*&:]+[ \t]+)*{WORDS}([\w~]+)\([^;{{}}()]*(?:\([^()]*\)[^;{{}}()]*)*\)[^;{{}}()=]*\{{"
SCRIPT = r"(?<![(!])\bfunction\b\s*\*?\s*(\w*)\s*\([^{}]*\)[^{};]*\{|\b(\w+)\s*[=:]\s*(?:async\s*)?\([^(){}]*\)[^={};]*=>\s*\{|" + METHOD
HEADS = {
    "Go": r"^func\s+(?:\([^)]*\)\s*)?(\w+)[^{}]*\{",
    "Rust": r"\bfn\s+(\w+)[^{};]*\{",
    "JavaScript": SCRIPT,
    "TypeScript": SCRIPT,
    "PHP": r"\bfunction\s+&?(\w+)\s*\([^{};]*\{",
    "Kotlin": r"\bfun\s+(?:<[^>]*>\s*)?(?:\w+\.)?(\w+)\s*\([^{};]*\{",
    "Swift": r"\bfunc\s+(\w+)[^{};]*\{",
} | dict.fromkeys(("Java", "C", "C++", "C#"), METHOD)


class Function(NamedTuple):
    """A function: its name, and its first and last line."""

    name: str
    start: int
    end: int


def main() -> None:
    """Measure the functions of every source that is there as a whole."""
    request = read_request()
    most = int((request["parameters"] or {}).get("max_lines", 80))
    reviewed = [source for source in sources(request["input"] or "") if source.is_code]
    known = [source for source in reviewed if source.language in HEADS or source.language == "Python"]
    findings = [finding for source in known if not source.is_test for finding in _findings(source, most)]
    reply(ran=[CHECK] if known else [], findings=findings, not_run=unknown_languages(CHECK, reviewed, {*HEADS, "Python"}))


def _findings(source: Source, most: int) -> Iterator[Finding]:
    for first, text in source.parts():
        code = masked(text, source.language).code
        lines = code.split("\n")
        for function in _in_python(text) if source.language == "Python" else _in_braces(code, HEADS[source.language]):
            length = sum(bool(line.strip()) for line in lines[function.start - 1 : function.end])
            if length > most and source.reviewed(first + function.start - 1):
                severity = "medium" if length > 2 * most else "low"
                what = f"{f'`{function.name}`' if function.name else 'this function'} has {length} lines of code"
                yield found(source, first + function.start - 1, severity, what, "take parts of it out into functions of their own", "C901")


def _in_python(text: str) -> Iterator[Function]:
    tree = parsed_python(text)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield Function(node.name, node.lineno, node.end_lineno or node.lineno)


def _in_braces(code: str, head: str) -> Iterator[Function]:
    """The functions of a language with braces, in code without comments and strings."""
    starts = [0, *(newline.end() for newline in re.finditer("\n", code))]
    ends = _closings(code)
    for found_head in re.finditer(head, code, re.MULTILINE):
        name = next((group for group in found_head.groups() if group), "")
        at = found_head.start() + len(found_head[0]) - len(found_head[0].lstrip())
        yield Function(name, *(bisect_right(starts, offset) for offset in (at, ends.get(found_head.end() - 1, at))))


def _closings(code: str) -> dict[int, int]:
    """For each opening brace the place of its closing one."""
    closings: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(r"[{}]", code):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closings[opened.pop()] = brace.start()
    return closings


if __name__ == "__main__":
    main()
