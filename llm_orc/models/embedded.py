"""The embedded provider: in process, no network, deterministic. It quotes what fits the role and the task, and says so.

The role is the system prompt; `task.py` tells the task in the last user message from the material, whose lines are counted from 1. In a
conversation a message of one line is a task whose material is that of the messages before it.
Where role or task say `JSON list` or `JSON array`, the reply is a JSON list of the quoted texts. Asked for a number (`the three ...`), it
quotes as many, else up to five. `max_tokens` and `stop` cut the reply; `options: {lines: N}` sets the number, `{window: N}` how much it
reads; all else changes nothing.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from llm_orc.domain.event import Delta, Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, FinishReason, Kind, Message, Reply, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import BaseModel, Options, estimated, messages_of
from llm_orc.models.extract import HEADER, rank, weigh
from llm_orc.models.task import Task, task_of

ENDPOINT = Endpoint("embedded", "embedded", max_parallel=None, local=True)
USUAL = 5
"""Lines quoted when no number is asked for."""
LARGE = 50_000
"""Characters from which the work leaves the event loop."""
WINDOW = 5_000_000
"""Characters that it reads: about two seconds of work."""
_LIST_ASKED = re.compile(r"\bjson\s+(list|array)\b", re.IGNORECASE)


class EmbeddedOptions(Options):
    """What `options` may hold."""

    lines: Annotated[int, Field(ge=1)] | None = None
    """How many are quoted."""
    window: Annotated[int, Field(ge=1)] | None = None
    """Tokens that it reads at most, so that a long `context` can be tried without a model."""


class Embedded(BaseModel):
    """A provider that needs nothing."""

    options = EmbeddedOptions

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        """One for all, without a bound."""
        return ENDPOINT

    async def generate(self, request: Request, tell: Tell) -> Reply:
        """Likewise the same for all."""
        return await answer(request, tell)


async def answer(request: Request, tell: Tell) -> Reply:
    """Quote what fits; raises FailedError where there is nothing to quote from."""
    messages = [_with_texts(message) for message in messages_of(request)]
    size = sum(len(message.text) for message in messages)
    if size > WINDOW:
        what = f"the embedded model reads {WINDOW:,} characters at most, and these are {size:,}"
        raise _too_long(what, WINDOW // 4)
    window, tokens = request.profile.options.get("window"), estimated(messages, "").input
    if window is not None and tokens > window:
        raise _too_long(f"the embedded model was told to read {window:,} tokens at most, and these are about {tokens:,}", window)
    if unread := [key for key in ("temperature", "top_p") if getattr(request.profile, key)]:
        tell(Warned(request.node, f"the embedded model quotes, and has no {' and no '.join(unread)}"))
    extract = partial(_extracted, messages, request.profile)
    text = await asyncio.to_thread(extract) if size > LARGE else extract()
    text, finish = _cut(text, request.profile)
    if request.stream:
        for piece in text.splitlines(keepends=True):
            tell(Delta(node=request.node, text=piece))
    return Reply(text, usage=estimated(messages, text), cost=0.0, finish=finish, model=request.profile.model)


def _too_long(what: str, window: int) -> FailedError:
    return FailedError(Failure(Kind.CONTEXT_LENGTH, what, "send less, or split the input with fan_out", window=window), usage=NO_USAGE)


def _with_texts(message: Message) -> Message:
    """The message with the texts that are attached below its own; raises FailedError for pictures and documents."""
    texts = [each.text for each in message.attachments]
    if any(text is None for text in texts):
        hint = "choose another model, or leave the attachment out"
        raise FailedError(Failure(Kind.INVALID_REQUEST, "the embedded model reads nothing but text", hint), usage=NO_USAGE)
    return Message(message.role, "\n\n".join(filter(None, (message.text, *texts)))) if texts else message


def _extracted(messages: Sequence[Message], profile: Profile) -> str:
    role = "\n".join(message.text for message in messages if message.role == "system")
    said = [message.text for message in messages if message.role == "user"]
    task = _task(said)
    number = profile.options.get("lines") or task.number
    listed = bool(_LIST_ASKED.search(f"{role}\n{task.words}"))
    quotes = rank(task.material, weigh(task.words, role), number or USUAL, fill=listed or number is not None)
    if not quotes:
        raise FailedError(
            Failure(Kind.INVALID_REQUEST, "the embedded model found no words to quote", "give it text as input"), usage=NO_USAGE
        )
    if listed:
        return json.dumps([quote.text.strip() for quote in quotes], ensure_ascii=False)
    return "\n".join((HEADER, *map(str, quotes)))


def _task(said: Sequence[str]) -> Task:
    """What is asked last; one line after other messages is asked about what was in these."""
    *before, last = said or ("",)
    if before and "\n" not in last.strip():
        return Task(last, tuple(text for each in before for text in task_of(each).material))
    return task_of(last)


def _cut(text: str, profile: Profile) -> tuple[str, FinishReason]:
    for stop in profile.stop or ():
        text = text.partition(stop)[0]
    if profile.max_tokens is not None and len(text) > 4 * profile.max_tokens:
        return text[: 4 * profile.max_tokens], "length"
    return text, "stop"
