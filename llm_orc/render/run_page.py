"""A run as a page of HTML: its result, graph and nodes, with what was sent and what came of it."""

from collections.abc import Iterator, Mapping, Sequence

from llm_orc.domain.event import Happening
from llm_orc.domain.kept import KeptNode, KeptRun, row_of, rows_of
from llm_orc.domain.run import Node, Run
from llm_orc.domain.summary import Summary
from llm_orc.render.formats import Paper
from llm_orc.render.graph import Drawing
from llm_orc.render.kept import LOST, utc
from llm_orc.render.page import escaped, folded, page, written
from llm_orc.render.picture import picture, row, squares
from llm_orc.render.run_graph import Edges, drawing, is_item, text
from llm_orc.render.words import cost_of, counted, dollars, seconds, size_text, tokens

LONGEST = 200_000
"""Characters up to which a result is laid out; a longer one is shown as it is."""


class RunPage:
    """The page of a run, once it is over."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the page."""
        for piece in run_page(run):
            self._paper.write(piece)


def run_page(run: Run) -> Iterator[str]:
    """The page of a whole run."""
    listed, nodes, now = row_of(run), rows_of(run), run.last_at
    edges = [(source, node.id) for node in run.nodes.values() for source in node.depends_on]
    places = _places(nodes)
    yield from page(f"{run.ensemble} {run.id}", _run_parts(run, listed, nodes, drawing(listed, nodes, edges, now), places))


def graph_page(run: KeptRun, summary: Summary, nodes: Sequence[KeptNode], edges: Edges, now: float, *, whole: bool) -> Iterator[str]:
    """The page of its graph."""
    places = _places(nodes)
    yield from page(
        f"{run.ensemble} {run.id}", _graph_parts(run, summary, nodes, drawing(run, nodes, edges, now, whole=whole), places, now)
    )


def _run_parts(run: Run, listed: KeptRun, nodes: Sequence[KeptNode], drawn: Drawing, places: Mapping[str, str]) -> Iterator[str]:
    yield from _head(listed)
    yield from _models(run)
    yield f"<h2>Result</h2>\n{_result(run.result)}\n" if run.result else "<p>There is no result.</p>\n"
    if run.failure:
        yield f'<p class="failed"><span class="state">{escaped(str(run.failure))}</span></p>\n'
    yield folded("Input", run.input)
    yield "<h2>Graph</h2>\n"
    yield from picture(drawn, places)
    yield "<h2>Nodes</h2>\n"
    for node in nodes:
        yield _node(run, listed, node, run.nodes[node.id], places[node.id])
    if run.warnings:
        yield "<h2>Warnings</h2>\n<ul>"
        yield from (f"<li>{escaped(f'{id_}: {what}' if id_ else what)}</li>\n" for id_, what in run.warnings)
        yield "</ul>\n"


def _graph_parts(
    run: KeptRun, summary: Summary, nodes: Sequence[KeptNode], drawn: Drawing, places: Mapping[str, str], now: float
) -> Iterator[str]:
    yield from _head(run)
    lines = escaped("\n".join(text(run, summary)))
    yield f'<p class="lines">{lines}</p>\n<h2>Graph</h2>\n'
    yield from picture(drawn, places)
    shown = {box.id for box in drawn.boxes}
    items: dict[str, list[KeptNode]] = {}
    for node in nodes:
        if is_item(node) and node.id not in shown:
            items.setdefault(node.parent, []).append(node)
    for parent, group in items.items():
        yield f"<h2>{escaped(parent)}</h2>\n{squares(group, places)}"
    yield "<h2>Nodes</h2>\n"
    for node in nodes:
        yield f'<div class="row {node.status}" id="{places[node.id]}">{row(run, node, now)}</div>\n'


def _places(nodes: Sequence[KeptNode]) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(nodes)}


def _head(run: KeptRun) -> Iterator[str]:
    yield f'<h1>{escaped(run.ensemble)} <span class="{run.status}"><span class="state">{run.status}</span></span></h1>\n'
    cost = "" if run.cost is None else dollars(run.cost)
    parts = (run.id, utc(run.started_at), seconds(run.seconds), counted(run.agents, "node"), f"{run.failed:,} failed" if run.failed else "")
    more = (counted(run.tokens, "token") if run.tokens else "", cost, LOST if run.cause == "lost" else run.cause)
    yield f'<p class="dim">{escaped("  ·  ".join(filter(None, (*parts, *more))))}</p>\n'


def _models(run: Run) -> Iterator[str]:
    if run.models:
        yield "<table><tr><th>model<th>tokens<th>cost\n"
        for name, used in run.models.items():
            cost = cost_of(used, unpriced=name in run.unpriced) or "no known price"
            yield f"<tr><td>{escaped(name)}<td>{escaped(tokens(used.usage))}<td>{escaped(cost)}\n"
        yield "</table>\n"


def _node(run: Run, listed: KeptRun, node: KeptNode, whole: Node, place: str) -> str:
    parts = [f'<p class="dim">after {escaped(", ".join(whole.depends_on))}</p>'] if whole.depends_on else []
    parts += (f"<p>fell back from {escaped(profile)}: {escaped(str(failure))}</p>" for profile, failure in whole.fell_back)
    parts += [folded("Prompt", whole.prompt)]
    if whole.cause:
        hint = f"\nhint: {whole.failure.hint}" if whole.failure and whole.failure.hint else ""
        parts.append(written(whole.cause + hint))
    parts.append(folded("Reply" if whole.reply else "What had come of its reply", whole.text))
    parts += (f"<p>artifact {escaped(f'{each.name}  {each.media_type}  {size_text(each.size)}')}</p>" for each in whole.artifacts)
    inside = "".join(filter(None, parts))
    line = f'<span class="row {node.status}">{row(listed, node, run.last_at)}</span>'
    return f'<details class="node"><summary>{line}</summary><div id="{place}">{inside}</div></details>\n'


def _result(result: str) -> str:
    if len(result) > LONGEST or result.lstrip().startswith(("{", "[")):
        return written(result)
    from markdown_it import MarkdownIt

    from llm_orc.render.safe import harmless

    # An address is shown, not hidden behind words; nothing is fetched from it.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["strikethrough", "table"])
    parser.disable(["image", "autolink", "reference"])
    parser.validateLink = _is_within  # type: ignore[method-assign]
    for end in ("link_open", "link_close"):
        parser.add_render_rule(end, lambda *_: "")
    return f"<article>{parser.render(harmless(result))}</article>"


def _is_within(url: str) -> bool:
    """Whether a link only leads to a heading, as the contents of a document do: its words are enough."""
    return url.startswith("#")
