"""Conversations from Python, in the words of `Orchestrator`: prompts go to models, one after another or at once."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from llm_orc.domain.context import Context
from llm_orc.domain.event import Happening
from llm_orc.domain.message import Outcome
from llm_orc.domain.problem import Problem
from llm_orc.domain.profile import Profile
from llm_orc.library.callbacks import AnyCallback, Callbacks
from llm_orc.library.context import answer_of
from llm_orc.library.conversation import ConversationGraph, ConversationNode, execution_of
from llm_orc.library.graph import BaseNode, GraphError, Which
from llm_orc.library.opening import Asked, Opening
from llm_orc.library.responses import BasePrompt, ExecutionMetadata, LLMResponse
from llm_orc.library.setting import Pool, Setting, pool_of
from llm_orc.library.unknown import UnknownError

if TYPE_CHECKING:
    from llm_orc.engine.chat import Chat

AnyConversation = ConversationGraph | ConversationNode | str | None
"""A conversation as it is, by its id, by a node of it; None is the one that was used last."""
AnyPrompt = BasePrompt | str


class Orchestrator:
    """Holds conversations, and asks their prompts of models. Each is a run, kept as `llm-orc` keeps its runs."""

    def __init__(  # noqa: PLR0913 - keywords, each of which stands alone
        self,
        agent_pool: Pool = None,
        *,
        providers: Mapping[str, Callable[..., Any]] | None = None,
        max_parallel: int | None = None,
        max_cost: float | None = None,
        offline: bool = False,
        stream: bool = False,
        cache: bool | None = None,
        context: Context | Mapping[str, Any] | None = None,
        store: bool | str | os.PathLike[str] = True,
        listeners: Iterable[Callable[[Happening], None]] = (),
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`agent_pool` are the profiles that may answer; the first one does where nothing else is said.

        They are named or given as objects, one or several, or as `get_config().user_config.agents`; none is the configured default.
        `max_parallel` and `max_cost` hold for each conversation, `context` says what happens where one outgrows its model's window (keys
        as in YAML), `store` is where they are kept (False: nowhere); the rest is as in `llm_orc.run`.
        """
        known = (dict(providers or {}), max_parallel, max_cost, offline, stream, cache, context, store, tuple(listeners), cwd, env)
        self.setting = Setting(pool_of(agent_pool), *known)
        self.active_conversations: dict[str, ConversationGraph] = {}
        """Those that this program has used, by their ids; the last one last."""
        self._openings: dict[ConversationGraph, Opening] = {}
        self._callbacks = Callbacks()

    # Conversations

    async def create_conversation(
        self,
        name: str = "",
        initial_prompt: AnyPrompt | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the word for it
        metadata: Mapping[str, Any] | None = None,
    ) -> ConversationGraph:
        """Begin a conversation; the initial prompt, if there is one, is asked and answered before this returns."""
        conversation = ConversationGraph(id, name=name, metadata=metadata)
        async with self.opening(conversation).joined():
            self._use(conversation)
            if initial_prompt is not None:
                await self.execute_prompt(conversation, initial_prompt, [])
        return conversation

    def get_conversation(self, conversation: AnyConversation = None, *, conversation_id: AnyConversation = None) -> ConversationGraph:
        """A conversation of this program or of another one: by its id, by how that begins, or the `last` one; raises UnknownError."""
        wanted = conversation if conversation is not None else conversation_id
        match wanted:
            case ConversationGraph():
                return self._use(wanted)
            case ConversationNode():
                return self._use(self._holding(wanted))
            case str():
                return self._use(self.active_conversations.get(wanted) or self._loaded(wanted))
        if not self.active_conversations:
            raise GraphError(Problem("there is no conversation yet", hint="begin one with create_conversation"))
        return list(self.active_conversations.values())[-1]

    # Asking

    async def execute_prompt(
        self,
        conversation: AnyConversation = None,
        prompt: AnyPrompt = "",
        dependencies: Iterable[Which] | Which | None = None,
        *,
        conversation_id: AnyConversation = None,
        profile: Profile | str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Ask a prompt, and give the id of its response when that is there.

        It is told what its `dependencies` (responses or prompts) and all before them said, and waits for those that are under way; without
        any word of them it goes on from where the conversation stands, with `[]` from nothing. A failure is in the response, and skips what
        depends on it. Raises ProblemError for what cannot be asked.
        """
        said, graph = _prompt(prompt), self.get_conversation(conversation, conversation_id=conversation_id)
        async with self.opening(graph).joined() as chat:
            asked = Asked(self.after(graph, dependencies), _more(said, metadata))
            response = await self._ask(graph, chat, said, asked, profile)
            graph.context.advance([response])
        await self._callbacks.told()
        return response

    async def execute_parallel(
        self,
        conversation: AnyConversation = None,
        prompts: Iterable[AnyPrompt] = (),
        max_parallel: int | None = None,
        dependencies: Iterable[Which] | Which | None = None,
        *,
        conversation_id: AnyConversation = None,
        profile: Profile | str | None = None,
    ) -> list[str]:
        """Ask prompts, at most `max_parallel` at once, and give the ids of their responses in the same order.

        Each is told the same as `execute_prompt` would tell it, and nothing of the others; one that fails is no matter of theirs.
        """
        graph = self.get_conversation(conversation, conversation_id=conversation_id)
        asked = [(said, _more(said, None)) for said in map(_prompt, prompts)]
        if max_parallel is not None and max_parallel < 1:
            raise GraphError(Problem(f"max_parallel is {max_parallel}", hint="let one or more run at once"))
        window, group = asyncio.Semaphore(max_parallel or max(len(asked), 1)), f"parallel-{token_hex(3)}"
        async with self.opening(graph).joined() as chat:
            after = self.after(graph, dependencies)

            async def one(prompt: BasePrompt, more: Mapping[str, Any]) -> str:
                async with window:
                    return await self._ask(graph, chat, prompt, Asked(after, {**more, "group": group}), profile)

            responses = await asyncio.gather(*(one(*each) for each in asked))
            graph.context.advance(responses)
        await self._callbacks.told()
        return responses

    async def _ask(self, graph: ConversationGraph, chat: "Chat", prompt: BasePrompt, asked: Asked, profile: Profile | str | None) -> str:
        opening = self.opening(graph)
        name = opening.next_turn()
        plan = self.setting.prompted(opening.layers, name, prompt, profile)
        await ended(await opening.ask(chat, plan, prompt.content, asked))
        return name

    def after(self, graph: ConversationGraph, dependencies: Iterable[Which] | Which | None) -> tuple[str, ...]:
        """The nodes that a turn goes on from; raises GraphError for one that will never end."""
        if dependencies is None:
            return graph.context.current
        named = [dependencies] if isinstance(dependencies, str | BaseNode) else dependencies
        after = tuple(dict.fromkeys(answer_of(graph, each) for each in named))
        for each in after:
            if each not in graph.run.nodes:
                what = f"'{each}' was added by hand, so that nobody asks it, and waiting for it would have no end"
                raise GraphError(Problem(what, hint="ask it with execute_prompt, and depend on that"))
        return after

    # What came of it

    def get_response(
        self, conversation: AnyConversation = None, node: Which = "", *, conversation_id: AnyConversation = None, node_id: Which = ""
    ) -> LLMResponse | None:
        """What a response says, or that of a prompt; None where it is still to come."""
        graph = self.get_conversation(conversation, conversation_id=conversation_id)
        content = graph.get_node(answer_of(graph, node or node_id)).content
        return content if isinstance(content, LLMResponse) else None

    def get_execution_status(
        self, conversation: AnyConversation = None, node: Which = "", *, conversation_id: AnyConversation = None, node_id: Which = ""
    ) -> ExecutionMetadata:
        """How far a prompt or a response has come."""
        graph = self.get_conversation(conversation, conversation_id=conversation_id)
        known = graph.get_node(node or node_id)
        found = graph.run.nodes.get(answer_of(graph, known))
        return known.execution if found is None else execution_of(found, graph.run)

    def get_conversation_history(
        self,
        conversation: AnyConversation = None,
        node: Which | None = None,
        max_depth: int | None = None,
        *,
        conversation_id: AnyConversation = None,
        node_id: Which | None = None,
    ) -> list[ConversationNode]:
        """All prompts and responses in order, or those that led to a node."""
        graph = self.get_conversation(conversation, conversation_id=conversation_id)
        wanted = node if node is not None else node_id
        return list(graph.nodes.values()) if wanted is None else graph.get_node_history(wanted, max_depth)

    # Who wants to hear of it

    def on_conversation_created(self, callback: AnyCallback) -> AnyCallback:
        """Call it with each new conversation. Async or not; any number; one that raises is told no more."""
        return self._callbacks.add("conversation_created", callback)

    def on_conversation_updated(self, callback: AnyCallback) -> AnyCallback:
        """Likewise, with a conversation in which something has happened."""
        return self._callbacks.add("conversation_updated", callback)

    def on_node_created(self, callback: AnyCallback) -> AnyCallback:
        """Likewise, with a conversation and a new node of it."""
        return self._callbacks.add("node_created", callback)

    def on_node_updated(self, callback: AnyCallback) -> AnyCallback:
        """Likewise, with a conversation and a node of which more is known."""
        return self._callbacks.add("node_updated", callback)

    # Behind it

    def opening(self, conversation: ConversationGraph) -> Opening:
        """The run behind a conversation; raises GraphError where somebody else works on it."""
        if conversation.opening is None or not (conversation.opening.is_open or conversation.opening.owner is self):
            conversation.opening = Opening(conversation, self, self.setting, self._callbacks)
        if conversation.opening.owner is not self:
            what = f"the conversation '{conversation.id}' is being gone on with by another Orchestrator or TaskManager"
            raise GraphError(Problem(what, hint="wait for that, or give them one orchestrator: TaskManager(orchestrator)"))
        return conversation.opening

    def _use(self, conversation: ConversationGraph) -> ConversationGraph:
        """It is the one that was used last."""
        self.active_conversations.pop(conversation.id, None)
        self.active_conversations[conversation.id] = conversation
        conversation.setting = conversation.setting or self.setting
        return conversation

    def _loaded(self, word: str) -> ConversationGraph:
        found = self.setting.loaded(word)
        return self.active_conversations.get(found.id, found)

    def _holding(self, node: ConversationNode) -> ConversationGraph:
        for each in self.active_conversations.values():
            if each.nodes.get(node.id) is node:
                return each
        raise UnknownError.of("conversation with the node", node.id, self.active_conversations)


def _prompt(prompt: object) -> BasePrompt:
    """The prompt; raises GraphError for none, and for one that says nothing."""
    said = BasePrompt(content=prompt) if isinstance(prompt, str) else prompt
    if not isinstance(said, BasePrompt):
        raise GraphError(Problem(f"a prompt is a text or a BasePrompt, not {said!r:.80}", hint="say something: BasePrompt(content=...)"))
    if not (said.content.strip() or said.attachments):
        raise GraphError(Problem("the prompt is empty", hint="say something: BasePrompt(content=...)"))
    return said


def _more(prompt: BasePrompt, metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What is kept with a turn, besides what it takes to ask it again."""
    asked = {"system_prompt": prompt.system_prompt, "output_schema": prompt.output_schema, "metadata": prompt.metadata}
    return {"metadata": {**prompt.metadata, **(metadata or {})}, "asked": {key: value for key, value in asked.items() if value}}


async def ended(turn: "asyncio.Future[Outcome]") -> Outcome:
    """What came of a turn; it is let go when nobody waits for it any more."""
    try:
        await asyncio.wait({turn})
    except asyncio.CancelledError:
        turn.cancel()
        raise
    return Outcome("cancelled", cause="cancelled") if turn.cancelled() else turn.result()
