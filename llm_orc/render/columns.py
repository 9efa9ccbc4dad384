"""A comparison side by side: on a terminal, as many columns as fit, and on a page."""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil

from rich.box import MINIMAL
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llm_orc.domain.document import Section, Slugs, alone
from llm_orc.domain.run import Run
from llm_orc.render.comparison import Column, Comparison, in_order, judgement
from llm_orc.render.formats import Paper
from llm_orc.render.html import body, read, whole
from llm_orc.render.rich import LONGEST, Page, laid_out, printed
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import STATE_COLORS

NARROWEST = 34
"""Columns of a terminal that one answer takes at least."""
BETWEEN = 3
_CSS = """
main.comparison { max-width: none; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1.5rem 2.5rem; align-items: start; }
.columns article { min-width: 0; padding-top: 0.2em; border-top: 3px solid var(--line); }
.columns h2 { margin-top: 0.4em; border: 0; padding: 0; }
.facts { color: var(--faint); font-size: 0.9rem; }
.failed, .cancelled, .note { color: light-dark(#a92222, #ff9a9a); }
@media print { .columns { display: block; } .columns article { margin-bottom: 2em; } }
"""


def on_a_terminal(shown: Comparison, run: Run, paper: Paper) -> str:
    """Columns that fit; what does not fit beside one another goes below."""
    width = paper.width or 80
    if sum(len(column.text) for column in shown.columns) > LONGEST:
        return laid_out(in_order(shown, run), width, color=paper.color)
    number = len(shown.columns)
    rows = ceil(number / max(1, min(number, (width + BETWEEN) // (NARROWEST + BETWEEN))))
    beside = ceil(number / rows)
    parts: list[RenderableType] = [_table(shown.columns[first : first + beside], beside) for first in range(0, number, beside)]
    if shown.verdict is not None:
        parts += [Text("Verdict", "bold cyan"), Text(""), Page(harmless(judgement(shown)))]
    return printed(Group(*parts), width, color=paper.color)


def _table(columns: Sequence[Column], beside: int) -> Table:
    table = Table(box=MINIMAL, show_edge=False, show_header=False, expand=True, border_style="dim", padding=(0, 1))
    for _ in range(beside):
        table.add_column(ratio=1)
    table.add_row(*(Group(*_head(column)) for column in columns), end_section=True)
    table.add_row(*(Page(harmless(column.text)) for column in columns))
    return table


def _head(column: Column) -> Iterator[Text]:
    yield Text(column.answer.profile, "bold cyan")
    if column.models:
        yield Text(one_line(", ".join(column.models)), "dim")
    color = STATE_COLORS.get(column.state, "yellow")
    yield Text.assemble((column.state, color), *(f"  {fact}" for fact in column.facts if fact))
    if column.note:
        yield Text(column.note, "default" if column.answer.ok else "red")


def on_a_page(shown: Comparison, _: Run, paper: Paper) -> str:
    """A page with a column for each answer, which stand below one another where there is no room, and on paper."""
    slugs = Slugs()
    parts = [f'<main class="comparison">\n<h1>{escape(harmless(shown.title))}</h1>\n<div class="columns">']
    parts += [_article(column, index, slugs) for index, column in enumerate(shown.columns)]
    parts.append("</div>")
    if shown.verdict is not None:
        parts.append(f'<h2 id="{slugs.slug("Verdict")}">Verdict</h2>\n{body(read(judgement(shown)), slugs, "fnv")}')
    return whole(harmless(shown.title), "\n".join([*parts, "</main>"]), paper.css, _CSS)


def _article(column: Column, index: int, slugs: Slugs) -> str:
    profile = escape(column.answer.profile)
    facts = escape("  ·  ".join(filter(None, (*map(one_line, column.models), column.state, *column.facts))))
    note = f'<p class="note">{escape(column.note)}</p>\n' if column.note else ""
    below = alone(Section(column.answer.profile, column.text, column.answer.profile), level=2).partition("\n\n")[2]
    title = f'<h2 id="{escape(slugs.slug(column.answer.profile))}">{profile}</h2>'
    head = f'<article>\n{title}\n<p class="facts {column.state.split()[0]}">{facts}</p>'
    return f"{head}\n{note}{body(read(below), slugs, f'fn{index}')}</article>"
