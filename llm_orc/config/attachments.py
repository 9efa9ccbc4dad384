"""Reads the files that go with a message. One that is named twice is read once, and kept as long as somebody uses it."""

from collections.abc import Iterable
from os import PathLike, fspath, fstat
from pathlib import Path
from stat import S_ISREG
from weakref import WeakValueDictionary

from llm_orc.config.reading import reason
from llm_orc.domain.attached import LARGEST, attachment_of, too_large
from llm_orc.domain.message import Attachment
from llm_orc.domain.problem import Problem, ProblemError

_read: WeakValueDictionary[tuple[int, int, int, int], Attachment] = WeakValueDictionary()
"""By what the system tells a file, and one state of it, apart by."""


Given = str | PathLike[str] | bytes | Attachment
"""A file as a caller names it: by its path, or as what it holds."""


def attachments_of(given: Iterable[Given], cwd: Path) -> tuple[Attachment, ...]:
    """Each once, in order; raises ProblemError with all that is wrong."""
    found: dict[Attachment, None] = {}
    problems: list[Problem] = []
    for number, each in enumerate(given, 1):
        try:
            found[_attachment(each, number, cwd)] = None
        except ProblemError as error:
            problems += error.problems
    if problems:
        raise ProblemError(*problems)
    return tuple(found)


def _attachment(each: Given, number: int, cwd: Path) -> Attachment:
    match each:
        case Attachment():
            return each
        case bytes():
            return attachment_of(f"attachment-{number}", each)
        case _:
            return read_attachment(cwd / each, fspath(each))


def read_attachment(path: Path, name: str) -> Attachment:
    """The file, under the name that it was called by; raises ProblemError without a place."""
    try:
        found = path.stat()
        if not S_ISREG(found.st_mode):  # a pipe that nobody writes to would never be open
            raise ProblemError(Problem(f"'{name}' is no file", hint="attach the files in it by their names" if path.is_dir() else ""))
        with path.open("rb") as file:
            found = fstat(file.fileno())
            if found.st_size > LARGEST:
                raise too_large(name)
            known = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            same = _read.get(known)
            data = file.read(LARGEST + 1) if same is None else same.data
    except FileNotFoundError:
        raise ProblemError(Problem(f"no file '{name}'")) from None
    except OSError as error:
        raise ProblemError(Problem(f"'{name}' cannot be read: {reason(error)}")) from None
    except ValueError:  # a NUL in the name
        raise ProblemError(Problem(f"{name!r} is no name of a file")) from None
    called = path.name if Path(name).is_absolute() else name  # nobody else needs to know where a person keeps files
    attachment = attachment_of(called, data, str(path.absolute()))
    if same is None:
        _read[known] = attachment
    return attachment if attachment != same else same
