"""The embedded provider: in process, no network, deterministic. It quotes what fits the role and the task, and says so.

The role is the system prompt. In the last user message the first and the last paragraph are the task where they speak to a model: where
they begin with a word of asking (`Find ...`) or end in a question mark; so is a first line that does and ends in a colon.
The rest is the material; its lines are counted from 1. If nothing is left, the whole message is the material.
Where role or task say `JSON list` or `JSON array`, the reply is a JSON list of the quoted texts. Asked for a number (`the three ...`), it
quotes as many, else up to five. `max_tokens` and `stop` cut the reply; `options: {lines: N}` sets the number; all else changes nothing.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Final

from llm_orc.domain.event import Delta
from llm_orc.domain.message import Ask, FailedError, Failure, FinishReason, Kind, Message, Reply, Request, Tell
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import Reach, estimated, messages_of
from llm_orc.models.extract import HEADER, rank, weigh

ENDPOINT: Final = Endpoint("embedded", "embedded", max_parallel=None, local=True)
USUAL = 5
"""Lines quoted when no number is asked for."""
MOST = 20
LARGE = 50_000
"""Characters from which the work leaves the event loop."""
_ASKING = re.compile(
    r"\W*(you are|your (task|job)|please|review|find|list|summari[sz]e|explain|extract|quote|rank|judge|compare|write|give|name|identify"
    r"|describe|answer|tell|show|decide|check|reply|respond|report|evaluate|assess|analy[sz]e|look|pick|choose|propose|suggest|argue|merge"
    r"|combine|weigh|read|draft|split|select|search|say|greet)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[{}<>=;]|\w\(")
_LIST_ASKED = re.compile(r"\bjson\s+(list|array)\b", re.IGNORECASE)
_NUMBERS = dict(zip(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), range(1, 11), strict=True))
_COUNT = re.compile(rf"\b(\d{{1,2}}|{'|'.join(_NUMBERS)})\b(?=\s+[a-z])", re.IGNORECASE)


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
    large = sum(len(message.text) for message in messages) > LARGE
    text = await asyncio.to_thread(_extracted, messages, request.profile) if large else _extracted(messages, request.profile)
    text, finish = _cut(text, request.profile)
    if request.stream:
        for piece in text.splitlines(keepends=True):
            tell(Delta(node=request.node, text=piece))
    return Reply(text, usage=estimated(messages, text), cost=0.0, finish=finish, model=request.profile.model)


def _extracted(messages: Sequence[Message], profile: Profile) -> str:
    role = "\n".join(message.text for message in messages if message.role == "system")
    said = [message.text for message in messages if message.role == "user"]
    task, material = split_task(said[-1] if said else "")
    number = _number(task, profile)
    listed = bool(_LIST_ASKED.search(f"{role}\n{task}"))
    quotes = rank(material.split("\n"), weigh(task, role), number or USUAL, fill=listed or number is not None)
    if not quotes:
        raise FailedError(Failure(Kind.EMPTY, "the embedded model found no words to quote", "give it text as input"))
    if listed:
        return json.dumps([quote.text.strip() for quote in quotes], ensure_ascii=False)
    return "\n".join((HEADER, *map(str, quotes)))


def split_task(text: str) -> tuple[str, str]:
    """What is asked, and the material it is asked about."""
    text = text.replace("\r\n", "\n")
    opening, material = _opening(text)
    closing = ""
    if (cut := material.rstrip().rfind("\n\n")) >= 0 and _asks(last := material[cut:].strip()):
        closing, material = last, material[:cut]
    return (f"{opening}\n{closing}".strip(), material) if material.strip() else ("", text)


def _opening(text: str) -> tuple[str, str]:
    paragraph, _, rest = text.partition("\n\n")
    first, _, below = text.partition("\n")
    if first.rstrip().endswith(":") and _ASKING.match(first) and not _CODE.search(first):
        return first, below.removeprefix("\n")
    return (paragraph, rest) if _asks(paragraph) else ("", text)


def _asks(paragraph: str) -> bool:
    speaks = bool(_ASKING.match(paragraph)) or paragraph.rstrip().endswith("?")
    return speaks and not _CODE.search(paragraph)


def _number(task: str, profile: Profile) -> int | None:
    if isinstance(asked := profile.options.get("lines"), int):
        return max(1, asked)
    if found := _COUNT.search(task):
        number = found[1].lower()
        return min(MOST, max(1, _NUMBERS.get(number) or int(number)))
    return None


def _cut(text: str, profile: Profile) -> tuple[str, FinishReason]:
    for stop in profile.stop or ():
        text = text.partition(stop)[0]
    if profile.max_tokens is not None and len(text) > 4 * profile.max_tokens:
        return text[: 4 * profile.max_tokens], "length"
    return text, "stop"
