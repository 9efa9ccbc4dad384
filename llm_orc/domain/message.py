"""What is said to and by a model, a script or a child run, and the kinds of failure a call can meet."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llm_orc.domain.secret import PIECE, without_secrets

if TYPE_CHECKING:
    from llm_orc.domain.event import Happening
    from llm_orc.domain.profile import Profile

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "other"]


_TEXTS = ("json", "xml", "yaml", "x-yaml", "toml", "javascript")
"""Kinds of `application/...` that are text, whatever stands before a `+`."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Attachment:
    """A file that goes with a message: an image, a document or a text."""

    name: str
    media_type: str
    """As in `image/png`, `application/pdf`, `text/plain`."""
    data: bytes = field(repr=False)
    path: str = field(default="", compare=False, repr=False)
    """The absolute path of the file that it was read from; empty where it was none."""
    remark: str = field(default="", compare=False, repr=False)
    """What a person should know of it."""

    @property
    def is_image(self) -> bool:
        """Whether it is something to look at."""
        return self.media_type.startswith("image/") and not self.media_type.endswith("+xml")

    @property
    def text(self) -> str | None:
        """What it says, where it is a text."""
        kind, _, rest = self.media_type.partition(";")[0].strip().lower().partition("/")
        if kind != "text" and rest.rpartition("+")[2] not in _TEXTS:
            return None
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None

    @property
    def sha256(self) -> str:
        """The hash of its bytes, in hexadecimal."""
        from hashlib import sha256  # costs 3 ms, needed by few

        return sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with a model."""

    role: Role
    text: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens: `input` counts the cached ones too, `output` the reasoning ones; `estimated` marks our own count."""

    input: int = 0
    """Uncached, read from the provider's cache and written to it, together."""
    output: int = 0
    cached: int = 0
    """Those of `input` that were read from the provider's cache."""
    reasoning: int = 0
    estimated: bool = False
    cache_write: int = 0
    """Those of `input` that were written to the provider's cache, at a price of their own."""

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return self.input + self.output

    def __add__(self, other: "Usage") -> "Usage":
        """The sum; estimated as soon as one part is."""
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
            self.cache_write + other.cache_write,
        )


NO_USAGE = Usage()


class Kind(StrEnum):
    """Why a call failed."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    EMPTY = "empty"
    MALFORMED = "malformed"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    SCRIPT = "script"
    OFFLINE = "offline"

    @property
    def retryable(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self in _RETRYABLE


_RETRYABLE = frozenset({Kind.NETWORK, Kind.TIMEOUT, Kind.RATE_LIMIT, Kind.SERVER, Kind.EMPTY, Kind.MALFORMED})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an agent has no reply, in words without a secret: `what` happened, and a `hint` naming the next step."""

    kind: Kind
    what: str
    hint: str = ""
    retry_after: float | None = None
    """Seconds that the server asked us to wait."""
    window: int | None = None
    """Tokens that the model has room for, where that is why, and it is known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", without_secrets(self.what, PIECE))
        object.__setattr__(self, "hint", without_secrets(self.hint, PIECE))

    def __str__(self) -> str:
        """One line, kind first."""
        return f"{self.kind}: {self.what}"


class FailedError(Exception):
    """How an `Ask` says that it has no reply; the engine turns it into a value."""

    def __init__(self, failure: Failure, *, partial: str = "", usage: Usage | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.partial = partial
        """Text that had come before it failed; kept, never passed off as a reply."""
        self.usage = usage
        """What the attempt used; NO_USAGE where surely nothing was billed, None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model: the messages, and the profile whose model and parameters answer them."""

    node: str
    """Whose call this is, for the events told on the way."""
    messages: tuple[Message, ...]
    profile: "Profile"
    stream: bool = False
    """Whether somebody watches: each piece is told as a `Delta` as it comes."""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema that the reply has to follow; the provider's native mode where it has one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, from a model, script, command or child run alike."""

    text: str
    value: Any = None
    """The structured result where there is one besides the text: the list of a fan-out, the JSON of a child."""
    structured: bool = False
    """Whether `value` is the result (which may be null) instead of being parsed from `text` when it is asked for."""
    usage: Usage = NO_USAGE
    """What all its attempts used together."""
    cost: float | None = None
    """US dollars, where the provider itself says so; else the price of the model decides."""
    finish: FinishReason = "stop"
    model: str | None = None
    """The model that really answered."""
    attempts: int = 1
    """Requests that were sent for it, those of fallbacks and repairs included."""
    profile: str = ""
    """The fallback that answered; empty where it is the agent's own profile."""
    mismatch: str = ""
    """Of a free text instead of a reply that follows its schema: what kept it from following."""


Tell = Callable[["Happening"], None]


class Ask(Protocol):
    """The whole contract of a provider: a request in, a reply out, events told on the way; raises FailedError."""

    def __call__(self, request: Request, tell: Tell) -> Awaitable[Reply]:
        """Ask, and wait for the reply."""
        ...


Status = Literal["pending", "running", "succeeded", "failed", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent ended: with a reply, or with the cause of having none."""

    status: Status
    reply: Reply | None = None
    failure: Failure | None = None
    cause: str = ""
    """Why there is no reply, in words; empty where there is one."""
    children: tuple["Outcome", ...] = ()
    """Of a fan-out, in item order."""
    fanned_out: bool = False
    usage: Usage = NO_USAGE
    """What it took, failed attempts and children included."""
    cost: float | None = 0.0
    """US dollars likewise; None where the price of a part is not known."""
    profile: "Profile | None" = None
    """Of a model: who was to answer."""

    @property
    def ok(self) -> bool:
        """Whether there is a reply."""
        return self.reply is not None

    @property
    def text(self) -> str:
        """The text of the reply, empty where there is none."""
        return self.reply.text if self.reply else ""
