"""Ruff's rules F, B, S, C90 and PERF on the Python of the input, without those that are mostly noise in good code."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from inputs import sources
from languages import parsed_python
from reviewing import Finding, NotRun, Source, found, read_request, reply, unknown_languages

CHECK = "ruff"
MISSING = "not installed: pip install 'llm-orc[review]'"
IGNORED = (
    "S105,S106,S107,"  # passwords have a check of their own
    "S101,S310,S311,S404,S603,S606,S607,"  # asserts, addresses, plain random numbers, commands without a shell
    "B009,B010,B017,B027,B028,B904,B905,B911,B912,PERF203,"  # matters of taste
    "F405,F722"  # what F403 has said already; annotations that are no types
)
NEEDS_THE_FILE = "F,C90,B018"  # who defines a name, how long a function is
IMMUTABLE = (
    "fastapi.Depends",
    "fastapi.Query",
    "fastapi.Body",
    "fastapi.Header",
    "fastapi.File",
    "fastapi.Security",
    "typer.Option",
    "typer.Argument",
)

SWALLOWED = ("medium", "catch the exception that is expected, and say what happened")
NO_SHELL = ("high", "pass a list of arguments and no shell")
UNUSED = ("medium", "use the result, or delete the line")
SYNTAX = ("high", "mend the syntax: Python cannot read this file")
# Severity and fix. A rule that is not here is told with ruff's own fix.
RULES = {
    "S102": ("high", "call the code instead of building it as text"),
    "S103": ("medium", "give the file no more rights than it needs"),
    "S104": ("low", "bind 127.0.0.1 unless strangers shall connect"),
    "S108": ("low", "use the module tempfile"),
    "S110": SWALLOWED,
    "S112": SWALLOWED,
    "S113": ("medium", "pass timeout="),
    "S201": ("high", "leave debug off where others can reach it"),
    "S202": ("high", 'pass filter="data"'),
    "S301": ("medium", "use JSON: unpickling runs whatever the data says"),
    "S302": ("medium", "use JSON"),
    "S306": ("medium", "use tempfile.mkstemp"),
    "S307": ("high", "use ast.literal_eval, or look the name up in a dict"),
    "S324": ("medium", "use hashlib.sha256, or pass usedforsecurity=False"),
    "S501": ("high", "leave certificate checks on"),
    "S506": ("high", "use yaml.safe_load"),
    "S507": ("high", "check the host's key"),
    "S602": NO_SHELL,
    "S604": NO_SHELL,
    "S605": NO_SHELL,
    "S608": ("high", "pass the values as parameters of the query"),
    "S701": ("medium", "turn autoescape on"),
    "B002": ("high", "write += 1"),
    "B006": ("medium", "default to None and make a new one inside"),
    "B007": ("low", "name it _, or use it"),
    "B008": ("low", "call it inside the function"),
    "B011": ("low", "raise AssertionError: python -O drops asserts"),
    "B012": ("medium", "leave return, break and continue out of finally: they swallow the exception"),
    "B015": UNUSED,
    "B018": ("low", UNUSED[1]),
    "B019": ("medium", "cache outside the class: this cache keeps every instance alive"),
    "B023": ("medium", "bind it as a default argument of the inner function"),
    "B024": ("low", "mark a method as abstract, or do without ABC"),
    "B026": ("low", "put *args before the keywords"),
    "C901": ("low", "take parts of it out into functions of their own"),
    "PERF401": ("low", "build the list with a comprehension"),
    "PERF403": ("low", "build the dict with a comprehension"),
    "F401": ("low", "delete the import"),
    "F403": ("low", "import the names that are used"),
    "F405": ("low", "import the name by itself"),
    "F541": ("low", "drop the f"),
    "F632": ("high", "compare with =="),
    "F811": ("medium", "delete or rename one of the two"),
    "F821": ("high", "define it, import it, or mend the spelling"),
    "F823": ("high", "assign it first, or declare it global"),
    "F841": ("low", "use it, or do not keep it"),
    "F901": ("medium", "raise NotImplementedError"),
}
# Where ruff's sentence is longer than what it says.
WORDS = {
    "B006": "all calls share this one default value",
    "B008": "called once for all, when the function is defined",
    "C901": "too many branches",
    "S110": "errors are swallowed without a trace",
    "S112": "errors are swallowed without a trace",
    "S602": "a shell reads this command",
    "S605": "a shell reads this command",
    "S608": "values become part of the SQL text",
}


class Piece(NamedTuple):
    """Python that ruff reads: a file, or a hunk that parses by itself."""

    source: Source
    text: str
    first: int  # the number of its first line in the source
    whole: bool
    gathers: bool = False  # names for others to import, as `__init__.py` does: they are unused here by intention

    @property
    def name(self) -> str:
        """Stubs have rules of their own."""
        return "input.pyi" if self.source.path.endswith(".pyi") else "input.py"


def main() -> None:
    """Review the Python of the input."""
    reviewed = sources(read_request()["input"] or "")
    python = [source for source in reviewed if source.language == "Python" and not source.is_generated]
    if not python:
        reply(ran=[], findings=[], not_run=unknown_languages(CHECK, reviewed, {"Python"}))
    elif importlib.util.find_spec("ruff") is None:
        reply(ran=[], findings=[], not_run=[{"check": CHECK, "why": MISSING}])
    else:
        review(python)


def review(python: list[Source]) -> None:
    """Run ruff on all that can be read."""
    pieces = [piece for source in python for piece in _pieces(source)]
    partly = sorted({source.path for source in python if not source.whole})
    not_run: list[NotRun] = []
    if partly:
        why = f"saw only hunks of {', '.join(partly[:3])}{', ...' if len(partly) > 3 else ''}: no such file here"
        not_run = [{"check": CHECK, "why": why}]
    try:
        findings = [
            finding for whole in (True, False) for finding in _findings([piece for piece in pieces if piece.whole is whole], whole=whole)
        ]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reply(ran=[], findings=[], not_run=[{"check": CHECK, "why": f"did not work: {error}"}])
    else:
        reply(ran=[CHECK] if pieces else [], findings=findings, not_run=not_run)


def _pieces(source: Source) -> Iterator[Piece]:
    for first, text in source.parts():
        if source.whole:
            gathers = source.path.endswith("__init__.py") or (source.path == "input.py" and _only_imports(text))
            yield Piece(source, text + "\n", first, whole=True, gathers=gathers)
            continue
        lines = text.split("\n")
        changed = [index for index in range(len(lines)) if source.reviewed(first + index)]
        spans = [(start, end) for start in (0, changed[0]) for end in (len(lines), changed[-1] + 1)] if changed else []
        for start, end in spans:  # the hunk as far as it parses
            if parsed_python(part := textwrap.dedent("\n".join(lines[start:end])) + "\n"):
                yield Piece(source, part, first + start, whole=False)
                break


def _findings(pieces: list[Piece], *, whole: bool) -> list[Finding]:
    if not pieces:
        return []
    with tempfile.TemporaryDirectory() as folder:
        by_file: dict[str, Piece] = {}
        for index, piece in enumerate(pieces):
            file = Path(folder, str(index), piece.name).resolve()
            file.parent.mkdir()
            file.write_text(piece.text, encoding="utf-8", errors="replace")
            by_file[str(file)] = piece
        return [finding for told in _ruff(folder, whole=whole) if (finding := _finding(by_file[told["filename"]], told))]


def _ruff(folder: str, *, whole: bool) -> list[dict[str, Any]]:
    """What ruff says of all files in a folder, without anybody's settings."""
    command = [sys.executable, "-P", "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", "--output-format", "json"]
    command += ["--target-version", "py313", "--select", "F,B,S,C90,PERF", "--ignore", IGNORED if whole else f"{IGNORED},{NEEDS_THE_FILE}"]
    command += [
        "--config",
        f"lint.flake8-bugbear.extend-immutable-calls={json.dumps(IMMUTABLE)}",
        "--config",
        "lint.mccabe.max-complexity=15",
        folder,
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise ValueError(f"exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    told: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    return sorted(told, key=lambda one: (one["filename"], one["location"]["row"], one["location"]["column"]))


def _finding(piece: Piece, told: dict[str, Any]) -> Finding | None:
    """A finding of ruff's on a line under review."""
    code = told["code"] or "invalid-syntax"
    is_syntax = not code[-1:].isdigit()
    severity, fix = SYNTAX if is_syntax else RULES.get(code, ("low" if code.startswith("PERF") else "medium", _own_fix(told)))
    start, end = (piece.first - 1 + told[place]["row"] for place in ("location", "end_location"))
    if (code == "F401" and piece.gathers) or (code == "F821" and "name-defined" in piece.source.lines.get(start, "")):  # known to mypy
        return None
    if not any(piece.source.reviewed(number) for number in range(start, end + 1)):
        return None
    return found(
        piece.source,
        start,
        severity,
        _what(WORDS.get(code, told["message"]), "" if is_syntax else code),
        fix,
        "syntax" if is_syntax else code,
    )


def _what(message: str, code: str) -> str:
    """Ruff's sentence as the middle of ours: one line, without its advice, a small first letter, its code."""
    words = re.split(r"[;.] ", " ".join(message.split()))[0].rstrip(".")
    words = words[:1].lower() + words[1:] if words[1:2].islower() else words
    return f"{words} ({code})" if code else words


def _own_fix(told: dict[str, Any]) -> str:
    fix = " ".join(((told["fix"] or {}).get("message") or "").split()).rstrip(".")
    return fix[:1].lower() + fix[1:] if fix else f"see: ruff rule {told['code']}"


def _only_imports(text: str) -> bool:
    """Whether a nameless file only gathers names, as `__init__.py` does."""
    tree = parsed_python(text)
    body = tree.body if tree else []
    return all(isinstance(part, (ast.Import, ast.ImportFrom)) or ast.unparse(part).startswith(("'", '"', "__all__")) for part in body)


if __name__ == "__main__":
    main()
