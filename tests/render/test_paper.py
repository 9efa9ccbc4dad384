"""A result as a Word document and as a PDF."""

import zipfile
from io import BytesIO

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.document import Document, Section, markdown
from llm_orc.render.docx import document
from tests.project import NewProject

TEXT = """\
# An *offer*

See [part](#part-two), [the web](https://example.org/a) and [no](javascript:alert(1)).<br>New `line`[^n].

## Part two

1. one
2. two
   - inner

     more

Between.

5. five

- [x] done

| who | how much |
|-----|---------:|
| Ana | **12**   |

> quoted

```py
# no heading
x = 1
```

***

<div>html</div>

שלום 🙂

[^n]: The note.
"""


def read(raw: bytes) -> "docx.document.Document":
    return docx.Document(BytesIO(raw))


def test_a_word_document_has_what_the_markdown_has() -> None:
    made = read(document(TEXT, "x"))
    told = [(paragraph.style.name if paragraph.style else "", paragraph.text) for paragraph in made.paragraphs if paragraph.text]
    assert told == [
        ("Heading 1", "An offer"),
        ("Normal", "See part, the web and no.\nNew line1."),
        ("Heading 2", "Part two"),
        ("List Number", "one"),
        ("List Number", "two"),
        ("List Bullet 2", "inner"),
        ("List Continue", "more"),
        ("Normal", "Between."),
        ("List Number", "five"),
        ("List Bullet", "\u2611 done"),
        ("Normal", "quoted"),
        ("Code Block", "# no heading\nx = 1"),
        ("Normal", "שלום 🙂"),
        ("Normal", "1 The note."),
    ]
    assert [[cell.text for cell in row.cells] for row in made.tables[0].rows] == [["who", "how much"], ["Ana", "12"]]
    assert made.core_properties.title == "An offer"
    numbers = [paragraph._p.pPr.numPr.numId.val for paragraph in made.paragraphs if paragraph.text in ("one", "two", "five")]  # type: ignore[union-attr]
    assert numbers[0] == numbers[1] != numbers[2], "a list does not go on with the numbers of another"


def test_links_of_a_word_document_lead_to_its_headings_or_into_the_web() -> None:
    raw = document(
        markdown(Document("T", (Section("a", "# One\n\n## Two"), Section("b", "[x](http://e.org) [y](file:///etc/passwd)")))), "x"
    )
    with zipfile.ZipFile(BytesIO(raw)) as parts:
        body, relations = parts.read("word/document.xml").decode(), parts.read("word/_rels/document.xml.rels").decode()
    anchors = [part.split('"')[1] for part in body.split("<w:hyperlink")[1:] if "w:anchor" in part]
    assert len(anchors) == 3
    assert all(f'w:name="{anchor}"' in body for anchor in anchors)
    assert 'Target="http://e.org"' in relations
    assert "passwd" not in relations


ODD = [
    *TEXT.split("\n\n"),
    "\x00\x1b\ud800",
    "]]>&<",
    "[^1]: [^1]",
    "| a |\n|-|\n| b | c |",
    "1. 1. 1. 1. x",
    ">" * 9,
    "<script>x</script>",
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(ODD), max_size=8))
def test_no_text_is_too_odd_for_a_word_document(parts: list[str]) -> None:
    assert read(document("\n\n".join(parts), "x")).core_properties.author == ""


@pytest.mark.parametrize("text", ["# A &#1;\n\nx &#1; y &#xFFFE; [l](http://a/&#1;) `\x01`", "# " + "long " * 100])
def test_a_word_document_holds_whatever_a_model_wrote(text: str) -> None:
    style = read(document(text, "x" * 300)).paragraphs[0].style
    assert style is not None
    assert style.name == "Heading 1"


FILES = {"it.yaml": "agents: [{name: said, command: [cat]}]\n"}


def test_the_ending_of_the_file_decides(project: NewProject) -> None:
    here = project(FILES, trusted=True)
    outcome = here.run("invoke", "it.yaml", TEXT, "-o", "it.docx")
    assert (outcome.out, outcome.code) == ("", 0), outcome.err
    assert read((here.path / "it.docx").read_bytes()).paragraphs[0].text == "An offer"
    assert here.run("runs", "export", "last", "-o", "again.docx").code == 0
    assert read((here.path / "again.docx").read_bytes()).paragraphs[0].text == "An offer"


def test_a_pdf_is_the_page_on_paper(project: NewProject) -> None:
    try:
        import weasyprint  # type: ignore[import-untyped]  # noqa: F401
    except OSError:
        pytest.skip("no Pango")
    here = project(FILES, trusted=True)
    outcome = here.run("invoke", "it.yaml", f"{TEXT}\n<img src=http://127.0.0.1:9/x.png>", "-o", "it.pdf")
    assert (outcome.out, outcome.code) == ("", 0), outcome.err
    raw = (here.path / "it.pdf").read_bytes()
    assert raw.startswith(b"%PDF-")
    assert b"127.0.0.1" not in raw


def test_a_file_that_cannot_be_made_is_not_there_at_all(project: NewProject) -> None:
    try:
        import weasyprint  # noqa: F401
    except OSError:
        pytest.skip("no Pango")
    here = project(FILES, trusted=True)
    outcome = here.run("invoke", "it.yaml", f"{'>' * 2_000} x", "-o", "it.pdf")
    assert outcome[::2] == ("", 2)
    assert "error: the result is nested too deeply for a PDF\nhint: take the page: -o FILE.html\n" in outcome.err
    assert not (here.path / "it.pdf").exists()


def test_where_a_template_fails_the_file_has_the_result_without_it(project: NewProject) -> None:
    here = project({**FILES, "bad.j2": "{{ run.nope.x }}"}, trusted=True)
    outcome = here.run("invoke", "it.yaml", "said", "--output-format", "bad.j2", "-o", "it.md")
    assert (outcome.code, (here.path / "it.md").read_text()) == (2, "said\n"), outcome.err


@pytest.mark.parametrize("name", ["docx", "pdf"])
def test_a_terminal_is_told_to_name_a_file(project: NewProject, name: str) -> None:
    outcome = project(FILES, trusted=True).run_pty("invoke", "it.yaml", "x", "--output-format", name)
    assert outcome.code == 2
    assert f"the format '{name}' is nothing that a terminal can show" in outcome.err + outcome.out
    assert f"-o FILE.{name}" in outcome.err + outcome.out
