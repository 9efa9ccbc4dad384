"""What happens in a run, one thing at a time. The live view, JSON lines, the store and a run itself listen to the same events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_orc.domain.message import NO_USAGE, Failure, Reply, Usage

Cause = Literal["", "interrupt", "terminate", "timeout", "budget"]
"""What cut a run short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; numbered from 1 in the order it was told, `at` in seconds since 1970 UTC."""

    seq: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began: what it will do, and on what input."""

    run: str
    ensemble: str
    phases: tuple[tuple[str, ...], ...]
    """The names of the agents, phase by phase."""
    leaves: tuple[str, ...]
    """The agents whose replies make the result."""
    input: str
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A run that was cut short or failed is gone on with; what is told anew of a node replaces how it had ended."""

    run: str


@dataclass(frozen=True, slots=True)
class Submitted(Event):
    """A node joined the run, or is decided again. Its id is the agent's name, `agent[3]` for an item, `agent/child` inside an ensemble."""

    node: str
    body: str
    """model, script, command or ensemble."""
    depends_on: tuple[str, ...] = ()
    """Ids of the nodes it waits for."""
    parent: str = ""
    """The fan-out or ensemble agent it belongs to."""
    phase: int = 0
    """Its phase among its siblings, from 0."""
    item: str = ""
    """Tells its item from any other in that place; empty outside a fan-out."""
    turn: Mapping[str, Any] | None = None
    """Of a turn, by which a run is gone on with by hand: what it takes to make its plan again."""


@dataclass(frozen=True, slots=True)
class Queued(Event):
    """A node is ready and waits for a slot; `limit` says which."""

    node: str
    limit: str
    endpoint: str = ""
    """The server it wants to ask, as people call it; empty for programs."""


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A node's first call began: what it is sent, and who is to answer."""

    node: str
    prompt: str = ""
    profile: str = ""
    provider: str = ""
    model: str = ""
    items: int | None = None
    """Of a fan-out: how many children it will have."""


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """An attempt has its slots, and its request is sent."""

    node: str
    endpoint: str
    profile: str = ""
    provider: str = ""
    model: str = ""
    context_window: int | None = None
    """Tokens that the model has room for, where that is known."""
    most: float = 0.0
    """US dollars that were put aside for it under a `max_cost`."""


@dataclass(frozen=True, slots=True)
class Received(Event):
    """What came of an attempt, good or bad, and what it cost: all that is spent in a run is told by these."""

    node: str
    endpoint: str
    model: str = ""
    usage: Usage = NO_USAGE
    cost: float | None = None
    """US dollars; None where the model has no known price."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Missed(Event):
    """No kept reply answers a call, though one does that is nearly the same: what of it has changed."""

    node: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reused(Event):
    """A reply that is there already serves a node: nothing was sent for it, and this is what it took when it was made."""

    node: str
    usage: Usage = NO_USAGE
    cost: float | None = None
    """US dollars; None where the model has no known price."""
    profile: str = ""
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Loading(Event):
    """The server loads the model first; told by a provider, and no agent's clock counts the time until `Loaded`."""

    node: str
    model: str


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    """The model is there."""

    node: str


@dataclass(frozen=True, slots=True)
class Retrying(Event):
    """An attempt failed, and the next one is made after so many seconds; what had come of its reply is void."""

    node: str
    failure: Failure
    seconds: float


@dataclass(frozen=True, slots=True)
class FellBack(Event):
    """A model failed or is not there, and the next profile of the list is asked; what had come of its reply is void."""

    node: str
    failure: Failure
    profile: str
    """The next."""
    instead_of: str = ""
    """The profile that cannot answer; empty where it is the one that was asked last."""


@dataclass(frozen=True, slots=True)
class Repairing(Event):
    """A reply does not follow its schema, and the model is asked to mend it."""

    node: str
    what: str


@dataclass(frozen=True, slots=True)
class Shortened(Event):
    """A request was longer than its model's window, and is sent without its oldest part, or with a summary of it."""

    node: str
    policy: str
    """truncate or summarize."""
    before: int
    """Tokens of the request, by our own count."""
    after: int
    """Tokens of what is sent."""
    room: int
    """Tokens that a request may have."""
    prompt: str = ""
    """What is sent, without the system prompt."""


@dataclass(frozen=True, slots=True)
class Delta(Event):
    """A piece of a reply, or of the model's thinking, as it comes."""

    node: str
    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Produced(Event):
    """A program left a file in its folder for artifacts."""

    node: str
    name: str
    """Its path below that folder."""
    media_type: str
    size: int
    """In bytes."""
    sha256: str = ""
    """Of its bytes; empty where they are not kept."""


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """A node has its reply."""

    node: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A node has no reply."""

    node: str
    failure: Failure
    partial: str = ""
    """Text that had come before it failed."""


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """A node was not run."""

    node: str
    cause: str


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    """A node was cut off."""

    node: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something a person should know, of a node or (empty) of the whole run."""

    node: str
    what: str


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The run is over; nothing follows."""

    result: str
    cause: Cause = ""
    failure: Failure | None = None
    """Why the synthesis could not be rendered; the result is then that of the leaves."""


Waiting = Queued | Loading | Loaded | Retrying
"""Whatever a call waits for is one of these."""
Happening = (
    RunStarted
    | Resumed
    | Submitted
    | Waiting
    | Started
    | Sent
    | Received
    | Missed
    | Reused
    | FellBack
    | Repairing
    | Shortened
    | Delta
    | Produced
    | Answered
    | Failed
    | Skipped
    | Cancelled
    | Warned
    | RunEnded
)
"""Every event there is; a match over it is checked for completeness."""
