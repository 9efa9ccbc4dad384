"""Where a result goes: to stdout, or to a file that appears whole or not at all."""

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_orc.cli.terminal import Terminal, reason
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.render.formats import Format, Paper, open_format

PAGES = ("html", "pdf")
"""The formats that a style sheet goes with."""
BY_ENDING = {
    ".docx": "docx",
    ".htm": "html",
    ".html": "html",
    ".json": "json",
    ".jsonl": "jsonl",
    ".markdown": "markdown",
    ".md": "markdown",
    ".pdf": "pdf",
    ".txt": "text",
}
FOREIGN = frozenset((".doc", ".odt", ".rtf", ".epub", ".xlsx", ".pptx", ".png", ".jpg", ".jpeg", ".gif", ".webp"))
"""Endings of what is no text, and what we do not write: a text of that name would be a broken file."""


@dataclass(slots=True)
class Target:
    """Takes the result as it comes."""

    terminal: Terminal
    file: Path | None = None
    """None is stdout."""
    named: str = ""
    """The file as it was named."""
    is_wanted: bool = True
    """Whether anything is written at all."""
    _pieces: list[str | bytes] = field(default_factory=list)

    @property
    def write(self) -> Callable[[str | bytes], None]:
        """What takes text: at once on stdout, kept until the end for a file."""
        return self._pieces.append if self.file or not self.is_wanted else self.terminal.answer

    @property
    def holds(self) -> bool:
        """Whether anything was written that is kept until the end."""
        return bool(self._pieces)

    @property
    def width(self) -> int | None:
        """Columns; None where it is no terminal."""
        return None if self.file or not self.is_wanted else self.terminal.stdout.width

    @property
    def color(self) -> bool:
        """Whether it takes colours."""
        return not self.file and self.terminal.stdout.color

    def finish(self) -> None:
        """Write the file. Where that fails the result goes to stdout, and ProblemError is raised."""
        if self.file is None:
            return
        raw = b"".join(piece if isinstance(piece, bytes) else piece.encode(errors="replace") for piece in self._pieces)
        try:
            _write(self.file, raw)
        except OSError as error:
            self.terminal.answer(raw)
            raise ProblemError(Problem(f"cannot be written: {reason(error)}", Place(self.named), "the result is on stdout")) from None
        self.terminal.say(f"wrote {self.named}\n")


def target_of(terminal: Terminal, named: str | None, *, force: bool, split: str | None = None) -> Target:
    """Where `-o` says, or nowhere beside `--split`; raises ProblemError before anything is spent on a result that could not be kept."""
    if named is None or named == "-":
        if force and split is None:
            raise ProblemError(Problem("--force goes with -o FILE and --split DIR"))
        return Target(terminal, is_wanted=named is not None or split is None)
    file = terminal.where.cwd / named
    if problem := _cannot_be_written(file, named, force=force):
        raise ProblemError(problem)
    return Target(terminal, file, named)


def format_of(target: Target, flag: str | None, *others: str | None) -> str:
    """The format that was asked for, first by flag, then by the file's ending; else rich on a terminal and text in a pipe."""
    chosen = next(filter(None, (flag, by_ending(target, BY_ENDING), *others)), None)
    if chosen is None:
        refuse_ending(target, BY_ENDING, FOREIGN)
    return chosen or ("rich" if target.width else "text")


def by_ending(target: Target, known: Mapping[str, str]) -> str | None:
    """The format that the ending of the file names."""
    return known.get(target.file.suffix.lower()) if target.file else None


def refuse_ending(target: Target, known: Mapping[str, str], foreign: Container[str]) -> None:
    """Raise ProblemError where the ending names a format that is not written here."""
    ending = target.file.suffix.lower() if target.file else ""
    if ending in foreign:
        hint = f"endings are {', '.join(known)}; with another one: --output-format"
        raise ProblemError(Problem(f"nothing is written as {ending} here", Place(target.named), hint))


def style_sheet(terminal: Terminal, named: str, chosen: str) -> str:
    """What `--css` names; raises ProblemError."""
    if chosen not in PAGES:
        raise ProblemError(Problem(f"--css does nothing with the format '{chosen}'", hint="it goes with pages: -o FILE.html, -o FILE.pdf"))
    try:
        return (terminal.where.cwd / named).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ProblemError(Problem("is not UTF-8 text", Place(named))) from None
    except (OSError, ValueError) as error:
        what = reason(error) if isinstance(error, OSError) else "no file has such a name"
        raise ProblemError(Problem(f"cannot be read: {what}", Place(named))) from None


def opened(name: str, paper: Paper, *written: tuple[str | None, Place | None]) -> Format:
    """The format; raises ProblemError, at the place where that name is written if no flag said it."""
    try:
        return open_format(name, paper)
    except ProblemError as error:
        place = next((place for said, place in written if said == name), None)
        raise ProblemError(*(replace(problem, place=problem.place or place) for problem in error.problems)) from None


def _cannot_be_written(file: Path, named: str, *, force: bool) -> Problem | None:
    place = Place(named)
    try:
        if file.is_dir():
            return Problem("is a folder", place, f"name a file in it: -o {named.rstrip('/')}/result.md")
        if not file.parent.is_dir():
            return Problem("its folder does not exist", place, f"make it: mkdir -p {Path(named).parent}")
        if file.exists():
            if file.is_file() and not force:
                return Problem("exists already", place, "--force replaces it")
            return None if os.access(file, os.W_OK) else Problem("may not be written", place)
        return None if os.access(file.parent, os.W_OK) else Problem("its folder may not be written", place)
    except (OSError, ValueError) as error:
        return Problem(f"cannot be a file: {reason(error) if isinstance(error, OSError) else 'no file has such a name'}", place)


def _write(file: Path, raw: bytes) -> None:
    """Replace the file at once; a pipe or a device is written to as it is. Raises OSError."""
    real = Path(os.path.realpath(file))  # Path.resolve raises where links lead in a circle
    if real.exists() and not real.is_file():
        real.write_bytes(raw)
        return
    fresh = real.with_name(f".{real.name[:100]}.{os.getpid()}")
    try:
        fresh.write_bytes(raw)
        if real.exists():
            fresh.chmod(real.stat().st_mode)
        fresh.replace(real)
    finally:
        fresh.unlink(missing_ok=True)
