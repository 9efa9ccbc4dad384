"""A run as a conversation: a graph of what was asked and what was answered.

Each exchange is two nodes: the response has the id of its node of the run, `review`, and the prompt that with `.prompt` behind it.
An edge goes from what needs to what is needed: a response is a `response_to` its prompt, a prompt `depends_on` responses before it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar, get_args

from llm_orc.domain.graph import cycles_of, phases_of
from llm_orc.domain.message import Attachment, Message
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.run import Node, Run

Relation = Literal["depends_on", "response_to"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
PROMPT = ".prompt"
T = TypeVar("T")


class Edge(NamedTuple):
    """What needs what."""

    source: str
    """What needs."""
    target: str
    """What is needed."""
    relation: Relation


class Conversation(Generic[T]):
    """Nodes of any kind by id, and the edges between them. What is asked of one node costs what the answer is long."""

    def __init__(self) -> None:
        self._nodes: dict[str, T] = {}
        self._needs: dict[str, dict[Edge, None]] = {}
        self._needed: dict[str, dict[Edge, None]] = {}

    @property
    def nodes(self) -> Mapping[str, T]:
        """In the order in which they were added."""
        return self._nodes

    @property
    def edges(self) -> Iterator[Edge]:
        """Each once, by what needs."""
        return (edge for edges in self._needs.values() for edge in edges)

    def add(self, id: str, node: T) -> None:  # noqa: A002 - the word for it
        """Add a node; raises ProblemError for an id that is taken."""
        if id in self._nodes:
            raise ProblemError(Problem(f"there is a node '{id}' already", hint="an id stands for one node: choose another"))
        self._nodes[id], self._needs[id], self._needed[id] = node, {}, {}

    def join(self, source: str, target: str, relation: Relation) -> None:
        """Add an edge, from what needs to what is needed; one that is there stays one. Raises ProblemError."""
        if relation not in RELATIONS:
            raise ProblemError(Problem(f"no edge is called '{relation}'", hint=f"there are: {', '.join(RELATIONS)}"))
        if missing := [id_ for id_ in dict.fromkeys((source, target)) if id_ not in self._nodes]:
            what = f"no edge from '{source}' to '{target}': there is no node {' and no node '.join(map(repr, missing))}"
            raise ProblemError(Problem(what, hint=nearest(missing[0], self._nodes) or "add the nodes before the edge"))
        edge = Edge(source, target, relation)
        self._needs[source][edge] = self._needed[target][edge] = None

    def needs(self, id: str, relation: Relation | None = None) -> tuple[str, ...]:  # noqa: A002
        """What a node needs directly."""
        found = (edge.target for edge in self._edges_at(self._needs, id) if relation in (None, edge.relation))
        return tuple(dict.fromkeys(found))

    def needed_by(self, id: str, relation: Relation | None = None) -> tuple[str, ...]:  # noqa: A002
        """What needs a node directly."""
        found = (edge.source for edge in self._edges_at(self._needed, id) if relation in (None, edge.relation))
        return tuple(dict.fromkeys(found))

    def history(self, *ids: str, depth: int | None = None) -> tuple[str, ...]:
        """All that the nodes need, directly or not, and they themselves: each once, what is needed first; so many steps back at most."""
        return self._in_order(self._reached(ids, self.needs, depth))

    def future(self, *ids: str, depth: int | None = None) -> tuple[str, ...]:
        """The nodes, and all that needs them, directly or not: each once, what is needed first; so many steps on at most."""
        return self._in_order(self._reached(ids, self.needed_by, depth))

    def levels(self) -> tuple[tuple[str, ...], ...]:
        """All nodes in groups, each of which needs only what is in the groups before; raises ProblemError that names a cycle."""
        return phases_of(self._needs_among(self._nodes))

    def without(self, ids: Collection[str]) -> "Conversation[T]":
        """The graph without these nodes; what needed one of them needs now what that one needed: nothing loses where it came from."""
        left: Conversation[T] = Conversation()
        for id_ in self._nodes:
            if id_ not in ids:
                left.add(id_, self._nodes[id_])
        for source in left.nodes:
            for edge in self._needs[source]:
                if edge.target in left.nodes:
                    left.join(*edge)
            for far in self._beyond(source, ids):
                left.join(source, far, "depends_on")
        return left

    def spare(
        self, *, at: Callable[[T], float], before: float | None = None, most: int | None = None, kept: Collection[str] = ()
    ) -> list[str]:
        """The nodes that may go, the oldest first: those that came before a time, and the oldest of more than `most`.

        Never those that are `kept`, nor what these need directly.
        """
        held = {*kept, *(needed for id_ in kept for needed in self.needs(id_))}
        oldest = sorted(self._nodes, key=lambda id_: at(self._nodes[id_]))
        many = 0 if most is None else len(oldest) - most
        old = [id_ for id_ in oldest if id_ not in held]
        return [id_ for number, id_ in enumerate(old) if number < many or (before is not None and at(self._nodes[id_]) < before)]

    def _beyond(self, source: str, gone: Collection[str]) -> list[str]:
        """What is left of the things that a node needs only by way of what is gone."""
        seen: dict[str, None] = {}
        ahead = [id_ for id_ in self.needs(source) if id_ in gone]
        while ahead:
            id_ = ahead.pop()
            if id_ not in seen:
                seen[id_] = None
                if id_ in gone:
                    ahead += self.needs(id_)
        return [id_ for id_ in seen if id_ not in gone]

    def _edges_at(self, edges: Mapping[str, Iterable[Edge]], id_: str) -> Iterable[Edge]:
        if id_ not in self._nodes:
            raise ProblemError(unknown(id_, self._nodes))
        return edges[id_]

    def _reached(self, ids: Iterable[str], step: Callable[[str], tuple[str, ...]], depth: int | None) -> set[str]:
        found: set[str] = set()
        ahead = set(ids)
        while ahead:
            found |= ahead
            there = {far for id_ in ahead for far in step(id_)} - found
            if depth is not None:
                depth -= 1
            ahead = there if depth is None or depth >= 0 else set()
        return found

    def _in_order(self, ids: Collection[str]) -> tuple[str, ...]:
        """As they were added, but for what is needed, which comes before."""
        needs = self._needs_among(ids)
        placed: dict[str, None] = {}
        ahead = list(needs)[::-1]
        while ahead:
            if missing := [needed for needed in needs[ahead[-1]] if needed not in placed]:
                ahead += missing[::-1]
            else:
                placed[ahead.pop()] = None
        return tuple(placed)

    def _needs_among(self, ids: Collection[str]) -> dict[str, list[str]]:
        """By node, in the order in which they were added; raises ProblemError that names a cycle."""
        needs = {id_: [needed for needed in self.needs(id_) if needed in ids] for id_ in self._nodes if id_ in ids}
        if cycles := cycles_of(needs):
            raise ProblemError(
                *(Problem(f"the conversation goes round: {' -> '.join(cycle)}", hint="leave out an edge") for cycle in cycles)
            )
        return needs


def unknown(id_: str, known: Iterable[str]) -> Problem:
    """Of a node that is not there."""
    there = list(known)
    hint = nearest(id_, there) or f"there are: {', '.join(there[:_SHOWN])}{', ...' if len(there) > _SHOWN else ''}"
    return Problem(f"there is no node '{id_}'", hint=hint)


_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Said:
    """One side of an exchange."""

    id: str
    kind: Literal["prompt", "response"]
    node: Node
    """What it is a part of."""

    @property
    def text(self) -> str:
        """A prompt as it was sent; a response as far as it has come."""
        return self.node.prompt if self.kind == "prompt" else self.node.text

    @property
    def at(self) -> float | None:
        """When it was said to its end, in seconds since 1970 UTC."""
        return self.node.started_at if self.kind == "prompt" else self.node.ended_at


def conversation_of(run: Run) -> Conversation[Said]:
    """The graph of a run. Of a node with others below it these depend on its prompt, and its response on those that end there."""
    graph: Conversation[Said] = Conversation()
    for id_, node in run.nodes.items():
        graph.add(f"{id_}{PROMPT}", Said(f"{id_}{PROMPT}", "prompt", node))
        graph.add(id_, Said(id_, "response", node))
        graph.join(id_, f"{id_}{PROMPT}", "response_to")
    for id_, node in run.nodes.items():
        for needed in node.depends_on or ([f"{node.parent}{PROMPT}"] if node.parent else []):
            graph.join(f"{id_}{PROMPT}", needed, "depends_on")
        read = {needed for child in run.below(node) for needed in child.depends_on}
        for child in node.children:
            if child not in read:
                graph.join(id_, child, "depends_on")
    return graph


def messages_of(
    run: Run,
    after: Iterable[str],
    *,
    system: str = "",
    attached: Mapping[str, Sequence[Attachment]] | None = None,
    without: Collection[str] = (),
) -> tuple[Message, ...]:
    """What was said up to these nodes, as a chat: `system` first, then user and assistant in turn, each exchange once.

    It goes back over turns. An agent of the ensemble was told in its prompt what it had to know of those before it: the chat begins there.
    What was said without a prompt, as by a script, answered the run's input. `attached` are the files that went along, by node. Nothing is
    said of those nodes that it is to be `without`.
    """
    messages = [Message("system", system)] if system else []
    for node in chat_of(run, after):
        if node.reply is not None and node.id not in without:
            files = tuple((attached or {}).get(node.id, ()))
            messages += (Message("user", _told(node) or run.input, files), Message("assistant", node.reply.text))
    return tuple(messages)


def _told(node: Node) -> str:
    """What was said to it, or what a turn was about that was sent to nobody as it is, but in parts. Nobody speaks to a program."""
    turn = node.turn or {}
    prompt = "" if node.body in ("script", "command") else node.prompt
    return prompt or str(turn.get("title") or turn.get("input") or "")


def chat_of(run: Run, after: Iterable[str]) -> list[Node]:
    """The nodes whose exchanges make the chat up to these nodes, in order: turns, and what they go on from, back to the first agents."""
    found: set[str] = set()
    ahead = list(after)
    while ahead:
        id_ = ahead.pop()
        if id_ not in found:
            found.add(id_)
            node = run.nodes[id_]
            ahead += node.depends_on if node.turn is not None else ()
    return [node for node in run.nodes.values() if node.id in found]  # a turn comes after what it goes on from


def cannot_go_on_from(run: Run, after: Iterable[str], working: Collection[str] = ()) -> list[Problem]:
    """What keeps a turn from going on from these nodes; for those that are `working` it can wait."""
    return [problem for id_ in after if id_ not in working and (problem := _cannot(run, id_))]


def _cannot(run: Run, id_: str) -> Problem | None:
    node = run.nodes.get(id_)
    if node is None:
        return unknown(id_, run.nodes)
    match node.status:
        case "succeeded":
            return None
        case "failed" | "skipped":
            ended = "failed" if node.status == "failed" else f"was {node.status}"
            return Problem(f"'{id_}' has no reply to go on from: it {ended} ({node.cause})", hint=_others(run))
        case _:
            return Problem(f"'{id_}' has no reply to go on from: it was cut off", hint=_others(run))


def _others(run: Run) -> str:
    there = [node.id for node in run.top() if node.status == "succeeded"]
    last = f"go on from another: --after {there[-1]}, or " if there else ""
    return f"{last}ask it again: llm-orc runs resume {run.id}"


def next_turn(run: Run, taken: Collection[str] = ()) -> str:
    """The id of the next turn: `turn-1`, `turn-2`, ..."""
    number = 1 + sum(node.turn is not None for node in run.nodes.values())
    while (name := f"turn-{number}") in run.nodes or name in taken:
        number += 1
    return name


def ends(run: Run, final: str | None = None) -> list[str]:
    """The nodes that a conversation ends with: the last turn, else the `final` agent, else what nothing has read."""
    turns = [node.id for node in run.nodes.values() if node.turn is not None and node.status == "succeeded"]
    if turns:
        return turns[-1:]
    if final is not None and final in run.nodes:
        return [final]
    read = {needed for node in run.top() for needed in node.depends_on}
    unread = [node.id for node in run.top() if node.id not in read]
    return [id_ for id_ in unread if run.nodes[id_].status == "succeeded"] or unread


def last_said(run: Run, final: str | None = None) -> str | None:
    """The one node that a conversation ends with, if it has any; raises ProblemError where there are several."""
    several = ends(run, final)
    if len(several) > 1:
        hint = f"say from which to go on: --after {several[0]} (there are: {', '.join(several[:_SHOWN])})"
        raise ProblemError(Problem(f"the run ends with {len(several)} replies, not with one", hint=hint))
    return several[0] if several else None
