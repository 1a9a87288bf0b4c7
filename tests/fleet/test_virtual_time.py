"""Virtual time: hours pass at once, in order, and a simulation that waits for nothing says so."""

import asyncio
import time

import pytest

from tests.fleet.virtual_time import BEGINNING, Deadlock, run


def test_an_hour_of_sleep_takes_no_time() -> None:
    async def sleeper() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(sleeper()) == pytest.approx(BEGINNING + 3600)
    assert time.monotonic() - began < 60


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def all_of_them() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (30, 10, 20)))

    run(all_of_them())
    assert woken == [10, 20, 30]


def test_waiting_for_nothing_is_an_error() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run(forever())


def test_threads_are_refused() -> None:
    async def in_a_thread() -> None:
        await asyncio.to_thread(time.time)

    with pytest.raises(AssertionError, match="threads"):
        run(in_a_thread())
