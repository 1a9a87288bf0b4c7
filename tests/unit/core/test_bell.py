"""A bell wakes who waits, remembers a ring for who comes later, and leaves no timer behind."""

import asyncio

from shared.tasks import Bell


async def test_a_ring_wakes_the_waiter_before_its_time() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(3600))
    await asyncio.sleep(0)
    bell.ring()
    assert await waiting is True


async def test_rings_while_nobody_waits_are_remembered_as_one() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.wait() is True
    assert await bell.wait(0) is False


async def test_without_a_ring_the_wait_ends_with_its_time() -> None:
    bell = Bell()
    assert await bell.wait(0.001) is False
    assert await bell.wait(-1) is False


async def test_all_who_wait_wake_and_the_first_one_takes_the_ring() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.gather(*waiting) == [True, False]


async def test_a_ring_is_kept_when_the_waiter_is_cancelled_at_the_same_moment() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    bell.ring()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await bell.wait(0) is True
