"""What is attached is held against what a model is known to take."""

from typing import Any

import pytest

from llm_orc.domain.attached import needed, refusals
from llm_orc.domain.message import Attachment
from llm_orc.domain.model import ModelCard
from tests import pictures

PICTURE = Attachment("a.png", "image/png", pictures.png(30, 10))
DOCUMENT = Attachment("b.pdf", "application/pdf", pictures.PDF)
TEXT = Attachment("c.md", "text/markdown", b"# c")
ALL = (PICTURE, DOCUMENT, TEXT)


def refused(*attachments: Attachment, **known: Any) -> list[str]:
    return [refusal.what for refusal in refusals("m", attachments, ModelCard.model_validate(known))]


def test_what_is_not_known_refuses_nothing() -> None:
    assert refused(*ALL) == []
    assert refused(*ALL, attachments={}) == []


@pytest.mark.parametrize(
    ("able", "words"),
    [
        ([], ["m cannot look at images: a.png", "m cannot read PDFs: b.pdf"]),
        (["vision"], ["m cannot read PDFs: b.pdf"]),
        (["files", "tools"], ["m cannot look at images: a.png"]),
        (["files", "vision"], []),
    ],
)
def test_a_model_that_cannot_is_not_sent_it(able: list[str], words: list[str]) -> None:
    assert refused(*ALL, capabilities=able) == words
    assert refused(TEXT, capabilities=able) == []


def test_the_names_of_many_are_not_all_said() -> None:
    many = [Attachment(f"{number}.png", "image/png", pictures.png()) for number in range(5)]
    assert refused(*many, capabilities=[]) == ["m cannot look at images: 0.png, 1.png, 2.png, and 2 more"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"count": 2}, ["m takes 2 attachments, and these are 3"]),
        ({"count": 3}, []),
        ({"side": 29}, ["m takes images of up to 29 pixels a side: a.png is larger"]),
        ({"side": 30}, []),
        ({"media_types": ["image/png"]}, ["m takes no PDF: b.pdf"]),
        ({"media_types": ["application/pdf"]}, ["m takes no PNG: a.png"]),
        ({"bytes": 100}, [f"m takes 0.0001 MB of attachments, and these are {sum(len(each.data) for each in ALL) / 1e6:.1f} MB"]),
    ],
)
def test_limits_of_a_model(limits: dict[str, Any], words: list[str]) -> None:
    assert refused(*ALL, attachments=limits) == words


def test_limits_of_the_program() -> None:
    assert refused(*[TEXT] * 1_001) == ["a request takes 1,000 attachments, and these are 1,001"]
    large = Attachment("a.txt", "text/plain", b"x" * 50_000_000)
    assert refused(large, large) == []
    assert refused(large, large, TEXT) == ["a request takes 100 MB of attachments, and these are 100.0 MB"]


def test_what_is_attached_needs_abilities() -> None:
    assert needed(ALL) == {"vision", "files"}
    assert needed((TEXT,)) == needed(()) == frozenset()


def test_its_hash_is_that_of_its_bytes_alone() -> None:
    assert PICTURE.sha256 == Attachment("other", "image/png", PICTURE.data, "/path", "remark").sha256 != TEXT.sha256
    assert len(PICTURE.sha256) == 64
    assert "PNG" not in repr(PICTURE).replace("a.png", "")
