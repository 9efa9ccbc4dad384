"""A long text in pieces that fit, cut where it hurts least: between paragraphs, else lines, else sentences, else words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple, overload

from llm_orc.domain.item import Item
from llm_orc.domain.said import Said, as_json

TOKEN_BYTES = 4
"""Bytes of UTF-8 that are counted as one token, for nobody knows better before a model is asked."""
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?\u2026])[\"')\]\u201d\u2019\u00bb]*\s+|[\u3002\uff01\uff1f]+[\u300d\u300f]*\s*")
_WORD = re.compile(r"\s+")
_SEAMS = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Measure:
    """How much a piece may hold, and how much of it is repeated from the piece before."""

    most: int
    unit: Literal["tokens", "characters"] = "tokens"
    overlap: int = 0

    @property
    def fresh(self) -> int:
        """What of a piece is new."""
        return self.most - self.overlap

    @property
    def bytes(self) -> int:
        """Bytes of UTF-8 that no piece of a text is above."""
        return self.most * TOKEN_BYTES  # a character has no more than a token

    def number(self, size: float) -> float:
        """Pieces that a text of so many bytes is surely not cut into more of: two neighbours never fit into one."""
        least = self.fresh if self.unit == "characters" else self.fresh * TOKEN_BYTES - TOKEN_BYTES + 1
        return 2 * size // least + 1 if size < inf else inf


class Span(NamedTuple):
    """A piece of a text: from `start` on it repeats what the piece before ends with, from `fresh` on it is new."""

    start: int
    fresh: int
    end: int


class Pieces(Sequence[Item]):
    """The pieces of a text that are not blank; each is cut out when it is asked for, so that a long text is not held twice."""

    def __init__(self, text: str, measure: Measure) -> None:
        """The text is only looked through."""
        self._text = text
        self._spans = [span for span in split(text, measure) if not text[span.fresh : span.end].isspace()]

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """A piece, with what it repeats."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        span = self._spans[index]
        return Item({"text": self._text[span.start : span.end]})


def split(text: str, measure: Measure) -> Iterator[Span]:
    """The pieces in order: their new parts join to the text, and no paragraph, line, sentence or word is cut that fits into one."""
    start = at = 0
    while at < len(text):
        end = _reach(text, at, measure)
        if end < len(text):
            end = _seam(text, at, end, measure)
            end -= text[end - 1 : end + 1] == "\r\n" and end - 1 > at  # these two are one
        yield Span(start, at, end)
        at, start = end, _repeated(text, end, measure) if measure.overlap else end


def beginning(text: str, at: int, within: int) -> int:
    """Where a text whose first part is left out best begins, not before `at`: with a paragraph, else a line, a sentence, a word."""
    if at >= len(text) or at == 0:
        return at
    for seam in _SEAMS:
        if (found := seam.search(text, max(at - 1, 0), min(at + within, len(text)))) and found.end() >= at:
            return found.end()
    return at


def grouped(entries: Sequence[Any], measure: Measure, least: int = 1) -> Iterator[list[Any]]:
    """Neighbours of a list together while they fit, and the `least` of them even where not; an entry is never cut."""
    room, taken = _room(measure, measure.fresh), 0
    repeated: list[Any] = []
    group: list[Any] = []
    for entry in entries:
        needed = _size(entry, measure)
        if len(group) >= least and taken + needed > room:
            yield [*repeated, *group]
            repeated, group, taken = _last(group, measure), [], 0
        group.append(entry)
        taken += needed
    if group:
        yield [*repeated, *group]


def item_of(group: list[Any]) -> Item:
    """A group as a child of a fan-out works on it: replies one below the other, anything else as JSON."""
    told = all(isinstance(entry, Said) for entry in group)
    return Item({"text": _BETWEEN.join(group) if told else as_json(group), "entries": group})


def _room(measure: Measure, amount: int) -> int:
    return amount if measure.unit == "characters" else amount * TOKEN_BYTES


def _size(entry: Any, measure: Measure) -> int:
    """Of an entry and of what stands between it and the next."""
    text = str(entry) if isinstance(entry, Said) else as_json(entry)
    return len(_BETWEEN) + (len(text) if measure.unit == "characters" else len(text.encode(errors="surrogatepass")))


def _last(group: Sequence[Any], measure: Measure) -> list[Any]:
    """What the next group repeats of this one."""
    room, first = _room(measure, measure.overlap), len(group)
    while room and first and (room := room - _size(group[first - 1], measure)) >= 0:
        first -= 1
    return list(group[first:])


def _reach(text: str, at: int, measure: Measure) -> int:
    """Up to where a piece could go that begins at `at`."""
    if measure.unit == "characters":
        return min(at + measure.fresh, len(text))
    size = measure.fresh * TOKEN_BYTES
    part = text[at : at + size]
    if part.isascii():
        return at + len(part)
    raw = part.encode(errors="surrogatepass")
    if len(raw) <= size:
        return at + len(part)
    while raw[size] & 0xC0 == 0x80:  # in the middle of a character
        size -= 1
    return at + len(raw[:size].decode(errors="surrogatepass"))


def _seam(text: str, at: int, end: int, measure: Measure) -> int:
    """Where to cut, no later than `end`: before the largest unit that the next piece can hold whole, else in the middle of a word."""
    last = at
    for seam in _SEAMS:
        for found in seam.finditer(text, last, end):
            last = found.end()
        if last > at:
            reach = _reach(text, last, measure)
            if reach == len(text) or seam.search(text, last, reach):
                return last
    return end


def _repeated(text: str, end: int, measure: Measure) -> int:
    """From where on the piece that follows `end` repeats what stands before: the beginning of a word, where there is one."""
    start = max(0, end - _room(measure, measure.overlap))
    if measure.unit == "tokens" and not text[start:end].isascii():
        raw = text[start:end].encode(errors="surrogatepass")
        first = max(0, len(raw) - _room(measure, measure.overlap))
        while first < len(raw) and raw[first] & 0xC0 == 0x80:  # in the middle of a character
            first += 1
        start = end - len(raw[first:].decode(errors="surrogatepass"))
    word = _WORD.search(text, start, end) if start and not text[start - 1].isspace() else None
    return word.end() if word else start
