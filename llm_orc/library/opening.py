"""The run behind a conversation: open as long as somebody asks something in it, and closed in between."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_orc.config.layers import Layers
from llm_orc.domain.conversation import chat_of, messages_of, next_turn
from llm_orc.domain.message import Attachment, Message, Outcome
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Problem
from llm_orc.domain.turn import plan_of_turn
from llm_orc.engine.turns import Before
from llm_orc.library.callbacks import Callbacks
from llm_orc.library.graph import GraphError

if TYPE_CHECKING:
    from llm_orc.engine.chat import Chat
    from llm_orc.library.conversation import ConversationGraph, ConversationNode
    from llm_orc.library.setting import Setting


@dataclass(slots=True)
class Opening:
    """One conversation as one program works on it."""

    conversation: "ConversationGraph"
    owner: object
    """Whose it is."""
    setting: "Setting"
    callbacks: Callbacks
    layers: Layers = field(init=False)
    """As they were when it was opened."""
    _users: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None
    _chat: "asyncio.Future[Chat] | None" = None
    _over: asyncio.Event | None = None
    _in_order: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who is asked first is a node first."""
    _plans: dict[str, Plan] = field(default_factory=dict)
    """Of the turns that were begun here."""

    @asynccontextmanager
    async def joined(self) -> AsyncIterator["Chat"]:
        """The open run: opened for the first, and closed by the last."""
        self._mind_the_loop()
        while self._over is not None and self._over.is_set() and self._task is not None:
            await asyncio.wait({self._task})
            self._forget_if_done()
        task, chat = self._begun()
        self._users += 1
        try:
            waited: set[asyncio.Future[Any]] = {task, chat}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not chat.done():
                task.result()
            yield chat.result()
        finally:
            self._users -= 1
            if not self._users and self._over is not None:
                self._over.set()
                await asyncio.wait({task})
                self._forget_if_done()
        if task.done():
            task.result()

    def _mind_the_loop(self) -> None:
        if self._task is not None and self._loop is not asyncio.get_running_loop():
            if self._loop is not None and not self._loop.is_closed():
                what = f"the conversation '{self.conversation.id}' is being gone on with in another event loop"
                raise GraphError(Problem(what, hint="wait for that, or await both in one event loop"))
            self._task = None  # its loop was closed before it could come to its end
            self._users = 0

    def _begun(self) -> "tuple[asyncio.Task[None], asyncio.Future[Chat]]":
        if self._task is None or self._chat is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._chat, self._over, self._in_order = self._loop.create_future(), asyncio.Event(), asyncio.Lock()
            self._task = asyncio.create_task(self._open(self._chat, self._over), name=f"conversation {self.conversation.id}")
        return self._task, self._chat

    async def _open(self, begun: "asyncio.Future[Chat]", over: asyncio.Event) -> None:
        async def talk(chat: "Chat") -> None:
            begun.set_result(chat)
            await over.wait()

        def hear(what: str, node: "ConversationNode | None") -> None:
            self.callbacks.tell(what, self.conversation, node)

        self.layers = self.setting.layers
        with self.conversation.heard(hear):
            await self.setting.perform(self.conversation, self.layers, talk)

    @property
    def is_open(self) -> bool:
        """Whether somebody works on it."""
        return self._task is not None and not self._task.done() and self._loop is not None and not self._loop.is_closed()

    def _forget_if_done(self) -> None:
        if self._task is not None and self._task.done():
            self._task = self._chat = self._over = None

    def next_turn(self) -> str:
        """A name for what is asked next."""
        return next_turn(self.conversation.run, self._plans)

    async def ask(self, chat: "Chat", plan: Plan, text: str, before: "Asked") -> "asyncio.Future[Outcome]":
        """Add a turn, which is the one agent of a plan, after what is before it; raises ProblemError where its model cannot be asked."""
        (name,) = plan.agents
        self._plans[name] = plan
        try:
            async with self._in_order:
                self._plans[name] = ready = await chat.making.ready(plan)
                spec, files = {**chat.making.spec(ready, text), **before.more}, self._attached(chat, before.after)
                told = _Remembered(chat.run, before.after, spec, files, self.conversation.forgotten, before.silent)
                return chat.whole.turn(ready, text, told)
        except BaseException:
            del self._plans[name]
            raise

    def _attached(self, chat: "Chat", after: tuple[str, ...]) -> Mapping[str, tuple[Attachment, ...]]:
        """The files that went along with what was said before, by node."""
        files: dict[str, tuple[Attachment, ...]] = {}
        for node in chat_of(chat.run, after):
            if node.turn is not None and node.turn["choices"]["attachments"]:
                if node.id not in self._plans:
                    self._plans[node.id] = plan_of_turn(node, chat.making.profiles)
                files[node.id] = self._plans[node.id].agents[node.id].attached
        return files


@dataclass(frozen=True, slots=True)
class Asked:
    """What a turn goes on from, and what else is kept of it."""

    after: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    silent: bool = False
    """Whether it is told nothing of what was said before."""


@dataclass(frozen=True, slots=True)
class _Remembered(Before):
    """What a turn is told of what was said before."""

    forgotten: Collection[str] = ()
    """What was pruned, by id."""
    silent: bool = False

    def messages(self) -> tuple[Message, ...]:
        return () if self.silent else messages_of(self.run, self.after, attached=self.attached, without=self.forgotten)
