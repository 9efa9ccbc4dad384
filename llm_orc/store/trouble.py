"""What keeps a store from being used, in words and with a way out."""

import errno
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from llm_orc.domain.problem import Place, Problem

ELSEWHERE = "keep runs elsewhere, store: {path: FOLDER} in config.yaml, or none of them: --no-store"
_FULL = "the disk is full", "free some space: llm-orc runs prune"
_SHUT = "cannot be written", ELSEWHERE
_BROKEN = "is broken", "move the folder away, and a new store is made"
_BUSY = "another process has held it for too long", "see which one: fuser {file}"
_ELSE = "cannot be read or written", ELSEWHERE
_BY_CODE: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_READONLY: _SHUT,
    sqlite3.SQLITE_PERM: _SHUT,
    sqlite3.SQLITE_CANTOPEN: _SHUT,
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_NOTADB: _BROKEN,
    sqlite3.SQLITE_ERROR: _BROKEN,
}
_BY_ERRNO: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _SHUT,
    errno.EPERM: _SHUT,
    errno.EROFS: _SHUT,
    errno.ENOTDIR: _SHUT,
    errno.EEXIST: _SHUT,
}


def trouble(error: sqlite3.Error | OSError, file: Path, *, warning: bool = False) -> Problem:
    """What went wrong with a store, which lies in this file."""
    if isinstance(error, OSError):
        what, hint = _BY_ERRNO.get(error.errno or 0, _ELSE)
    else:
        what, hint = _BY_CODE.get(_code(error), _ELSE)
    return Problem(what, Place(str(file)), hint.replace("{file}", str(file)), warning=warning)


def is_busy(error: sqlite3.Error | OSError) -> bool:
    """Whether somebody else holds the store, and may let it go."""
    return isinstance(error, sqlite3.Error) and _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk has no room left."""
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # an extended code says more than is asked for
