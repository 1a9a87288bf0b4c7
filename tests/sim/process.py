"""A process that is none: it owns tasks, a wall clock and luck of its own, and can be killed."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from shared.runtime import Runtime
from tests.sim.loop import START_SECONDS, Pace, VirtualLoop, pace, real_now
from tests.sim.trace import Trace

Result = TypeVar("Result")

EPOCH_NS = 1_750_000_000 * 1_000_000_000
DEATH_SECONDS_MAX = 1.0
READ_SECONDS_MAX = 0.003

_owner: ContextVar["Process | None"] = ContextVar("owner", default=None)


class WallClock:
    """A machine's idea of the time of day: off by a constant, set forward or back at will, and fast or
    slow by a share of the time that passes."""

    def __init__(self, offset_seconds: float, drift: float = 0.0) -> None:
        self.offset_seconds, self.drift = offset_seconds, drift

    def ns(self) -> int:
        """Unix nanoseconds, as this machine believes."""
        passed = (real_now() - START_SECONDS) * (1 + self.drift)
        return EPOCH_NS + round((passed + self.offset_seconds) * 1e9)


@dataclass(frozen=True)
class SimRuntime(Runtime):
    """A runtime whose readings of the disk take a moment, so that others come in between."""

    async def offload(self, work: Callable[[], Any]) -> Any:
        """Run blocking work here, after about as long as it would take elsewhere."""
        await asyncio.sleep(self.rng.uniform(0, READ_SECONDS_MAX))
        return work()


class Process:
    """One life of a hub or an edge. Every task that it starts, at whatever depth, is its own."""

    def __init__(self, name: str, rng: Random, trace: Trace, clock: Pace | None = None) -> None:
        self.name, self.rng, self._trace = name, rng, trace
        self.clock = clock or Pace()
        self.alive = True
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._serving: dict[asyncio.Task[Any], None] = {}

    @property
    def machine(self) -> str:
        """The machine that this runs on: our name without the number of our life."""
        return self.name.partition("#")[0]

    def spawn(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Run something as a part of this process."""
        context = copy_context()
        context.run(_owner.set, self)
        context.run(pace.set, self.clock)
        return asyncio.get_running_loop().create_task(work, context=context)

    def serve(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Run something on behalf of others, which is over before we stop in good order."""
        task = self.spawn(work)
        self._serving[task] = None
        task.add_done_callback(lambda done: self._serving.pop(done, None))
        return task

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """Count a task as ours until it is done."""
        self._tasks[task] = None
        task.add_done_callback(self._bury)

    def _bury(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.alive:
            self._trace.note("error while dying", self.name, type(error).__name__)

    def see(self, look: Callable[[], Result]) -> Result:
        """What this process would see now, by its own clock."""
        context = copy_context()
        context.run(pace.set, self.clock)
        return context.run(look)

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something as a part of this process and wait for its result."""
        return await self.spawn(work)

    async def kill(self) -> None:
        """Stop everything at once, as SIGKILL does. Whoever calls has cut it off from the world."""
        self.alive = False
        for task in list(self._tasks):
            task.cancel()
        await self.ended("a killed process")

    def freeze(self, seconds: float) -> None:
        """Let nothing of it run for a while, as SIGSTOP does."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.freeze(self.clock, seconds)

    async def finish_serving(self, seconds_max: float) -> None:
        """Let requests under way come to their end, but not for long, as a server that stops does."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds_max)
        for task in list(self._serving):
            task.cancel()

    async def ended(self, what: str) -> None:
        """Check that no task outlives its process."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DEATH_SECONDS_MAX)
        # One that has ended may be counted still: who began it may be frozen, and note it later.
        for task in [task for task in self._tasks if not task.done()]:
            self._trace.fail(f"{what} left a task behind: {self.name} {task.get_coro()!r}")


class NumberedTask(asyncio.Task[Result]):
    """A task whose hash is its number: sets of tasks are then gone through in the same order in every
    run, where the usual hash, an address in memory, gives another order each time."""

    _numbers = itertools.count(1)

    @classmethod
    def begin_anew(cls) -> None:
        """Number from one again, as every run does."""
        cls._numbers = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(NumberedTask._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


def own_tasks(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Result] | Generator[Any, None, Result],
    context: Context | None = None,
    **kwargs: Any,
) -> "asyncio.Task[Result]":
    """A task factory that gives each task to the process that it runs in."""
    assert asyncio.iscoroutine(work)
    task: NumberedTask[Result] = NumberedTask(work, loop=loop, context=context, **kwargs)
    owner = context.get(_owner, None) if context is not None else _owner.get()
    if owner is not None:
        owner.adopt(task)
    return task
