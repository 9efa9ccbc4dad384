"""A long text in pieces: nothing is lost, nothing is too long, and nothing is cut that fits."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.split import Measure, Pieces, Span, grouped, split

LATIN = "ab.!? \n\té🙂\r"
PROSE = st.text(alphabet=LATIN + "漢。", max_size=300)
ANY = st.text(st.characters(codec=None), max_size=200)
UNITS = {"paragraph": r"\n[^\S\n]*\n\s*", "line": r"\n", "word": r"\s+"}


@st.composite
def measures(draw: st.DrawFn) -> Measure:
    most = draw(st.integers(1, 60))
    return Measure(most, draw(st.sampled_from(["tokens", "characters"])), draw(st.integers(0, most - 1)))


def size(text: str, measure: Measure) -> float:
    return len(text) if measure.unit == "characters" else len(text.encode(errors="surrogatepass")) / 4


def fresh(text: str, measure: Measure) -> list[str]:
    return [text[span.fresh : span.end] for span in split(text, measure)]


@given(PROSE | ANY, measures())
def test_the_pieces_join_to_the_text_and_none_is_too_long(text: str, measure: Measure) -> None:
    spans = list(split(text, measure))
    assert "".join(text[span.fresh : span.end] for span in spans) == text
    for span in spans:
        assert 0 <= span.start <= span.fresh < span.end
        assert size(text[span.start : span.end], measure) <= measure.most
        assert size(text[span.start : span.fresh], measure) <= measure.overlap


@given(st.text(alphabet=LATIN, max_size=300), measures())
def test_no_paragraph_line_or_word_is_cut_that_fits(text: str, measure: Measure) -> None:
    cuts = [span.end for span in split(text, measure)][:-1]
    room = Measure(measure.fresh, measure.unit)
    for seam in UNITS.values():
        ends = [0, *(found.end() for found in re.finditer(seam, text)), len(text)]
        for start, end in pairwise(ends):
            whole = text[start:end]
            if size(whole, measure) <= room.most and whole.strip():
                content = start + len(whole.rstrip())
                assert not [cut for cut in cuts if start < cut < content], (whole, fresh(text, measure))


@given(PROSE, measures())
def test_there_are_never_more_pieces_than_foretold(text: str, measure: Measure) -> None:
    number = len(list(split(text, measure)))
    assert number <= measure.number(len(text.encode()))
    assert len(Pieces(text, measure)) <= number
    assert all(len(piece.encode()) <= measure.bytes for piece in Pieces(text, measure))


@pytest.mark.parametrize(
    ("text", "most", "pieces"),
    [
        ("One. Two.\n\nThree.\n\nFour and five.", 20, ["One. Two.\n\nThree.\n\n", "Four and five."]),
        ("one line\nanother line\nthe last", 15, ["one line\n", "another line\n", "the last"]),
        ("One sentence. And two. And three.", 15, ["One sentence. ", "And two. ", "And three."]),
        ('He said "no." She said (yes!) Then', 16, ['He said "no." ', "She said (yes!) ", "Then"]),
        ("three little words here", 13, ["three little ", "words here"]),
        ("一二三。四五。六七八九。", 6, ["一二三。", "四五。", "六七八九。"]),
        ("unbreakable", 4, ["unbr", "eaka", "ble"]),
        ("abc\r\ndef", 4, ["abc", "\r\n", "def"]),
        (
            "# A heading\n\nA paragraph that is too long to stay whole.",
            30,
            ["# A heading\n\nA paragraph that ", "is too long to stay whole."],
        ),
        ("", 5, []),
    ],
)
def test_it_cuts_where_it_hurts_least(text: str, most: int, pieces: list[str]) -> None:
    assert fresh(text, Measure(most, "characters")) == pieces


def test_what_is_repeated_begins_with_a_word() -> None:
    text = "alpha beta gamma delta"
    measure = Measure(16, "characters", 6)
    assert list(split(text, measure)) == [Span(0, 0, 6), Span(0, 6, 11), Span(6, 11, 17), Span(11, 17, 22)]
    assert list(Pieces(text, measure)) == ["alpha ", "alpha beta ", "beta gamma ", "gamma delta"]


def test_a_token_is_four_bytes() -> None:
    assert fresh("aaaabbbb", Measure(1)) == ["aaaa", "bbbb"]
    assert fresh("🙂🙂", Measure(1)) == ["🙂", "🙂"]
    assert fresh("éééé", Measure(1)) == ["éé", "éé"]


def test_blank_pieces_are_no_items() -> None:
    assert list(Pieces("a" + " " * 20 + "b", Measure(5, "characters"))) == ["a    ", " b"]


@given(st.lists(st.text(max_size=20) | st.integers()), measures())
def test_groups_of_a_list_keep_every_entry_in_order(entries: list[object], measure: Measure) -> None:
    groups = list(grouped(entries, Measure(measure.most, measure.unit)))
    assert [entry for group in groups for entry in group] == entries
    for group in groups:
        assert size(json.dumps(group, ensure_ascii=False), measure) <= measure.most or len(group) == 1


def test_groups_repeat_the_last_entries_that_fit() -> None:
    assert list(grouped(["aa", "bb", "cc", "dd"], Measure(18, "characters", 6))) == [["aa", "bb"], ["bb", "cc", "dd"]]
