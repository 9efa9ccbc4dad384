"""What `llm-orc runs diff` says."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llm_orc.cli.runs_opened import number, opened
from llm_orc.cli.runs_shown import check_node
from llm_orc.cli.table import table
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.difference import Part, alone, differing, parts
from llm_orc.domain.event import Happening, RunStarted
from llm_orc.domain.kept import KeptNode
from llm_orc.domain.run import Node
from llm_orc.render.diff import Pair, diff_document, heads, pair_document, pair_rows, part_lines, text_lines, unified
from llm_orc.render.json import to_json
from llm_orc.render.words import counted, ink
from llm_orc.store.nodes import tree
from llm_orc.store.pages import kept_run
from llm_orc.store.runs import Store

MOST = 20_000
"""Nodes of one level that are compared."""


class Asked(NamedTuple):
    """What the flags say."""

    a: str
    b: str
    agent: str
    brief: bool
    limit: str
    json: bool


class _Two(NamedTuple):
    """Both runs."""

    store: Store
    a: str
    b: str

    def node(self, id_: str) -> tuple[Node | None, Node | None]:
        """A node in each, as it was sent and replied."""
        return alone(self.store.events(self.a, node=id_)), alone(self.store.events(self.b, node=id_))

    def input(self) -> tuple[str, str]:
        """What each worked on."""
        began = (next((e for e in self.store.events(run, node="") if isinstance(e, RunStarted)), None) for run in (self.a, self.b))
        ours, theirs = (each.input if each else "" for each in began)
        return ours, theirs

    def result(self) -> tuple[str, str]:
        """What came of each."""
        ours, theirs = (end.result if (end := self.store.end(run)) else "" for run in (self.a, self.b))
        return ours, theirs


def compared(terminal: Terminal, asked: Asked) -> int:
    """Say what two runs differ in; the exit code, which is 0 whether they do or not. Raises ProblemError."""
    most = number(asked.limit, "--limit")
    with opened(terminal) as store:
        two = _Two(store, store.find(asked.a), store.find(asked.b))
        if asked.agent:
            _check(two, asked.agent)
        pairs = list(_pairs(two, asked.agent))
        if asked.json:
            _print_json(terminal, two, pairs, asked)
        else:
            _print(terminal, two, pairs, asked, most)
    return 0


def _check(two: _Two, agent: str) -> None:
    """Raises ProblemError where neither run has such a node."""
    if not any(two.node(agent)):
        check_node(two.store, two.a, agent)


def _pairs(two: _Two, agent: str) -> Iterator[Pair]:
    """The agents of both, or a node and what is directly below it."""
    ours, theirs = ({node.id: node for node in _level(two.store, run, agent)} for run in (two.a, two.b))
    for id_ in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(id_), theirs.get(id_)
        below, differ = _below(two, id_) if id_ != agent and ((a and a.children) or (b and b.children)) else (0, 0)
        yield Pair(a, b, differing(*two.node(id_)), below, differ)


def _level(store: Store, run_id: str, agent: str) -> list[KeptNode]:
    if not agent:
        return tree(store, run_id, limit=MOST, children=0)
    parent = agent[: max(agent.rfind("/"), agent.rfind("["), 0)]
    own = [node for node in tree(store, run_id, below=parent, limit=MOST, children=0) if node.id == agent]
    return [*own, *tree(store, run_id, below=agent, limit=MOST, children=0)]


def _below(two: _Two, id_: str) -> tuple[int, int]:
    """How many nodes are inside of one, in either run, and how many of them differ."""
    ours, theirs = (two.store.events_below(run, id_) for run in (two.a, two.b))
    nodes = differ = 0
    a, b = next(ours, None), next(theirs, None)
    while a or b:
        first = min(each[0] for each in (a, b) if each)
        events: list[tuple[Happening, ...]] = [each[1] if each and each[0] == first else () for each in (a, b)]
        nodes += 1
        differ += bool(differing(*map(alone, events)))
        a = next(ours, None) if a and a[0] == first else a
        b = next(theirs, None) if b and b[0] == first else b
    return nodes, differ


def _spec(two: _Two) -> list[Part] | None:
    """What the runs were begun with; None where that of one is not kept."""
    a, b = two.store.kept_spec(two.a), two.store.kept_spec(two.b)
    return None if a is None or b is None else list(parts(a, b))


def _print(terminal: Terminal, two: _Two, pairs: list[Pair], asked: Asked, most: int) -> None:
    color = terminal.stdout.color
    spec = [] if asked.agent else _spec(two)
    _answer(terminal, heads(kept_run(two.store, two.a), kept_run(two.store, two.b), color=color))
    if spec is None:
        terminal.say("what they were begun with is not kept of both: that is not compared\n")
    if spec:
        _answer(terminal, ("", ink("spec", "bold", color=color)))
        for part in spec:
            _answer(terminal, part_lines(part, color=color))
    shown = [pair for pair in pairs if not pair.same]
    same = len(pairs) - len(shown)
    _answer(terminal, ("", ink("nodes", "bold", color=color)))
    terminal.answer(table(pair_rows(shown[:most]), terminal.stdout.width))
    if same:
        _answer(terminal, [f"{counted(same, 'node')} {'is' if same == 1 else 'are'} the same"])
    if len(shown) > most:
        terminal.say(f"there are more: --limit {2 * most}\n")
    if not asked.brief:
        for title, a, b in _texts(two, shown[:most], asked):
            _answer(terminal, ("", ink(title, "bold", color=color), *text_lines(a, b, color=color)))


def _texts(two: _Two, shown: list[Pair], asked: Asked) -> Iterator[tuple[str, str, str]]:
    """The texts that are not the same, one after the other."""
    if not asked.agent:
        yield from _unequal("input", *two.input())
    replies: list[tuple[str, str]] = []
    for pair in shown:
        a, b = two.node(pair.id)
        if a and b:
            replies = [(a.text, b.text)]
            yield from _unequal(f"{pair.id}: prompt", a.prompt, b.prompt)
            yield from _unequal(f"{pair.id}: reply", a.text, b.text)
            yield from _unequal(f"{pair.id}: cause", a.cause, b.cause)
    if not asked.agent and two.result() not in replies:  # which are shown already
        yield from _unequal("result", *two.result())


def _unequal(title: str, a: str, b: str) -> Iterator[tuple[str, str, str]]:
    if a != b:
        yield title, a, b


def _print_json(terminal: Terminal, two: _Two, pairs: list[Pair], asked: Asked) -> None:
    texts = {} if asked.agent else {"input": two.input(), "result": two.result()}
    spec = None if asked.agent else _spec(two)
    same = not spec and all(pair.same for pair in pairs) and all(a == b for a, b in texts.values())
    whole = {name: _diff(*both, brief=asked.brief) for name, both in texts.items()}
    head = diff_document(kept_run(two.store, two.a), kept_run(two.store, two.b), same=same, spec=spec, texts=whole)
    head["nodes"] = [pair_document(pair, _node_texts(two, pair, brief=asked.brief)) for pair in pairs]
    terminal.answer(to_json(head, indent=2) + "\n")


def _node_texts(two: _Two, pair: Pair, *, brief: bool) -> dict[str, str | None]:
    a, b = (None, None) if pair.same else two.node(pair.id)
    if a is None or b is None:
        return dict.fromkeys(("prompt", "reply"))
    return {"prompt": _diff(a.prompt, b.prompt, brief=brief), "reply": _diff(a.text, b.text, brief=brief)}


def _diff(a: str, b: str, *, brief: bool) -> str | None:
    return None if a == b or brief else "\n".join(unified(a, b))


def _answer(terminal: Terminal, lines: Iterable[str]) -> None:
    for line in lines:
        terminal.answer(f"{line}\n")
