"""Cuts the input into parts of bearable length, between paragraphs where it can, and replies with the list of them."""

import json
import re
import sys
from collections.abc import Iterator

SEAMS = (r"(?<=\n\n)", r"(?<=\n)", r"(?<=[.!?]\s)", r"(?<=\s)")  # from the best place to cut to the worst


def main() -> None:
    """Split `input` into parts of at most `parameters.max_characters`."""
    request = json.load(sys.stdin)
    most = max(1, int((request["parameters"] or {}).get("max_characters", 12_000)))
    json.dump([part for part in joined(pieces(request["input"] or "", most), most) if part.strip()], sys.stdout, ensure_ascii=False)


def pieces(text: str, most: int, seams: tuple[str, ...] = SEAMS) -> Iterator[str]:
    """The text in pieces that fit, cut at the best seams that make them fit."""
    if len(text) <= most:
        yield text
    elif not seams:
        yield from (text[at : at + most] for at in range(0, len(text), most))
    else:
        for piece in re.split(seams[0], text):
            yield from pieces(piece, most, seams[1:])


def joined(small: Iterator[str], most: int) -> Iterator[str]:
    """Neighbours put together again while they fit."""
    part: list[str] = []
    length = 0
    for piece in small:
        if part and length + len(piece) > most:
            yield "".join(part)
            part, length = [], 0
        part.append(piece)
        length += len(piece)
    if part:
        yield "".join(part)


if __name__ == "__main__":
    main()
