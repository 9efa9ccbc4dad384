"""The folder of a store: only its owner reads it, long texts lie in it as files, and a lock says whose process lives."""

import fcntl
import os
import re
from collections.abc import Container, Iterable
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from llm_orc.domain.problem import Place, Problem, ProblemError

FILE = "store.db"
TEXTS = "blobs"
OWNERS = "running"
_OTHERS = 0o077
_OWNER = re.compile(r"[0-9]+-[0-9a-f]{8}")
_NAME = re.compile(r"[0-9a-f]{64}")


def made(folder: Path) -> None:
    """Make the folder of a store where it is not there, closed to others; raises OSError, ProblemError where it is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise ProblemError(Problem("belongs to another user", Place(str(folder)), "make it yours (chown), or move it away")) from None
        if found.st_mode & _OTHERS:
            folder.chmod(0o700)
    for name in (TEXTS, OWNERS):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    for name, content in ((".gitignore", b"*\n"), (FILE, b"")):
        if not (folder / name).exists():
            _make(folder / name, content)


def _make(file: Path, content: bytes) -> None:
    """A file of our own; SQLite gives those that it puts beside it the same mode."""
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another process was first
    with os.fdopen(opened, "wb") as written:
        written.write(content)


class Texts:
    """Long texts and artifacts, each in a file that is named by its SHA-256."""

    def __init__(self, folder: Path) -> None:
        self._store, self._folder = folder, folder / TEXTS
        self._received: dict[str, Path] = {}

    def keep(self, text: str) -> str:
        """The name under which it can be read again; raises OSError."""
        raw = text.encode(errors="surrogatepass")
        name = sha256(raw).hexdigest()
        file = self.file(name)
        if not file.exists():
            new = file.with_name(f"{name}.{token_hex(4)}")
            try:
                _make(new, raw)
                new.replace(file)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
        return name

    def read(self, name: str) -> str:
        """The text of that name; raises ProblemError where it is lost."""
        try:
            raw = self.file(name).read_bytes()
        except OSError:
            raw = b""
        if sha256(raw).hexdigest() != name:
            raise ProblemError(Problem("is lost: it is not there any more, or not whole", Place(str(self.file(name)))))
        return raw.decode(errors="surrogatepass")

    def receive(self, chunks: Iterable[bytes], owner: str) -> str:
        """The name under which these bytes can be read once they are settled; raises OSError, and what the bytes raise.

        It takes time, and may be done in any thread. Until then they are no part of the store, and are swept away if the owner dies.
        """
        file = self._folder / f"{owner}.{token_hex(4)}"
        hashed = sha256()
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
                for chunk in chunks:
                    hashed.update(chunk)
                    written.write(chunk)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        name = hashed.hexdigest()
        if self._received.setdefault(name, file) is not file:
            file.unlink(missing_ok=True)  # another agent has just made the same
        return name

    def settle(self, name: str) -> None:
        """Put what was received in its place, as a part of the transaction that needs it; raises OSError."""
        if (file := self._received.pop(name, None)) is not None:
            file.replace(self.file(name))

    def forget(self) -> None:
        """Remove what was received and never settled; raises OSError."""
        while self._received:
            self._received.popitem()[1].unlink(missing_ok=True)

    def sweep(self, needed: Container[str]) -> None:
        """Remove all that are not needed; raises OSError."""
        for file in self._folder.iterdir():
            if file.name not in needed and not lives(self._store, file.name.partition(".")[0]):
                file.unlink(missing_ok=True)

    def file(self, name: str) -> Path:
        """Where it lies."""
        return self._folder / (name if _NAME.fullmatch(name) else "no-name")


class Owner:
    """A process that works on runs: as long as it lives, it holds the lock on a file with its name."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self.name = f"{os.getpid()}-{token_hex(4)}"
        self._file = folder / OWNERS / self.name
        self._lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let everything go."""
        self._file.unlink(missing_ok=True)
        os.close(self._lock)


def lives(folder: Path, owner: str | None) -> bool:
    """Whether that process still works; a file that a dead one left is removed."""
    if owner is None or not _OWNER.fullmatch(owner):
        return False
    file = folder / OWNERS / owner
    try:
        lock = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False  # a store that we may only read
    return False
