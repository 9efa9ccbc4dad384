"""A reply as it comes over the wire, whole or in events, and the checks before it may be called a reply."""

import json
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from typing import Any

from llm_orc.domain.event import Delta
from llm_orc.domain.message import FailedError, Failure, FinishReason, Kind, Reply, Request, Tell, Usage
from llm_orc.models.base import estimated, messages_of
from llm_orc.models.refusals import empty, ended_early, event_refusal, shortened
from llm_orc.models.target import Target

_BROKEN = "broken JSON"
_MOST_TOKENS = 10**12  # whoever counts more is not counting
_FINISH: dict[str | None, FinishReason] = {"stop": "stop", None: "stop", "length": "length"}


@dataclass(slots=True)
class Completion:
    """What has come of one reply; raises FailedError as soon as it can be none."""

    target: Target
    request: Request
    tell: Tell
    usage: Usage | None = None
    cost: float | None = None
    """US dollars, where the server says so."""
    done: bool = False
    """Whether its last event has come."""
    _pieces: list[str] = field(default_factory=list)
    _thought: bool = False
    _refused: str = ""
    _finish_reason: str | None = None
    _model: str | None = None

    @property
    def text(self) -> str:
        """All so far."""
        return "".join(self._pieces)

    def add_whole(self, body: bytes) -> None:
        """A reply in one piece."""
        said = self._parsed(body)
        if not (said.get("choices") or said.get("error")):
            raise self._malformed("a reply without choices")
        self._take(said, "message")

    def add_line(self, line: bytes) -> None:
        """A line of a stream; comments, empty lines and other fields are passed over."""
        name, _, data = line.strip().removeprefix(BOM_UTF8).partition(b":")
        if name != b"data" or self.done:
            return
        if data.strip() == b"[DONE]":
            self.done = True
        else:
            self._take(self._parsed(data), "delta")

    def end_stream(self) -> None:
        """Nothing more comes; raises FailedError if that cannot have been all."""
        if not self.done and self._finish_reason is None:
            raise ended_early(self.target)

    def reply(self) -> Reply:
        """The reply, if there is one."""
        label, text = self.target.address.label, self.text
        if self._refused or self._finish_reason == "content_filter":
            words = shortened(self._refused)
            what = f"{label} filtered the reply" + (f": {words}" if words else "")
            raise FailedError(Failure(Kind.CONTENT_FILTER, what, "reword the prompt or choose another model"))
        if not text.strip():
            raise FailedError(empty(self.target, cut=self._finish_reason == "length", thought=self._thought))
        return Reply(
            text,
            usage=self.usage or estimated(messages_of(self.request), text),
            cost=self.cost,
            finish=_FINISH.get(self._finish_reason, "other"),
            model=self._model or self.request.profile.model,
        )

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            what = {b"<": "a web page", b"{": _BROKEN, b"": "nothing"}.get(data.lstrip()[:1], "no JSON")
            raise self._malformed(what) from None
        if not isinstance(said, dict):
            raise self._malformed("JSON that is no reply")
        return said

    def _take(self, said: dict[str, Any], part: str) -> None:
        if said.get("error"):
            raise FailedError(event_refusal(self.target, self.request.profile.model, said))
        self.usage = usage_of(said.get("usage")) or self.usage
        if self.target.provider == "openrouter" and (cost := cost_of(said.get("usage"))) is not None:
            self.cost = cost
        if isinstance(model := said.get("model"), str) and model:
            self._model = model
        match said.get("choices"):
            case [dict() as choice, *_]:
                self._take_choice(choice, part)
            case None | []:
                pass  # the event with the usage has none
            case _:
                raise self._malformed("a reply in no known form")

    def _take_choice(self, choice: dict[str, Any], part: str) -> None:
        spoken = choice.get(part) or {}
        if not isinstance(spoken, dict):
            raise self._malformed("a reply in no known form")
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish_reason = reason
        if isinstance(refused := spoken.get("refusal"), str):
            self._refused += refused
        if thinking := _text(spoken.get("reasoning_content") or spoken.get("reasoning")):
            self._thought = True
            self._say(thinking, thinking=True)
        if text := _text(spoken.get("content")):
            self._pieces.append(text)
            self._say(text)

    def _say(self, text: str, *, thinking: bool = False) -> None:
        if self.request.stream:
            self.tell(Delta(node=self.request.node, text=text, thinking=thinking))

    def _malformed(self, what: str) -> FailedError:
        address = self.target.address
        again = "try again; if it stays so, see the server's own log"
        hint = again if what == _BROKEN or self._pieces else f"is base_url right? {address.url}"
        return FailedError(Failure(Kind.MALFORMED, f"{address.label} sent {what}", hint))


def usage_of(said: Any) -> Usage | None:
    """Tokens as the server counted them; None where it did not."""
    if not isinstance(said, dict):
        return None
    prompt, spoken = said.get("prompt_tokens_details"), said.get("completion_tokens_details")
    sent, got, reasoning = _count(said, "prompt_tokens"), _count(said, "completion_tokens"), _count(spoken, "reasoning_tokens")
    if reasoning and _count(said, "total_tokens") == sent + got + reasoning:
        got += reasoning  # xAI counts them apart, all others within
    cached = _count(prompt, "cached_tokens") or _count(said, "prompt_cache_hit_tokens")
    written = _count(prompt, "cache_write_tokens")
    usage = Usage(sent, got, min(cached, sent), min(reasoning, got), cache_write=min(written, sent - min(cached, sent)))
    return usage if usage.total else None


def cost_of(said: Any) -> float | None:
    """OpenRouter's bill: what it charges, and with one's own key at a provider what that one does."""
    if not isinstance(said, dict):
        return None
    details = said.get("cost_details") if said.get("is_byok") is True else None
    costs = [said.get("cost"), details.get("upstream_inference_cost") if isinstance(details, dict) else None]
    known = [cost for cost in costs if isinstance(cost, int | float) and 0 <= cost < _MOST_TOKENS]
    return float(sum(known)) if known else None


def _count(said: Any, key: str) -> int:
    count = said.get(key) if isinstance(said, dict) else None
    return count if isinstance(count, int) and 0 < count < _MOST_TOKENS else 0


def _text(content: Any) -> str:
    """Text, or the texts of a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""
