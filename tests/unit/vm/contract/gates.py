"""Gates around what a real driver does: work can be held up right before or after each of its deeds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edge.vm.driver import Driver

DEEDS = {
    "create": "create",
    "start": "start",
    "ask_to_stop": "stop",
    "kill": "kill",
    "pause": "pause",
    "resume": "resume",
    "reset": "reset",
    "destroy": "destroy",
    "clear": "clear",
    "snapshot_create": "snapshot",
}
"""The methods of a driver, and what the table of transitions calls them."""


class Gates:
    """`holds` names the points at which work hangs, "start.before" or "start.after"; `reached` is
    set there, and `open` lets everybody go on. `calls` counts what was asked of the drivers."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.reached = asyncio.Event()
        self.free = asyncio.Event()
        self.calls: list[str] = []

    def open(self) -> None:
        """Nothing hangs any more."""
        self.holds.clear()
        self.free.set()

    def guard(self, driver: Driver) -> Driver:
        """The same driver, with gates."""
        for method, deed in DEEDS.items():
            setattr(driver, method, self._guarded(getattr(driver, method), deed))
        return driver

    def _guarded(self, method: Callable[..., Awaitable[Any]], deed: str) -> Any:
        async def act(*words: Any, **more: Any) -> Any:
            await self._pass(f"{deed}.before")
            if deed != "clear":  # It follows an end by itself, whenever that is.
                self.calls.append(deed)
            done = await method(*words, **more)
            await self._pass(f"{deed}.after")
            return done

        return act

    async def _pass(self, point: str) -> None:
        if point in self.holds:
            self.reached.set()
            await self.free.wait()
