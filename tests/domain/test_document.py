"""Sections as one document: one title, no heading out of place, contents that lead somewhere, and nothing of a section lost."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from llm_orc.domain.document import Document, Section, Slugs, markdown
from llm_orc.domain.outline import outline

PARSER = MarkdownIt("commonmark").enable("table")
LINES = st.sampled_from(
    [
        *("# One", "## Two", "### Three #", "###### Six", "#### `code` *it*", "# One", "#", "#no", "Set", "===", "---", "- # in a list"),
        *(
            "> ## quoted",
            "> more",
            "```",
            "```py",
            "~~~~",
            "# no heading",
            "    # code",
            "text",
            "<!-- x",
            "-->",
            "<div># x</div>",
            "<script>",
        ),
        *("1. # deep", "   text", "| a |", "|---|", "[a](b) & ünï 🙂", "", "", "\\# no", "# a\\#", "## שלום"),
    ]
)
TEXTS = st.lists(LINES, max_size=14).map("\n".join)
SECTIONS = st.lists(TEXTS, min_size=1, max_size=4).map(lambda texts: tuple(Section(f"agent_{n}", text) for n, text in enumerate(texts)))


def headings(text: str) -> list[tuple[int, Token]]:
    """Level and inline token of every heading that is in no list and no quote, by another parser."""
    tokens = PARSER.parse(text)
    return [(int(one.tag[1]), two) for one, two in pairwise(tokens) if one.type == "heading_open" and one.level == 0]


def all_headings(text: str) -> list[Token]:
    tokens = PARSER.parse(text)
    return [two for one, two in pairwise(tokens) if one.type == "heading_open"]


def shown(token: Token) -> str:
    parts = {"text", "code_inline"}
    return "".join(part.content if part.type in parts else " " if part.type == "softbreak" else "" for part in token.children or []).strip()


def codes(text: str) -> list[str]:
    return [token.content for token in PARSER.parse(text) if token.type in ("fence", "code_block")]


@given(SECTIONS, st.sampled_from(["", "numbered"]), st.integers(0, 4))
def test_a_document_has_one_title_and_every_link_of_its_contents_leads_to_a_heading(
    sections: tuple[Section, ...], number: str, depth: int
) -> None:
    text = markdown(Document("A title", sections, ("2026-11-21",), depth, bool(number)))
    levels = [level for level, _ in headings(text)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    slugs = Slugs()
    places = [slugs.slug(shown(token)) for token in all_headings(text)]
    contents = text.split("## Contents\n\n", 1)[1].split("\n\n## ", 1)[0] if depth else ""
    links = re.findall(r"\]\(#([^)]*)\)$", contents, re.MULTILINE)
    assert len(links) >= len(sections) * (depth > 0)
    assert set(links) <= set(places)
    assert len(set(links)) == len(links)


@given(TEXTS)
def test_what_is_no_heading_is_left_alone(text: str) -> None:
    written = markdown(Document("A title", (Section("only", text), Section("last", "The end.")), depth=0))
    assert shown(headings(written)[-1][1]) == "last", "no code, comment or script goes on into the next section"
    assert codes(written) == codes(text) or outline(text).ending
    assert written.endswith("\n\n## last\n\nThe end.")


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("# Own\n\ntext", "## Own\n\ntext"),
        ("## Own\n\n### Part\n\n#### Deeper", "## Own\n\n### Part\n\n#### Deeper"),
        ("# One\n\n# Two", "## it\n\n### One\n\n### Two"),
        ("text\n\n#### Low\n\n# High", "## it\n\ntext\n\n###### Low\n\n### High"),
        ("Before.\n\nTwo\nlines\n===\n\nafter", "## it\n\nBefore.\n\n### Two lines\n\nafter"),
        ("Before.\n\n> # quoted\n\n- # item", "## it\n\nBefore.\n\n> ### quoted\n\n- ### item"),
        ("```sh\n# comment\n```", "## it\n\n```sh\n# comment\n```"),
        ("```markdown\n# Own\n\n## Part\n```", "## Own\n\n### Part"),
        ("text\n\n```py\nx = 1", "## it\n\ntext\n\n```py\nx = 1\n```"),
        ("text\n\n<!-- never ended", "## it\n\ntext\n\n<!-- never ended\n-->"),
        ("Before.\n\n# C \\#\n\n# F #", "## it\n\nBefore.\n\n### C \\#\n\n### F"),
        ("", "## it"),
        ("# Own", "## Own"),
    ],
)
def test_a_section_stands_under_a_heading_of_the_second_level(text: str, body: str) -> None:
    assert markdown(Document("T", (Section("it", text),), depth=0)) == f"# T\n\n{body}"


def test_a_title_that_is_given_stands_instead_of_its_own() -> None:
    document = Document("T", (Section("it", "# Own\n\n## Part", "Given"), Section("same", "# Given\n\ntext", "Given")), depth=0)
    assert markdown(document) == "# T\n\n## Given\n\n### Own\n\n#### Part\n\n## Given\n\ntext"


def test_contents_numbers_facts_and_notes() -> None:
    sections = (
        Section("personas", "# The [people](x) & `us`\n\n## Ana\n\n### Ana's goals\n\n## Ana"),
        Section("use_cases", note="*(missing: timeout: no answer)*"),
        Section("x", "text", "Personas"),
    )
    assert (
        markdown(Document("Personas", sections, ("2026-11-21", "a_model", "run 1"), 2, number=True))
        == """\
# Personas

*2026-11-21 · a\\_model · run 1*

## Contents

- [1. The people & us](#1-the-people--us)
  - [1.1 Ana](#11-ana)
  - [1.2 Ana](#12-ana)
- [2. use\\_cases](#2-use_cases)
- [3. Personas](#3-personas)

## 1. The [people](x) & `us`

### 1.1 Ana

#### 1.1.1 Ana's goals

### 1.2 Ana

## 2. use_cases

*(missing: timeout: no answer)*

## 3. Personas

text"""
    )


def test_a_footnote_may_be_called_like_a_part_of_a_text() -> None:
    sections = (
        Section("one", "a[^Item]\n\n[^Item]: A"),
        Section("two", "b[^Item]\n\n[^Item]: B"),
        Section("three", "c[^Item]\n\n[^Item]: C"),
    )
    text = markdown(Document("T", sections, depth=0))
    assert [text.count(f"[^{label}]") for label in ("Item", "Item-2", "Item-3")] == [2, 2, 2]


def test_footnotes_of_different_sections_do_not_meet() -> None:
    sections = (Section("one", "a[^1] b[^n]\n\n[^1]: A\n[^n]: N"), Section("two", "c[^1] d[^1-2]\n\n[^1]: C\n[^1-2]: D"))
    assert markdown(Document("T", sections, depth=0)) == (
        "# T\n\n## one\n\na[^1] b[^n]\n\n[^1]: A\n[^n]: N\n\n## two\n\nc[^1-3] d[^1-2]\n\n[^1-3]: C\n[^1-2]: D"
    )


def test_a_heading_without_a_letter_is_listed_without_a_link() -> None:
    text = markdown(Document("T", (Section("a", "# 🙂\n\n## 🙂\n\n## 🙂 x"),)))
    assert "- 🙂\n  - [🙂](#-1)\n  - [🙂 x](#-x)\n" in text


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        (
            ["Hello, World!", "Hello World", "hello-world-1", "Hello World"],
            ["hello-world", "hello-world-1", "hello-world-1-1", "hello-world-2"],
        ),
        (["A & B", "🙂 smile", "snake_case", "C++ / C#", "1.2 x"], ["a--b", "-smile", "snake_case", "c--c", "12-x"]),
        (["שלום עולם", "हिन्दी", "ÜBER"], ["שלום-עולם", "हिन्दी", "über"]),
    ],
)
def test_places_are_called_as_github_calls_them(texts: list[str], places: list[str]) -> None:
    slugs = Slugs()
    assert [slugs.slug(text) for text in texts] == places
