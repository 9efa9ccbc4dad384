"""Tasks that are taken apart: `TaskManager` makes each part a node of a conversation, and joins what comes of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from llm_orc.config.attachments import attachments_of
from llm_orc.domain.ensemble import ModelAgent
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plan import Choices
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.library.conversation import ConversationGraph, ConversationNode
from llm_orc.library.graph import GraphError, Which
from llm_orc.library.opening import Asked, Opening
from llm_orc.library.orchestrator import Orchestrator, ended
from llm_orc.library.responses import BasePrompt, ExecutionStatus, LLMResponse
from llm_orc.library.setting import Pool
from llm_orc.library.strategies import PARTS, PLANNER, Strategy, agent_of, strategy_of, text_of
from llm_orc.library.unknown import UnknownError

if TYPE_CHECKING:
    from llm_orc.config.layers import Layers
    from llm_orc.engine.chat import Chat

_UNFINISHED = ("pending", "running")


@dataclass(frozen=True, slots=True)
class SubTask:
    """One part of a task, as far as it has come."""

    id: str
    type: str
    input: str
    """What was sent for it."""
    parent_task_id: str
    status: ExecutionStatus
    result: Any = None
    error: str | None = None


@dataclass(slots=True, eq=False)
class Task:
    """Something to do, in parts."""

    id: str
    """That of its node in the conversation, too."""
    type: str
    input: Any
    config: Mapping[str, Any]
    strategy: Strategy
    conversation: ConversationGraph | None = None
    """Where it is done."""
    error: str | None = None
    """What kept it from being begun, or why nothing came of it."""
    _over: bool = field(default=False)

    @property
    def status(self) -> ExecutionStatus:
        """How far it has come."""
        if self.conversation is None:
            return "pending"
        node = self.conversation.nodes.get(self.id)
        return node.status if node is not None else "failed" if self._over else "running"

    @property
    def result(self) -> Any:
        """What it came to; None where nothing came of it, or not yet."""
        node = self.conversation.nodes.get(self.id) if self.conversation else None
        return _value(node) if node is not None and node.status == "completed" else None

    def end(self) -> None:
        """Nothing more comes of it."""
        self._over = True
        if self.conversation is not None:
            self.conversation.end(self.id)

    @property
    def subtasks(self) -> list[SubTask]:
        """Its parts so far, in order."""
        graph = self.conversation
        if graph is None:
            return []
        return [_subtask(graph, each, self) for each in graph.get_nodes("response") if each.parent == self.id]


class TaskManager:
    """Takes tasks apart, and has the parts done at once, by models or by an ensemble."""

    def __init__(self, agent_pool: "Pool | Orchestrator" = None, **options: Any) -> None:
        """What an `Orchestrator` is given, or one that is there already."""
        self.orchestrator = agent_pool if isinstance(agent_pool, Orchestrator) else Orchestrator(agent_pool, **options)
        self.tasks: dict[str, Task] = {}

    def create_task(self, task_type: str, input_data: Any, config: Mapping[str, Any] | None = None) -> Task:
        """A task, not begun. Each part goes to the ensemble named `task_type`, or to a model with the `prompt` of the config.

        The config has the keys of `fan_out` (`tokens`, `overlap`, `pattern`, `group_by`, `max_parallel`, ...), those of an agent (`prompt`,
        `model_profile`, `gather`, ...), `files` and `strategy`: chunk, file, error, list or dynamic; by what is given, unless told.
        Raises GraphError for any other.
        """
        wanted = dict(config or {})
        task = Task(f"{task_type}-{token_hex(3)}", task_type, input_data, wanted, strategy_of(input_data, wanted))
        if not text_of(input_data).strip():
            raise GraphError(Problem(f"'{task_type}' has nothing to work on", hint="give it some input_data"))
        agent_of(task.id, input_data, wanted, ensemble=None, profile=None)
        self.tasks[task.id] = task
        return task

    async def execute(
        self,
        task: Task | str,
        conversation: ConversationGraph | ConversationNode | str | None = None,
        dependencies: Iterable[Which] | Which = (),
    ) -> Any:
        """Do a task, and give what it comes to: a list in the order of its parts, None where one failed, or what `gather` makes of it.

        Each part is a prompt and a response of the conversation. Raises FailedError if no part came to anything.
        """
        known = self._task(task)
        if known.conversation is not None:
            raise GraphError(Problem(f"the task '{known.id}' was executed already", hint="create another one of its kind"))
        known.conversation = graph = self.orchestrator.get_conversation(conversation or ConversationGraph(name=known.type))
        try:
            await self._do(known, graph, dependencies)
        except (ProblemError, FailedError) as error:
            known.error = error.problems[0].what if isinstance(error, ProblemError) else str(error.failure)
            raise
        finally:
            known.end()
        return _result(graph.nodes[known.id])

    async def wait_for_result(self, subtask_id: str | SubTask | Task) -> Any:
        """What a part of a task comes to, or the whole; raises FailedError if that is nothing, GraphError for what will never end."""
        wanted = subtask_id if isinstance(subtask_id, str) else subtask_id.id
        task = self._task(wanted.partition("[")[0].partition(".")[0])
        graph = task.conversation
        if graph is None:
            what = f"the task '{task.id}' is not being executed, so that waiting for it would have no end"
            raise GraphError(Problem(what, hint="begin it with execute, in another task of the event loop"))
        while (node := graph.nodes.get(wanted)) is None or node.status in _UNFINISHED:
            if task.status not in _UNFINISHED:
                raise UnknownError.of("subtask", wanted, (each.id for each in task.subtasks))
            await graph.ended(wanted, task.id)
        return _result(node)

    def _task(self, task: Task | str) -> Task:
        if isinstance(task, Task):
            return self.tasks.setdefault(task.id, task)
        if task not in self.tasks:
            raise UnknownError.of("task", task, self.tasks)
        return self.tasks[task]

    async def _do(self, task: Task, graph: ConversationGraph, dependencies: Iterable[Which] | Which) -> None:
        opening = self.orchestrator.opening(graph)
        async with opening.joined() as chat:
            after = self.orchestrator.after(graph, dependencies)
            asked = Asked(after, _more(task), silent=not after)
            given = task.input
            if task.strategy == "dynamic":
                planner, given = await self._planned(task, opening, chat, asked)
                asked = Asked((planner,), asked.more, asked.silent)
            agent = agent_of(
                task.id, given, task.config, ensemble=self._ensemble(task, opening.layers), profile=self.orchestrator.setting.default
            )
            files = attachments_of(task.input.attachments, opening.layers.where.cwd) if isinstance(task.input, BasePrompt) else ()
            who = self.orchestrator.setting.default if agent.body == "ensemble" else None
            choices = Choices(profile=who, attachments=files)
            plan = self.orchestrator.setting.plan(opening.layers, agent, task.type, choices)
            await ended(await opening.ask(chat, plan, text_of(task.input), asked))
            graph.context.advance([task.id])

    async def _planned(self, task: Task, opening: Opening, chat: "Chat", asked: Asked) -> tuple[str, list[str]]:
        """The node of a planner, and the parts that it proposes; raises FailedError."""
        profile = {"model_profile": self.orchestrator.setting.default} if self.orchestrator.setting.default else {}
        keys = {"name": f"{task.id}-plan", "prompt": PLANNER, "output_schema": PARTS, **profile}
        plan = self.orchestrator.setting.plan(opening.layers, ModelAgent.model_validate(keys), task.type)
        outcome = await ended(await opening.ask(chat, plan, text_of(task.input), asked))
        if outcome.reply is None:
            raise FailedError(outcome.failure or Failure(Kind.CANCELLED, outcome.cause))
        return f"{task.id}-plan", list(outcome.reply.value["tasks"])

    def _ensemble(self, task: Task, layers: "Layers") -> str | None:
        """The ensemble that does each part; None where that is a model. Raises ProblemError where it is not said what to do."""
        if task.config.get("prompt") or task.config.get("prompt_file"):
            return None
        for name in (task.type, task.type.replace("_", "-")):
            if name in layers.ensembles:
                return name
        if isinstance(task.input, BasePrompt):
            return None
        layers.ensemble(task.type)
        return task.type


def _more(task: Task) -> Mapping[str, Any]:
    """What is kept with the turn, besides what it takes to do it again."""
    return {"title": f"Task: {task.type}", "metadata": {"task_type": task.type, "strategy": task.strategy}}


def _subtask(graph: ConversationGraph, node: ConversationNode, task: Task) -> SubTask:
    prompt = graph.nodes.get(f"{node.id}.prompt")
    result = _value(node) if node.status == "completed" else None
    return SubTask(node.id, task.type, prompt.text if prompt else "", task.id, node.status, result, node.execution.error)


def _value(node: ConversationNode) -> Any:
    if not isinstance(node.content, LLMResponse):
        return None
    return node.content.content if node.content.value is None else node.content.value


def _result(node: ConversationNode) -> Any:
    """What a node came to; raises FailedError where that is nothing."""
    if node.status == "completed":
        return _value(node)
    said = node.content
    kind = Kind(said.error_kind) if isinstance(said, LLMResponse) and said.error_kind else Kind.CANCELLED
    what = (node.execution.error or "it was not done").removeprefix(f"{kind}: ")
    raise FailedError(Failure(kind, what, said.hint if isinstance(said, LLMResponse) else ""))
