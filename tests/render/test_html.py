"""A result as an HTML page: whole in itself, with a name for every place, and nothing that runs or is fetched."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.document import Document, Section, markdown
from llm_orc.render.html import page
from tests.project import NewProject

EVIL = st.sampled_from(
    [
        *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "<a href='java\nscript:x'>x</a>"),
        *("<svg onload=x>", "<iframe src=//e.org>", "<style>@import '//e.org'</style>", "<link href=//e.org>", "![p](//e.org/p.png)"),
        *("<base href=//e.org>", "</main>", "<div style='background:url(//e.org)'>", "<form action=//e.org><input name=a>", "-->"),
        *("<meta http-equiv=refresh content=0>", "<math><mi//xlink", "[d](data:text/html,<b>)", "<object data=x>", "<!--", "<p"),
        *("&lt;script&gt;", "\ue0000\ue001", "# a `<b>`", "```html", "text", "\n\n"),
    ]
)
RUNNING = {"script", "iframe", "object", "embed", "link", "base", "form", "svg", "math", "template", "video", "audio"}


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def all(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


@given(st.lists(EVIL, max_size=8).map(" ".join))
def test_nothing_in_a_page_runs_or_is_fetched(text: str) -> None:
    found = Page(page(text, "x").split("</head>", 1)[1])
    assert not RUNNING & set(found.tags)
    assert "meta" not in found.tags
    assert "style" not in found.tags
    assert found.tags.count("main") == 1
    for _, name, value in found.attributes:
        assert not name.startswith("on")
        assert name != "src"
        assert name != "href" or not re.match(r"(?!https?:|mailto:)[a-z][a-z0-9+.-]*:", re.sub(r"\s", "", value), re.IGNORECASE)
        assert name != "style" or value.startswith("text-align")


def test_a_page_looks_at_no_other_place() -> None:
    text = page("# T\n\ntext", "x")
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_contents_and_footnotes_lead_to_places_on_the_page() -> None:
    sections = (
        Section("a", "# X {#no}\n\n## `code` & _it_\n\nsee[^1] and[^b]\n\n[^1]: One\n[^b]: Two"),
        Section("b", "## ünï\n\nsee[^1]\n\n[^1]: X"),
    )
    found = Page(page(markdown(Document("T", sections)), "x"))
    links = [unquote(value.removeprefix("#")) for value in found.all("href")]
    ids = found.all("id")
    assert len(links) == 3 + 3
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("| a |\n|:-:|\n| 1 |", '<td style="text-align:center">1</td>'),
        ("- [x] done", '<input checked="" '),
        ("```py\nx < 1\n```", '<pre><code class="language-py">x &lt; 1\n</code></pre>'),
        ("a<br>b ~~c~~", "<p>a<br>b <del>c</del></p>"),
        ("![a plan](plan.png)", '<img alt="a plan">'),
        ("[^1]\n\n[^1]: note", '<div class="footnote-definition" id="fn:1">'),
        ("# Title {braces}", '<h1 id="title-braces">Title {braces}</h1>'),
    ],
)
def test_markdown_is_what_github_makes_of_it(text: str, shown: str) -> None:
    assert shown in page(text, "x")


def test_the_title_is_that_of_the_document_else_the_name() -> None:
    assert "<title>A &lt;b&gt; &amp; c</title>" in page("# A \\<b> & c", "x")
    assert "<title>review</title>" in page("no heading", "review")


FILES = {"it.yaml": "agents: [{name: said, command: [cat]}]\n", "own.css": "h1 { color: red }</style><script>"}


def test_a_result_is_written_as_a_page(project: NewProject) -> None:
    here = project(FILES, trusted=True)
    outcome = here.run("invoke", "it.yaml", "# Hello", "-o", "it.html", "--css", "own.css")
    assert (outcome.out, outcome.code) == ("", 0), outcome.err
    text = (here.path / "it.html").read_text()
    assert '<h1 id="hello">Hello</h1>' in text
    assert text.index("h1 { color: red }") > text.index("color-scheme")
    assert "<script>" not in Page(text).tags
    assert text.count("</style>") == 2


def test_a_run_that_is_kept_is_written_again_without_asking(project: NewProject) -> None:
    here = project(FILES, trusted=True)
    here.run("invoke", "it.yaml", "# Hello", "-o", "it.html")
    assert here.run("runs", "export", "last", "-o", "again.html", "--css", "own.css").code == 0
    first, again = ((here.path / name).read_text() for name in ("it.html", "again.html"))
    assert first.partition("</head>")[2] == again.partition("</head>")[2]


@pytest.mark.parametrize(
    ("flags", "err"),
    [
        (
            ("--css", "own.css"),
            "error: --css does nothing with the format 'text'\nhint: it goes with pages: -o FILE.html, -o FILE.pdf\n",
        ),
        (("--css", "none.css", "--output-format", "html"), "none.css: cannot be read: no such file or directory\n"),
        (("--css", ".", "--output-format", "html"), ".: cannot be read: is a directory\n"),
        (
            ("--stream", "--output-format", "html"),
            "error: --stream does nothing with the format 'html'\nhint: take --output-format text or markdown\n",
        ),
    ],
)
def test_what_does_not_fit_a_page_is_told(project: NewProject, flags: tuple[str, ...], err: str) -> None:
    outcome = project(FILES, trusted=True).run("invoke", "it.yaml", "x", *flags)
    assert (outcome.out, outcome.err, outcome.code) == ("", err, 2)
