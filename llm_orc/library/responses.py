"""What is said in a conversation, and what is known of how it was said: prompts, responses, tokens, windows, times."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_orc.config.attachments import Given
from llm_orc.domain.message import FinishReason, Status, Usage
from llm_orc.domain.run import Node
from llm_orc.library.graph import now

ExecutionStatus = Literal["pending", "running", "completed", "failed", "skipped", "cancelled"]


def status_of(status: Status) -> ExecutionStatus:
    """As conversations call it."""
    return "completed" if status == "succeeded" else status


def moment(at: float) -> datetime:
    """Seconds since 1970 as a time, in UTC."""
    return datetime.fromtimestamp(at, UTC)


class Made(BaseModel):
    """What is made once and stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BasePrompt(Made):
    """What is said to a model; taken word for word."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    content: str
    system_prompt: str | None = None
    """Instead of that of the profile."""
    attachments: tuple[Given, ...] = Field(default=(), exclude=True)
    """Files that go along, as paths, bytes or `Attachment`."""
    output_schema: dict[str, Any] | None = None
    """The JSON Schema that the response has to follow."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """For the program's own use."""

    @property
    def sha256(self) -> str:
        """The hash of what it says, which tells two versions of it apart."""
        return sha256(f"{self.system_prompt or ''}\0{self.content}".encode(errors="surrogatepass")).hexdigest()


class TokenUsage(Made):
    """Tokens, and what they cost."""

    prompt_tokens: int = 0
    """Cached ones included."""
    completion_tokens: int = 0
    """Those of the model's thinking included."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    """Whether a part of it is our own count."""
    cost: float | None = 0.0
    """US dollars; None where the price of a part is not known."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """The sum."""
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    @classmethod
    def of(cls, usage: Usage, cost: float | None) -> Self:
        """As the engine counts it."""
        return cls(
            prompt_tokens=usage.input,
            completion_tokens=usage.output,
            cached_tokens=usage.cached,
            reasoning_tokens=usage.reasoning,
            estimated=usage.estimated,
            cost=cost,
        )


class ContextMetrics(Made):
    """How full the window of a model is."""

    max_context_tokens: int = Field(ge=1)
    current_context_tokens: int = 0

    @property
    def available_tokens(self) -> int:
        """What there is still room for."""
        return max(self.max_context_tokens - self.current_context_tokens, 0)

    @property
    def context_utilization(self) -> float:
        """The share that is taken; 1 is all of it."""
        return self.current_context_tokens / self.max_context_tokens


class BaseResponse(Made):
    """What came of asking: of a model, a script or an ensemble alike."""

    success: bool = True
    error: str | None = None
    """Why there is no content; None where there is."""
    error_kind: str | None = None
    """The same in one word, such as `timeout` or `rate_limit`; None too where it was not run at all."""
    hint: str = ""
    """What to do about it."""
    timestamp: AwareDatetime = Field(default_factory=now)
    """When it was there."""
    execution_time: float = 0.0
    """Seconds."""
    metadata: dict[str, Any] = Field(default_factory=dict)


class LLMResponse(BaseResponse):
    """What a model said, and what that took. Of one that failed the content is what had come of it."""

    content: str = ""
    value: Any = None
    """The response as data: what follows the prompt's `output_schema`, or the list that a task came to."""
    token_usage: TokenUsage = TokenUsage()
    context_metrics: ContextMetrics | None = None
    """None where the window of the model is not known."""
    finish_reason: FinishReason = "stop"
    """`length` where it was cut by `max_tokens`."""
    model: str = ""
    """The one that really answered."""
    provider: str = ""
    attempts: int = 0
    """Requests that were sent for it."""
    cached: bool = False
    """Whether an earlier reply to the same was used again."""

    @classmethod
    def of(cls, node: Node) -> Self:
        """What came of a node of a run."""
        reply, failure = node.reply, node.failure
        window = node.context_window
        return cls(
            success=reply is not None,
            error=None if reply else node.cause,
            error_kind=failure.kind.value if failure else None,
            hint=failure.hint if failure else "",
            timestamp=now() if node.ended_at is None else moment(node.ended_at),
            execution_time=node.seconds or 0.0,
            content=node.text,
            value=reply.value if reply else None,
            token_usage=TokenUsage.of(node.usage, None if node.unpriced else node.cost or 0.0),
            context_metrics=ContextMetrics(max_context_tokens=window, current_context_tokens=node.taken) if window else None,
            finish_reason=reply.finish if reply else "other",
            model=(reply.model if reply else None) or node.model,
            provider=node.provider,
            attempts=node.sent,
            cached=node.cached,
        )


class ExecutionMetadata(Made):
    """How far something has come."""

    status: ExecutionStatus = "pending"
    started_at: AwareDatetime | None = None
    """When its first request began; None before that."""
    completed_at: AwareDatetime | None = None
    """When it ended, in whatever way."""
    error: str | None = None
    error_kind: str | None = None
    attempts: int = 0
    """Requests that were sent for it."""
    waiting_for: str = ""
    """The limit that it waits for, or what else keeps it."""
    profile: str = ""
    provider: str = ""
    model: str = ""
    parallel_group: str | None = None
    """The task that it is a part of."""
    dependencies: tuple[str, ...] = ()
    """The ids of what it waits for."""
    progress: str = ""
    """Of a task: how many of its parts are done, as in `7/10 done, 1 failed`."""

    @property
    def seconds(self) -> float | None:
        """From its first request to its end."""
        return (self.completed_at - self.started_at).total_seconds() if self.started_at and self.completed_at else None
