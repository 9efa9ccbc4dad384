"""The embedded provider: in process, no network, deterministic. It quotes what fits the role and the task, and says so.

The role is the system prompt; `task.py` tells the task in the last user message from the material, whose lines are counted from 1.
Where role or task say `JSON list` or `JSON array`, the reply is a JSON list of the quoted texts. Asked for a number (`the three ...`), it
quotes as many, else up to five. `max_tokens` and `stop` cut the reply; `options: {lines: N}` sets the number; all else changes nothing.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from functools import partial

from llm_orc.domain.event import Delta
from llm_orc.domain.message import Ask, FailedError, Failure, FinishReason, Kind, Message, Reply, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import Reach, estimated, messages_of
from llm_orc.models.extract import HEADER, rank, weigh
from llm_orc.models.task import task_of

ENDPOINT = Endpoint("embedded", "embedded", max_parallel=None, local=True)
USUAL = 5
"""Lines quoted when no number is asked for."""
LARGE = 50_000
"""Characters from which the work leaves the event loop."""
WINDOW = 5_000_000
"""Characters that it reads: about two seconds of work."""
_LIST_ASKED = re.compile(r"\bjson\s+(list|array)\b", re.IGNORECASE)


class Embedded:
    """A provider that needs nothing."""

    def __init__(self, name: str, reach: Reach) -> None:
        """Nothing is looked up."""

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        """One for all, without a bound."""
        return ENDPOINT

    def ask(self, profile: Profile) -> Ask:  # noqa: ARG002 - the contract
        """The same for every profile."""
        return answer

    async def close(self) -> None:
        """Nothing was opened."""


async def answer(request: Request, tell: Tell) -> Reply:
    """Quote what fits; raises FailedError where there is nothing to quote from."""
    messages = messages_of(request)
    size = sum(len(message.text) for message in messages)
    if size > WINDOW:
        what = f"the embedded model reads {WINDOW:,} characters at most, and these are {size:,}"
        raise FailedError(Failure(Kind.CONTEXT_LENGTH, what, "send less, or split the input with fan_out"))
    extract = partial(_extracted, messages, request.profile)
    text = await asyncio.to_thread(extract) if size > LARGE else extract()
    text, finish = _cut(text, request.profile)
    if request.stream:
        for piece in text.splitlines(keepends=True):
            tell(Delta(node=request.node, text=piece))
    return Reply(text, usage=estimated(messages, text), cost=0.0, finish=finish, model=request.profile.model)


def _extracted(messages: Sequence[Message], profile: Profile) -> str:
    role = "\n".join(message.text for message in messages if message.role == "system")
    said = [message.text for message in messages if message.role == "user"]
    task = task_of(said[-1] if said else "")
    number = asked if isinstance(asked := profile.options.get("lines"), int) and asked > 0 else task.number
    listed = bool(_LIST_ASKED.search(f"{role}\n{task.words}"))
    quotes = rank(task.material, weigh(task.words, role), number or USUAL, fill=listed or number is not None)
    if not quotes:
        raise FailedError(Failure(Kind.EMPTY, "the embedded model found no words to quote", "give it text as input"))
    if listed:
        return json.dumps([quote.text.strip() for quote in quotes], ensure_ascii=False)
    return "\n".join((HEADER, *map(str, quotes)))


def _cut(text: str, profile: Profile) -> tuple[str, FinishReason]:
    for stop in profile.stop or ():
        text = text.partition(stop)[0]
    if profile.max_tokens is not None and len(text) > 4 * profile.max_tokens:
        return text[: 4 * profile.max_tokens], "length"
    return text, "stop"
