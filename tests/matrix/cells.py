"""The fault matrix: what goes wrong, and what comes of it, the same for every wire format unless its row says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_orc.domain.message import Kind

FORMATS = ("openai-compatible", "anthropic", "google", "ollama")
MODEL = "matrix"
ATTEMPTS = 3
"""Requests in all, where trying again may help."""
RETRY_AFTER = 1
"""Seconds, where the server says so."""

Way = Literal["always", "whole", "once", "fallback"]
WAYS: Mapping[Way, str] = {
    "always": "the reply is streamed, and every request meets the fault",
    "whole": "the same for a reply in one piece",
    "once": "only the first request meets it",
    "fallback": "every request meets it, and the profile has a fallback",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and what comes of it."""

    name: str
    what: str
    kind: Kind
    hint: str
    """A part of the hint, for every format."""
    requests: int = ATTEMPTS
    """How many the server sees, where each meets the fault."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """By format, where it is another one."""
    out_of_time: bool = False
    """Whether the agent's own time ends it, so that nothing is left for another try or a fallback."""
    streamed: bool = False
    """Whether only a stream can meet it."""
    partial: bool = False
    """Whether a stream has said something before."""
    aimock: bool = False
    """Whether aimock can do it, too."""

    @property
    def recovers(self) -> bool:
        """Whether a second request is made, and answered."""
        return self.requests > 1

    @property
    def falls_back(self) -> bool:
        """Whether the fallback is asked."""
        return not self.out_of_time

    def hint_of(self, wire_format: str) -> str:
        """A part of what it says to do."""
        return self.hints.get(wire_format, self.hint)


_LATER = "try again later"
_AGAIN = "try again"
FAULTS = (
    Fault("401", "401", Kind.AUTHENTICATION, "llm-orc auth add", 1, aimock=True),
    Fault("403", "403", Kind.PERMISSION, "what this key may do", 1, aimock=True),
    Fault(
        "404", "404, no such model", Kind.NOT_FOUND, f"is '{MODEL}' the model's name", 1, {"ollama": f"ollama pull {MODEL}"}, aimock=True
    ),
    Fault("429-after", "429 with Retry-After", Kind.RATE_LIMIT, "max_parallel", aimock=True),
    Fault("429", "429 without", Kind.RATE_LIMIT, "max_parallel"),
    Fault("500", "500", Kind.SERVER, _LATER, aimock=True),
    Fault("503", "503", Kind.SERVER, _LATER, aimock=True),
    Fault("529", "529", Kind.SERVER, _LATER, aimock=True),
    Fault("reset-before", "reset before the reply", Kind.NETWORK, _AGAIN, aimock=True),
    Fault("reset-during", "reset during the reply", Kind.NETWORK, _AGAIN, partial=True, aimock=True),
    Fault("early-end", "a stream that ends early, cleanly", Kind.NETWORK, _AGAIN, streamed=True, partial=True),
    Fault("html", "a web page, with status 200", Kind.MALFORMED, "base_url"),
    Fault("malformed", "broken JSON, with status 200", Kind.MALFORMED, _AGAIN, partial=True, aimock=True),
    Fault("empty", "an empty reply", Kind.EMPTY, _AGAIN, aimock=True),
    Fault("hang", "no answer", Kind.TIMEOUT, "timeout_seconds", 1, out_of_time=True),
    Fault(
        "slow", "tokens too slow for the agent's time", Kind.TIMEOUT, "timeout_seconds", 1, out_of_time=True, streamed=True, partial=True
    ),
    Fault("context", "the context is too long", Kind.CONTEXT_LENGTH, "fan_out", 1, aimock=True),
    Fault("filter", "the content filter", Kind.CONTENT_FILTER, "reword the prompt", 1, aimock=True),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault in one wire format, met in one way."""

    wire_format: str
    fault: Fault
    way: Way

    @property
    def name(self) -> str:
        """Its agent, its profile and its address; no address holds another's."""
        return f"{self.wire_format}_{self.fault.name}_{self.way}"

    @property
    def recovers(self) -> bool:
        """Whether another request is answered."""
        return self.way == "once" and self.fault.recovers

    @property
    def falls_back(self) -> bool:
        """Whether the fallback answers."""
        return self.way == "fallback" and self.fault.falls_back

    @property
    def requests(self) -> int:
        """How many the server sees."""
        return 2 if self.recovers else self.fault.requests


CELLS = tuple(
    Cell(wire_format, fault, way) for wire_format in FORMATS for fault in FAULTS for way in WAYS if not (way == "whole" and fault.streamed)
)
