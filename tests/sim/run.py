"""Runs one fleet or one mesh through one storm, from a seed to a report."""

import asyncio
import contextlib
import gc
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.sim.bugs import Bug
from tests.sim.disk import Disks
from tests.sim.fleet import Fleet
from tests.sim.loop import START_SECONDS, VirtualLoop, no_threads
from tests.sim.machines import World, luck
from tests.sim.mesh import Mesh
from tests.sim.mesh_plan import draw
from tests.sim.network import STORM, Network, Weather
from tests.sim.pages import small_pages
from tests.sim.prepared import prepared_stores
from tests.sim.process import NumberedTask, own_tasks
from tests.sim.scenario import Plan
from tests.sim.trace import ErrorLog, Trace
from tests.sim.watching import Book


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
    plan: str = "mesh"

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
        which = "" if self.plan == "mesh" else f" PLAN={self.plan}"
        lines += ["  the last events:", *(f"    {line}" for line in self.last)]
        return "\n".join([*lines, f"  again: make sim SEED={self.seed}{which}"])


Story = Callable[[World], Awaitable[None]]
"""What happens in a world, from the beginning to the end; its trace has what was broken."""


def simulate(seed: int, plan: Plan | None = None, storm: Weather = STORM) -> Report:
    """Run one large fleet through one storm, and judge it."""

    async def story(world: World) -> None:
        await Fleet(plan or Plan(), world).run(storm)

    return play(seed, story, "fleet")


def simulate_mesh(seed: int, bug: Bug = contextlib.nullcontext) -> Report:
    """Run one small mesh through one short storm, and judge it; `bug` is in the code meanwhile."""

    async def story(world: World) -> None:
        book = Book(world.trace)
        with bug(), book.in_use(), prepared_stores():
            await Mesh(draw(world.rng("plan")), world, book).run()

    return play(seed, story, "mesh")


def play(seed: int, story: Story, name: str) -> Report:
    """Let a story happen on virtual time, in a folder of its own, and report what came of it."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hw-sim-", dir=_quick_folder()))
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
        with no_threads(), garbage_at_the_end(), asyncio.Runner(loop_factory=make_loop) as runner:
            try:
                runner.run(_happen(seed, story, folder, trace))
            except Exception as error:  # A report with a seed is worth more than a bare error.
                trace.fail(f"the simulation itself ended by {error!r}")
                logging.getLogger("tests.sim").debug("the simulation fell over", exc_info=error)
    finally:
        logging.getLogger().removeHandler(handler)
        shutil.rmtree(folder, ignore_errors=True)
    virtual = loop.real_time - START_SECONDS if loop is not None else 0.0
    return Report(
        seed,
        trace.digest,
        tuple(trace.failures),
        Counter(trace.counts),
        tuple(trace.last),
        virtual,
        time.monotonic() - began,
        name,
    )


@contextlib.contextmanager
def garbage_at_the_end() -> Iterator[None]:
    """Look for garbage once, after the run, and only in what it has made: nothing is lost by that, and
    whoever ends unheard ends before the report."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.enable()
        gc.unfreeze()


def _quick_folder() -> str | None:
    """Memory, where there is some that looks like a disk: what matters here is what is lost in a crash,
    and that is decided by the simulation."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


async def _happen(seed: int, story: Story, folder: Path, trace: Trace) -> None:
    network = Network(luck(seed, "network"), trace)
    world = World(seed, folder, network, Disks(luck(seed, "disks")), trace)
    with contextlib.ExitStack() as held:
        held.enter_context(world.disks.in_use())
        if world.rng("pages").random() < 0.5:
            trace.note("small pages")
            held.enter_context(small_pages())
        await story(world)
