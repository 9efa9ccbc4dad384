"""Plans and runs made by hand: the same events that a true run tells."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Answered, Delta, Happening, Received, RunEnded, RunStarted, Sent, Started, Submitted
from llm_orc.domain.message import Reply, Usage
from llm_orc.domain.plan import Plan
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.run import Run, fold
from llm_orc.render.formats import Format, Paper

PROFILES = {
    "default": Profile(name="default", model="small", provider="openai-compatible", base_url="http://127.0.0.1:8000/v1"),
    "careful": Profile(name="careful", model="large", provider="openai", temperature=0.2),
}


def plan_of(*agents: Mapping[str, Any], ensembles: Iterable[Ensemble] = (), **keys: Any) -> Plan:
    """The plan of an ensemble called `review`."""
    ensemble = Ensemble.model_validate({"name": "review", "agents": list(agents), **keys})
    return resolve(ensemble, PROFILES, {each.name: each for each in ensembles})


def numbered(events: Iterable[Happening], begin: float = 1_000.0, step: float = 0.5) -> Iterator[Happening]:
    """The events with their numbers, half a second apart; an attempt begins with what is before it, and ends with what follows."""
    at = begin - step
    for number, event in enumerate(events, 1):
        at += 0 if isinstance(event, Sent | Received) else step
        yield replace(event, seq=number, at=at + step if isinstance(event, Received) else at)


def run_of(*events: Happening) -> Run:
    """What the events add up to."""
    run = Run()
    for event in numbered(events):
        fold(run, event)
    return run


def begun(*names: str, leaves: tuple[str, ...] = (), input: str = "code") -> tuple[Happening, ...]:
    """A run of these independent agents, each of them submitted."""
    return (
        RunStarted("r1", "review", (names,), leaves or names[-1:], input),
        *(Submitted(name, "model") for name in names),
    )


def answered(name: str, text: str, **reply: Any) -> tuple[Happening, ...]:
    """An agent from its start to its reply, word by word."""
    words = [Delta(name, word) for word in text.split(" ")]
    said = Reply(**{"text": text, "usage": Usage(100, 10), "model": "small", **reply})
    return (
        Started(name, "Look at it.", "default", "openai-compatible", "small"),
        Sent(name, "127.0.0.1:8000", "default", "openai-compatible", "small", 1_000),
        *words,
        Received(name, "127.0.0.1:8000", said.model or "", said.usage, said.cost),
        Answered(name, said),
    )


def one_agent(text: str, **reply: Any) -> tuple[Happening, ...]:
    """A whole run of one agent, `judge`, whose reply is the result."""
    return (*begun("judge"), *answered("judge", text, **reply), RunEnded(text))


@dataclass(slots=True)
class Sheet:
    """What was written, piece by piece."""

    pieces: list[str | bytes] = field(default_factory=list)

    def __call__(self, text: str | bytes) -> None:
        self.pieces.append(text)

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))


def paper(plan: Plan | None = None, **keys: Any) -> tuple[Paper, Sheet]:
    """Something to write on, and what stands there."""
    sheet = Sheet()
    return Paper(sheet, plan or plan_of({"name": "judge"}), **keys), sheet


def played(format: Format, *events: Happening) -> Run:
    """The run, after the format heard all of it."""
    run = Run()
    for event in numbered(events):
        fold(run, event)
        format.tell(event)
    format.close(run)
    return run
