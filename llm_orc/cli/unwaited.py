"""Running what asks servers, without waiting at the end for lookups and probes that nobody waits for any more."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; threads that hang, as a lookup of a name may, keep neither the loop nor the program."""

    async def worked() -> T:
        asyncio.get_running_loop().set_default_executor(_Unwaited())
        return await work

    return asyncio.run(worked())


class _Unwaited(ThreadPoolExecutor):
    """A thread for each call, which ends with the program whatever it does."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

        future.set_running_or_notify_cancel()
        Thread(target=call, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nobody is waited for."""
