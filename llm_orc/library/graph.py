"""Graphs as the library shows them: nodes by their ids, and edges from what needs to what is needed."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_orc.domain.conversation import RELATIONS, Conversation, Relation
from llm_orc.domain.problem import ProblemError
from llm_orc.library.unknown import UnknownError


class GraphError(ProblemError, ValueError):
    """What cannot be in a graph."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class BaseNode(BaseModel):
    """A node: its id, when it was made, and what else should be known of it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    created_at: AwareDatetime = Field(default_factory=now)
    """In UTC."""
    metadata: dict[str, Any] = Field(default_factory=dict)


class BaseEdge(BaseModel):
    """It reads as a sentence: the source `depends_on` the target, or is the `response_to` it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_id: str
    target_id: str
    edge_type: Relation = "depends_on"


NodeT = TypeVar("NodeT", bound=BaseNode)
Which = str | BaseNode
"""A node, by its id or as it is."""


def id_of(node: Which) -> str:
    """The id of a node."""
    return node if isinstance(node, str) else node.id


class BaseGraph(Generic[NodeT]):
    """Nodes by their ids, and edges between them, each once."""

    def __init__(self, id: str | None = None, *, metadata: Mapping[str, Any] | None = None) -> None:  # noqa: A002 - the seeds' word
        self.id = id or str(uuid4())
        self.created_at = now()
        self.metadata = dict(metadata or {})
        self._graph: Conversation[NodeT] = Conversation()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}: {len(self.nodes)} nodes>"

    @property
    def nodes(self) -> Mapping[str, NodeT]:
        """By their ids, in the order in which they were added."""
        return self._graph.nodes

    @property
    def edges(self) -> list[BaseEdge]:
        """Every edge."""
        return [self._edge(*edge) for edge in self._graph.edges]

    def add_node(self, node: NodeT) -> str:
        """Add a node, and give its id; raises GraphError where that is taken."""
        with _told():
            self._graph.add(node.id, node)
        return node.id

    def add_edge(self, edge: BaseEdge) -> None:
        """Add an edge; one that is there stays one. Raises GraphError where an end of it is not there."""
        with _told():
            self._graph.join(edge.source_id, edge.target_id, edge.edge_type)

    def get_node(self, node: Which) -> NodeT:
        """The node of that id; raises UnknownError, a KeyError, for none."""
        try:
            return self.nodes[id_of(node)]
        except KeyError:
            raise UnknownError.of("node", id_of(node), self.nodes) from None

    def get_edges(self, node: Which | None = None, edge_type: Relation | None = None) -> list[BaseEdge]:
        """The edges that begin or end at a node, or all; of one type, or of any."""
        wanted = RELATIONS if edge_type is None else (edge_type,)
        if node is None:
            return [edge for edge in self.edges if edge.edge_type in wanted]
        known = self.get_node(node).id
        needs = [self._edge(known, each, relation) for relation in wanted for each in self._graph.needs(known, relation)]
        return needs + [self._edge(each, known, relation) for relation in wanted for each in self._graph.needed_by(known, relation)]

    def get_node_dependencies(self, node: Which, *, transitive: bool = False) -> list[str]:
        """The ids of what a node needs directly, or of all that it needs; what is needed first."""
        known = self.get_node(node).id
        return [each for each in self._graph.history(known) if each != known] if transitive else list(self._graph.needs(known))

    def get_node_dependents(self, node: Which, *, transitive: bool = False) -> list[str]:
        """Likewise, of what needs it."""
        known = self.get_node(node).id
        return [each for each in self._graph.future(known) if each != known] if transitive else list(self._graph.needed_by(known))

    def get_execution_order(self) -> list[list[str]]:
        """Ids in groups, each of which needs only what is in the groups before it; raises GraphError for a cycle, and names it."""
        with _told():
            return [list(level) for level in self._graph.levels()]

    def prune_nodes(
        self,
        older_than: timedelta | datetime | float | None = None,
        max_nodes: int | None = None,
        keep: Iterable[Which] = (),
        *,
        dry_run: bool = False,
    ) -> list[str]:
        """Remove nodes that are too old (an age, in seconds where it is a number, or a time), and the oldest of those that are too many.

        What is to be `keep`-ed stays, and so does what has not ended, with all that these need directly. What needed a removed node needs
        then what that one needed. Gives the ids of what is removed; with `dry_run` of what would be.
        """
        kept = {self.get_node(each).id for each in keep} | set(self._unfinished())
        removed = self._spare(_moment(older_than), max_nodes, kept)
        if not dry_run:
            self._graph = self._graph.without(set(removed))
        return removed

    def get_graph_summary(self) -> dict[str, Any]:
        """How many nodes and edges there are, of which types, how deep, since when."""
        times = sorted(node.created_at for node in self.nodes.values())
        edges = [edge.edge_type for edge in self.edges]
        return {
            "id": self.id,
            "nodes": len(self.nodes),
            "edges": len(edges),
            "edge_types": {name: edges.count(name) for name in dict.fromkeys(edges)},
            "depth": len(self.get_execution_order()),
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
            "metadata": self.metadata,
        }

    def _edge(self, source: str, target: str, relation: Relation) -> BaseEdge:
        return BaseEdge(source_id=source, target_id=target, edge_type=relation)

    def _unfinished(self) -> Iterable[str]:
        """The nodes that something is still to come of; of plain ones there are none."""
        return ()

    def _spare(self, moment: datetime | None, most: int | None, kept: Collection[str]) -> list[str]:
        before = None if moment is None else moment.timestamp()
        return self._graph.spare(at=lambda node: node.created_at.timestamp(), before=before, most=most, kept=kept)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong is told as what cannot be in a graph."""
    try:
        yield
    except ProblemError as error:
        raise GraphError(*error.problems) from None


def _moment(older_than: timedelta | datetime | float | None) -> datetime | None:
    match older_than:
        case None:
            return None
        case datetime():
            return older_than.astimezone(UTC)
        case timedelta():
            return now() - older_than
        case _:
            return now() - timedelta(seconds=older_than)
