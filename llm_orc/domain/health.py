"""What `doctor` finds out: how each thing is that a run needs. The names are the keys of its JSON, which are a promise."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a thing is: well where there is no cause."""

    cause: str | None = None
    """Why it cannot be used."""
    hint: str | None = None
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Program(State):
    """The program that runs, and those beside it."""

    version: str
    file: str
    python: str
    python_file: str
    others: tuple[str, ...] = ()
    """Other files of the same name on the PATH."""


@dataclass(frozen=True, slots=True)
class Folder(State):
    """The folder of a layer."""

    layer: str
    path: str
    there: bool
    trusted: bool


@dataclass(frozen=True, slots=True)
class Server(State):
    """A server that was asked for its models."""

    provider: str
    address: str
    local: bool
    running: bool
    """Whether somebody took the connection."""
    milliseconds: float | None = None
    """How long it took to list them."""
    models: int | None = None
    loaded: tuple[str, ...] = ()
    """Those in its memory."""


@dataclass(frozen=True, slots=True)
class Key(State):
    """A key or login."""

    provider: str
    name: str | None
    origin: str
    last_four: str
    works: bool | None
    """None where nobody could be asked."""


@dataclass(frozen=True, slots=True)
class PerMillion:
    """US dollars per million tokens of a short prompt and its reply."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class ProfileState(State):
    """A profile, and who answers for it."""

    name: str
    layer: str
    provider: str = ""
    """As it is written: `auto` for a tier."""
    model: str = ""
    resolved: str | None = None
    """`provider/model` that answers now."""
    destination: str | None = None
    """The server that is sent what is asked."""
    price: PerMillion | None = None
    """None where no price is known."""
    answers: bool = False


@dataclass(frozen=True, slots=True)
class AgentState(State):
    """An agent of a shipped ensemble."""

    name: str
    runs: bool


@dataclass(frozen=True, slots=True)
class EnsembleState:
    """A shipped ensemble."""

    name: str
    agents: tuple[AgentState, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to do."""

    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Health:
    """All of it."""

    version: int
    ok: bool
    """Whether the default profile can be answered."""
    default_profile: str
    program: Program
    folders: tuple[Folder, ...]
    servers: tuple[Server, ...]
    keys: tuple[Key, ...]
    profiles: tuple[ProfileState, ...]
    ensembles: tuple[EnsembleState, ...]
    faults: tuple[Fault, ...] = field(default=())
    """What to do, the most important first."""
