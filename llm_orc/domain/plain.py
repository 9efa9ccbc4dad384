"""Texts whose tags are nothing but names, as most prompts are: filled in without compiling a template, which costs a millisecond each."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_orc.domain.item import Item
from llm_orc.domain.said import printed

_TAG = re.compile(r"\{\{ *((?:input|item|index|(?:agents|variables)\.[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*) *\}\}", re.ASCII)
_MORE = re.compile(r"\{[{%#]|\r|\{$")
"""What only Jinja can read: any other tag, a brace right before one, and the line ends that it makes equal."""


def split_plain(text: str) -> Sequence[str] | None:
    """Text, name, text, name, ..., text; None where the text is more than that."""
    parts = _TAG.split(text)
    *before, last = parts[::2]
    if any(map(_MORE.search, before)) or _MORE.search(f"{last} "):
        return None
    return parts


def filled(parts: Sequence[str], names: Mapping[str, Any], attribute: Callable[[Any, str], Any], missing: Callable[[str], Any]) -> str:
    """The text with each name's value in its place; what has none is left to `missing`, as everything below a value to `attribute`."""
    whole = list(parts)
    for place in range(1, len(parts), 2):
        name, *below = parts[place].split(".")
        value = names[name] if name in names else missing(name)
        for key in below:
            value = value.parts[key] if isinstance(value, Item) and key in value.parts else attribute(value, key)
        whole[place] = str(printed(value))
    return "".join(whole)
