"""What `llm-orc runs graph` draws."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from llm_orc.cli.output import FOREIGN, by_ending, refuse_ending, target_of
from llm_orc.cli.runs import FORMS
from llm_orc.cli.runs_opened import one_of, opened
from llm_orc.cli.runs_shown import check_node
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.summary import Summary, summary
from llm_orc.render.graph import drawn
from llm_orc.render.kept import head
from llm_orc.render.run_graph import FOLDED, Edges, around, drawing, graph_document
from llm_orc.render.run_graph import text as summary_text
from llm_orc.store.nodes import counted, edges, every, tree
from llm_orc.store.pages import kept_run
from llm_orc.store.runs import Store

MOST = 20_000
"""Nodes that are drawn."""
SQUARES = 1_000
"""Items of a fan-out that have a square each on the page."""
BY_ENDING = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".html": "html",
    ".htm": "html",
    ".json": "json",
    ".txt": "text",
}


class Asked(NamedTuple):
    """What the flags say."""

    run: str
    agent: str
    whole: bool
    output_format: str
    output: str | None
    force: bool


def graphed(terminal: Terminal, asked: Asked) -> int:
    """Draw the graph of a run; the exit code. Raises ProblemError."""
    target = target_of(terminal, asked.output, force=asked.force)
    if not asked.output_format:
        refuse_ending(target, BY_ENDING, {*FOREIGN, ".svg", ".pdf", ".docx"})
    form = one_of(asked.output_format, FORMS, "--output-format") or by_ending(target, BY_ENDING) or "text"
    with opened(terminal) as store:
        run_id = store.find(asked.run)
        if asked.agent:
            check_node(store, run_id, asked.agent)
        run, known = kept_run(store, run_id), edges(store, run_id)
        nodes = _nodes(store, run_id, form, asked)
        made = summary(counted(store, run_id), tree(store, run_id, limit=MOST, children=0), known)
    for piece in _forms(form, run, made, nodes, known, asked, color=target.color):
        target.write(piece)
    target.finish()
    if not asked.agent and run.agents > len(nodes) >= MOST:
        terminal.say(f"of {run.agents:,} nodes only the first {len(nodes):,} are drawn: --agent NAME\n")
    return 0


def _nodes(store: Store, run_id: str, form: str, asked: Asked) -> Sequence[KeptNode]:
    """Those that the form can show."""
    if form == "json":
        nodes = list(every(store, run_id))
    else:
        items = MOST if asked.whole or asked.agent else SQUARES if form == "html" else FOLDED + 1
        nodes = tree(store, run_id, limit=MOST, children=MOST, items=items)
    return around(asked.agent, nodes, edges(store, run_id)) if asked.agent else nodes


def _forms(form: str, run: KeptRun, made: Summary, nodes: Sequence[KeptNode], known: Edges, asked: Asked, *, color: bool) -> Iterator[str]:
    now = time.time()
    match form:
        case "json":
            from llm_orc.render.json import to_json

            yield to_json(graph_document(run, made, nodes, known), indent=2) + "\n"
        case "html":
            from llm_orc.render.run_page import graph_page

            yield from graph_page(run, made, nodes, known, now, whole=asked.whole)
        case "text":
            yield from _lines((*head(run, now, color=color), *summary_text(run, made), ""))
            yield drawn(drawing(run, nodes, known, now, whole=asked.whole), "ascii")
        case _:
            yield drawn(drawing(run, nodes, known, now, whole=asked.whole), form)


def _lines(lines: Iterable[str]) -> Iterator[str]:
    return (f"{line}\n" for line in lines)
