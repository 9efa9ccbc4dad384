"""What `llm-orc runs show` shows."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from llm_orc.cli.runs import BODIES, NODE_STATES
from llm_orc.cli.runs_opened import moment, number, one_of, opened
from llm_orc.cli.table import cut
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.event import RunEnded
from llm_orc.domain.kept import KeptNode
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.run import Run, fold
from llm_orc.render.kept import artifact_rows, event_row, head, node_rows, node_text
from llm_orc.render.kept import result as result_text
from llm_orc.store.artifacts import artifacts
from llm_orc.store.nodes import SoughtNodes, chosen, known_nodes, tree
from llm_orc.store.pages import kept_run
from llm_orc.store.runs import Store

CHILDREN = 10
"""Of each node, that are shown with a whole run."""
_MORE = "there are more: --limit {}, or --offset to leave some out\n"


class Asked(NamedTuple):
    """What the flags say."""

    run: str
    agent: str
    events: bool
    result: bool
    status: str
    body: str
    model: str
    since: str
    limit: str
    offset: str
    json: bool


class Page(NamedTuple):
    """A part of what is too long to be looked at as a whole."""

    limit: int
    offset: int


def shown(terminal: Terminal, asked: Asked) -> int:
    """Show what is asked for; the exit code. Raises ProblemError."""
    page = Page(number(asked.limit, "--limit"), number(asked.offset, "--offset", 0))
    began = moment(asked.since, "--since", time.time()) if asked.since else 0.0
    sought = SoughtNodes(one_of(asked.status, NODE_STATES, "--status"), one_of(asked.body, BODIES, "--body"), asked.model, began)
    with opened(terminal) as store:
        run_id, agent, json = store.find(asked.run), asked.agent, asked.json
        if sought != SoughtNodes():
            show_nodes(terminal, store, run_id, agent, sought, page, json=json)
        elif asked.events:
            show_events(terminal, store, run_id, agent, json=json)
        elif asked.result:
            show_result(terminal, store, run_id, agent)
        elif json:
            show_json(terminal, store, run_id, agent)
        elif agent:
            show_agent(terminal, store, run_id, agent, page)
        else:
            show_run(terminal, store, run_id, page)
    return 0


def show_run(terminal: Terminal, store: Store, run_id: str, page: Page) -> None:
    """Its agents, what each took, and the result."""
    color = terminal.stdout.color
    run = kept_run(store, run_id)
    _answer(terminal, head(run, time.time(), color=color))
    nodes = tree(store, run_id, limit=page.limit + 1, children=CHILDREN, offset=page.offset)
    _answer(terminal, ("", *node_rows(nodes[: page.limit], time.time(), color=color)))
    _say_more(terminal, nodes, page)
    _answer(terminal, artifact_rows(artifacts(store, run_id, limit=page.limit), color=color))
    if end := store.end(run_id):
        _answer(terminal, result_text(end.result, color=color))


def show_agent(terminal: Terminal, store: Store, run_id: str, agent: str, page: Page) -> None:
    """What one node was sent, what came of it, and its children."""
    run = folded(store, run_id, agent, below=False)
    color = terminal.stdout.color
    _answer(terminal, node_text(run, run.nodes[agent], color=color))
    _answer(terminal, artifact_rows(artifacts(store, run_id, agent, limit=page.limit), color=color))
    children = tree(store, run_id, below=agent, limit=page.limit + 1, children=0, offset=page.offset)
    if children:
        _answer(terminal, ("", *node_rows(children[: page.limit], time.time(), color=color)))
        _say_more(terminal, children, page)


def show_nodes(terminal: Terminal, store: Store, run_id: str, agent: str, sought: SoughtNodes, page: Page, *, json: bool) -> None:
    """The nodes that are sought, wherever they stand or below one of them."""
    if agent:
        check_node(store, run_id, agent)
    found = chosen(store, run_id, sought, below=agent, limit=page.limit + 1, offset=page.offset)
    if json:
        from llm_orc.render.json import to_json
        from llm_orc.render.kept import node_document

        terminal.answer(to_json([node_document(node) for node in found[: page.limit]], indent=2) + "\n")
    else:
        _answer(terminal, node_rows(found[: page.limit], time.time(), color=terminal.stdout.color, whole=True))
    if len(found) > page.limit:
        terminal.say(_MORE.format(2 * page.limit))
    if not found and not json:
        terminal.say("no node is like this\n")


def show_events(terminal: Terminal, store: Store, run_id: str, agent: str, *, json: bool) -> None:
    """Everything that happened, in lines."""
    from llm_orc.render.jsonl import line

    began = kept_run(store, run_id).started_at
    if agent:
        check_node(store, run_id, agent)
    for event in store.events(run_id, node=agent or None):
        terminal.answer(line(event) if json else cut(event_row(event, began), terminal.stdout.width) + "\n")


def show_json(terminal: Terminal, store: Store, run_id: str, agent: str) -> None:
    """The same document as of a run that has just ended; of one agent its part of it."""
    from llm_orc.render.json import agent_document, document, to_json

    run = folded(store, run_id, agent)
    shown = agent_document(run, run.nodes[agent], verbose=True) if agent else document(run, verbose=True)
    terminal.answer(to_json(shown, indent=2) + "\n")


def show_result(terminal: Terminal, store: Store, run_id: str, agent: str) -> None:
    """The result alone, or the reply of one node."""
    from llm_orc.render.safe import encodable, harmless

    end = store.end(run_id)
    if agent:
        text = folded(store, run_id, agent, below=False).nodes[agent].text
    else:
        text = end.result if end and end.result else folded(store, run_id, "").result
    if text and not text.endswith("\n"):
        text += "\n"
    terminal.answer(encodable(text) if terminal.stdout.width is None else harmless(text))


def folded(store: Store, run_id: str, agent: str, *, below: bool = True) -> Run:
    """The run; with an agent only that one and what is above it, and `below` it."""
    if agent:
        check_node(store, run_id, agent)
    run = Run()
    for event in store.events(run_id) if not agent else store.events_around(run_id, agent, below=below):
        fold(run, event)
    if run.ended_at is None and not store.alive(run_id):
        fold(run, RunEnded("", "terminate", seq=run.last_seq + 1, at=kept_run(store, run_id).last_at))
    return run


def check_node(store: Store, run_id: str, agent: str) -> None:
    """Raises ProblemError where the run has no such node."""
    known = known_nodes(store, run_id, agent)
    if agent not in known:
        raise ProblemError(Problem(f"the run has no node '{agent}'", hint=nearest(agent, known) or f"see: llm-orc runs show {run_id}"))


def _say_more(terminal: Terminal, nodes: list[KeptNode], page: Page) -> None:
    if len(nodes) > page.limit:
        terminal.say(_MORE.format(2 * page.limit))
    if cut := [node for node in nodes if node.children > CHILDREN]:
        terminal.say(f"of '{cut[0].id}' only {CHILDREN} children are shown: --agent '{cut[0].id}'\n")


def _answer(terminal: Terminal, lines: Iterable[str]) -> None:
    terminal.answer("".join(f"{line}\n" for line in lines))
