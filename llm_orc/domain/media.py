"""What the bytes of a file are: images, with their size and their end; documents, text, and what no model takes."""

from collections.abc import Callable, Iterator, Mapping
from struct import error as TooShort  # noqa: N812 - what it means here
from struct import unpack_from
from typing import NamedTuple

PDF = "application/pdf"
NAMES: Mapping[str, str] = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WebP", PDF: "PDF"}
"""What models take besides text, as people call it."""
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "image/png": ("png", "apng"),
    "image/jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "image/gif": ("gif",),
    "image/webp": ("webp",),
    PDF: ("pdf",),
}
_TEXTS: Mapping[str, str] = {
    **dict.fromkeys(("md", "markdown"), "text/markdown"),
    **dict.fromkeys(("html", "htm"), "text/html"),
    **dict.fromkeys(("xml", "svg"), "text/xml"),
    "csv": "text/csv",
    "json": "application/json",
}
_DOCUMENT, _IMAGE, _ARCHIVE = "save it as PDF or as text", "save it as PNG or JPEG", "unpack it, and attach the files that matter"
_OFFICE = (
    (b"word/", "a Word document"),
    (b"xl/", "an Excel workbook"),
    (b"ppt/", "a PowerPoint presentation"),
    (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file"),
    (b"mimetypeapplication/epub", "an e-book"),
)
_OTHERS = (
    (0, b"{\\rtf", "a rich text document", _DOCUMENT),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document of the old kind", _DOCUMENT),
    (4, b"ftyphei", "a HEIC image", _IMAGE),
    (4, b"ftyphev", "a HEIC image", _IMAGE),
    (4, b"ftypmif1", "a HEIC image", _IMAGE),
    (4, b"ftypavif", "an AVIF image", _IMAGE),
    (4, b"ftyp", "a video", ""),
    (0, b"\x1aE\xdf\xa3", "a video", ""),
    (0, b"II*\0", "a TIFF image", _IMAGE),
    (0, b"MM\0*", "a TIFF image", _IMAGE),
    (0, b"BM", "a BMP image", _IMAGE),
    (0, b"8BPS", "a Photoshop image", _IMAGE),
    (0, b"\0\0\1\0", "an icon", _IMAGE),
    (8, b"WAVE", "a sound", ""),
    (8, b"AVI ", "a video", ""),
    (0, b"ID3", "a sound", ""),
    (0, b"\xff\xfb", "a sound", ""),
    (0, b"fLaC", "a sound", ""),
    (0, b"OggS", "a sound", ""),
    (0, b"\x1f\x8b", "an archive", _ARCHIVE),
    (0, b"BZh", "an archive", _ARCHIVE),
    (0, b"\xfd7zXZ", "an archive", _ARCHIVE),
    (0, b"7z\xbc\xaf", "an archive", _ARCHIVE),
    (0, b"Rar!", "an archive", _ARCHIVE),
    (0, b"\x7fELF", "a program", ""),
    (0, b"MZ", "a program", ""),
    (0, b"\xcf\xfa\xed\xfe", "a program", ""),
    (0, b"SQLite format 3\0", "a database", "export what matters as text"),
    (0, b"\xff\xfe", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    (0, b"\xfe\xff", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
)
_BOM = b"\xef\xbb\xbf"
_END_OF_PDF = 2_048
_SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""The segments of a JPEG that say how large it is."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Those without a length."""
_SCAN = 0xDA

Size = tuple[int, int]


class Kind(NamedTuple):
    """What a file is."""

    media_type: str
    """Empty where no model takes such a file."""
    called: str
    """For people: `a PNG image`, `a Word document`."""
    hint: str = ""
    """What to do with one that no model takes."""


def kind_of(name: str, data: bytes) -> Kind:
    """What the bytes are; the name only tells one text from another."""
    media_type = _begins(data)
    if media_type:
        return Kind(media_type, f"a {NAMES[media_type]}{' image' if media_type != PDF else ''}")
    if _is_text(data) and not data.startswith(b"{\\rtf"):
        return Kind(_TEXTS.get(ending(name), "text/plain"), "text")
    if data.startswith(b"PK\x03\x04"):
        return next((Kind("", called, _DOCUMENT) for inside, called in _OFFICE if inside in data), Kind("", "a ZIP archive", _ARCHIVE))
    found = (Kind("", called, hint) for at, magic, called, hint in _OTHERS if data.startswith(magic, at))
    return next(found, Kind("", "neither an image, a PDF nor UTF-8 text", "save it as one of these"))


def media_type_of(name: str, head: bytes) -> str:
    """The media type of any file, by how it begins and by its name."""
    while head and head[-1] & 0xC0 == 0x80:  # it may end within a character
        head = head[:-1]
    if found := kind_of(name, head[:-1] if head and head[-1] & 0x80 else head).media_type:
        return found
    from mimetypes import MimeTypes  # what is neither an image nor a text is rare

    return MimeTypes().guess_type(name)[0] or "application/octet-stream"


def promised(name: str) -> str:
    """The media type, of an image or a PDF, that a name promises; empty where it promises none."""
    return next((media_type for media_type, endings in _ENDINGS.items() if ending(name) in endings), "")


def ending(name: str) -> str:
    """What stands after the last dot of a name, in small letters."""
    return name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def is_whole(media_type: str, data: bytes) -> bool:
    """Whether an image or a PDF goes on to its end; text always does."""
    try:
        return _WHOLE.get(media_type, bool)(data)
    except (TooShort, IndexError):
        return False


def pixels(media_type: str, data: bytes) -> Size | None:
    """Width and height of an image; None for other things, and where its header does not say it."""
    try:
        width, height = _SIZE[media_type](data) if media_type in _SIZE else (0, 0)
    except (TooShort, IndexError):
        return None
    return (width, height) if width and height else None


def _begins(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data.startswith(b"WEBP", 8):
        return "image/webp"
    return PDF if data.startswith((b"%PDF-", _BOM + b"%PDF-")) else ""


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# PNG


def _png_size(data: bytes) -> Size:
    width, height = unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else (0, 0)
    return width, height


def _png_whole(data: bytes) -> bool:
    at = 8
    while data[at + 4 : at + 8] != b"IEND":
        (length,) = unpack_from(">I", data, at)
        at += length + 12
    return at + 12 <= len(data)


# JPEG


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The kind of each segment and where what it holds begins, up to the first scan."""
    at = 2
    while True:
        while data[at + 1] == 0xFF:
            at += 1
        if data[at] != 0xFF:
            return
        kind = data[at + 1]
        yield kind, at + 4
        if kind == _SCAN:
            return
        at += 2 if kind in _ALONE else 2 + unpack_from(">H", data, at + 2)[0]


def _jpeg_size(data: bytes) -> Size:
    height, width = next((unpack_from(">HH", data, at + 1) for kind, at in _segments(data) if kind in _SIZED), (0, 0))
    return width, height


def _jpeg_whole(data: bytes) -> bool:
    scan = next((at for kind, at in _segments(data) if kind == _SCAN), None)
    return scan is not None and data.rfind(b"\xff\xd9") > scan


# GIF


def _gif_size(data: bytes) -> Size:
    width, height = unpack_from("<HH", data, 6)
    return width, height


def _gif_whole(data: bytes) -> bool:
    """Whether its blocks lead to its end; some programs leave the last byte out."""
    at, images = 13 + _table(data[10]), 0
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x2C:
            images += 1
            at += 11 + _table(data[at + 9])
        elif data[at] == 0x21:
            at += 2
        else:
            return False
        while length := data[at]:
            at += length + 1
        at += 1
    return images > 0 and at <= len(data)


def _table(flags: int) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


# WebP


def _webp_size(data: bytes) -> Size:
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            (bits,) = unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return 0, 0


def _webp_whole(data: bytes) -> bool:
    return 8 + int(unpack_from("<I", data, 4)[0]) <= len(data)


def _pdf_whole(data: bytes) -> bool:
    return b"%%EOF" in data[-_END_OF_PDF:]


_SIZE: Mapping[str, Callable[[bytes], Size]] = {
    "image/png": _png_size,
    "image/jpeg": _jpeg_size,
    "image/gif": _gif_size,
    "image/webp": _webp_size,
}
_WHOLE: Mapping[str, Callable[[bytes], bool]] = {
    "image/png": _png_whole,
    "image/jpeg": _jpeg_whole,
    "image/gif": _gif_whole,
    "image/webp": _webp_whole,
    PDF: _pdf_whole,
}
