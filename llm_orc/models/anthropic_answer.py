"""A reply of Anthropic's Messages API as it comes, whole or in events, and the checks before it may be called a reply."""

import json
from dataclasses import dataclass, field
from typing import Any

from llm_orc.domain.event import Delta
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, FinishReason, Kind, Reply, Request, Tell, Usage
from llm_orc.models.base import estimated, messages_of
from llm_orc.models.refusals import empty, ended_early, event_refusal, shortened
from llm_orc.models.target import Target

_BROKEN = "broken JSON"
_MOST_TOKENS = 10**12  # whoever counts more is not counting
_FINISH: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


@dataclass(slots=True)
class Answer:
    """What has come of one reply; raises FailedError as soon as it can be none."""

    target: Target
    request: Request
    tell: Tell
    done: bool = False
    """Whether its last event has come."""
    _pieces: list[str] = field(default_factory=list)
    _counts: dict[str, Any] = field(default_factory=dict)
    _begun: bool = False
    _thought: bool = False
    _stop_reason: str | None = None
    _explanation: str = ""
    _model: str | None = None

    @property
    def text(self) -> str:
        """All so far."""
        return "".join(self._pieces)

    @property
    def usage(self) -> Usage | None:
        """The server's count, once it is the last one: what a stream says at its beginning is not what it will cost."""
        return usage_of(self._counts) if self._stop_reason else None

    def add_whole(self, body: bytes) -> None:
        """A reply in one piece."""
        said = self._parsed(body)
        if said.get("error"):
            raise self._failed(said)
        if not isinstance(blocks := said.get("content"), list):
            raise self._malformed("a reply in no known form")
        self._take_message(said)
        for block in blocks:
            self._take_block(block)

    def add_event(self, name: str | None, data: str) -> None:
        """An event of a stream; those of other kinds are passed over."""
        if name == "error" and not data.lstrip().startswith("{"):
            raise self._failed({"error": data})
        if not data:
            return
        said = self._parsed(data.encode(errors="surrogatepass"))
        match said.get("type"):
            case "error":
                raise self._failed(said)
            case "message_start":
                self._take_message(said.get("message"))
            case "content_block_start":
                self._take_block(said.get("content_block"))
            case "content_block_delta":
                self._take_block(said.get("delta"))
            case "message_delta":
                self._take_message({**self._object(said.get("delta")), "usage": said.get("usage")})
            case "message_stop":
                self.done = True

    def end_stream(self) -> None:
        """Nothing more comes; raises FailedError if that cannot have been all."""
        if self.done:
            return
        if not self._begun:
            raise self._malformed("a stream without a reply")
        raise ended_early(self.target)

    def reply(self) -> Reply:
        """The reply, if there is one."""
        label, text = self.target.address.label, self.text
        if self._stop_reason == "refusal":
            words = shortened(self._explanation)
            what = f"{label} refused to reply" + (f": {words}" if words else "")
            raise FailedError(Failure(Kind.CONTENT_FILTER, what, "reword the prompt or choose another model"))
        if not text.strip():
            raise FailedError(self._empty())
        return Reply(
            text,
            usage=self.usage or estimated(messages_of(self.request), text),
            finish=_FINISH.get(self._stop_reason, "other"),
            model=self._model or self.request.profile.model,
        )

    def _empty(self) -> Failure:
        what = f"{self.target.address.label} sent an empty reply"
        match self._stop_reason:
            case "model_context_window_exceeded":
                hint = "send less: split the input with fan_out, or choose a model with a larger window"
                return Failure(Kind.CONTEXT_LENGTH, f"{what}: the prompt leaves no room in the model's window", hint)
            case "tool_use":
                return Failure(
                    Kind.EMPTY, f"{what}: it asks for a tool", "name only tools that the server runs itself, or tool_choice none"
                )
        return empty(self.target, cut=self._stop_reason == "max_tokens", thought=self._thought)

    def _take_message(self, said: Any) -> None:
        self._begun = True
        message = self._object(said)
        if isinstance(model := message.get("model"), str) and model:
            self._model = model
        if isinstance(reason := message.get("stop_reason"), str) and reason:
            self._stop_reason = reason
        if isinstance(details := message.get("stop_details"), dict):
            self._explanation = _text(details, "explanation") or _text(details, "category")
        if isinstance(usage := message.get("usage"), dict):
            self._counts |= {key: count for key, count in usage.items() if count is not None}

    def _take_block(self, said: Any) -> None:
        block = self._object(said)
        match block.get("type"):
            case "text" | "text_delta":
                if text := _text(block, "text"):
                    self._pieces.append(text)
                    self._say(text)
            case "thinking" | "thinking_delta":
                self._thought = True
                if text := _text(block, "thinking"):
                    self._say(text, thinking=True)
            case "redacted_thinking":
                self._thought = True

    def _say(self, text: str, *, thinking: bool = False) -> None:
        if self.request.stream:
            self.tell(Delta(node=self.request.node, text=text, thinking=thinking))

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            what = {b"<": "a web page", b"{": _BROKEN, b"": "nothing"}.get(data.lstrip()[:1], "no JSON")
            raise self._malformed(what) from None
        return self._object(said)

    def _object(self, said: Any) -> dict[str, Any]:
        if not isinstance(said, dict):
            raise self._malformed("a reply in no known form")
        return said

    def _failed(self, said: dict[str, Any]) -> FailedError:
        """An error under a status of success; before the reply has begun nothing is billed."""
        failure = event_refusal(self.target, self.request.profile.model, said)
        return FailedError(failure, usage=None if self._begun else NO_USAGE)

    def _malformed(self, what: str) -> FailedError:
        address = self.target.address
        again = "try again; if it stays so, see the server's own log"
        hint = again if what == _BROKEN or self._begun else f"is base_url right? {address.url}"
        return FailedError(Failure(Kind.MALFORMED, f"{address.label} sent {what}", hint))


def usage_of(said: dict[str, Any]) -> Usage | None:
    """Tokens as the server counted them; None where it did not."""
    read, write, output = (_count(said, key) for key in ("cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"))
    reasoning = min(_count(said.get("output_tokens_details"), "thinking_tokens"), output)
    usage = Usage(_count(said, "input_tokens") + read + write, output, cached=read, reasoning=reasoning, cache_write=write)
    return usage if usage.total else None


def _count(said: Any, key: str) -> int:
    count = said.get(key) if isinstance(said, dict) else None
    return count if type(count) is int and 0 < count < _MOST_TOKENS else 0


def _text(said: dict[str, Any], key: str) -> str:
    return text if isinstance(text := said.get(key), str) else ""
