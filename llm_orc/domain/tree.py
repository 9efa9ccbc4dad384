"""The files that agents work on."""

import re
from collections.abc import Callable, Sequence
from posixpath import normpath
from typing import NamedTuple, Protocol

from llm_orc.domain.item import Unread
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.said import parsed

_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = dict(zip(b"abtnvfr", b"\a\b\t\n\v\f\r", strict=True))


class Found(NamedTuple):
    """Files that were found, and what should be said of those that were passed over."""

    files: tuple[Unread, ...]
    warnings: tuple[str, ...] = ()


class Tree(Protocol):
    """The files that agents work on, as they are named from the working directory."""

    @property
    def project(self) -> str:
        """The folder that what an agent replied may name files in."""
        ...

    def find(self, names: Sequence[str], bounds: str | None) -> Found:
        """The files of these names, folders and patterns, each once, as far as they lie below `bounds`; raises FailedError."""
        ...

    def naming(self) -> Callable[[str], str]:
        """Gives every file one name, as it is seen from the working directory, however it is spelt."""
        ...


class NoTree:
    """Where nothing can be read."""

    project = "/"

    def find(self, names: Sequence[str], bounds: str | None) -> Found:  # noqa: ARG002 - the contract
        """Nothing is found."""
        raise FailedError(Failure(Kind.NOT_FOUND, f"no file '{', '.join(names)}': nothing can be read here"))

    def naming(self) -> Callable[[str], str]:
        """By its spelling alone."""
        return normpath


def names_of(text: str) -> list[str]:
    """The names in a text: a JSON list of them, or one per line, in quotes where git quotes them."""
    try:
        listed = parsed(text) if text.lstrip().startswith(("[", "```")) else None
    except ValueError:  # a pattern may begin with a bracket
        listed = None
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return listed
    return [_unquoted(line.removesuffix("\r")) for line in text.split("\n") if line.strip()]


def _unquoted(line: str) -> str:
    """A name as git prints it that has letters of other alphabets, quotes or line feeds in it."""
    if len(line) < len('""x') or line[0] != '"' or line[-1] != '"':
        return line
    raw = _ESCAPED.sub(lambda found: _byte(found[1]), line[1:-1].encode(errors="surrogateescape"))
    return raw.decode(errors="surrogateescape")


def _byte(escape: bytes) -> bytes:
    return bytes([int(escape, 8) & 0xFF if len(escape) > 1 else _LETTERS.get(escape[0], escape[0])])
