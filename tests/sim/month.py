"""`python -m tests.sim.month SEED`: run one small fleet through one month, from a seed to a report.

The code of hubs and edges is the real one; time is virtual, and the pace at which a quiet fleet looks
for something to do is that of tests.sim.month_pace.
"""

import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.sim import month_laws as laws
from tests.sim.disk import Disks
from tests.sim.loop import START_SECONDS, VirtualLoop, no_threads
from tests.sim.machines import Machine, World, luck
from tests.sim.month_machines import MonthEdge, SlowHub
from tests.sim.month_pace import QUIET_SECONDS, quiet_pace
from tests.sim.month_story import HOUR, MonthPlan, Trouble, troubles_of
from tests.sim.network import Network
from tests.sim.process import NumberedTask, own_tasks
from tests.sim.run import Report
from tests.sim.scenario import at, settled, url_of
from tests.sim.trace import ErrorLog, Trace


class MonthReport(Report):
    """What came of one month."""

    __slots__ = ()

    def to_text(self) -> str:
        """The report for a person; a failed one says how to see it again."""
        usual = super().to_text()
        return usual.replace(f"make sim SEED={self.seed}", f"python -m tests.sim.month {self.seed}")


class Month:
    """Two hubs, some edges, and what befalls them."""

    def __init__(self, plan: MonthPlan, world: World) -> None:
        self.plan, self.world = plan, world
        self.hubs = {name: SlowHub(world, name, self._peers(name)) for name in plan.hubs}
        self.edges = {name: MonthEdge(world, name, plan) for name in plan.edges}
        self.machines: dict[str, Machine] = {**self.hubs, **self.edges}
        self.began = asyncio.get_running_loop().time()

    def _peers(self, name: str) -> list[str]:
        return [url_of(other) for other in self.plan.hubs if other != name]

    async def run(self) -> None:
        """From the first start to the last stop; the world's trace has what was broken."""
        for machine in self.machines.values():
            await machine.start()
        await self._live()
        self.world.trace.note("calm")
        await self._come_to_rest()
        for edge in self.edges.values():
            self._fail_for(laws.broken_at_rest(edge))
        for hub in self.hubs.values():
            for edge in self.edges.values():
                self._fail_for(await laws.broken_by_audit(hub, edge))
        await self._stop()

    def _fail_for(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self.world.trace.fail(sentence)

    # ---- the month

    async def _live(self) -> None:
        watch = asyncio.create_task(self._watch_ledgers())
        async with asyncio.TaskGroup() as tasks:
            for trouble in troubles_of(self.plan, self.world.rng("troubles")):
                tasks.create_task(self._suffer(trouble))
            end = self.began + self.plan.seconds - asyncio.get_running_loop().time()
            await asyncio.sleep(end)
        watch.cancel()

    async def _watch_ledgers(self) -> None:
        """Every hour, outage or not: the books balance, and agree with what is in the files."""
        while True:
            await asyncio.sleep(HOUR)
            for edge in self.edges.values():
                if edge.agent is not None:
                    self.world.trace.counts["looked"] += 1
                    self._fail_for(laws.broken_by_books(edge))

    async def _suffer(self, trouble: Trouble) -> None:
        await at(self.began, trouble.at, lambda: self._begin(trouble))
        if trouble.seconds:
            await asyncio.sleep(trouble.seconds)
            await self._end(trouble)

    async def _begin(self, trouble: Trouble) -> None:
        self.world.trace.note(f"begins: {trouble.kind}", trouble.name, round(trouble.seconds))
        match trouble.kind:
            case "down":
                for hub in self.hubs.values():
                    await hub.crash()
            case "cut":
                self._part(self.world.network.separate)
            case "full":
                self.world.disks.full.add(trouble.name)
            case "jump":
                self.machines[trouble.name].clock.offset_seconds += trouble.jump_seconds
            case "crash":
                await self.machines[trouble.name].crash()
            case "restart":
                await self.machines[trouble.name].stop()

    async def _end(self, trouble: Trouble) -> None:
        self.world.trace.note(f"ends: {trouble.kind}", trouble.name)
        match trouble.kind:
            case "down":
                for hub in self.hubs.values():
                    await hub.start()
            case "cut":
                self._part(self.world.network.rejoin)
            case "full":
                self.world.disks.full.discard(trouble.name)
            case _:
                await self.machines[trouble.name].start()

    def _part(self, change: Callable[[str, str], None]) -> None:
        for hub in self.hubs:
            for edge in self.edges:
                change(hub, edge)

    # ---- the end

    async def _come_to_rest(self) -> None:
        def at_rest() -> bool:
            return all(edge.buffer and not edge.buffer.seqs for edge in self.edges.values())

        if not await settled(at_rest, self.plan.rest_seconds_max):
            self.world.trace.fail("the edges do not come to rest")
        # Until everybody has told the others how it is now.
        await asyncio.sleep(4 * QUIET_SECONDS)

    async def _stop(self) -> None:
        heads = {name: edge.head_seq for name, edge in self.edges.items()}
        for edge in self.edges.values():
            await edge.stop()
        for hub in self.hubs.values():
            await hub.stop()
        for hub in self.hubs.values():
            for name, edge in self.edges.items():
                self._fail_for(laws.broken_on_disk(hub.folder, edge, heads[name]))
        self._sum_up()

    def _sum_up(self) -> None:
        trace = self.world.trace
        for name, edge in self.edges.items():
            told = edge.told
            trace.counts["records"] += told.made.total()
            trace.counts["records refused"] += told.refused.total()
            log = laws.log_on_disk(self.hubs[self.plan.hubs[0]].folder, name)
            account = laws.account_of(log)
            trace.counts["records shed"] += account.declared.total()
            trace.counts["records shed and there"] += account.both.total()
            trace.result(repr((name, [log[seq].hash for seq in sorted(log)])).encode())


def simulate_month(seed: int, plan: MonthPlan | None = None) -> MonthReport:
    """Run one fleet through one month, and judge it."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hw-month-"))
    trace, loops = Trace(), list[VirtualLoop]()

    def make_loop() -> VirtualLoop:
        loops.append(VirtualLoop())
        NumberedTask.begin_anew()
        loops[-1].set_task_factory(own_tasks)
        loops[-1].set_exception_handler(lambda _, context: trace.fail(f"nobody heard: {context}"))
        return loops[-1]

    handler = ErrorLog(trace)
    logging.getLogger().addHandler(handler)
    try:
        with no_threads(), quiet_pace(), asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(_run(seed, plan or MonthPlan(), folder, trace))
    finally:
        logging.getLogger().removeHandler(handler)
        shutil.rmtree(folder, ignore_errors=True)
    return MonthReport(
        seed,
        trace.digest,
        tuple(trace.failures),
        Counter(trace.counts),
        tuple(trace.last),
        loops[0].time() - START_SECONDS,
        time.monotonic() - began,
    )


async def _run(seed: int, plan: MonthPlan, folder: Path, trace: Trace) -> None:
    network = Network(luck(seed, "network"), trace)
    world = World(seed, folder, network, Disks(luck(seed, "disks")), trace)
    with contextlib.ExitStack() as held:
        held.enter_context(world.disks.in_use())
        await Month(plan, world).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
    report = simulate_month(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(report.to_text())
    for kind, count in sorted(report.counts.items()):
        print(f"{count:8} {kind}")
    sys.exit(0 if report.ok else 1)
