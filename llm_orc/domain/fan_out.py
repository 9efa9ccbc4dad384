"""What a fan-out goes over."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from llm_orc.domain.read import Name, Read
from llm_orc.domain.split import Measure

Positive = Annotated[int, Field(ge=1)]
FileNames = tuple[Annotated[str, Field(min_length=1)], ...]
USUAL_TOKENS = 3_000
"""Of a chunk, where nothing is said."""


def _compiled(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'pattern' is no regular expression: {getattr(error, 'msg', 'it asks for too much')}") from None
    if not groups:
        raise ValueError("'pattern' names nothing in what it finds: (?P<file>...), (?P<line>...), (?P<message>...)")
    return pattern


SOURCES = ("items", "chunks", "files", "errors", "profiles")
"""What a fan-out can go over."""
_OF: Mapping[str, str] = {
    "tokens": "chunks",
    "characters": "chunks",
    "overlap": "chunks",
    "pattern": "errors",
    "group_by": "errors",
}
"""Keys that belong to one of them."""


class FanOut(Read):
    """One child per item of a list; exactly one of `items`, `chunks`, `files`, `errors` and `profiles`."""

    items: str | list[Any] | None = None
    """A template that gives a list, or the list itself."""
    chunks: str | list[Any] | None = None
    """A template that gives a long text or list: one child per piece of it, cut between paragraphs, else lines, sentences or words."""
    tokens: Positive | None = None
    """How long a piece is at most, its overlap included, four bytes counted as a token; 3000 unless told."""
    characters: Positive | None = None
    """The same in characters."""
    overlap: Annotated[int, Field(ge=0)] = 0
    """How much of the piece before each piece repeats, in the same unit."""
    files: str | FileNames | None = None
    """One child per file: names, folders and patterns such as `src/**/*.py`, in a text one per line, which may be a template."""
    errors: str | list[Any] | None = None
    """A template that gives what a linter or test said, as JSON, JSON lines, SARIF or text: one child per finding."""
    pattern: Annotated[str, AfterValidator(_compiled)] | None = None
    """The regular expression that finds them in a text, with groups `file`, `line` and `message`; unless told, `file:line: message`."""
    group_by: Annotated[str, Field(min_length=1)] | None = None
    """One child for all findings that have the same `file`, or whatever else is named here."""
    profiles: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """One child per profile, to compare models."""
    max_parallel: Positive | None = None
    """How many children run at once."""

    @property
    def source(self) -> str:
        """What it goes over."""
        return next(key for key in SOURCES if getattr(self, key) is not None)

    @property
    def measure(self) -> Measure:
        """How long its chunks are."""
        if self.characters is not None:
            return Measure(self.characters, "characters", self.overlap)
        return Measure(self.tokens or USUAL_TOKENS, "tokens", self.overlap)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError("fan_out takes exactly one of " + ", ".join(f"'{key}'" for key in SOURCES[:-1]) + f" and '{SOURCES[-1]}'")
        for key in self.model_fields_set & _OF.keys():
            if _OF[key] not in given and getattr(self, key) is not None:
                raise ValueError(f"'{key}' belongs to fan_out over '{_OF[key]}'")
        if self.tokens is not None and self.characters is not None:
            raise ValueError("'tokens' and 'characters' exclude one another")
        if self.overlap >= self.measure.most:
            raise ValueError(f"'overlap' has to be below the {self.measure.most} {self.measure.unit} of a piece")
        return self
