"""What of a request that is too long stays, and what is left out or summarised: the oldest goes first.

Sizes are bytes of UTF-8, of which four are counted as one token.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from llm_orc.domain.item import Item
from llm_orc.domain.message import Attachment, Message, Role
from llm_orc.domain.price import likely_tokens_of
from llm_orc.domain.said import MISSING, Scope, json_or_none
from llm_orc.domain.split import TOKEN_BYTES, Measure, beginning, split

AROUND = 8 * TOKEN_BYTES
"""What stands round a message."""
SHORT = 1_000
"""Characters up to which a text is never cut, and the first paragraph of an input is its task."""
LEAST = 200
"""What every summary may take."""
MARK = 120
"""What stands where something was left out, or round a summary."""
_JSON = ("{", "[", "`")
_PARAGRAPH = "\n\n"


class Material(NamedTuple):
    """A text that somebody put into a prompt: the input, an item, a reply."""

    text: str
    leads: bool = False
    """Whether its first paragraph may be the task, as the words of the command line are."""


class Part(NamedTuple):
    """A piece of a message; a loose one may be shortened, from its beginning on."""

    text: str
    loose: bool = False


@dataclass(frozen=True, slots=True)
class Old:
    """What does not stay, in order; joined, the pieces are all of it."""

    pieces: tuple[str, ...]
    room: int
    """How large what stands in its place may be."""
    messages: int = 0
    """How many whole messages it was; 0 where it was the beginning of a text."""

    @property
    def what(self) -> str:
        """What it was, in words."""
        if self.messages:
            return f"{self.messages:,} earlier message{'s' if self.messages > 1 else ''}"
        return f"{sum(map(len, self.pieces)):,} characters"

    @property
    def mark(self) -> str:
        """What stands in its place where it is left out."""
        return f"[... {self.what} left out ...]\n\n"

    def summed_up(self, summary: str) -> str:
        """What stands in its place where it is summarised."""
        return f"[Summary of {self.what}:]\n{summary}\n[End of the summary]\n\n"


@dataclass(frozen=True, slots=True)
class Draft:
    """A message, in which what stands in place of the old is still open."""

    role: Role
    parts: tuple[str | Old, ...]
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may stay, and of what size summaries are made."""

    room: int
    """Of the whole request."""
    keep_last: int
    summarised: bool = False
    """Whether what does not stay is summarised, and not left out."""

    @property
    def piece(self) -> Measure:
        """What is summarised at once."""
        return Measure(max(self.room // 2 // TOKEN_BYTES, 1))

    def summary(self, size: int) -> int:
        """How long the summary of a text of this size may be."""
        return min(max(size // 4, LEAST), self.room // 8)

    def place(self, level: int) -> int:
        """What is kept free for what stands in place of the beginning of a text that may have so much in all."""
        return min(level // 2, self.room // 4) if self.summarised else MARK

    @property
    def step(self) -> int:
        """Summaries cover multiples of this, so that one more word does not make another summary."""
        return max(self.room // 8, 1) if self.summarised else 1


def size_of(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def size_of_all(messages: Iterable[Message]) -> int:
    """Likewise, of a request."""
    return sum(AROUND + size_of(each.text) + likely_tokens_of(each.attachments) * TOKEN_BYTES for each in messages)


def tokens_of(messages: Iterable[Message]) -> int:
    """Tokens of a request, as they are counted here."""
    return -(-size_of_all(messages) // TOKEN_BYTES)


def shortened(messages: Sequence[Message], material: Sequence[Material], bounds: Bounds) -> list[Draft] | None:
    """The request so that it fits, whatever of its size stands in place of the old; None where nothing makes it fit.

    The system prompt and the first message, which is the task, stay, and so do the last ones; of what is between the oldest goes first.
    Where that is not enough, the longest texts of those that stay are shortened, all to one length.
    """
    if size_of_all(messages) <= bounds.room:
        return [_whole(each) for each in messages]
    system = [each for each in messages if each.role == "system"]
    said = [each for each in messages if each.role != "system"]
    last = max(len(said) - bounds.keep_last, min(len(said), 1))
    kept, between = [*said[:1], *said[last:]], said[1:last]
    place = bounds.place(bounds.room) if between else 0
    room = bounds.room - size_of_all(system) - place
    if size_of_all(kept) > room:
        room -= min(size_of_all(between), bounds.room * 3 // 8)  # for a group that is still growing, and a half
    drafts = _fitted(kept, material, room, bounds)
    if drafts is None:
        return None
    room = bounds.room - size_of_all(system) - sum(map(_size, drafts))
    old, stays = _without_oldest(between, room, place, bounds)
    if old is not None:
        drafts[0] = Draft(drafts[0].role, (*drafts[0].parts, _PARAGRAPH, old), drafts[0].attachments)
    return _joined([*map(_whole, system), drafts[0], *map(_whole, stays), *drafts[1:]])


def olds_of(drafts: Iterable[Draft]) -> list[Old]:
    """What does not stay, in order."""
    return [part for draft in drafts for part in draft.parts if isinstance(part, Old)]


def written(drafts: Iterable[Draft], instead: Iterable[str]) -> tuple[Message, ...]:
    """The messages, with what stands in place of each of the old."""
    texts = iter(instead)
    return tuple(
        Message(draft.role, "".join(part if isinstance(part, str) else next(texts) for part in draft.parts).rstrip("\n"), draft.attachments)
        for draft in drafts
    )


def parts_of(text: str, material: Iterable[Material]) -> list[Part]:
    """What somebody wrote stays; what was put in is loose, wherever it stands in the text as it is. Where nothing was, it is all put in."""
    parts = [Part(text)]
    for each in sorted(material, key=lambda each: (-len(each.text), not each.leads)):
        found = each.text.strip()
        if len(found) > SHORT:
            parts = [piece for part in parts for piece in _found(part, found, leads=each.leads)]
    if len(text) > SHORT and not any(part.loose for part in parts):
        return list(_led(text))
    return [part for part in parts if part.text]


def material_of(scope: Scope) -> Iterator[Material]:
    """What a prompt may have been filled with."""
    yield Material(scope.input, leads=True)
    if scope.item is not MISSING:
        yield Material(scope.own_input)
    values = [scope.item, scope.variables]
    for outcome in scope.outcomes.values():
        for said in (outcome, *outcome.children):
            yield Material(said.text)
            values.append(json_or_none(said) if said.text.lstrip()[:1] in _JSON else None)
    yield from (Material(text) for value in values for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    """The long texts in a value."""
    match value:
        case str() if len(value) > SHORT:
            yield value
        case Item():
            yield from _texts(value.parts)
        case Mapping():
            yield from (text for each in value.values() for text in _texts(each))
        case list() | tuple():
            yield from (text for each in value for text in _texts(each))
        case _:
            pass


def task_of(message: Message, material: Iterable[Material]) -> str:
    """What somebody wrote in a message."""
    return "\n\n".join(stripped for part in parts_of(message.text, material) if not part.loose and (stripped := part.text.strip()))


def reminded(messages: Sequence[Message], every: int, material: Sequence[Material]) -> tuple[Message, ...]:
    """The messages, with the task of the first one before each turn that has so many before it, or twice as many, and so on."""
    turns, task, found = 0, "", []
    for each in messages:
        if each.role != "user":
            found.append(each)
            continue
        if not turns:
            task = cut(task_of(each, material), SHORT)
        again = turns and turns % every == 0 and task
        found.append(Message("user", f"[Reminder of the task: {task}]\n\n{each.text}", each.attachments) if again else each)
        turns += 1
    return tuple(found)


def cut(text: str, most: int) -> str:
    """The beginning of a text that is too long."""
    if size_of(text) <= most:
        return text
    end = " [...]"
    return text.encode(errors="surrogatepass")[: max(most - len(end), 0)].decode(errors="ignore").rstrip() + end


def _found(part: Part, text: str, *, leads: bool) -> Iterator[Part]:
    if part.loose or text not in part.text:
        yield part
        return
    first, *rest = part.text.split(text)
    yield Part(first)
    for each in rest:
        yield from _led(text) if leads else (Part(text, loose=True),)
        yield Part(each)


def _led(text: str) -> Iterator[Part]:
    """A text whose first paragraph, unless it is long, is a task."""
    first, gap, rest = text.partition(_PARAGRAPH)
    led = len(first) <= SHORT and bool(rest.strip())
    if led:
        yield Part(first + gap)
    yield Part(rest if led else text, loose=True)


def _whole(message: Message) -> Draft:
    return Draft(message.role, (message.text,), message.attachments)


def _size(draft: Draft) -> int:
    texts = sum(size_of(part) if isinstance(part, str) else part.room for part in draft.parts)
    return AROUND + texts + likely_tokens_of(draft.attachments) * TOKEN_BYTES


def _fitted(messages: Sequence[Message], material: Sequence[Material], room: int, bounds: Bounds) -> list[Draft] | None:
    """The messages in so much room, the longest of their texts shortened."""
    whole = size_of_all(messages)
    if whole <= room:
        return [_whole(each) for each in messages]
    parts = [parts_of(each.text, material) for each in messages]
    sizes = [size_of(part.text) for each in parts for part in each if part.loose]
    level = _level(sizes, room - (whole - sum(sizes)))
    if level < (6 if bounds.summarised else 2) * MARK:
        return None
    return [
        Draft(each.role, tuple(piece for part in split_up for piece in _cut(part, level, bounds)), each.attachments)
        for each, split_up in zip(messages, parts, strict=True)
    ]


def _level(sizes: Iterable[int], room: int) -> int:
    """The length to which the longest are cut, so that all of them fit; below 0 where there is none."""
    waiting = sorted(sizes)
    for index, size in enumerate(waiting):
        share = room // (len(waiting) - index)
        if size > share:
            return share
        room -= size
    return -1


def _cut(part: Part, level: int, bounds: Bounds) -> Iterator[str | Old]:
    size = size_of(part.text)
    if not part.loose or size <= level:
        yield part.text
        return
    place = bounds.place(level)
    tail = level - place
    needed = min(-(-(size - tail) // bounds.step) * bounds.step, size)
    at = beginning(part.text, _letters(part.text, needed), tail // 8)
    front = part.text[:at]
    yield Old(tuple(_pieces(front, bounds)), place)
    yield part.text[at:]


def _letters(text: str, size: int) -> int:
    """How many letters at the beginning are at least of this size."""
    if text.isascii():
        return size
    raw = text.encode(errors="surrogatepass")
    while size < len(raw) and raw[size] & 0xC0 == 0x80:  # in the middle of a letter
        size += 1
    return len(raw[:size].decode(errors="surrogatepass"))


def _pieces(text: str, bounds: Bounds) -> Iterator[str]:
    if not bounds.summarised:
        yield text
        return
    yield from (text[span.start : span.end] for span in split(text, bounds.piece))


def _without_oldest(between: Sequence[Message], room: int, place: int, bounds: Bounds) -> tuple[Old | None, Sequence[Message]]:
    """What goes and what stays; what is summarised goes in groups that stay the same while a conversation grows."""
    if size_of_all(between) <= room:
        return None, between
    gone: list[str] = []
    count = 0
    for group in _groups(between, bounds):
        gone += _pieces("".join(map(_told, group)), bounds)
        count += len(group)
        if size_of_all(between[count:]) <= room - place:
            break
    return Old(tuple(gone), place, count), between[count:]


def _groups(messages: Sequence[Message], bounds: Bounds) -> Iterator[list[Message]]:
    most = bounds.room // 4 if bounds.summarised else 0
    group: list[Message] = []
    taken = 0
    for each in messages:
        size = size_of(_told(each))
        if group and taken + size > most:
            yield group
            group, taken = [], 0
        group.append(each)
        taken += size
    if group:
        yield group


def _told(message: Message) -> str:
    """A message as it is summarised; of files the names."""
    files = "".join(f"[file: {each.name}]\n" for each in message.attachments)
    return f"{message.role}:\n{files}{message.text}\n\n"


def _joined(drafts: Iterable[Draft]) -> list[Draft]:
    """No two of one role one after the other, which some models refuse."""
    found: list[Draft] = []
    for each in drafts:
        if found and found[-1].role == each.role and olds_of(found[-1:]):
            before = found.pop()
            gap = () if isinstance(before.parts[-1], Old) else (_PARAGRAPH,)
            each = Draft(each.role, (*before.parts, *gap, *each.parts), (*before.attachments, *each.attachments))  # noqa: PLW2901
        found.append(each)
    return found
