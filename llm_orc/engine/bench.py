"""Where programs leave their files: a folder of this process, locked as long as it lives, with a folder for each program in it.

What a process that was killed has left is removed by the next one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from threading import Lock

_NAME = "llm-orc-"
_LOCK = ".lock"


class Bench:
    """The folder of this process below a parent; it is there while anybody needs it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._number = -1
        self._users = 0
        self._swept = False
        self._guard = Lock()

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder, which whoever gets it removes; raises OSError."""
        with self._guard:
            folder = self._taken() / token_hex(4)
            try:
                folder.mkdir(mode=0o700)
            except OSError:
                self._let_go()
                raise
        try:
            yield folder
        finally:
            with self._guard:
                self._let_go()

    def _taken(self) -> Path:
        if self._folder is None:
            if not self._swept:
                self._swept = True
                self._sweep()
            folder = self._parent / f"{_NAME}{token_hex(8)}"
            folder.mkdir(mode=0o700)
            new = folder / f"{_LOCK}.new"
            self._number = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._number, fcntl.LOCK_EX)
            new.rename(folder / _LOCK)  # where it is seen, it is held
            self._folder = folder
        self._users += 1
        return self._folder

    def _let_go(self) -> None:
        self._users -= 1
        if self._users or self._folder is None:
            return
        folder, self._folder = self._folder, None
        (folder / _LOCK).unlink(missing_ok=True)
        os.close(self._number)
        with suppress(OSError):  # something in it would not go
            folder.rmdir()

    def _sweep(self) -> None:
        with os.scandir(self._parent) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(_NAME)]
        for folder in found:
            with suppress(OSError):
                if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                    _remove(folder)


def _remove(folder: Path) -> None:
    """Remove it, unless somebody works in it; raises OSError."""
    number = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)  # without one it is just being made
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        emptied(folder)
    finally:
        os.close(number)


def emptied(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be done."""
    import shutil  # most programs leave nothing

    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
