"""What a file is is told by its bytes: true pictures, cut ones, mislabelled ones, and everything that no model takes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.attached import LARGEST, attachment_of
from llm_orc.domain.media import is_whole, kind_of, pixels
from llm_orc.domain.problem import ProblemError
from tests import pictures

PICTURES = [
    ("a.png", "image/png", pictures.png(16, 8), (16, 8)),
    ("a.jpg", "image/jpeg", pictures.JPEG, (7, 5)),
    ("a.JPEG", "image/jpeg", pictures.PROGRESSIVE, (7, 5)),
    ("a.gif", "image/gif", pictures.GIF, (5, 4)),
    ("a.webp", "image/webp", pictures.LOSSY, (9, 6)),
    ("b.webp", "image/webp", pictures.LOSSLESS, (9, 6)),
    ("c.webp", "image/webp", pictures.TRANSPARENT, (9, 6)),
]
ZIP = b"PK\x03\x04\x14\0\0\0"


def problem(name: str, data: bytes) -> str:
    with pytest.raises(ProblemError) as raised:
        attachment_of(name, data)
    return str(raised.value)


@pytest.mark.parametrize(("name", "media_type", "data", "size"), PICTURES)
def test_a_picture_is_known_by_its_bytes_with_its_size(name: str, media_type: str, data: bytes, size: tuple[int, int]) -> None:
    found = attachment_of(name, data)
    assert (found.media_type, found.data, found.remark, found.is_image) == (media_type, data, "", True)
    assert pixels(media_type, data) == size


@pytest.mark.parametrize(("name", "media_type", "data", "size"), PICTURES)
def test_a_picture_that_is_cut_anywhere_is_refused(name: str, media_type: str, data: bytes, size: tuple[int, int]) -> None:
    last = len(data) - (1 if media_type == "image/gif" else 0)  # whose last byte some programs leave out
    whole = [end for end in range(12, last) if is_whole(media_type, data[:end])]
    assert whole == []
    assert problem(name, data[: len(data) // 2]).startswith(f"'{name}' is cut off: a ")


def test_what_follows_a_picture_does_not_matter() -> None:
    assert all(is_whole(media_type, data + b"\0more") for _, media_type, data, _ in PICTURES)


def test_a_document_is_one_to_its_end() -> None:
    assert attachment_of("a.pdf", pictures.PDF).media_type == "application/pdf"
    assert problem("a.pdf", pictures.PDF[:-8]) == "'a.pdf' is cut off: a PDF ends otherwise\nhint: get the whole file"
    assert pixels("application/pdf", pictures.PDF) is None


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_a_size_is_broken(size: tuple[int, int]) -> None:
    broken = pictures.png(1, 1).replace(struct.pack(">II", 1, 1), struct.pack(">II", *size))
    assert problem("a.png", broken) == "'a.png' is broken: a PNG image says how large it is\nhint: save it anew"


@pytest.mark.parametrize("name", ["photo.jpg", "photo.webp", "photo.pdf", "photo.txt", "photo.docx"])
def test_a_picture_under_another_name_is_sent_as_what_it_is(name: str) -> None:
    found = attachment_of(name, pictures.png())
    assert (found.media_type, found.remark) == ("image/png", f"'{name}' is a PNG image, and sent as one")


@pytest.mark.parametrize("name", ["photo", "stdin", "attachment-1", "a.d/photo"])
def test_a_name_without_an_ending_promises_nothing(name: str) -> None:
    assert attachment_of(name, pictures.png()).remark == ""


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.py", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.csv", "text/csv"),
        ("a.json", "application/json"),
        ("a.svg", "text/xml"),
        ("Makefile", "text/plain"),
        ("a.yaml", "text/plain"),
    ],
)
def test_texts_and_sources_are_text(name: str, media_type: str) -> None:
    found = attachment_of(name, "\ufeffgrün\n".encode())
    assert (found.media_type, found.text, found.is_image, found.remark) == (media_type, "grün\n", False, "")


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.gif", "GIF"), ("a.webp", "WebP"), ("a.pdf", "PDF")])
def test_a_page_that_says_why_there_is_no_picture_is_none(name: str, kind: str) -> None:
    assert problem(name, b"<html>404") == f"'{name}' is no {kind}: it holds text\nhint: look into it, or rename it"


@pytest.mark.parametrize(
    ("data", "called", "hint"),
    [
        (ZIP + b"word/document.xml", "a Word document", "save it as PDF or as text"),
        (ZIP + b"xl/workbook.xml", "an Excel workbook", "save it as PDF or as text"),
        (ZIP + b"ppt/presentation.xml", "a PowerPoint presentation", "save it as PDF or as text"),
        (ZIP + b"mimetypeapplication/vnd.oasis.opendocument.text", "an OpenDocument file", "save it as PDF or as text"),
        (ZIP + b"anything", "a ZIP archive", "unpack it, and attach the files that matter"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document of the old kind", "save it as PDF or as text"),
        (b"{\\rtf1 hello}", "a rich text document", "save it as PDF or as text"),
        (b"\0\0\0\x18ftypheic\0\0", "a HEIC image", "save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypavif\0\0", "an AVIF image", "save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypisom\0\0", "a video", ""),
        (b"II*\0\x08", "a TIFF image", "save it as PNG or JPEG"),
        (b"BM\0\0\0\0", "a BMP image", "save it as PNG or JPEG"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound", ""),
        (b"\x1f\x8b\x08\0", "an archive", "unpack it, and attach the files that matter"),
        (b"\x7fELF\x02\0", "a program", ""),
        (b"SQLite format 3\0", "a database", "export what matters as text"),
    ],
)
def test_what_no_model_takes_is_refused_by_what_it_is(data: bytes, called: str, hint: str) -> None:
    assert problem("x.bin", data) == f"'x.bin' is {called}, which no model takes" + (f"\nhint: {hint}" if hint else "")


def test_other_bytes_are_refused_too() -> None:
    assert problem("x", b"\x01\xff\xfe") == "'x' is neither an image, a PDF nor UTF-8 text\nhint: save it as one of these"
    assert problem("x", "hallo".encode("utf-16")) == "'x' is text in UTF-16\nhint: convert it: iconv -f UTF-16 -t UTF-8"
    assert problem("x", b"a\0b") == "'x' is neither an image, a PDF nor UTF-8 text\nhint: save it as one of these"
    assert problem("x", b"") == "'x' is empty"
    assert problem("x", b"a" * (LARGEST + 1)) == "'x' is larger than 50 MB\nhint: attach a smaller one, or a part of it"


@given(st.sampled_from(PICTURES), st.binary(max_size=40), st.integers(0, 400))
def test_no_bytes_are_too_strange(picture: tuple[str, str, bytes, tuple[int, int]], noise: bytes, at: int) -> None:
    name, media_type, data, _ = picture
    at = min(at, len(data))
    strange = data[:at] + noise + data[at + len(noise) :]
    kind_of(name, strange)
    is_whole(media_type, strange)
    pixels(media_type, strange)
