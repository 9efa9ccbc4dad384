"""Tells what a message asks from the material that it asks about."""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_ASKING = re.compile(
    r"\W*(you are|your (task|job)|please|review|find|list|summari[sz]e|explain|extract|quote|rank|judge|compare|write|give|name|identify"
    r"|describe|answer|tell|show|decide|check|reply|respond|report|evaluate|assess|analy[sz]e|look|pick|choose|propose|suggest|argue|merge"
    r"|combine|weigh|read|draft|split|select|search|say|greet)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[{}<>=;]|\w\(")
_OPENING = re.compile(r"<([a-z][a-z_-]*)(?: [^<>]*)?>")
_CLOSING = re.compile(r"</([a-z][a-z_-]*)>")
_PAGE = frozenset({"html", "head", "body", "div", "section", "table", "svg", "style", "script", "template"})
"""Tags of a web page, which is material with all its tags."""
_NUMBERS = {word: number for number, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2)}
_COUNT = re.compile(rf"\b(\d{{1,2}}|{'|'.join(_NUMBERS)})\s+(?!words?\b|sentences?\b|characters?\b)[a-z]", re.IGNORECASE)
MOST = 20


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, and the texts it is asked about."""

    words: str
    material: tuple[str, ...]

    @property
    def number(self) -> int | None:
        """How many things are asked for (`the three ...`), where it says so."""
        if not (found := _COUNT.search(self.words)):
            return None
        said = found[1].lower()
        return min(MOST, max(1, _NUMBERS.get(said) or int(said)))


def task_of(text: str) -> Task:
    """The task of a message.

    Else its first and its last paragraph are the task, each if it begins so or ends in a question mark; a first line may end in a colon.
    Else its first and its last paragraph are the task, each if it begins so or ends in a question mark, or its first line up to a colon.
    If nothing is left, the whole message is the material.
    """
    text = text.replace("\r\n", "\n")
    if _ASKING.match(text):
        outside, blocks = _blocks(text.split("\n"))
        if blocks:
            return Task(outside, blocks)
    opening, material = _opening(text)
    closing = ""
    if (cut := material.rstrip().rfind("\n\n")) >= 0 and _asks(last := material[cut:].strip()):
        closing, material = last, material[:cut]
    return Task(f"{opening}\n{closing}".strip(), (material,)) if material.strip() else Task("", (text,))


def _blocks(lines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    ends: defaultdict[str, list[int]] = defaultdict(list)
    for at, line in enumerate(lines):
        if closing := _CLOSING.fullmatch(line):
            ends[closing[1]].append(at)
    outside: list[str] = []
    blocks: list[str] = []
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        later = ends[opening[1]][bisect(ends[opening[1]], at) :][:1] if opening else []
        end = later[0] if later else at
        if opening and later and opening[1] not in _PAGE:
            blocks.append("\n".join(lines[at + 1 : end]))
        else:
            outside += lines[at : end + 1]
        at = end + 1
    return "\n".join(outside), tuple(block for block in blocks if block.strip())


def _opening(text: str) -> tuple[str, str]:
    paragraph, _, rest = text.partition("\n\n")
    first, _, below = text.partition("\n")
    if first.rstrip().endswith(":") and _ASKING.match(first) and not _CODE.search(first):
        return first, below.removeprefix("\n")
    return (paragraph, rest) if _asks(paragraph) else ("", text)


def _asks(paragraph: str) -> bool:
    speaks = bool(_ASKING.match(paragraph)) or paragraph.rstrip().endswith("?")
    return speaks and not _CODE.search(paragraph)
