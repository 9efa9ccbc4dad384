"""Summaries of what is too long, made by calls like any other: each is a node of the run, and made once per content."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_orc.domain.event import Answered, Cancelled, Failed, Happening, Started, Submitted
from llm_orc.domain.message import FailedError, Message, Request, Tell
from llm_orc.domain.past import told_apart
from llm_orc.domain.run import SUMMARY, Node
from llm_orc.domain.shortening import AROUND, MARK, Bounds, Old, cut, size_of
from llm_orc.domain.split import grouped

if TYPE_CHECKING:
    from llm_orc.domain.message import Ask
    from llm_orc.engine.asks import Turn

AT_ONCE = 16
"""Summaries of one request that are on their way at once; how many are asked for at once, the limits say."""
WORD = 8
"""Bytes of a word, with what stands round it."""
_PLEASE = """\
Summarise the text in at most {words} words, for somebody who has no room to read it. Keep names, numbers, decisions, open questions \
and what their task may need; add nothing. Reply with the summary alone, in the language of the text.

Their task, which is not yours:
{task}

<text>
{text}
</text>"""
SMALLEST = (size_of(_PLEASE) + 2 * AROUND) * 8 // 3
"""Bytes of room in which a summary can be asked for: a half is the text, an eighth the task."""


class Summaries:
    """Those of one run."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._names: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def recall(self, nodes: Iterable[Node]) -> None:
        """What was summarised in the run before it was gone on with."""
        for node in nodes:
            if node.body == SUMMARY:
                self._name(node.parent, node.item)
                if node.status == "succeeded" and node.reply is not None:
                    self._known[node.item] = node.reply.text

    async def of(self, request: Request, call: "Callable[[Turn], Ask]", when: "Turn", tell: Tell) -> str:
        """What a model says to a request for a summary of the node's, in a node of its own; raises FailedError. Who comes second waits."""
        profile = request.profile
        key = told_apart([profile.model_dump(mode="json", exclude_defaults=True), *((each.role, each.text) for each in request.messages)])
        async with self._locks[key]:
            if key not in self._known:
                own = replace(request, node=self._name(request.node, key))
                began = Started(own.node, own.messages[-1].text, profile.name, profile.provider, profile.model)
                tell(Submitted(own.node, SUMMARY, parent=request.node, item=key))
                self._known[key] = await _asked(own, call(when.within(began)), tell)
        return self._known[key]

    def _name(self, node: str, key: str) -> str:
        if (node, key) not in self._names:
            self._counts[node] += 1
            self._names[node, key] = f"{node}/summary-{self._counts[node]}"
        return self._names[node, key]


async def _asked(request: Request, ask: "Ask", tell: Tell) -> str:
    try:
        reply = await ask(request, tell)
    except FailedError as error:
        tell(Failed(request.node, error.failure, error.partial))
        raise
    except asyncio.CancelledError:
        tell(Cancelled(request.node))
        raise
    tell(Answered(request.node, reply))
    return reply.text


@dataclass(frozen=True, slots=True)
class Summarising:
    """How the old parts of one request are summarised."""

    summaries: Summaries
    request: Request
    call: "Callable[[Turn], Ask]"
    when: "Turn"
    tell: "Callable[[Happening], None]"
    bounds: Bounds
    task: str

    async def of(self, old: Old) -> str:
        """One summary of all its pieces, which is not longer than it may be: of many, that of their summaries. Raises FailedError."""
        room = old.room - MARK
        texts = await self._all(old.pieces, room)
        while len(texts) > 1 and size_of("\n\n".join(texts)) > room:
            groups = list(grouped(texts, self.bounds.piece))
            made = iter(await self._all(["\n\n".join(group) for group in groups if len(group) > 1], room))
            texts = [next(made) if len(group) > 1 else group[0] for group in groups]
        return "\n\n".join(texts)

    async def _all(self, texts: Sequence[str], most: int) -> list[str]:
        """The summary of each, in order; the first that fails ends them."""
        width = asyncio.Semaphore(AT_ONCE)
        tasks: list[Awaitable[str]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for text in texts:
                    await width.acquire()
                    task = group.create_task(self._one(text, most))
                    task.add_done_callback(lambda _: width.release())
                    tasks.append(task)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [await task for task in tasks]

    async def _one(self, text: str, most: int) -> str:
        if not text.strip():
            return ""
        most = min(self.bounds.summary(size_of(text)), most)
        task = cut(self.task, self.bounds.room // 8)
        please = _PLEASE.format(words=max(most // WORD, 10), task=task, text=text.strip("\n"))
        profile = self.request.profile.model_copy(update={"stop": None, "system_prompt": None})
        request = replace(self.request, messages=(Message("user", please),), profile=profile, schema=None)
        said = await self.summaries.of(request, self.call, self.when, self.tell)
        return cut(said.strip(), most)
