"""What the checks of `code-review` share: what a source is, and what a finding is."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict

from languages import NOT_CODE

SEVERITIES = ("high", "medium", "low")
LONGEST_LINE = 2_000  # beyond it a line is made by a program
GENERATED = re.compile(
    r"(?:^|/)(?:node_modules|vendor|third_party|dist|\.venv)/|\.min\.\w+$|\.lock$|(?:^|/)(?:package-lock\.json|go\.sum|pnpm-lock\.yaml)$"
)
TESTS = re.compile(
    r"(?:^|/)(?:tests?|specs?|__tests__|testing|fixtures)/|(?:^|/)(?:test_[^/]*|conftest\.py)$"
    r"|(?:_test|_spec|\.test|\.spec)\.\w+$|Tests?\.(?:java|kt|cs|swift)$"
)


class Finding(TypedDict):
    """One thing that was found; `rule` is its kind: equal kinds of one file are told together when they are many."""

    file: str
    line: int
    severity: str
    what: str
    quote: str
    fix: str
    rule: str


class NotRun(TypedDict):
    """A check that did not run, or not on everything, and why."""

    check: str
    why: str


class Source(NamedTuple):
    """One file under review: the lines that are known, by number, and those that are reviewed (None: all)."""

    path: str
    language: str
    lines: dict[int, str]
    changed: frozenset[int] | None = None
    whole: bool = True
    removed: tuple[str, ...] = ()

    def reviewed(self, number: int) -> bool:
        """Whether this line is under review."""
        return number in self.lines if self.changed is None else number in self.changed

    def parts(self) -> Iterator[tuple[int, str]]:
        """Runs of lines without a gap, as (number of the first line, text)."""
        run: list[str] = []
        before = 0
        for number in sorted(self.lines):
            if run and number != before + 1:
                yield before - len(run) + 1, "\n".join(run)
                run = []
            run.append(self.lines[number])
            before = number
        if run:
            yield before - len(run) + 1, "\n".join(run)

    @property
    def is_code(self) -> bool:
        """Whether people wrote it, in a programming language."""
        return self.language not in NOT_CODE and not self.is_generated

    @property
    def is_generated(self) -> bool:
        """Whether a program made it: by its name, or by its lines."""
        return bool(GENERATED.search(self.path)) or any(len(line) > LONGEST_LINE for line in self.lines.values())

    @property
    def is_test(self) -> bool:
        """Whether it is a test, by its name."""
        return bool(TESTS.search(self.path))


def read_request() -> dict[str, Any]:
    """The JSON object on stdin."""
    request: dict[str, Any] = json.load(sys.stdin)
    return request


def reply(**parts: Any) -> None:
    """Write the script's reply."""
    json.dump(parts, sys.stdout, ensure_ascii=False)


def quoted(line: str, width: int = 100) -> str:
    """A line as it is quoted: without the blanks round it, cut when it is long."""
    line = line.strip()
    return line if len(line) <= width else line[:width].rstrip() + "…"


def found(source: Source, number: int, severity: str, what: str, fix: str, rule: str) -> Finding:
    """A finding on one line of a source."""
    quote = quoted(source.lines.get(number, ""))
    return {"file": source.path, "line": number, "severity": severity, "what": what, "quote": quote, "fix": fix, "rule": rule}


def unknown_languages(check: str, reviewed: list[Source], known: set[str] | dict[str, Any]) -> list[NotRun]:
    """The languages of the input that a check does not know, named."""
    names = sorted({source.language or f"the language of {source.path}" for source in reviewed if source.language not in known})
    return [{"check": check, "why": "does not know " + ", ".join(names[:5]) + (", ..." if names[5:] else "")}] if names else []


def line_of(finding: Finding, place: str = "") -> str:
    """A finding as one line: `file:line severity what | quoted line | fix`."""
    place = place or f"{finding['file']}:{finding['line']}"
    return " | ".join(part for part in (f"{place} {finding['severity']} {finding['what']}", finding["quote"], finding["fix"]) if part)


def code(text: str) -> str:
    """A text as Markdown code, whatever backticks it has."""
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{blank}{text}{blank}{marks}" if text else ""
