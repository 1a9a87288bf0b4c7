"""An event loop on virtual time: it never sleeps, it moves the clock to the next timer instead.

Each process reads it through a monotonic clock of its own, which may be fast or slow, and may be
frozen for a while as by SIGSTOP or a machine that swaps: time passes, and nothing of it runs.
"""

import asyncio
import contextlib
import heapq
import math
import selectors
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, NoReturn

START_SECONDS = 1_000.0
"""Not zero, so that code which takes "at time 0" for "never" is found out."""

TURNS_WITHOUT_TIME_MAX = 200_000
"""A fleet that is busy for so many turns without waiting once goes round in a circle."""


@dataclass(slots=True)
class Pace:
    """The monotonic clock of a process: seconds that it counts for one of real time, and until which
    real moment it is frozen."""

    rate: float = 1.0
    frozen_until: float = 0.0
    waiting: int = 0
    """How much waits for the end of the freeze."""

    def local(self, real: float) -> float:
        """What the process reads at a real moment."""
        return START_SECONDS + (real - START_SECONDS) * self.rate

    def real(self, local: float) -> float:
        """The first moment at which it reads this, or already more."""
        moment = START_SECONDS + (local - START_SECONDS) / self.rate
        while self.local(moment) < local:  # Rounded down: whoever waits for it would wait again.
            moment = math.nextafter(moment, math.inf)
        return moment


STEADY = Pace()
pace: ContextVar[Pace] = ContextVar("pace", default=STEADY)
"""The clock of the process that runs."""

A_TURN_SECONDS = 1e-9
"""Between callbacks that wait for the end of a freeze: they keep their order."""


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
        self.pass_time(timeout)
        return []

    def pass_time(self, timeout: float | None) -> None:
        """What select does, without an answer."""
        if timeout is None:
            raise Deadlock(f"at {self.now:.3f} s everybody waits and no timer is set")
        if timeout > 0:
            self.now += timeout
            self._turns = 0
            return
        self._turns += 1
        if self._turns > TURNS_WITHOUT_TIME_MAX:
            self._turns = 0  # Tasks must still be able to end when they are cancelled for it.
            raise Livelock(f"at {self.now:.3f} s the loop turns without end and nobody waits")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in virtual time, in one thread, in an order that depends on nothing outside."""

    # Parts of asyncio's own loop that no stub knows, as handles have them too.
    _scheduled: list[Any]
    _ready: deque[Any]
    _stopping: bool
    _timer_cancelled_count: int
    _clock_resolution: float

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds, as the process that runs counts them."""
        # Pace.local, written out: this is asked for more often than anything else.
        return START_SECONDS + (self._virtual.now - START_SECONDS) * pace.get().rate

    @property
    def real_time(self) -> float:
        """Virtual seconds, as nobody in the simulation can know them."""
        return self._virtual.now

    def call_at(  # type: ignore[override]  # The stubs name the arguments by type variables.
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at a moment of the caller's clock; not before its process has thawed."""
        clock = pace.get()
        real = clock.real(when)
        if clock.frozen_until > real:
            real = self._thaw(clock)
        timer = asyncio.TimerHandle(real, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # As asyncio does it.
        return timer

    def _run_once(self) -> None:
        """One turn as asyncio has it, in the same order, without the sockets that nobody has here: a
        seed takes ten thousand turns, and most of them run a single callback."""
        timers, ready = self._scheduled, self._ready
        if len(timers) > 100 and 2 * self._timer_cancelled_count > len(timers):
            super()._run_once()  # type: ignore[misc]  # It sweeps away what was cancelled.
            return
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
            self._timer_cancelled_count -= 1
        if ready or self._stopping:
            self._virtual.pass_time(0)
        else:
            self._virtual.pass_time(max(0, timers[0]._when - self.time()) if timers else None)
        now = self.time() + self._clock_resolution
        while timers and timers[0]._when < now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    # ---- processes that are frozen

    def freeze(self, clock: Pace, seconds: float) -> None:
        """Let nothing of the process with this clock run for so many real seconds."""
        clock.frozen_until, clock.waiting = self.real_time + seconds, 0
        for handle in sorted(self._scheduled, key=asyncio.TimerHandle.when):
            if _clock_of(handle) is clock and handle.when() < clock.frozen_until:
                handle._when = self._thaw(clock)  # Nothing public moves one.
        heapq.heapify(self._scheduled)
        self.call_soon = self._call_soon_or_later  # type: ignore[method-assign, assignment]

    def thaw_all(self) -> None:
        """Nobody is frozen any more: call at once what is to be called soon."""
        self.__dict__.pop("call_soon", None)

    @staticmethod
    def _thaw(clock: Pace) -> float:
        clock.waiting += 1
        return clock.frozen_until + clock.waiting * A_TURN_SECONDS

    def _call_soon_or_later(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        where = context if context is not None else copy_context()
        clock = where.get(pace, STEADY)
        if clock.frozen_until > self.real_time:
            return super().call_at(self._thaw(clock), callback, *args, context=where)
        return super().call_soon(callback, *args, context=where)

    # ---- what may not be

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


def _clock_of(handle: asyncio.TimerHandle) -> Pace:
    where: Context = handle._context  # type: ignore[attr-defined]  # Nothing public tells it.
    return where.get(pace, STEADY)


def real_now() -> float:
    """The virtual seconds that pass for all alike; of any other loop, its time."""
    loop = asyncio.get_running_loop()
    return loop.real_time if isinstance(loop, VirtualLoop) else loop.time()


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
