"""Replies of several agents as one Markdown document, with a title, contents whose links lead somewhere, and a place for each section."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from
from typing import Self
from unicodedata import category

from llm_orc.domain.outline import Heading, Outline, outline

CONTENTS = "Contents"
_DEEPEST = 6
_IN_SLUGS = ("L", "M", "N", "Pc")
"""Unicode categories of what GitHub keeps of a heading in the name of its place."""


@dataclass(frozen=True, slots=True)
class Section:
    """What one agent has to say."""

    name: str
    text: str = ""
    title: str = ""
    """Instead of the heading that the text begins with, or of the name."""
    note: str = ""
    """Why there is no text, or that it was cut short."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a document is made of."""

    title: str
    sections: tuple[Section, ...]
    facts: tuple[str, ...] = ()
    """When and by what it was made."""
    depth: int = 2
    """How many levels of headings the contents list; 0 is none."""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A heading of the finished document, as its contents list it."""

    depth: int
    """1 is a section."""
    text: str
    slug: str


@dataclass(slots=True)
class Slugs:
    """The names of places in one document, as GitHub gives them."""

    _seen: dict[str, int] = field(default_factory=dict)

    def slug(self, text: str) -> str:
        """The name of the next heading's place."""
        kept = (char for char in text.lower() if char in " -" or category(char).startswith(_IN_SLUGS))
        slug = first = "".join(kept).replace(" ", "-")
        while slug in self._seen:
            self._seen[first] += 1
            slug = f"{first}-{self._seen[first]}"
        self._seen[slug] = 0
        return slug


def markdown(document: Document) -> str:
    """The document as Markdown, without a line break at its end."""
    title, slugs, labels = _one_line(document.title), Slugs(), dict[str, int]()
    slugs.slug(_read(title))
    parts = [_Part.of(section, str(index) if document.number else "", labels) for index, section in enumerate(document.sections, 1)]
    if document.depth:
        slugs.slug(CONTENTS)
    entries = [entry for part in parts for entry in part.entries(slugs) if 0 < entry.depth <= document.depth and entry.text]
    facts = " · ".join(map(_escaped, document.facts))
    contents = "\n".join("  " * (each.depth - 1) + f"- {_linked(each)}" for each in entries)
    head = (f"# {title}", facts and f"*{facts}*", contents and f"## {CONTENTS}\n\n{contents}")
    return "\n\n".join([*filter(None, head), *(part.text for part in parts)])


def alone(section: Section, level: int = 1) -> str:
    """A section as a document of its own, under a heading of this level, without a line break at its end."""
    return _Part.of(section, "", {}, level).text


@dataclass(frozen=True, slots=True)
class _Part:
    """A section as it stands in the document."""

    text: str
    headings: tuple[tuple[int, str], ...]
    """How deep each is, from 1, and what a reader sees of it; 0 is one in a list or a quote."""

    @classmethod
    def of(cls, section: Section, number: str, labels: dict[str, int], level: int = 2) -> Self:
        """`labels` are footnotes before it, each with the last number it was given; its own are added. `level` is that of its heading."""
        page = outline(section.text)
        own, title = page.title, _one_line(section.title)
        if own and title and _read(title) != own.text:
            own = None
        title = title or (_one_line(page.words_of(own)) if own else section.name)
        rest = [heading for heading in page.headings if heading is not own]
        openings: dict[int, str | None] = {own.start: None} if own else {}
        headings = [(1, _read(numbered := f"{number}. {title}" if number else title))]
        for heading, depth, opening in _openings(rest, number, level):
            openings[heading.start] = opening
            headings.append((depth, " ".join([*opening.split()[1:], heading.text]).strip()))
        body = page.edited(openings, _relabelled(page, labels))
        return cls("\n\n".join(filter(None, (f"{'#' * level} {numbered}", body, section.note))), tuple(headings))

    def entries(self, slugs: Slugs) -> Iterator[Entry]:
        """Its headings with the names of their places."""
        return (Entry(depth, text, slugs.slug(text)) for depth, text in self.headings)


def _openings(headings: Sequence[Heading], number: str, above_all: int) -> Iterator[tuple[Heading, int, str]]:
    """How each heading of a section begins, and how deep it is: the highest stand right below the section's own."""
    highest = min((heading.level for heading in headings if not heading.nested), default=1)
    above: list[int] = []
    counts = [int(number or 0)]
    for heading in headings:
        level = max(above_all + 1, min(heading.level - highest + above_all + 1, _DEEPEST))
        if heading.nested:
            yield heading, 0, "#" * level
            continue
        while above and above[-1] >= heading.level:
            above.pop()
        above.append(heading.level)
        counts = [*counts, 0][: len(above) + 1]
        counts[-1] += 1
        yield heading, len(counts), "#" * level + (" " + ".".join(map(str, counts)) if number else "")


def _relabelled(page: Outline, labels: dict[str, int]) -> dict[str, str]:
    """New labels for the footnotes whose own are taken by a section before."""
    own = {note.label: note.label.casefold() for note in page.footnotes}
    before, new = labels.keys() & own.values(), dict[str, str]()
    labels |= {folded: labels.get(folded, 1) for folded in own.values()}
    for label, folded in own.items():
        if folded in before:
            count = next(count for count in count_from(labels[folded] + 1) if f"{folded}-{count}" not in labels)
            new[label] = f"{label}-{count}"
            labels |= {folded: count, f"{folded}-{count}": 1}
    return new


def _read(words: str) -> str:
    """What a reader sees of a heading's words."""
    headings = outline(f"# {words}").headings
    return headings[0].text if headings else words


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _linked(entry: Entry) -> str:
    """A line of the contents; a heading of nothing but pictures has no place that a link could lead to."""
    return f"[{_escaped(entry.text)}](#{entry.slug})" if entry.slug else _escaped(entry.text)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
