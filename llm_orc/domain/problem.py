"""What is wrong, where, and what to do next: the only way in which bad input reaches a person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_orc.domain.secret import PIECE, without_secrets

KeyPath = tuple[str | int, ...]
"""The way to a value in a file, such as `("agents", 2, "prompt")`."""
COMPARED = "<compare>"
"""The file of an ensemble that was made to compare profiles."""


class Place(NamedTuple):
    """A spot in a file; line and column count from 1, and line 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """As editors and compilers write it: `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Source:
    """Where a thing was read from, and where each of its values stands there."""

    file: str
    spots: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)

    @property
    def is_comparison(self) -> bool:
        """Whether it was made to compare profiles."""
        return self.file == COMPARED

    def at(self, *path: str | int) -> Place:
        """The place of the value at `path`, or of the nearest thing around it that was written down."""
        while path and path not in self.spots:
            path = path[:-1]
        return Place(self.file, *self.spots.get(path, (0, 0)))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, told without a secret. A warning is passed over; anything else stops the command with exit code 2."""

    what: str
    place: Place | None = None
    hint: str = ""
    warning: bool = False
    untrusted: bool = False
    """It would be no problem in a project that the user trusts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", without_secrets(self.what, PIECE))
        object.__setattr__(self, "hint", without_secrets(self.hint, PIECE))

    def __str__(self) -> str:
        """Two lines at most: where and what, then the hint."""
        head = f"{self.place}: {self.what}" if self.place else self.what
        return f"{head}\nhint: {self.hint}" if self.hint else head


class ProblemError(Exception):
    """Everything that is wrong at once, sorted by place, each only once."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def untrusted(self) -> bool:
        """Whether trusting the project would mend all of it."""
        return all(problem.untrusted for problem in self.problems)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems by place, without repetitions."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.place or Place(""), problem.what)))


def nearest(word: str, known: Iterable[str]) -> str:
    """A question naming the known word most like `word`, or nothing: `did you mean 'fast'?`."""
    from difflib import get_close_matches  # costs 5 ms, needed only when something is wrong

    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
