"""What Google's models are sent, and what is made of what they say, whole or in pieces."""

import json
from dataclasses import dataclass, field
from typing import Any

from llm_orc.domain.event import Delta
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, FinishReason, Kind, Message, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.models.base import estimated, messages_of
from llm_orc.models.enclosed import enclosed
from llm_orc.models.google_options import laid_on
from llm_orc.models.refusals import empty, ended_early, event_refusal, shortened
from llm_orc.models.structured import with_schema
from llm_orc.models.target import Target

_ROLES = {"user": "user", "assistant": "model"}
_PLAIN = {"temperature": "temperature", "max_tokens": "maxOutputTokens", "top_p": "topP", "seed": "seed", "stop": "stopSequences"}
"""Parameter -> what the wire calls it."""
_FINISH: dict[str, FinishReason] = {"": "stop", "STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    }
)
_KNOWN = ("candidates", "promptFeedback", "usageMetadata")
_MOST_TOKENS = 10**12  # whoever counts more is not counting
_REWORD = "reword the prompt or choose another model"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as Google has it."""

    contents: list[dict[str, Any]]
    """The turns; an attachment's bytes are still bytes."""
    body: dict[str, Any]
    """All that is sent beside them."""
    left_out: tuple[str, ...] = ()
    """Parameters that the model does not take."""


def asked(request: Request, card: ModelCard) -> Asked:
    """Raises FailedError for a request that cannot be sent; `options` go over everything but the messages and the schema."""
    profile = request.profile
    given = {name: value for name in _PLAIN if (value := getattr(profile, name)) is not None}
    body: dict[str, Any] = {"generationConfig": {_PLAIN[name]: value for name, value in given.items() if name not in card.refuses}}
    laid_on(body, profile.options)
    generation, messages = body["generationConfig"], messages_of(request)
    if request.schema is not None:
        if card.capabilities is None or "structured_output" in card.capabilities:
            generation |= {"responseMimeType": "application/json", "responseJsonSchema": request.schema}
        else:
            messages = with_schema(messages, request.schema)
    if request.stream and "thinking" in (card.capabilities or ()):
        _show_thoughts(generation)
    if system := [part for message in messages if message.role == "system" for part in _parts(message)]:
        body["systemInstruction"] = {"parts": system}
    contents = [{"role": _ROLES[message.role], "parts": _parts(message)} for message in messages if message.role != "system"]
    _check(contents, body)
    return Asked(contents, body, tuple(name for name in given if name in card.refuses))


def _show_thoughts(generation: dict[str, Any]) -> None:
    thinking = generation.setdefault("thinkingConfig", {})
    if isinstance(thinking, dict) and thinking.get("thinkingBudget") != 0:  # which is an error where it may not think
        thinking.setdefault("includeThoughts", True)


def _parts(message: Message) -> list[dict[str, Any]]:
    files = [_file(each) for each in message.attachments]
    return [*files, *([{"text": message.text}] if message.text or not files else [])]


def _file(attachment: Attachment) -> dict[str, Any]:
    if (text := enclosed(attachment)) is not None:  # sent as a file it would have no name
        return {"text": text}
    return {"inline_data": {"mime_type": attachment.media_type, "data": attachment.data}}


def _check(contents: list[dict[str, Any]], body: dict[str, Any]) -> None:
    if not contents:
        failure = Failure(Kind.INVALID_REQUEST, "there is nothing to answer: only a system prompt", "give the agent an input or a prompt")
        raise FailedError(failure, usage=NO_USAGE)
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        failure = Failure(Kind.INVALID_REQUEST, "options hold something that JSON has no word for", "check the options")
        raise FailedError(failure, usage=NO_USAGE) from None


@dataclass(slots=True)
class Answer:
    """What has come of one reply; raises FailedError as soon as it can be none."""

    target: Target
    request: Request
    tell: Tell
    _pieces: list[str] = field(default_factory=list)
    _usage: Usage | None = None
    _finish: str = ""
    _blocked: str = ""
    _words: str = ""
    """What the server says about why it ended."""
    _called: str = ""
    """A tool that the model wants used."""
    _thought: bool = False
    _known: bool = False
    """Whether anything came that belongs into a reply."""
    _model: str = ""

    @property
    def text(self) -> str:
        """All so far."""
        return "".join(self._pieces)

    @property
    def usage(self) -> Usage | None:
        """The server's count, once it is the last one: until then it only grows."""
        return self._usage if self._finish or self._blocked or not self.request.stream else None

    def take(self, said: Any) -> None:
        """One piece, or all of it."""
        if not isinstance(said, dict):
            raise self._malformed("JSON that is no reply")
        if said.get("error"):
            raise FailedError(event_refusal(self.target, self.request.profile.model, said))
        self._known = self._known or any(said.get(key) for key in _KNOWN)
        self._usage = usage_of(said.get("usageMetadata")) or self._usage
        self._model = _text(said.get("modelVersion")) or self._model
        feedback = said.get("promptFeedback")
        if isinstance(feedback, dict) and (reason := _text(feedback.get("blockReason"))):
            self._blocked, self._words = reason, _text(feedback.get("blockReasonMessage"))
        match said.get("candidates"):
            case [dict() as candidate, *_]:
                self._take(candidate)
            case None | []:
                pass  # a piece with nothing but the usage, or a prompt that was blocked
            case _:
                raise self._malformed("a reply in no known form")

    def reply(self) -> Reply:
        """The reply, if there is one."""
        label, text = self.target.address.label, self.text
        if self._blocked or self._finish in _FILTERED:
            reason = shortened(self._blocked or self._finish).lower().replace("_", " ")
            words = shortened(self._words)
            what = f"{label} filtered the {'prompt' if self._blocked else 'reply'} ({reason})" + (f": {words}" if words else "")
            raise FailedError(Failure(Kind.CONTENT_FILTER, what, _REWORD))
        if not self._known:
            raise self._malformed("a reply without candidates")
        if self.request.stream and not self._finish:
            raise ended_early(self.target)
        if not text.strip():
            raise FailedError(self._empty())
        return Reply(
            text,
            usage=self._usage or estimated(messages_of(self.request), text),
            finish=_FINISH.get(self._finish, "other"),
            model=self._model or self.request.profile.model,
        )

    def _empty(self) -> Failure:
        if self._called:
            what = f"{self.target.address.label} sent an empty reply that calls the tool '{shortened(self._called)}'"
            return Failure(Kind.INVALID_REQUEST, what, "leave out the options tools and tool_config")
        finish = _FINISH.get(self._finish)
        return empty(self.target, cut=finish == "length", thought=self._thought, why="" if finish else self._finish)

    def _take(self, candidate: dict[str, Any]) -> None:
        if reason := _text(candidate.get("finishReason")):
            self._finish, self._words = reason, _text(candidate.get("finishMessage"))
        content = candidate.get("content") or {}
        parts = content.get("parts") if isinstance(content, dict) else content
        if not isinstance(parts, list | None) or not all(isinstance(part, dict) for part in parts or ()):
            raise self._malformed("a reply in no known form")
        for part in parts or ():
            self._take_part(part)

    def _take_part(self, part: dict[str, Any]) -> None:
        if isinstance(call := part.get("functionCall"), dict):
            self._called = _text(call.get("name")) or "unnamed"
        text, thinking = _text(part.get("text")), bool(part.get("thought"))
        if not text:
            return
        if thinking:
            self._thought = True
        else:
            self._pieces.append(text)
        if self.request.stream:
            self.tell(Delta(node=self.request.node, text=text, thinking=thinking))

    def _malformed(self, what: str) -> FailedError:
        address = self.target.address
        hint = "try again; if it stays so, see the server's own log" if self._pieces else f"is base_url right? {address.url}"
        return FailedError(Failure(Kind.MALFORMED, f"{address.label} sent {what}", hint))


def usage_of(said: Any) -> Usage | None:
    """Tokens as the server counted them; None where it did not."""
    if not isinstance(said, dict):
        return None
    thoughts = _count(said, "thoughtsTokenCount")
    usage = Usage(
        _count(said, "promptTokenCount") + _count(said, "toolUsePromptTokenCount"),
        _count(said, "candidatesTokenCount") + thoughts,
        _count(said, "cachedContentTokenCount"),
        thoughts,
    )
    return usage if usage.total else None


def _count(said: dict[str, Any], key: str) -> int:
    count = said.get(key)
    return count if isinstance(count, int) and 0 < count < _MOST_TOKENS else 0


def _text(said: Any) -> str:
    return said if isinstance(said, str) else ""
