"""Where the headings, the footnotes and the end of a Markdown text are, and the same text with other headings.

pulldown-cmark parses it, as GitHub reads it; whatever is no heading stays as it was written.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pyromark import Options

UNENDED = {"<!--": "-->", "<script": "</script>", "<pre": "</pre>", "<style": "</style>", "<textarea": "</textarea>", "<?": "?>"}
"""HTML that goes on to the end of the text until this comes."""
_CONTAINERS = ("BlockQuote", "List", "FootnoteDefinition")
_PASSED_OVER = frozenset({"Emphasis", "Image", "Item", "Link", "Paragraph", "Strong", "Table", "TableCell", "TableHead", "TableRow"})
_ENDS = ("Start", "End")
_READ = ("Text", "Code", "InlineMath", "DisplayMath")


class Heading(NamedTuple):
    """One heading; places are counted in bytes of UTF-8."""

    level: int
    start: int
    end: int
    words: tuple[int, int]
    """Where they are."""
    text: str
    """What a reader sees of them."""
    nested: bool
    """Whether it stands in a list or a quote, and so not in the outline."""


class Footnote(NamedTuple):
    """A footnote, or what refers to one."""

    start: int
    label: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a text."""

    source: bytes
    headings: tuple[Heading, ...] = ()
    footnotes: tuple[Footnote, ...] = ()
    ending: str = ""
    """What closes the code or the comment that the text ends in."""

    @property
    def title(self) -> Heading | None:
        """The heading that the text begins with, where no other is as high."""
        first = next(iter(self.headings), None)
        if first is None or not first.text or first.nested or self.source[: first.start].strip():
            return None
        return first if all(other.level > first.level or other.nested for other in self.headings[1:]) else None

    def words_of(self, heading: Heading) -> str:
        """A heading's words as they were written."""
        start, end = heading.words
        return " ".join(line.strip("> \t") for line in self.source[start:end].decode().splitlines())

    def edited(self, openings: Mapping[int, str | None], labels: Mapping[str, str]) -> str:
        """The text with other headings and footnotes.

        `openings` is how the heading begins that starts at this byte, as `### 1.2`; None leaves it out. `labels` gives new ones by the old.
        """
        headings = (each for each in self.headings if each.start in openings)
        changes = [(each.start, each.end, self._on_one_line(each, openings[each.start])) for each in headings]
        for note in self.footnotes:
            if note.label in labels:
                start = note.start + len("[^")
                changes.append((start, start + len(note.label.encode()), labels[note.label].encode()))
        parts, last = [], 0
        for start, end, new in sorted(changes):
            parts += [self.source[last:start], new]
            last = end
        text = b"".join([*parts, self.source[last:]]).decode().strip("\n")
        return f"{text}\n{self.ending}" if self.ending else text

    def _on_one_line(self, heading: Heading, opening: str | None) -> bytes:
        """Such a heading can have any level; one with a line below it can not."""
        if opening is None:
            return b""
        words = re.sub(r"(?:^|(?<= ))#+$", r"\\\g<0>", self.words_of(heading))  # else they would close the heading
        ended = "\n" if self.source[heading.start : heading.end].endswith(b"\n") else ""
        return f"{opening} {words}".rstrip().encode() + ended.encode()


def syntax() -> "Options":
    """What is read besides CommonMark, as GitHub does."""
    from pyromark import Options

    return Options.ENABLE_TABLES | Options.ENABLE_FOOTNOTES | Options.ENABLE_STRIKETHROUGH | Options.ENABLE_TASKLISTS


def outline(text: str) -> Outline:
    """Parse a text; one that is all one block of Markdown code is taken for what is in it."""
    import pyromark  # 10 ms that only documents take

    source = text.encode("utf-8", "replace")
    reader = _Reader(source)
    for event, place in pyromark.events_with_range(source.decode(), options=syntax()):
        if type(event) is dict:
            ((kind, value),) = event.items()
            if reader.words is None and (kind in _READ or (kind in _ENDS and type(value) is str and value in _PASSED_OVER)):
                continue  # most of a text is none of our business
            reader.read(kind, value, place["start"], place["end"])
        elif event == "SoftBreak" and reader.words is not None:
            reader.words.append(" ")
    if reader.inner is not None:
        return outline(reader.inner)
    return Outline(source, tuple(reader.headings), tuple(reader.footnotes), reader.ending)


@dataclass(slots=True)
class _Reader:
    """Reads one text, event by event."""

    source: bytes
    headings: list[Heading] = field(default_factory=list)
    footnotes: list[Footnote] = field(default_factory=list)
    ending: str = ""
    inner: str | None = None
    """What is in the code that the text is."""
    words: list[str] | None = None
    """Of the heading that is being read."""
    _place: list[int] = field(default_factory=list)
    _depth: int = 0
    _length: int = field(init=False)
    """Without the blank at the end."""

    def __post_init__(self) -> None:
        self._length = len(self.source.rstrip())

    def read(self, kind: str, value: Any, start: int, end: int) -> None:
        """Note what an event tells."""
        if kind == "Start":
            self._begin(value, start, end)
        elif kind == "End":
            self._end(value, start, end)
        elif self.words is not None:
            self._place += [start, end]
            if kind in _READ:
                self.words.append(value)
        if kind == "FootnoteReference":
            self.footnotes.append(Footnote(start, value))

    def _begin(self, what: Any, start: int, end: int) -> None:
        if self.words is not None:
            self._place += [start, end]
        if not isinstance(what, dict):
            return
        name, value = next(iter(what.items()))
        if name == "Heading":
            self.words, self._place = [], []
        elif name == "CodeBlock" and not self._depth:
            self._code(value, start, end)
        elif name == "FootnoteDefinition":
            self.footnotes.append(Footnote(start, value))
        self._depth += name in _CONTAINERS

    def _end(self, what: Any, start: int, end: int) -> None:
        name, value = next(iter(what.items())) if isinstance(what, dict) else (what, None)
        if name == "Heading":
            place = (min(self._place), max(self._place)) if self._place else (end, end)
            text = " ".join("".join(self.words or ()).split())
            self.headings.append(Heading(int(str(value)[1]), start, end, place, text, self._depth > 0))
            self.words = None
        elif name == "HtmlBlock" and not self._depth and self._is_last(end):
            self.ending = _unended(self.source[start:end].decode())
        self._depth -= name in _CONTAINERS

    def _code(self, value: Any, start: int, end: int) -> None:
        """A block of code in fences: whether it is closed, and whether it is all there is."""
        if not isinstance(value, dict) or not self._is_last(end):
            return
        lines = self.source[start:end].decode().rstrip().split("\n")
        fence = re.match(r"`+|~+", lines[0])
        if fence is None:
            return
        closed = len(lines) > 1 and re.fullmatch(rf" {{0,3}}{fence[0]}{fence[0][0]}*", lines[-1].rstrip())
        if not closed:
            self.ending = fence[0]
        elif value["Fenced"].strip().lower() in ("markdown", "md") and not self.source[:start].strip():
            self.inner = "\n".join(lines[1:-1])

    def _is_last(self, end: int) -> bool:
        return end >= self._length


def _unended(html: str) -> str:
    html = html.lstrip().lower()
    return next((end for start, end in UNENDED.items() if html.startswith(start) and end not in html), "")
