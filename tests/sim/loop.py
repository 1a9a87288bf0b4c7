"""An event loop on virtual time: it never sleeps, it moves the clock to the next timer instead."""

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, NoReturn

START_SECONDS = 1_000.0
"""Not zero, so that code which takes "at time 0" for "never" is found out."""

TURNS_WITHOUT_TIME_MAX = 200_000
"""A fleet that is busy for so many turns without waiting once goes round in a circle."""


class Deadlock(AssertionError):
    """Everybody waits, and nothing is scheduled that could wake anybody."""


class Livelock(AssertionError):
    """Somebody runs for ever without waiting, so that time stands still."""


class VirtualSelector(selectors.SelectSelector):
    """Answers "nothing is ready" at once, and counts the time that waiting would have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_SECONDS
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Pass the time; raises Deadlock or Livelock."""
        if timeout is None:
            raise Deadlock(f"at {self.now:.3f} s everybody waits and no timer is set")
        if timeout > 0:
            self.now += timeout
            self._turns = 0
            return []
        self._turns += 1
        if self._turns > TURNS_WITHOUT_TIME_MAX:
            self._turns = 0  # Tasks must still be able to end when they are cancelled for it.
            raise Livelock(f"at {self.now:.3f} s the loop turns without end and nobody waits")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in virtual time, in one thread, in an order that depends on nothing outside."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now

    def run_in_executor(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]  # Refuses all.
        """Refused: a thread would bring real time in."""
        raise AssertionError("a simulated process must not use an executor")

    def call_soon_threadsafe(  # type: ignore[override]  # The stubs name the arguments by type variables.
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Refused from other threads, since none may exist."""
        if threading.current_thread() is not threading.main_thread():
            raise AssertionError("a simulated process must not use threads")
        return super().call_soon_threadsafe(callback, *args, context=context)


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """Nobody may start a thread while this lasts."""

    def refuse(thread: threading.Thread) -> NoReturn:
        raise AssertionError(f"a simulated process must not start the thread {thread.name}")

    start = threading.Thread.start
    threading.Thread.start = refuse  # type: ignore[method-assign, assignment]  # Put back below.
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
