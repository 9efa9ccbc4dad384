"""Bounds that outlive a run."""

import asyncio

from llm_orc.domain.profile import Endpoint
from llm_orc.engine.limits import Bounds, Wish

SERVER = Endpoint("server", "server", 64)


def test_what_a_run_wishes_for_holds_as_long_as_it_goes_on() -> None:
    bounds = Bounds(4)
    slots = bounds.of(SERVER)
    with bounds.wished([(SERVER, Wish(100)), (SERVER, Wish())]):
        assert slots.size == 100
        with bounds.wished([(SERVER, Wish(2)), (SERVER, Wish(3))]):
            assert slots.size == 2
        assert slots.size == 100
    assert slots.size == 64


async def test_who_waits_is_let_in_when_the_bound_grows() -> None:
    bounds = Bounds(4)
    slots = bounds.of(SERVER)
    entered: asyncio.Queue[int] = asyncio.Queue()
    leave = asyncio.Event()

    async def call(number: int) -> None:
        async with slots.one():
            entered.put_nowait(number)
            await leave.wait()

    with bounds.wished([(SERVER, Wish(1))]):
        calls = [asyncio.create_task(call(number)) for number in range(3)]
        assert await entered.get() == 0
        assert (slots.lack(), entered.empty()) == ("server", True)
    async with asyncio.timeout(10):
        assert [await entered.get(), await entered.get()] == [1, 2]
    leave.set()
    await asyncio.gather(*calls)
