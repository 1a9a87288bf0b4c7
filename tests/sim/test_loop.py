"""The simulation itself: its time is virtual, and it finds out what must not happen in it."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from tests.sim.loop import (
    START_SECONDS,
    Deadlock,
    Livelock,
    Pace,
    VirtualLoop,
    no_threads,
    real_now,
)
from tests.sim.process import Process, own_tasks
from tests.sim.trace import Trace


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def test_a_day_passes_in_no_time() -> None:
    async def sleep_for_a_day() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time() - START_SECONDS

    began = time.monotonic()
    assert run(sleep_for_a_day()) == pytest.approx(86_400)
    assert time.monotonic() - began < 5.0


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def race() -> list[float]:
        finished: list[float] = []

        async def runner(seconds: float) -> None:
            await asyncio.sleep(seconds)
            finished.append(seconds)

        await asyncio.gather(*map(runner, (3.0, 0.001, 2.0, 0.5)))
        return finished

    assert run(race()) == [0.001, 0.5, 2.0, 3.0]


def test_waiting_for_what_never_comes_is_a_deadlock() -> None:
    with pytest.raises(Deadlock):
        run(asyncio.Event().wait())


def test_running_without_ever_waiting_is_a_livelock() -> None:
    async def go_round() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run(go_round())


async def _use_a_thread() -> None:
    await asyncio.to_thread(print)


async def _start_a_thread() -> None:
    threading.Thread(target=print).start()


@pytest.mark.parametrize("work", [_use_a_thread, _start_a_thread])
def test_threads_are_refused(work: Any) -> None:
    with no_threads(), pytest.raises(AssertionError, match="must not"):
        run(work())


def test_a_killed_process_takes_all_its_tasks_along_and_no_other() -> None:
    async def kill_one() -> tuple[list[str], list[str]]:
        asyncio.get_running_loop().set_task_factory(own_tasks)
        trace, said = Trace(), list[str]()

        async def grandchild(name: str) -> None:
            await asyncio.sleep(5)
            said.append(name)

        async def main(name: str) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(grandchild(name))

        processes = [Process(name, Random(1), trace) for name in ("edge-1#1", "edge-2#1")]
        for process in processes:
            process.spawn(main(process.name))
        await asyncio.sleep(1)
        await processes[0].kill()
        await asyncio.sleep(10)
        return said, trace.failures

    assert run(kill_one()) == (["edge-2#1"], [])


def test_a_task_that_outlives_its_process_is_found() -> None:
    async def leave_one() -> list[str]:
        asyncio.get_running_loop().set_task_factory(own_tasks)
        trace = Trace()
        process = Process("hub-1#1", Random(1), trace)

        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if trace.failures:
                        raise

        task = process.spawn(stubborn())
        await asyncio.sleep(1)
        await process.kill()
        task.cancel()
        await asyncio.wait({task})
        return trace.failures

    (failure,) = run(leave_one())
    assert "left a task behind: hub-1#1" in failure


def test_processes_count_time_at_their_own_pace() -> None:
    """A fast clock shows more time, and a timer on it fires sooner; real time is the same for all."""

    async def race() -> tuple[float, float]:
        fast = Process("fast", Random(1), Trace(), Pace(1.02))
        began = real_now()
        local = await fast.run(sleep_by_own_clock(51.0))
        return local, real_now() - began

    async def sleep_by_own_clock(seconds: float) -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time() - began

    local, real = run(race())
    assert local == pytest.approx(51.0)
    assert real == pytest.approx(50.0)


def test_nothing_of_a_frozen_process_runs_until_it_thaws() -> None:
    """Its timers and what others tell it wait for the end, and then all come at once."""

    async def freeze() -> list[tuple[str, float]]:
        process, seen = Process("hub", Random(1), Trace()), list[tuple[str, float]]()
        told = asyncio.Event()

        async def tick() -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                seen.append(("tick", round(real_now() - START_SECONDS, 3)))

        async def listen() -> None:
            await told.wait()
            seen.append(("told", round(real_now() - START_SECONDS, 3)))

        tasks = [process.spawn(tick()), process.spawn(listen())]
        await asyncio.sleep(0.5)
        process.freeze(5.0)
        await asyncio.sleep(1.0)
        told.set()
        await asyncio.wait(tasks)
        return seen

    seen = run(freeze())
    assert sorted(seen[:2]) == [("tick", 5.5), ("told", 5.5)]
    assert seen[2:] == [("tick", 6.5), ("tick", 7.5)]
