"""Waiting for what is awaited, in programs that do not await."""

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns: `wait(orchestrator.execute_prompt(...))`. Inside a running event loop, which stands still then, too."""
    if not _is_awaited():
        return asyncio.run(coroutine)
    loop = asyncio.new_event_loop()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="llm-orc") as thread:
        try:
            return thread.submit(context.run, _run, coroutine, loop).result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(_cancel_all, loop)
            raise


def _run(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(coroutine)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _is_awaited() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
