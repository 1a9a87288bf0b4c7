"""The machines of a month: hubs and edges with a slow pulse, and a source that knows what it was told."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from edge.capacity import BufferLimits
from edge.quota import Policy
from shared.errors import BufferFull
from shared.records import Checkpoint, Signal
from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.month_pace import QUIET_SECONDS
from tests.sim.month_story import MonthPlan
from tests.sim.process import Process
from tests.sim.telemetry import part_of_signal

SIGNALS = (Signal.LOGS, Signal.METRICS, Signal.TRACES)
CHECKPOINT = "month"


class SlowHub(HubMachine):
    """A hub that asks edges to beat once an hour."""

    def __init__(self, world: World, name: str, peers: list[str]) -> None:
        super().__init__(world, name, peers)
        self.config = replace(
            self.config,
            heartbeat_seconds_min=QUIET_SECONDS,
            heartbeat_seconds_max=QUIET_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Body:
    """What a source hands over at a time: so many records of one signal, each with its name."""

    number: int
    signal: Signal
    names: tuple[str, ...]


@dataclass(slots=True)
class Told:
    """What the source of one edge made, and what it was told of it."""

    bodies: int = 0
    made: Counter[Signal] = field(default_factory=Counter)
    refused: Counter[Signal] = field(default_factory=Counter)
    kept: dict[int, Body] = field(default_factory=dict)
    """By the number of its chunk."""
    doubt: Body | None = None
    """Handed over, and no answer came before the edge fell over."""


class MonthEdge(EdgeMachine):
    """An edge with a small buffer, and a source that goes on where it was, as a file tail does."""

    def __init__(self, world: World, name: str, plan: MonthPlan) -> None:
        super().__init__(world, name, [f"http://{hub}:8470" for hub in plan.hubs], 0)
        self.plan = plan
        self.pushes = True  # Hubs that look every few seconds would make a month long.
        policy = Policy.SHED if name in plan.shedding else Policy.REJECT
        self.limits = BufferLimits(
            plan.buffer_bytes_max,
            policy,
            disk_reserve_bytes=0,
            segment_bytes_max=plan.segment_bytes_max,
        )
        self.told = Told()
        self.began = asyncio.get_running_loop().time()

    @property
    def head_seq(self) -> int:
        """The last number of the log."""
        assert self.buffer is not None
        return self.buffer.totals.head_seq

    async def start(self) -> None:
        """Take up where the last life ended, the source included."""
        await super().start()
        assert self.process is not None
        source = self.process.serve(self._produce(self.process))
        source.add_done_callback(self._fail_for)

    def _fail_for(self, source: "asyncio.Task[None]") -> None:
        error = None if source.cancelled() else source.exception()
        if error is not None and self.process is not None and self.process.alive:
            self.world.trace.fail(f"{self.name}: the source ended: {error!r}")

    async def _produce(self, process: Process) -> None:
        loop, pause = asyncio.get_running_loop(), self.plan.body_seconds
        await self._resolve_doubt(process)
        while (passed := loop.time() - self.began) < self.plan.seconds:
            await asyncio.sleep((passed // pause + 1) * pause - passed)
            await self._hand_over(process, self._next_body())

    async def _resolve_doubt(self, process: Process) -> None:
        """Ask the buffer whether it kept what it was given last; hand it over again if not."""
        assert self.buffer is not None
        body = self.told.doubt
        if body is None:
            return
        if await self.buffer.checkpoint(CHECKPOINT) == str(body.number).encode():
            self.world.trace.note("was kept", process.name, body.number)
            self._note_kept(body)
        else:
            self.world.trace.note("handed over again", process.name, body.number)
            await self._hand_over(process, body)

    def _next_body(self) -> Body:
        told = self.told
        told.bodies += 1
        signal = SIGNALS[told.bodies % len(SIGNALS)]
        count = self.rng.randint(1, self.plan.records_max)
        names = (f"{self.name}/{told.bodies}/{index}" for index in range(count))
        told.made[signal] += count
        return Body(told.bodies, signal, tuple(names))

    async def _hand_over(self, process: Process, body: Body) -> None:
        assert self.buffer is not None
        self.told.doubt = body
        part = part_of_signal(body.signal, body.names, self.clock.ns())
        try:
            await self.buffer.append(part, Checkpoint(CHECKPOINT, str(body.number).encode()))
        except BufferFull as error:
            if process.alive:  # One that is dying tells nobody.
                self._note_refused(process, body, str(error))
            return
        self._note_kept(body)

    def _note_kept(self, body: Body) -> None:
        """Nothing else is written to the log between a commit and its answer."""
        self.told.doubt = None
        self.told.kept[self.head_seq] = body
        self.world.trace.note("kept", self.name, body.number, len(body.names))

    def _note_refused(self, process: Process, body: Body, reason: str) -> None:
        self.told.doubt = None
        self.told.refused[body.signal] += len(body.names)
        kind = "refused: disk full" if "disk is full" in reason else "refused: no room"
        self.world.trace.note(kind, process.name, body.number, reason)
