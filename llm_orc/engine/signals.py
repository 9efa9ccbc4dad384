"""What ends a run from outside."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from llm_orc.domain.event import Cause


@contextmanager
def stopped_by_signals(stop: Callable[[Cause], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the run, however often they come; a second Ctrl-C ends the program at once."""
    loop = asyncio.get_running_loop()
    causes: Mapping[signal.Signals, Cause] = {
        signal.SIGINT: "interrupt",
        signal.SIGTERM: "terminate",
        signal.SIGHUP: "terminate",
    }

    def stopped(number: signal.Signals) -> None:
        if number == signal.SIGINT:
            loop.remove_signal_handler(number)
        stop(causes[number])

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where our parent had it ignored, no exit code would reach us
    for number in causes:
        loop.add_signal_handler(number, stopped, number)
    try:
        yield
    finally:
        for number in causes:
            loop.remove_signal_handler(number)
