"""How a document is laid out, as it is written under `synthesis: {document: ...}`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from llm_orc.domain.problem import KeyPath
from llm_orc.domain.read import Name, Read


def _written(value: object) -> object:
    # A section is most often written as its agent's name, contents as on or off, and the whole as `true`.
    return {"agent": value} if isinstance(value, str) else value


def _contents(value: object) -> object:
    return {"depth": 2 if value else 0} if isinstance(value, bool) else value


def _whole(value: object) -> object:
    return {} if value is True else value


class SectionLayout(Read):
    """A section: the reply of one agent."""

    agent: Name
    """Whose reply it is."""
    title: str | None = None
    """Its heading, which may name variables; without it the heading that the reply begins with, else the agent's name."""


class Toc(Read):
    """The table of contents."""

    depth: Annotated[int, Field(ge=0, le=5)] = 2
    """How many levels of headings it lists; 1 is the sections alone, 0 is no table."""


class Layout(Read):
    """What stands in a document, and how."""

    title: Annotated[str, Field(min_length=1)] | None = None
    """The one heading of the first level, which may name `input` and variables; the ensemble's name, if left out."""
    sections: (
        Annotated[
            tuple[Annotated[SectionLayout, BeforeValidator(_written, json_schema_input_type=Name | SectionLayout)], ...],
            Field(min_length=1),
        ]
        | None
    ) = None
    """The agents whose replies it has, in order; the leaves, if left out."""
    toc: Annotated[Toc, BeforeValidator(_contents, json_schema_input_type=bool | Toc)] = Toc()
    """A table of contents, whose links are GitHub's; true, false or its depth."""
    number: bool = False
    """Whether headings are numbered."""
    metadata: bool = True
    """Whether it says below the title when, by which models and in which run it was made."""
    on_missing: Literal["note", "omit", "fail"] = "note"
    """A section without a reply is noted as missing, is left out, or makes the synthesis fail."""

    def titles(self) -> Iterator[tuple[str, str, KeyPath]]:
        """Those that were written, by agent, with their paths; its own is under ""."""
        if self.title:
            yield "", self.title, ("document", "title")
        for index, section in enumerate(self.sections or ()):
            if section.title:
                yield section.agent, section.title, ("document", "sections", index, "title")


WrittenLayout = Annotated[Layout, BeforeValidator(_whole, json_schema_input_type=Literal[True] | Layout)]
