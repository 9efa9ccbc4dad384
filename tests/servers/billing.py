"""A server that adds up what it would charge: for every request that it began to answer, by its own count of tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.servers.openai import prompt_of
from tests.servers.wire import Connection, Received, ThreadServer

AROUND = 32
"""Tokens that the template puts round a message, and once round a request."""
UNBOUNDED = 3_000
"""Tokens of a reply that nobody bounds."""
FATES = ("ok", "ok", "ok", "long", "uncounted", "limited", "broken", "cut", "garbage", "empty", "filtered", "hang")


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens."""

    input: float
    output: float
    cached: float | None = None

    def charge(self, sent: int, got: int, cached: int) -> float:
        cheap = self.input if self.cached is None else self.cached
        return ((sent - cached) * self.input + cached * cheap + got * self.output) / 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """What a server makes of one request."""

    fate: str
    sent: int
    """Tokens of the prompt, as it counts them."""
    got: int
    """Tokens of the reply."""
    cached: int
    cost: float
    """What it charges."""


@dataclass(slots=True)
class Meter:
    """Counts as dearly as a server may, and fails in every way that there is, by chance."""

    rates: Mapping[str, Rates]
    """By model."""
    seed: int = 0
    fates: tuple[str, ...] = FATES
    served: list[tuple[str, Served]] = field(default_factory=list)
    """Model, and what became of the request."""
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    @property
    def bill(self) -> float:
        """US dollars."""
        return sum(served.cost for _, served in self.served)

    def serve(self, model: str, texts: list[str], longest: int | None) -> Served:
        """Decide on a request; what is refused with an error costs nothing."""
        chance = self._random
        fate = chance.choice(self.fates)
        most = AROUND + sum(AROUND + len(text.encode(errors="replace")) for text in texts)
        sent = most if chance.random() < 0.3 else chance.randint(1, most)
        most_got = UNBOUNDED if longest is None else longest
        got = most_got if fate == "long" or chance.random() < 0.3 else chance.randint(1, most_got)
        cached = chance.randint(0, sent) if chance.random() < 0.5 else 0
        cost = 0.0 if fate in {"limited", "broken"} else self.rates[model].charge(sent, got, cached)
        served = Served(fate, sent, got, cached, cost)
        self.served.append((model, served))
        return served


class BillingServer(ThreadServer):
    """Chat completions at a price: every request costs by the meter, whatever becomes of its answer."""

    def __init__(self, meter: Meter) -> None:
        """Its meter says what becomes of each request."""
        super().__init__()
        self.meter = meter

    async def answer(self, request: Received, connection: Connection) -> None:
        """Charge first, then answer, or not."""
        asked = request.json
        texts = [prompt_of({"messages": [message]}) for message in asked["messages"]]
        bounds = [value for key in ("max_tokens", "max_completion_tokens") if (value := asked.get(key)) is not None]
        served = self.meter.serve(asked["model"], [*texts, json.dumps(asked.get("response_format", ""))], max(bounds, default=None))
        match served.fate:
            case "limited":
                connection.send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
            case "broken":
                connection.send(500, {"error": {"message": "oh no"}}, {"Retry-After": "0"})
            case "garbage":
                connection.send(200, "<html>a page</html>", {"Content-Type": "text/html"})
            case "cut":
                connection.start_chunks()
                connection.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n')
                connection.hang_up(reset=True)
            case "hang":
                await asyncio.Event().wait()
            case _:
                connection.send(200, _reply(asked["model"], served))


def _reply(model: str, served: Served) -> dict[str, Any]:
    message = {"role": "assistant", "content": "" if served.fate == "empty" else "word " * min(served.got, 20)}
    reason = {"filtered": "content_filter", "long": "length"}.get(served.fate, "stop")
    whole: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": model, "choices": [{"index": 0, "message": message}]}
    whole["choices"][0]["finish_reason"] = reason
    if served.fate != "uncounted":
        details = {"cached_tokens": served.cached}
        total = served.sent + served.got
        whole["usage"] = {
            "prompt_tokens": served.sent,
            "completion_tokens": served.got,
            "total_tokens": total,
            "prompt_tokens_details": details,
        }
    return whole
