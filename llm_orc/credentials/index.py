"""Which keys are kept, and where: no secret, so that looking for a key opens neither keyring nor vault."""

from pathlib import Path
from typing import Literal

from llm_orc.credentials.files import read_as, write_private
from llm_orc.domain.read import Name, Read

Store = Literal["keyring", "vault"]
DEFAULT = "default"
"""The name of a key that was given none."""
SHORT = 16
"""Of a key that is shorter than this, four characters would be too many to show."""


class Login(Read):
    """How a token came to be, so that the next login needs no more than the provider's name."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ()
    device: bool = False


class Kept(Read):
    """One kept key or login."""

    provider: Name
    name: Name = DEFAULT
    store: Store
    last_four: str = ""
    login: Login | None = None

    @property
    def origin(self) -> str:
        """For people: `keyring`, `vault (work)`, `login, keyring (work)`."""
        where = f"login, {self.store}" if self.login else self.store
        return where if self.name == DEFAULT else f"{where} ({self.name})"


class Index(Read):
    """All of them, in the order in which they were added."""

    version: Literal[1] = 1
    keys: tuple[Kept, ...] = ()

    def named(self, provider: str, name: str) -> Kept | None:
        """The one of just that name."""
        return next((kept for kept in self.keys if (kept.provider, kept.name) == (provider, name)), None)

    def of(self, provider: str, name: str | None) -> Kept | None:
        """The one of that name; without a name the one that was given none, else the first."""
        if name is not None:
            return self.named(provider, name)
        return self.named(provider, DEFAULT) or next((kept for kept in self.keys if kept.provider == provider), None)

    def without(self, kept: Kept) -> "Index":
        """All but the one of the same provider and name."""
        return Index(keys=tuple(each for each in self.keys if each is not self.named(kept.provider, kept.name)))

    def plus(self, kept: Kept) -> "Index":
        """With this one, in the place of one of the same name."""
        before = self.named(kept.provider, kept.name)
        return Index(keys=tuple(kept if each is before else each for each in self.keys) + (() if before else (kept,)))


class IndexFile:
    """The file that it is kept in; read anew when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._index = Index()

    def read(self) -> Index:
        """What is kept now; raises ProblemError for a broken file."""
        try:
            found = self._file.stat()
        except OSError:
            return self._read()
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen != self._seen:
            self._index, self._seen = self._read(), seen
        return self._index

    def write(self, index: Index) -> None:
        """Replace it; the caller holds the lock."""
        write_private(self._file, index.model_dump_json(indent=1).encode() + b"\n")

    def _read(self) -> Index:
        return read_as(Index, self._file) or Index()


def last_four(key: str) -> str:
    """The end of a key, to tell it from others; nothing of a short one."""
    return key[-4:] if len(key) >= SHORT else ""
