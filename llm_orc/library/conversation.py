"""A conversation: a run as a graph of prompts and responses, in the words of programs that hold one."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from llm_orc.domain.conversation import PROMPT, Relation
from llm_orc.domain.event import Happening, Resumed, RunEnded, RunStarted, Submitted, Warned
from llm_orc.domain.problem import Problem
from llm_orc.domain.run import Node, Run
from llm_orc.library.graph import BaseEdge, BaseGraph, BaseNode, GraphError, Which
from llm_orc.library.responses import BasePrompt, ExecutionMetadata, ExecutionStatus, LLMResponse, TokenUsage, moment, status_of
from llm_orc.library.stats import ConversationSummary, summary_of

if TYPE_CHECKING:
    from llm_orc.library.context import ConversationContext
    from llm_orc.library.opening import Opening
    from llm_orc.library.setting import Setting

NodeType = Literal["prompt", "response"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFINISHED: tuple[ExecutionStatus, ...] = ("pending", "running")


class ConversationNode(BaseNode):
    """A prompt or a response. What is known of it grows while the conversation goes on."""

    node_type: NodeType
    content: BasePrompt | LLMResponse | None = None
    """None for a response that is still to come."""
    execution: ExecutionMetadata = Field(default_factory=ExecutionMetadata)
    parent: str = ""
    """The response of the task that it is a part of."""

    @property
    def status(self) -> ExecutionStatus:
        """How far it has come."""
        return self.execution.status

    @property
    def text(self) -> str:
        """What it says."""
        return self.content.content if self.content else ""

    @property
    def token_usage(self) -> TokenUsage:
        """What it took, its parts included."""
        return self.content.token_usage if isinstance(self.content, LLMResponse) else TokenUsage()


class ConversationEdge(BaseEdge):
    """A prompt `depends_on` the responses that it goes on from; a response is the `response_to` its prompt."""


class ConversationGraph(BaseGraph[ConversationNode]):
    """A conversation. It is changed by what an `Orchestrator` or `TaskManager` does in it, and by hand."""

    def __init__(self, id: str | None = None, *, name: str = "", metadata: Mapping[str, Any] | None = None) -> None:  # noqa: A002
        super().__init__(id or _new_id(), metadata=metadata)
        if not _ID.fullmatch(self.id) or self.id == "last":
            hint = "take letters, digits, '-', '_' and '.', at most 100, but not the word 'last'"
            raise GraphError(Problem(f"'{self.id}' cannot be the id of a conversation", hint=hint))
        self.name = name
        self.run = Run(self.id)
        """The same as the engine knows it; to be read."""
        self.forgotten: set[str] = set()
        """The ids of what was pruned: it is not told to a model again."""
        self._hearers: list[Callable[[str, ConversationNode | None], None]] = []
        self._context: ConversationContext | None = None
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._summaries: dict[str, str] = {}
        self.opening: Opening | None = None
        self.setting: Setting | None = None
        """Of the orchestrator that has used it first."""

    @property
    def context(self) -> "ConversationContext":
        """Where it stands: what is asked next goes on from there."""
        if self._context is None:
            from llm_orc.library.context import ConversationContext

            self._context = ConversationContext(self)
        return self._context

    # What was said

    def get_node_history(self, node: Which, max_depth: int | None = None) -> list[ConversationNode]:
        """All that led to a node, and the node: each once, what is needed first; so many steps back at most."""
        return self.history_of([node], max_depth)

    def history_of(self, nodes: Iterable[Which], max_depth: int | None = None) -> list[ConversationNode]:
        """Likewise, of several nodes together."""
        known = [self.get_node(each).id for each in nodes]
        return [self.nodes[each] for each in self._graph.history(*known, depth=max_depth)]

    def get_nodes(
        self,
        node_type: NodeType | None = None,
        status: ExecutionStatus | Collection[ExecutionStatus] | None = None,
        *,
        model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[ConversationNode]:
        """The nodes of a type, of a status (or one of several), that a model answered, made in a time; in the order of the conversation."""
        wanted = {status} if isinstance(status, str) else status
        return [
            node
            for node in self.nodes.values()
            if node_type in {None, node.node_type}
            and (wanted is None or node.status in wanted)
            and model in {None, node.execution.model}
            and (since is None or node.created_at >= since)
            and (until is None or node.created_at <= until)
        ]

    def get_group_status(self, group: str | None) -> dict[ExecutionStatus, int]:
        """How many responses that were asked for at once, or are parts of one task, have come how far."""
        return dict(Counter(node.status for node in self.get_nodes("response") if node.execution.parallel_group == group))

    def get_transcript(self, node: Which | None = None) -> str:
        """What was said, as a text: all of it, or what led to a node."""
        told = self.get_node_history(node) if node is not None else list(self.nodes.values())
        return "\n\n".join(f"## {each.node_type} {each.id}\n\n{each.text}" for each in told if each.text)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON knows it."""
        nodes = [{**node.model_dump(mode="json"), "status": node.status} for node in self.nodes.values()]
        edges = [edge.model_dump(mode="json") for edge in self.edges]
        known = {"id": self.id, "name": self.name, "created_at": self.created_at.isoformat(), "metadata": self.metadata}
        return {**known, "nodes": nodes, "edges": edges, "context": list(self.context.current)}

    # What it took

    def get_token_usage(self, node: Which | None = None) -> TokenUsage:
        """What a node took, or the whole conversation; each call is counted once."""
        return self.get_node(node).token_usage if node is not None else self._sum(self.nodes.values())

    def get_token_usage_by_type(self, node_type: NodeType) -> TokenUsage:
        """What all nodes of a type took."""
        return self._sum(self.get_nodes(node_type))

    @property
    def total_tokens(self) -> int:
        """Of the whole conversation."""
        return self.get_token_usage().total_tokens

    def get_conversation_summary(self) -> ConversationSummary:
        """Its statistics; what was said, in short, is told by `summarize`."""
        return summary_of(self)

    async def summarize(self, node: Which | None = None) -> str:
        """What was said, in short: all of it, or what led to a node. A model makes it, once of the same; raises FailedError."""
        from llm_orc.library.summary import summarized

        transcript = self.get_transcript(node)
        if transcript not in self._summaries:
            self._summaries[transcript] = await summarized(transcript, self.setting)
        return self._summaries[transcript]

    def _sum(self, nodes: Iterable[ConversationNode]) -> TokenUsage:
        return sum((node.token_usage for node in nodes if node.parent not in self.nodes), TokenUsage())

    # Pruning

    def prune_nodes(self, *args: Any, **more: Any) -> list[str]:
        """As of any graph; a prompt goes together with its response, and what is gone is not told to a model again."""
        removed = super().prune_nodes(*args, **more)
        self.forgotten |= set(removed) - set(self.nodes)
        self.context.leave(set(removed) - set(self.nodes))
        return removed

    def _unfinished(self) -> Iterable[str]:
        """With all that these go on from, which they are told."""
        return self._graph.history(*(node.id for node in self.nodes.values() if node.status in _UNFINISHED))

    def _spare(self, moment: datetime | None, most: int | None, kept: Collection[str]) -> list[str]:
        held = {both for each in kept for both in self._exchange(each)}
        held |= {both for each in held for needed in self._graph.needs(each) for both in self._exchange(needed)}
        spare = super()._spare(moment, most, held)
        return list(dict.fromkeys(both for each in spare for both in self._exchange(each)))

    def _exchange(self, node: str) -> list[str]:
        """A prompt and its response."""
        asked = self._graph.needs(node, "response_to")
        answers = self._graph.needed_by(node, "response_to")
        return [*asked, node, *answers]

    def _edge(self, source: str, target: str, relation: Relation) -> ConversationEdge:
        return ConversationEdge(source_id=source, target_id=target, edge_type=relation)

    # What happens

    def hear(self, event: Happening) -> None:
        """Mind what has happened in its run, which has folded it."""
        match event:
            case RunStarted():
                self.created_at = moment(event.at)
                self._tell("conversation_created")
            case Submitted():
                self._join(self.run.nodes[event.node], event.at)
                self._tell("conversation_updated")
            case Resumed() | RunEnded():
                for node in self.get_nodes("response", _UNFINISHED):
                    if node.id in self.run.nodes:
                        self._update(self.run.nodes[node.id])
                for node_id in list(self._waiting) if isinstance(event, RunEnded) else ():
                    self.end(node_id)
                self._tell("conversation_updated")
            case Warned():
                self._tell("conversation_updated")
            case _:
                self._update(self.run.nodes[event.node])

    async def ended(self, *nodes: str) -> None:
        """Wait until one of these has ended, or nobody works on the conversation any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for each in nodes:
            self._waiting.setdefault(each, []).append(future)
        await future

    def end(self, node: str) -> None:
        """Nothing more comes of a node."""
        for future in self._waiting.pop(node, ()):
            with suppress(RuntimeError):  # its loop is closed, so that nobody waits
                future.get_loop().call_soon_threadsafe(_let_go, future)

    @contextmanager
    def heard(self, hearer: Callable[[str, ConversationNode | None], None]) -> Iterator[None]:
        """Meanwhile, call it with what becomes of the conversation and its nodes."""
        self._hearers.append(hearer)
        try:
            yield
        finally:
            self._hearers.remove(hearer)

    def _tell(self, what: str, node: ConversationNode | None = None) -> None:
        for hearer in list(self._hearers):
            hearer(what, node)

    def _join(self, node: Node, at: float) -> None:
        """A node of the run is in it from now on: a prompt, and the response that is to come."""
        if node.id in self.nodes or node.id in self.forgotten:
            self._update(node)
            return
        told = (node.turn or {}).get("metadata", {})
        prompt = ConversationNode(
            id=f"{node.id}{PROMPT}", created_at=moment(at), node_type="prompt", parent=node.parent, content=_prompt(node), metadata=told
        )
        response = ConversationNode(id=node.id, created_at=moment(at), node_type="response", parent=node.parent)
        for each in (prompt, response):
            self.add_node(each)
        self._graph.join(response.id, prompt.id, "response_to")
        for needed in node.depends_on or ([f"{node.parent}{PROMPT}"] if node.parent else []):
            if needed in self.nodes:
                self._graph.join(prompt.id, needed, "depends_on")
        if node.parent in self.nodes:
            self._graph.join(node.parent, response.id, "depends_on")
        self._update(node)
        for each in (prompt, response):
            self._tell("node_created", each)

    def _update(self, node: Node) -> None:
        for node_id in (f"{node.id}{PROMPT}", node.id):
            if (known := self.nodes.get(node_id)) is None:
                continue
            before = known.model_copy()
            known.execution = execution_of(node, self.run)
            if known.node_type == "prompt":
                known.content = _prompt(node) if node.prompt else known.content
            elif node.ended_at is not None:
                known.content = LLMResponse.of(node)
            if known != before:
                self._tell("node_updated", known)
        if node.ended_at is not None:
            self.end(node.id)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _new_id() -> str:
    from llm_orc.app import new_run_id  # a conversation that has an id needs no engine yet

    return new_run_id()


def execution_of(node: Node, run: Run) -> ExecutionMetadata:
    """How far a node of a run has come."""
    times = {key: moment(at) for key, at in (("started_at", node.started_at), ("completed_at", node.ended_at)) if at is not None}
    below = [child.status for child in run.below(node)]
    ended, failed = sum(status not in _UNFINISHED for status in below), below.count("failed")
    progress = (
        f"{ended}/{max(node.expected, len(below))} done" + (f", {failed} failed" if failed else "") if node.expected is not None else ""
    )
    return ExecutionMetadata(
        status=status_of(node.status),
        error=node.cause or None,
        error_kind=node.failure.kind.value if node.failure else None,
        attempts=node.sent,
        waiting_for=node.waiting_for,
        profile=node.profile,
        provider=node.provider,
        model=node.model,
        parallel_group=node.parent or (node.turn or {}).get("group"),
        dependencies=node.depends_on,
        progress=progress,
        **times,
    )


def _prompt(node: Node) -> BasePrompt:
    spec = node.turn or {}
    return BasePrompt(content=node.prompt or spec.get("input", ""), **spec.get("asked", {}))
