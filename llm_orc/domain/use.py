"""What a run makes of servers and models: how many calls are where, and what they have cost."""

from dataclasses import dataclass, field

from llm_orc.domain.message import NO_USAGE, Usage


@dataclass(slots=True)
class EndpointUse:
    """The calls of one run at one server."""

    running: int = 0
    peak: int = 0
    """The most that ran at once."""
    requests: int = 0
    """Sent so far."""
    queued: dict[str, int] = field(default_factory=dict)
    """Limit -> how many calls wait for it."""
    waited: float = 0.0
    """Seconds that calls have stood in these queues, all together."""

    @property
    def waiting(self) -> int:
        """Calls that wait for any limit."""
        return sum(self.queued.values())

    def wait(self, limit: str, number: int) -> None:
        """So many more calls wait for a limit; a negative number goes on."""
        self.queued[limit] = self.queued.get(limit, 0) + number
        if not self.queued[limit]:
            del self.queued[limit]

    def send(self) -> None:
        """One more is on its way."""
        self.requests += 1
        self.running += 1
        self.peak = max(self.peak, self.running)


@dataclass(slots=True)
class Spending:
    """Tokens and money."""

    usage: Usage = NO_USAGE
    cost: float | None = None
    """US dollars of all calls with a known price; None where there is none."""

    def add(self, usage: Usage, cost: float | None) -> None:
        """One more attempt."""
        self.usage += usage
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
