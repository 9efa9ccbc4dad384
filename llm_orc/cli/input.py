"""What an ensemble works on: the argument, the files, and stdin."""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from llm_orc.cli.terminal import Terminal, reason
from llm_orc.config.front_matter import Part, joined
from llm_orc.domain.problem import Place, Problem, ProblemError

PATIENCE = 2.0
"""Seconds of silence on a pipe after which a person is told that it is waited for."""
_SURROGATE = re.compile("[\ud800-\udfff]")  # how Python hands over bytes that are no text
HEARTBEAT = 0.5
"""Seconds after which it looks whether a signal has come."""
CHUNK = 1 << 20
STDIN = "stdin"
FROM_STDIN = "-"
"""What stands for a file that comes through stdin."""
TEXT_ONLY = "only UTF-8 text is read here; pictures and documents go with --attach FILE"


class Given(NamedTuple):
    """What the command line says of the input."""

    text: str
    files: tuple[str, ...] = ()
    stdin: bool = False
    """Whether it is read where it is a pipe or a file."""
    attached: tuple[str, ...] = ()
    """The files that go along with it as they are; `-` is stdin."""


def given_of(text: str, files: Iterable[str], attached: Iterable[str], *, no_stdin: bool) -> Given:
    """What the flags say; a file that comes through stdin is no text."""
    names = tuple(attached)
    return Given(text, tuple(files), not no_stdin and FROM_STDIN not in names, names)


def read_input(terminal: Terminal, given: Given) -> str:
    """The parts that are there, joined by a blank line; one part alone stays as it is. Raises ProblemError with all that is wrong."""
    return joined(part.text for part in read_parts(terminal, given))


def read_parts(terminal: Terminal, given: Given) -> list[Part]:
    """The argument, each file and stdin, as far as they are there. Raises ProblemError with all that is wrong."""
    parts = [Part(given.text)]
    problems = [Problem("the argument is not UTF-8 text", hint=TEXT_ONLY)] if _SURROGATE.search(given.text) else []
    sources = [(name, _chunks_of_file(terminal, name)) for name in given.files]
    if given.stdin and terminal.has_input:
        sources.append((STDIN, _chunks_of_stdin(terminal)))
    for name, chunks in sources:
        try:
            parts.append(Part(_text(chunks, name), name))
        except ProblemError as error:
            problems += error.problems
    if problems:
        raise ProblemError(*problems)
    return parts


def names_a_file(terminal: Terminal, argument: str, *, are_read: bool = False) -> list[Problem]:
    """A warning where the input is only the name of a file, unless files that it names are read."""
    if are_read or not argument or len(argument.split()) != 1 or not (terminal.where.cwd / argument).is_file():
        return []
    what = f"the input is the name '{argument}', not the text of that file"
    return [Problem(what, hint=f"to read the file: -f {argument}", warning=True)]


def _chunks_of_file(terminal: Terminal, name: str) -> Iterator[bytes]:
    try:
        with Path(terminal.where.cwd, name).open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except IsADirectoryError:
        raise ProblemError(Problem("is a folder, not a file", Place(name), f"name its files: -f {name.rstrip('/')}/FILE")) from None
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {reason(error)}", Place(name))) from None
    except ValueError:  # a NUL in the name
        raise ProblemError(Problem("cannot be read: no file has such a name", Place(name))) from None


def _chunks_of_stdin(terminal: Terminal) -> Iterator[bytes]:
    assert terminal.stdin is not None, "there is input only where stdin is open"  # noqa: S101
    if terminal.silent(PATIENCE):
        terminal.say("waiting for input on stdin; Ctrl-D ends it, --no-stdin does without\n")
    try:
        while True:
            while terminal.silent(HEARTBEAT):  # a signal that comes in the moment before a read is heard only after it, which may be never
                pass
            if not (chunk := os.read(terminal.stdin, CHUNK)):
                return
            yield chunk
    except IsADirectoryError:
        raise ProblemError(Problem("is a folder, not a file", Place(STDIN))) from None
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {reason(error)}", Place(STDIN))) from None


def _text(chunks: Iterable[bytes], name: str) -> str:
    """The chunks as text; refused at the first one that is none, as they may go on for ever."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    pieces: list[str] = []
    line = 1
    for chunk in chain(chunks, [b""]):
        try:
            piece = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise ProblemError(_not_utf8(error, name, line)) from None
        if "\0" in piece:
            raise ProblemError(Problem("holds NUL bytes, as no text does", Place(name), TEXT_ONLY))
        line += piece.count("\n")
        pieces.append(piece)
    return "".join(pieces)


def _not_utf8(error: UnicodeDecodeError, name: str, line: int) -> Problem:
    seen, at = error.object, error.start
    line += seen.count(b"\n", 0, at)
    column = at - seen.rfind(b"\n", 0, at)
    encoding = "UTF-16" if line == 1 and seen[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else ""
    hint = f"convert it: iconv -f {encoding} -t UTF-8" if encoding else TEXT_ONLY
    return Problem(f"is not UTF-8 text: byte 0x{seen[at]:02x}", Place(name, line, column), hint)
