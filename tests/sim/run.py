"""Runs one fleet through one storm, from a seed to a report."""

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.sim.disk import Disks
from tests.sim.fleet import Fleet
from tests.sim.loop import START_SECONDS, VirtualLoop, no_threads
from tests.sim.machines import World, luck
from tests.sim.network import STORM, Network, Weather
from tests.sim.pages import small_pages
from tests.sim.process import NumberedTask, own_tasks
from tests.sim.scenario import Plan
from tests.sim.trace import ErrorLog, Trace


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one run."""

    seed: int
    digest: str
    failures: tuple[str, ...]
    counts: Mapping[str, int]
    last: tuple[str, ...]
    virtual_seconds: float
    real_seconds: float

    @property
    def ok(self) -> bool:
        """Whether every law held."""
        return not self.failures

    def to_text(self) -> str:
        """The report for a person; a failed one says how to see it again."""
        verdict = "ok" if self.ok else "FAILED"
        seconds = f"{self.virtual_seconds:.0f} s in {self.real_seconds:.1f} s"
        lines = [f"seed {self.seed}: {verdict}, {seconds}, digest {self.digest[:16]}"]
        lines += [f"  broken: {failure}" for failure in self.failures]
        if self.ok:
            return lines[0]
        lines += ["  the last events:", *(f"    {line}" for line in self.last)]
        return "\n".join([*lines, f"  again: make sim SEED={self.seed}"])


def simulate(seed: int, plan: Plan | None = None, storm: Weather = STORM) -> Report:
    """Run one fleet through one storm, and judge it."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hw-sim-"))
    trace = Trace()
    loop: VirtualLoop | None = None

    def make_loop() -> VirtualLoop:
        nonlocal loop
        loop = VirtualLoop()
        NumberedTask.begin_anew()
        loop.set_task_factory(own_tasks)
        loop.set_exception_handler(lambda _, context: trace.fail(f"nobody heard: {context}"))
        return loop

    handler = ErrorLog(trace)
    logging.getLogger().addHandler(handler)
    try:
        with no_threads(), asyncio.Runner(loop_factory=make_loop) as runner:
            try:
                runner.run(_run(seed, plan or Plan(), storm, folder, trace))
            except Exception as error:  # A report with a seed is worth more than a bare error.
                trace.fail(f"the simulation itself ended by {error!r}")
                logging.getLogger("tests.sim").debug("the simulation fell over", exc_info=error)
    finally:
        logging.getLogger().removeHandler(handler)
        shutil.rmtree(folder, ignore_errors=True)
    virtual = loop.time() - START_SECONDS if loop is not None else 0.0
    return Report(
        seed,
        trace.digest,
        tuple(trace.failures),
        Counter(trace.counts),
        tuple(trace.last),
        virtual,
        time.monotonic() - began,
    )


async def _run(seed: int, plan: Plan, storm: Weather, folder: Path, trace: Trace) -> None:
    network = Network(luck(seed, "network"), trace)
    world = World(seed, folder, network, Disks(luck(seed, "disks")), trace)
    with contextlib.ExitStack() as held:
        held.enter_context(world.disks.in_use())
        if world.rng("pages").random() < 0.5:
            held.enter_context(small_pages())
        await Fleet(plan, world).run(storm)
