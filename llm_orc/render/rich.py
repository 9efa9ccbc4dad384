"""The result as Markdown on a terminal."""

from io import StringIO
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.theme import Theme

from llm_orc.domain.event import Happening
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper
from llm_orc.render.safe import harmless

WIDEST = 120
"""Columns beyond which lines of prose are hard to read."""
LONGEST = 200_000
"""Characters up to which a result is laid out; a longer one is printed as it is."""
CALM = Theme(
    {
        "markdown.h1": "bold underline cyan",
        "markdown.h2": "bold cyan",
        **dict.fromkeys(("markdown.h3", "markdown.h4", "markdown.h5", "markdown.h6"), "bold"),
        "markdown.code": "cyan",
        "markdown.block_quote": "italic",
        "markdown.item.bullet": "cyan",
        "markdown.item.number": "cyan",
        "markdown.link": "none",
        "markdown.link_url": "blue underline",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
        "markdown.hr": "dim",
    }
)
"""Few colours, all of them the terminal's own."""


class Rich:
    """The result laid out, once the run is over; nothing where there is no result."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the page."""
        if run.result.strip():
            self._paper.write(laid_out(run.result, self._paper.width or 80, color=self._paper.color))


def laid_out(markup: str, width: int, *, color: bool) -> str:
    """Markdown for a terminal of this width, in its own colours or none; a model cannot drive it."""
    markup = harmless(markup)
    if len(markup) > LONGEST:
        return markup.rstrip("\n") + "\n"
    return printed(Page(markup), min(width, WIDEST), color=color)


def printed(what: RenderableType, width: int, *, color: bool) -> str:
    """What Rich makes of it, without blanks at the ends of lines."""
    sheet = StringIO()
    console = Console(
        file=sheet,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        theme=CALM,
        _environ={},
    )
    console.print(what)
    return "".join(f"{line.rstrip()}\n" for line in sheet.getvalue().strip("\n").split("\n"))


class Page(Markdown):
    """Markdown as models write it: line breaks are meant, tags are text, and an address is shown, not hidden behind words."""

    elements: ClassVar[dict[str, type[MarkdownElement]]]

    def __init__(self, markup: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")
        self.markup, self.parsed = markup, parser.parse(markup)
        for token in self.parsed:
            for child in token.children or ():
                _as_meant(child)


def _as_meant(token: Token) -> None:
    if token.type == "softbreak":
        token.type = "hardbreak"
    elif token.type == "image":
        token.type, token.content = "text", f"{token.content} ({token.attrs['src']})"


class LeftHeading(Heading):
    """A heading at the left edge."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The words alone."""
        self.text.justify = "left"
        yield self.text


Page.elements = {**Markdown.elements, "heading_open": LeftHeading}
