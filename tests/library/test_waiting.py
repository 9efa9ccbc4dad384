"""Waiting in programs that do not await."""

import asyncio
import re
import signal
import subprocess
import sys
from contextvars import ContextVar

import pytest

from llm_orc.library.waiting import wait

NAME: ContextVar[str] = ContextVar("NAME", default="")


async def said(word: str) -> str:
    await asyncio.sleep(0)
    return word + NAME.get()


def test_without_a_loop() -> None:
    assert wait(said("hey")) == "hey"


async def test_inside_a_loop_with_the_context_of_the_caller() -> None:
    NAME.set("!")
    assert wait(said("hey")) == "hey!"


async def test_what_it_raises_is_raised() -> None:
    async def broken() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError, match="x"):
        wait(broken())


INTERRUPTED = """
import asyncio
from llm_orc.library.waiting import wait

async def endless():
    print("begun", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("tidied up", flush=True)

loop = asyncio.new_event_loop()
loop.call_soon(lambda: wait(endless()))
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_in_a_running_loop_cancels_what_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert sorted(re.findall("interrupted|tidied up", out)) == ["interrupted", "tidied up"], "two threads write, in any order"
