"""Who wants to hear of conversations and their nodes, each for itself: one that raises, or takes its time, harms nobody."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from llm_orc.library.conversation import ConversationGraph, ConversationNode

What = Literal["conversation_created", "conversation_updated", "node_created", "node_updated"]
Callback = Callable[..., Awaitable[None] | None]
AnyCallback = TypeVar("AnyCallback", bound=Callback)
_log = logging.getLogger("llm_orc")


@dataclass(slots=True, eq=False)
class _Subscriber:
    callback: Callback
    last: asyncio.Task[None] | None = None
    """What it is told now, and after all that came before."""
    lost: bool = False

    def tell(self, *told: Any) -> None:
        if self.lost:
            return
        try:
            said = self.callback(*told)
        except Exception:  # noqa: BLE001 - a stranger's code
            self._lose()
            return
        if said is not None:
            self.last = asyncio.get_running_loop().create_task(self._after(self.last, said))

    async def _after(self, before: "asyncio.Task[None] | None", said: Awaitable[None]) -> None:
        if before is not None:
            await asyncio.wait({before})
        try:
            await said
        except Exception:  # noqa: BLE001 - a stranger's code
            self._lose()

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            _log.warning("a callback raised, and is told no more: %r", self.callback, exc_info=True)


@dataclass(slots=True)
class Callbacks:
    """By what they want to hear; each is told things one after another, in order. Those that are async are waited for at the end."""

    _by: dict[str, list[_Subscriber]] = field(default_factory=lambda: {what: [] for what in get_args(What)})

    def add(self, what: What, callback: AnyCallback) -> AnyCallback:
        """Tell it from now on."""
        self._by[what].append(_Subscriber(callback))
        return callback

    def tell(self, what: str, conversation: "ConversationGraph", node: "ConversationNode | None") -> None:
        """Something became of a conversation, or of a node of it."""
        for subscriber in list(self._by[what]):
            subscriber.tell(*((conversation,) if node is None else (conversation, node)))

    async def told(self) -> None:
        """Wait until all have heard what there was to tell."""
        while tasks := [each.last for several in self._by.values() for each in several if each.last and not each.last.done()]:
            await asyncio.wait(tasks)
