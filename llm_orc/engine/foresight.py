"""A run in which nothing is asked and nothing is run: it shows how far the replies that are kept reach."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from llm_orc.domain.event import Cause
from llm_orc.domain.foresight import Foresight, foreseen, has_settled
from llm_orc.domain.plan import Plan
from llm_orc.domain.profile import Endpoint
from llm_orc.domain.run import Run, fold
from llm_orc.engine.limits import Bounds
from llm_orc.engine.means import Means
from llm_orc.engine.perform import perform
from llm_orc.engine.slots import Slots

EVERY = 0.005
"""Seconds after which it is looked whether anything more may happen."""
PATIENCE = 5.0
"""Seconds without anything happening after which nothing more is expected."""


class Closed(Bounds):
    """Bounds that let nothing through: whatever would be asked or run waits for ever."""

    closed = True

    def __init__(self) -> None:
        super().__init__(0)

    def of(self, endpoint: Endpoint) -> Slots:
        """The slots of an endpoint: none."""
        return Slots(endpoint.label, 0)

    @contextmanager
    def wished(self, wishes: object) -> Iterator[None]:  # noqa: ARG002 - the contract
        """Nobody gets what they wish for."""
        yield


async def foresee(plan: Plan, text: str, means: Means) -> Foresight:
    """What of a plan is answered by what is kept; files are read, and nothing else is done."""
    run = Run()
    stop: asyncio.Future[Cause] = asyncio.get_running_loop().create_future()
    dry = replace(means, bounds=Closed(), keep=None, stream=False)
    unbound = replace(plan, max_cost=None, timeout_seconds=None)
    work = asyncio.create_task(perform(unbound, text, dry, partial(fold, run), run="-", stop=stop))
    last, idle = 0, 0.0
    while not work.done() and not has_settled(run, phased=plan.ensemble.execution == "phased") and idle < PATIENCE:
        await asyncio.wait({work}, timeout=EVERY)
        idle, last = (idle + EVERY, last) if run.last_seq == last else (0.0, run.last_seq)
    found = foreseen(run)
    stop.set_result("interrupt")
    await work
    return found
