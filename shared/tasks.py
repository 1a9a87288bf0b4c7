"""Loops that must not stop: each has an owner, survives bad weather, and says when it stumbles."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from shared.backoff import Backoff, backoff_seconds
from shared.errors import HeadwaterError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_CALM = Backoff(seconds_initial=0.5, seconds_max=10.0)


async def repeat(
    name: str, step: Callable[[], Awaitable[float]], rng: Random, limits: Backoff = _CALM
) -> None:
    """Run `step` for ever; it returns the seconds to wait before the next time.

    A HeadwaterError is bad weather: it is logged and tried again with backoff. Anything else is a
    fault of ours and ends the loop, and with it the task group that owns it.
    """
    failures = 0
    while True:
        try:
            seconds = await step()
            failures = 0
        except HeadwaterError as error:
            seconds = backoff_seconds(failures, limits, rng)
            failures += 1
            log.warning("%s: %s", name, error, extra={"failures": failures})
        await asyncio.sleep(seconds)


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Do work that must not be left half done: a cancellation of the caller waits until it is over.

    Whoever cancels and awaits the caller may so let go of what the work uses.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            log.warning("work that was cancelled ended with an error: %s", error)
        raise


class Bell:
    """Wakes a waiting loop; rings while nobody waits are remembered as one."""

    def __init__(self) -> None:
        self._rang = False
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake the waiter now, or let its next wait end at once."""
        self._rang = True
        for waiter in self._waiters:
            _wake(waiter)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for a ring, at most `seconds`; returns whether it rang."""
        if not self._rang:
            await self._sleep(seconds)
        rang, self._rang = self._rang, False
        return rang

    async def _sleep(self, seconds: float | None) -> None:
        # A plain timer: asyncio.timeout, which ends by a cancellation, costs twice as much.
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter) if seconds is not None else None
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if timer is not None:
                timer.cancel()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
