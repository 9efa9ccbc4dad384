"""The files that agents work on."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llm_orc.domain.item import Unread
from llm_orc.domain.message import FailedError, Failure, Kind


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


class NoTree:
    """Where nothing can be read."""

    project = "/"

    def find(self, names: Sequence[str], bounds: str | None) -> Found:  # noqa: ARG002 - the contract
        """Nothing is found."""
        raise FailedError(Failure(Kind.NOT_FOUND, f"no file '{', '.join(names)}': nothing can be read here"))
