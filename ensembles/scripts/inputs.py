"""The input of `code-review` as sources with real line numbers.

It is a source file, several files as `tail -n +1 FILES` joins them, or a unified diff, of which only the added lines are reviewed.
A file that a diff names, and that lies below the working directory or its repository as the diff has it, is read whole.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from languages import NOT_CODE, SUFFIXES, language_of_path, language_of_text
from reviewing import Source

LARGEST_FILE = 4_000_000  # bytes of a file that a diff names


def sources(text: str) -> list[Source]:
    """The files that the input holds."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if (start := _start_of_diff(text)) is not None:
        return [_completed(source) for source in _diffed(text[start:].split("\n"))]
    if (named := _named(text)) is not None:
        return named
    body = _without_request(text)
    language = language_of_text(body)
    suffix = SUFFIXES[language][0] if language in SUFFIXES else ""
    return [_source(f"input.{suffix}" if suffix else language or "input", language, body)] if body.strip() else []


def is_diff(text: str) -> bool:
    """Whether the input is a unified diff."""
    return _start_of_diff(text.replace("\r\n", "\n")) is not None


def _source(path: str, language: str, body: str) -> Source:
    lines = body.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return Source(path, language, dict(enumerate(lines, 1)))


NAMED = re.compile(r"^==> (.+) <==$", re.MULTILINE)


def _named(text: str) -> list[Source] | None:
    """Files as `head` and `tail` print them, each below a line with its name; None where the input is nothing of the kind."""
    first = NAMED.search(text)
    if first is None or language_of_text(text[: first.start()]) not in NOT_CODE:
        return None
    pieces = NAMED.split(text)[1:]
    bodies = [(path, body.removeprefix("\n")) for path, body in zip(pieces[::2], pieces[1::2], strict=True)]
    filled = [(path, body) for path, body in bodies if body.strip()] or bodies
    return [_source(path, language_of_path(path) or language_of_text(body), body) for path, body in filled]


REQUEST = re.compile(r"\A\s*([^\n]+)\n\n")
KEYWORDS = (
    r"(?:import|from|package|use|using|module|namespace|pass|require|include|include_once|public|class|return|set|export|const|let|var"
    r"|def|fn|func)\b"
)


def _without_request(text: str) -> str:
    """Drop a line of plain words before the code: what the caller asked for on the command line."""
    first = REQUEST.match(text)
    if first is None or re.search(r"[(){}\[\]=;<>\\@#|*`]|\"\"\"|//|^\s|^[-+]", first[1]) or re.match(KEYWORDS, first[1]):
        return text
    return text[first.end() :] if re.match(r"[^\W\d_][\w'-]*(?:[ ,.!?:]|$)", first[1]) else text


DIFF = re.compile(r"^(?:diff --(?:git|cc|combined) |Index: .+\n=|--- \S.*\n\+\+\+ \S.*\n@@ )", re.MULTILINE)
HUNK = re.compile(r"(@@+) -\d+(?:,(\d+))? (?:-\d+(?:,\d+)? )*\+(\d+)(?:,(\d+))? @@")


def _start_of_diff(text: str) -> int | None:
    first = DIFF.search(text)
    if first is None:
        return None
    before = text[: first.start()]  # a request, a message of a commit; code with a diff inside it is code
    is_prose = before.startswith(("commit ", "From ")) or language_of_text(before) in NOT_CODE
    return first.start() if is_prose else None


class _Hunks:
    """The new side of one file, as it is read from its hunks."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}
        self.added: set[int] = set()
        self.removed: list[str] = []
        self.at = self.old = self.new = 0  # the next line's number; lines still to come of the old and of the new side
        self.columns = 1  # of marks before a line: one per parent, so that merges are read too

    def open(self, hunk: re.Match[str]) -> None:
        self.columns = len(hunk[1]) - 1
        self.old = int(hunk[2] or 1) if self.columns == 1 else sys.maxsize
        self.at, self.new = int(hunk[3]), int(hunk[4] or 1)

    def read(self, line: str) -> bool:
        """Take a line of the hunk; False when the hunk is over."""
        marks, body = line[: self.columns], line[self.columns :]
        if self.old and "-" in marks and not marks.strip("- "):
            self.removed.append(body)
            self.old -= 1
            return True
        if not self.new or marks.strip("+ "):
            return line.startswith("\\")
        self.lines[self.at] = body
        if "+" in marks:
            self.added.add(self.at)
        else:
            self.old -= 1
        self.at += 1
        self.new -= 1
        return True


def _diffed(lines: list[str]) -> Iterator[Source]:
    """Each file of a diff that has added or removed lines."""
    old = path = ""
    hunks = _Hunks()
    inside = False
    for index, line in enumerate(lines):
        hunk = HUNK.match(line)
        if hunk and path and not hunks.new:
            hunks.open(hunk)
            inside = True
        elif inside and hunks.read(line):
            continue
        elif line.startswith("--- ") and lines[index + 1 : index + 2] and lines[index + 1].startswith("+++ "):
            yield from _file_of(path, old, hunks)
            old, path = _path(line[4:]), _path(lines[index + 1][4:])
            hunks, inside = _Hunks(), False
        else:
            inside = inside and bool(hunk)
    yield from _file_of(path, old, hunks)


def _file_of(path: str, old: str, hunks: _Hunks) -> Iterator[Source]:
    name = old if path == "/dev/null" else path
    if hunks.lines or hunks.removed:
        text = "\n".join(hunks.lines.values())
        language = language_of_path(name) or language_of_text(text)
        yield Source(name, language, hunks.lines, frozenset(hunks.added), old == "/dev/null", tuple(hunks.removed))


def _path(told: str) -> str:
    """The path in a `---` or `+++` line, without its prefix, its time and git's quotes."""
    path = told.split("\t", 1)[0].rstrip()
    if path.startswith('"') and path.endswith('"'):
        path = path[1:-1].encode().decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")
    return path if path == "/dev/null" else re.sub(r"\A[abciwo]/", "", path)


def _completed(source: Source) -> Source:
    """The source with all lines of its file, where the file is here as the diff has it."""
    if source.whole or not source.lines:
        return source
    for root in (Path.cwd(), *_repository()):
        lines = _lines_of(root, source.path)
        if lines and all(lines.get(number) == line for number, line in source.lines.items()):
            return source._replace(lines=lines, whole=True)
    return source


def _repository() -> list[Path]:
    here = Path.cwd()
    return [folder for folder in here.parents if (folder / ".git").exists()][:1]


def _lines_of(root: Path, path: str) -> dict[int, str]:
    """The lines of a file below a folder; none when it is not there, too large, or elsewhere."""
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root.resolve()) or not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return {}
        text = file.read_bytes().decode()
    except (OSError, ValueError):
        return {}
    return _source(path, "", text.replace("\r\n", "\n").replace("\r", "\n")).lines
