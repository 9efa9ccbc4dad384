"""What `llm-orc runs show` shows."""

from collections.abc import Iterable
from typing import NamedTuple

from llm_orc.cli.terminal import Terminal
from llm_orc.domain.event import RunEnded
from llm_orc.domain.kept import KeptNode
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.run import Run, fold
from llm_orc.render.kept import event_row, head, node_rows, node_text
from llm_orc.render.kept import result as result_text
from llm_orc.store.pages import kept_run, known_nodes, tree
from llm_orc.store.runs import Store

CHILDREN = 10
"""Of each node, that are shown with a whole run."""


class Page(NamedTuple):
    """A part of what is too long to be looked at as a whole."""

    limit: int
    offset: int


def show_run(terminal: Terminal, store: Store, run_id: str, page: Page) -> None:
    """Its agents, what each took, and the result."""
    color = terminal.stdout.color
    run = kept_run(store, run_id)
    _answer(terminal, head(run, color=color))
    nodes = tree(store, run_id, limit=page.limit + 1, children=CHILDREN, offset=page.offset)
    _answer(terminal, ("", *node_rows(nodes[: page.limit], color=color)))
    _say_more(terminal, nodes, page)
    if end := _end(store, run_id):
        _answer(terminal, result_text(end.result, color=color))


def show_agent(terminal: Terminal, store: Store, run_id: str, agent: str, page: Page) -> None:
    """What one node was sent, what came of it, and its children."""
    run = _folded(store, run_id, agent, below=False)
    color = terminal.stdout.color
    _answer(terminal, node_text(run, run.nodes[agent], color=color))
    children = tree(store, run_id, below=agent, limit=page.limit + 1, children=0, offset=page.offset)
    if children:
        _answer(terminal, ("", *node_rows(children[: page.limit], color=color)))
        _say_more(terminal, children, page)


def show_events(terminal: Terminal, store: Store, run_id: str, agent: str, *, json: bool) -> None:
    """Everything that happened, in lines."""
    from llm_orc.render.jsonl import line

    began = kept_run(store, run_id).started_at
    if agent:
        _check(store, run_id, agent)
    for event in store.events(run_id, node=agent or None):
        terminal.answer(line(event) if json else event_row(event, began) + "\n")


def show_json(terminal: Terminal, store: Store, run_id: str, agent: str) -> None:
    """The same document as of a run that has just ended; of one agent its part of it."""
    from llm_orc.render.json import agent_document, document, to_json

    run = _folded(store, run_id, agent)
    shown = agent_document(run, run.nodes[agent], verbose=True) if agent else document(run, verbose=True)
    terminal.answer(to_json(shown, indent=2) + "\n")


def show_result(terminal: Terminal, store: Store, run_id: str, agent: str) -> None:
    """The result alone, or the reply of one node."""
    from llm_orc.render.safe import encodable, harmless

    end = _end(store, run_id)
    if agent:
        text = _folded(store, run_id, agent, below=False).nodes[agent].text
    else:
        text = end.result if end and end.result else _folded(store, run_id, "").result
    if text and not text.endswith("\n"):
        text += "\n"
    terminal.answer(encodable(text) if terminal.stdout.width is None else harmless(text))


def _folded(store: Store, run_id: str, agent: str, *, below: bool = True) -> Run:
    """The run; with an agent only that one and what is above it, and `below` it."""
    if agent:
        _check(store, run_id, agent)
    run = Run()
    for event in store.events(run_id) if not agent else store.events_around(run_id, agent, below=below):
        fold(run, event)
    if run.ended_at is None and not store.alive(run_id):
        fold(run, RunEnded("", "terminate", seq=run.last_seq + 1, at=kept_run(store, run_id).last_at))
    return run


def _end(store: Store, run_id: str) -> RunEnded | None:
    """How it ended, if it has: a run that was gone on with has several ends."""
    of_run = store.events(run_id, node="")
    return next((event for event in reversed(list(of_run)) if isinstance(event, RunEnded)), None)


def _check(store: Store, run_id: str, agent: str) -> None:
    known = known_nodes(store, run_id, agent)
    if agent not in known:
        raise ProblemError(Problem(f"the run has no node '{agent}'", hint=nearest(agent, known) or f"see: llm-orc runs show {run_id}"))


def _say_more(terminal: Terminal, nodes: list[KeptNode], page: Page) -> None:
    if len(nodes) > page.limit:
        terminal.say(f"there are more: --limit {2 * page.limit}, or --offset to leave some out\n")
    if cut := [node for node in nodes if node.children > CHILDREN]:
        terminal.say(f"of '{cut[0].id}' only {CHILDREN} children are shown: --agent '{cut[0].id}'\n")


def _answer(terminal: Terminal, lines: Iterable[str]) -> None:
    terminal.answer("".join(f"{line}\n" for line in lines))
