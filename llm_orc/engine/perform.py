"""Makes a plan happen, and tells everything that does."""

import asyncio
from dataclasses import replace

from llm_orc.domain.event import Cause, Happening, Resumed, RunEnded, RunStarted
from llm_orc.domain.message import Tell
from llm_orc.domain.past import NO_PAST, Past
from llm_orc.domain.plan import Plan
from llm_orc.domain.result import Made
from llm_orc.engine.children import wished
from llm_orc.engine.means import Means
from llm_orc.engine.open_run import OpenRun, Talk


async def perform(  # noqa: PLR0913 - keywords, each of which stands alone
    plan: Plan,
    text: str,
    means: Means,
    tell: Tell,
    *,
    run: str,
    past: Past = NO_PAST,
    stop: asyncio.Future[Cause] | None = None,
    talk: Talk | None = None,
) -> None:
    """Run the plan on the input, telling every event with its number and time; `stop`, once set, ends it early.

    A failed agent is an event, not an exception. Cancelling this task ends the run as an interrupt does.
    With a `past` the run goes on: what has succeeded there is not repeated, and all else is decided again.
    With a `talk` the run is open for turns until that is over; the plan's clock is that of its own agents.
    """
    told = _numbered(tell, means, past.seq)
    told(Resumed(run) if past.seq else RunStarted(run, plan.ensemble.name, plan.phases, plan.leaves, text, plan.variables))
    means.summaries.recall(past.nodes.values())
    whole = OpenRun(plan, text, means, told, Made(run, past.began or means.clock()), past)
    through = asyncio.get_running_loop().create_future()
    work = asyncio.create_task(whole.perform(talk=_after(through, talk)))
    ended = stop if stop is not None else asyncio.get_running_loop().create_future()
    cause: Cause = "interrupt"
    with wished(plan, means):
        try:
            done, _ = await asyncio.wait({work, ended, through}, timeout=plan.timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if through in done:
                await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            cause = "" if work.done() else ended.result() if ended.done() else "timeout"
            if not cause and any(budget.refused for budget in whole.budgets):
                cause = "budget"
        finally:
            work.cancel()
            await asyncio.wait({work})
            _raise_bug(work)
            told(RunEnded(*whole.result(cause)))


def _after(through: asyncio.Future[None], talk: Talk | None) -> Talk | None:
    """The talk, which says when it begins."""
    if talk is None:
        return None

    async def begun(whole: OpenRun) -> None:
        through.set_result(None)
        await talk(whole)

    return begun


def _raise_bug(work: asyncio.Task[None]) -> None:
    error = None if work.cancelled() else work.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


def _numbered(tell: Tell, means: Means, last: int) -> Tell:

    def told(event: Happening) -> None:
        nonlocal last
        last += 1
        tell(replace(event, seq=last, at=means.clock()))

    return told
