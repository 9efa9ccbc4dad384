"""Text as it may be written: models, files and people put everything into it."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_REPLACED = "\ufffd"


def encodable(text: str) -> str:
    """The text, halves of characters replaced: UTF-8 has no bytes for them."""
    return _SURROGATE.sub(_REPLACED, text)


def harmless(text: str) -> str:
    """The text with control characters as pictures of themselves, so that it cannot drive a terminal; tab and newline stay."""
    return _CONTROL.sub(lambda found: _picture(ord(found[0])), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Harmless, and all of it in one line."""
    return " ".join(harmless(text).split())


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else _REPLACED
