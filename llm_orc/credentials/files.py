"""Files that only their owner reads: checked when read, locked while they change, replaced in one step."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.read import Read

OTHERS = 0o077
Model = TypeVar("Model", bound=Read)


def read_private(file: Path) -> bytes | None:
    """What the file holds, None where there is none; raises ProblemError where somebody else could have read or written it."""
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid != os.getuid():
                raise ProblemError(Problem("belongs to another user", Place(str(file)), "make it yours (chown), or move it away"))
            if found.st_mode & OTHERS:
                raise ProblemError(Problem("others may read or write this file", Place(str(file)), f"close it: chmod 600 {file}"))
            return opened.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {_reason(error)}", Place(str(file)))) from None


def read_as(model: type[Model], file: Path) -> Model | None:
    """The file as a model; raises ProblemError where it is broken, which leaves it as it is."""
    raw = read_private(file)
    if raw is None:
        return None
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        newer = any(fault["loc"] == ("version",) for fault in error.errors(include_url=False, include_input=False))
        what = "was written by another version of llm-orc" if newer else "is broken or cut short"
        hint = "update llm-orc, or move the file away" if newer else "take it from a backup, or move it away and add your keys again"
        raise ProblemError(Problem(what, Place(str(file)), hint)) from None


def write_private(file: Path, data: bytes) -> None:
    """Replace the file in one step: whoever reads it sees the old or the new one; raises ProblemError."""
    target = Path(os.path.realpath(file))
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
                written.write(data)
                written.flush()
                os.fsync(written.fileno())
            new.replace(target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        _sync(target.parent)
    except OSError as error:
        raise ProblemError(Problem(f"cannot be written: {_reason(error)}", Place(str(file)))) from None


@contextmanager
def locked(folder: Path, name: str = "") -> Iterator[None]:
    """Make the folder where it is not there, and be the only one, of all threads and processes, within the block."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():  # settings are often kept in a repository
            write_private(ignored, b"*\n")
        lock = os.open(folder / f".lock{name}", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProblemError(Problem(f"cannot be written: {_reason(error)}", Place(str(folder)))) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _reason(error: OSError) -> str:
    return (error.strerror or "the system says no").lower()
