"""What a run will need is imported while its input is waited for: SDKs take up to 2 s."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from llm_orc.app import imported
from llm_orc.cli.input import Given
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.plan import Plan


@contextmanager
def importing(terminal: Terminal, given: Given, plan: Plan) -> Iterator[None]:
    """Meanwhile import what asking the plan's models takes, if the input is a pipe that has nothing to say yet.

    Only then, and only meanwhile: two threads that import side by side gain nothing, and may wait for each other.
    """
    if not (given.stdin and terminal.has_input and terminal.silent(0)):
        yield
        return
    thread = Thread(target=imported, args=(plan,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
