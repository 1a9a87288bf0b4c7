"""Waiting for what must become true, instead of for a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def until(
    look: Callable[[], Awaitable[Value]],
    is_good: Callable[[Value], bool],
    seconds_max: float = 60.0,
) -> Value:
    """Look again and again; fails with the last thing seen."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        seen = await look()
        if is_good(seen):
            return seen
        assert asyncio.get_running_loop().time() < deadline, f"never came true: {seen}"
        await asyncio.sleep(0.02)
