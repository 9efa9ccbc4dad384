"""The one place where a request is made again."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from llm_orc.domain.event import Retrying
from llm_orc.domain.message import Ask, FailedError, Failure, Reply, Request, Tell

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

    from llm_orc.engine.asks import Turn

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds; they double from one to the next, with jitter."""
LONGEST_ASKED = 3_600.0
"""A server that asks for more is not waited for: another model may answer sooner."""
IDENTICAL = 10
"""Failures of the same kind in the same words, one after the other, from which on nothing else is to be expected."""


def retried(ask: Ask, attempts: int, when: "Turn") -> Ask:
    """Send at most so many requests; a wait that the server asks for delays this call only, and one that is too long ends it."""

    async def asked(request: Request, tell: Tell) -> Reply:
        try:
            return await ask(request, tell)
        except FailedError as error:
            first = [error]

        async def begun(request: Request, tell: Tell) -> Reply:
            if first:
                raise first.pop()
            return await ask(request, tell)

        def told(failure: Failure, seconds: float) -> None:
            tell(Retrying(request.node, failure, seconds))

        return await _retrying(attempts, when, told)(begun, request, tell)

    return asked


def _retrying(attempts: int, when: "Turn", told: Callable[[Failure, float], None]) -> "AsyncRetrying":
    """Made only once an attempt has failed, as few do: 3 KB for each call in flight, and 8 ms to import."""
    from tenacity import AsyncRetrying, retry_if_exception, wait_exponential_jitter

    failures: list[FailedError] = []

    def again(error: BaseException) -> bool:
        if not isinstance(error, FailedError):
            return False
        failures.append(error)
        return error.failure.kind.retryable and not when.shown

    def is_enough(state: "RetryCallState") -> bool:
        last = [failure.failure for failure in failures[-IDENTICAL:]]
        same = len(last) == IDENTICAL and len({(failure.kind, failure.what) for failure in last}) == 1
        late = state.upcoming_sleep > LONGEST_ASKED or (when.left is not None and state.upcoming_sleep >= when.left)
        return state.attempt_number >= attempts or same or late

    def pause(state: "RetryCallState") -> float:
        asked_for = failures[-1].failure.retry_after
        return asked_for if asked_for is not None else backoff(state)

    def before_sleep(state: "RetryCallState") -> None:
        told(failures[-1].failure, state.next_action.sleep if state.next_action else 0.0)

    backoff = wait_exponential_jitter(FIRST_WAIT, LONGEST_WAIT, jitter=FIRST_WAIT)
    return AsyncRetrying(
        stop=is_enough, wait=pause, retry=retry_if_exception(again), before_sleep=before_sleep, sleep=when.sleep, reraise=True
    )
