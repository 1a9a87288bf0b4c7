"""An event loop whose time is virtual: when nothing is ready, it jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

BEGINNING = 1000.0


class Deadlock(AssertionError):
    """Every task waits for something that nothing will ever do."""


class _Selector(selectors.SelectSelector):
    """Looks at real files without waiting for them, and lets the loop's time pass instead."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("nothing is ready and no timer is set")
            self.loop.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop for simulations; threads have no place in it."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = BEGINNING
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]  # Refuses everything.
        """Refuse: what a thread does cannot be repeated."""
        raise AssertionError("a simulation must not use threads")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
