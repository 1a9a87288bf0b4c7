"""The machines of a simulated fleet: real hubs and real edges, in processes that can be killed."""

import asyncio
import contextlib
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.capacity import BufferLimits
from edge.identity import FILE_NAME, Identity, outrank, take_up
from hub.app import asgi_app
from hub.config import HubConfig
from hub.disk_guard import Room
from hub.hub import Hub
from shared.errors import BufferFull
from shared.serve import SHUTDOWN_SECONDS_MAX
from tests.sim.disk import Disks
from tests.sim.loop import Pace
from tests.sim.network import Client, Network
from tests.sim.process import Process, SimRuntime, WallClock
from tests.sim.scenario import alias_of, url_of
from tests.sim.telemetry import part_of
from tests.sim.torn import keep_logs, tear_logs
from tests.sim.trace import Trace

CLUSTER_KEY = "the cluster key of this simulation"
ADMIN_TOKEN = "the admin token of this simulation"
WRITE_LOOK_SECONDS, WRITE_LOOKS_MAX = 0.002, 750


def luck(seed: int, name: str) -> Random:
    """Luck of its own for everything that has a name, so that none depends on another's."""
    return Random(f"{seed}/{name}")


@dataclass(frozen=True)
class World:
    """What all machines of a fleet share."""

    seed: int
    folder: Path
    network: Network
    disks: Disks
    trace: Trace

    def rng(self, name: str) -> Random:
        """The luck of this name."""
        return luck(self.seed, name)

    def runtime(self, process: Process, clock: WallClock) -> SimRuntime:
        """The world as one process sees it."""
        return SimRuntime(
            wall_ns=clock.ns,
            rng=process.rng,
            http=lambda: Client(self.network, process),
            dial=lambda url, headers: self.network.dial(process, url, headers),
            threads=False,
        )


class Machine:
    """Something that starts, stops, falls over and starts again, with the same folder."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.rng = world.rng(name)
        self.clock = WallClock(self.rng.choice((0.0, self.rng.uniform(-20, 20), 3600.0)))
        self.pace_rate = 1.0
        """How fast the monotonic clock of its processes is."""
        self.folder = world.folder / name
        self.folder.mkdir()
        self.lives = 0
        self.process: Process | None = None
        self._main: asyncio.Task[None] | None = None

    def _be_born(self) -> Process:
        self.lives += 1
        name = f"{self.name}#{self.lives}"
        self.world.trace.note("start", name)
        pace = Pace(self.pace_rate)
        self.process = Process(name, self.world.rng(name), self.world.trace, pace)
        return self.process

    def _watch(self, process: Process, main: "asyncio.Task[None]") -> None:
        def ended(task: "asyncio.Task[None]") -> None:
            if process.alive:
                error = "was cancelled" if task.cancelled() else repr(task.exception())
                self.world.trace.fail(f"{process.name} ended by itself: {error}")

        self._main = main
        main.add_done_callback(ended)

    async def start(self) -> None:
        """Begin a life with what the folder holds."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End a life as SIGTERM does."""
        raise NotImplementedError

    async def crash(self) -> None:
        """Fall over, as by SIGKILL: what is committed is on disk, all else is gone."""
        process = self.process
        assert process is not None
        self.world.trace.note("crash", process.name)
        self._die(process)
        await process.kill()
        self.process = None

    def _die(self, process: Process) -> None:
        process.alive = False
        self.world.network.unplug(process)
        self._abandon()

    async def lose_power(self) -> None:
        """Fall over in the middle of a write: what is committed is on disk, and behind it lies a part of
        what was being written."""
        unsaid = await self._next_write()
        process = self.process
        assert process is not None
        self.world.trace.note("power cut", process.name, unsaid, "writes lost")
        self.world.trace.counts["writes lost"] += unsaid
        kept = keep_logs(self.folder)
        self._die(process)
        torn = tear_logs(kept, self.rng)
        self.world.trace.counts["torn writes"] += torn
        await process.kill()
        self.process = None

    async def _next_write(self) -> int:
        """Wait until something is being written, but not for long; how many writes that is."""
        for _ in range(WRITE_LOOKS_MAX):
            if unsaid := self.world.disks.unsaid(self.folder):
                return unsaid
            await asyncio.sleep(WRITE_LOOK_SECONDS)
        return 0

    def lose_disk(self) -> None:
        """Come back with nothing; only while it is down."""
        self.world.trace.note("disk lost", self.name)
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    async def _end_main(self, process: Process) -> None:
        process.alive = False
        assert self._main is not None
        self._main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    def _abandon(self) -> None:
        raise NotImplementedError


class HubMachine(Machine):
    """A machine with a hub."""

    def __init__(self, world: World, name: str, peers: list[str], **settings: Any) -> None:
        super().__init__(world, name)
        self.config = HubConfig(
            name,
            self.folder,
            url_of(name),
            peers,
            CLUSTER_KEY,
            ADMIN_TOKEN,
            synchronous="OFF",
            room=lambda folder: Room(10**12, 10**12),
            **settings,
        )
        self.hub: Hub | None = None

    async def start(self) -> None:
        """Open the store and listen."""
        process = self._be_born()
        runtime = self.world.runtime(process, self.clock)
        self.hub = hub = await process.run(Hub.open(self.config, runtime))
        self._watch(process, process.spawn(hub.run()))
        app = asgi_app(hub)
        self.world.network.listen(self.config.url, process, app)
        self.world.network.listen(alias_of(self.name), process, app)

    def _abandon(self) -> None:
        if self.hub is not None:
            self.hub.abandon()
        self.hub = None

    async def stop(self) -> None:
        """Stop as SIGTERM does; no task may be left over."""
        process, hub = self.process, self.hub
        assert process is not None
        assert hub is not None
        self.world.trace.note("stop", process.name)
        hub.stop()
        self.world.network.unplug(process)
        await process.finish_serving(SHUTDOWN_SECONDS_MAX)
        await self._end_main(process)
        await process.run(hub.close())
        await process.ended("a stopped hub")
        self.process = self.hub = None


@dataclass(slots=True)
class Output:
    """What an edge produced, as an outsider sees it: told "stored", or never told."""

    made: int = 0
    acked: list[str] = field(default_factory=list)
    in_doubt: set[str] = field(default_factory=set)
    refused: int = 0


class EdgeMachine(Machine):
    """A machine with an edge, with programs that log, and with something that can be ordered."""

    def __init__(self, world: World, name: str, masters: list[str], bytes_max: int) -> None:
        super().__init__(world, name)
        self.masters = masters
        # How full the real disk is must not matter here.
        self.limits = BufferLimits(bytes_max=bytes_max, disk_reserve_bytes=0)
        self.output = Output()
        self.orders: dict[str, int] = {}
        self.effects: Counter[str] = Counter()
        # Some edges may not push; hubs fetch from them.
        self.pushes = world.rng(f"{name} pushes").random() < 0.7
        self.agent: Agent | None = None
        self.buffer: Buffer | None = None
        # The first incarnation would draw its key from the machine's own randomness.
        identity = Identity(name, self.rng.randbytes(16).hex(), 0)
        (self.folder / FILE_NAME).write_bytes(msgspec.json.encode(identity))

    async def start(self) -> None:
        """Take up where the last life ended."""
        process = self._be_born()
        runtime = self.world.runtime(process, self.clock)
        identity = take_up(self.folder, self.name)
        opening = Buffer.open(self.folder, self.name, runtime, self.limits, "OFF")
        self.buffer = buffer = await process.run(opening)
        host = Host(lambda: {"hostname": self.name}, self._load)
        self.agent = Agent(
            identity, buffer, runtime, self.masters, CLUSTER_KEY, host, push=self.pushes
        )
        self.agent.count_up = partial(outrank, self.folder)
        self.agent.methods["vm.start"] = self._obey
        self._watch(process, process.spawn(self.agent.run()))

    def _load(self) -> dict[str, Any]:
        return {"load1": round(self.rng.random(), 3)}

    async def _obey(self, params: dict[str, Any]) -> dict[str, Any]:
        """A mutating call as VMs have them: its request_id is remembered, its effect happens once."""
        request_id = params["request_id"]
        self.world.trace.note("order", self.name, request_id, params["via_hub"])
        if request_id not in self.orders:
            self.orders[request_id] = len(self.orders) + 1
            self.effects[request_id] += 1
        await asyncio.sleep(self.rng.uniform(0, 0.2))
        return {"op_id": self.orders[request_id], "request_id": request_id}

    def log_until(self, end: float, pause_seconds: float) -> None:
        """Start a program that logs until the loop's time is `end`."""
        assert self.process is not None
        self.process.serve(self._log(self.process, end, pause_seconds))

    async def _log(self, process: Process, end: float, pause_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            await asyncio.sleep(self.rng.expovariate(1 / pause_seconds))
            together = self.rng.choice((1, 1, 1, 2, 5))
            await asyncio.gather(*(self._log_once(process) for _ in range(together)))

    async def _log_once(self, process: Process) -> None:
        assert self.buffer is not None
        count = self.rng.choice((1, 1, 2, 5, 20))
        names = [f"{self.name}/{self.output.made + index}" for index in range(1, count + 1)]
        self.output.made += count
        self.output.in_doubt.update(names)
        part = part_of(names, self.clock.ns(), as_json=self.rng.random() < 0.2)
        try:
            await self.buffer.append(part)
        except BufferFull:
            self.output.refused += count
            self.world.trace.note("buffer full", process.name)
            self.output.in_doubt.difference_update(names)
            return
        self.output.in_doubt.difference_update(names)
        self.output.acked.extend(names)
        self.world.trace.note("kept", process.name, names[0], count)

    def _abandon(self) -> None:
        if self.buffer is not None:
            self.buffer.abandon()
        self.agent = self.buffer = None

    async def stop(self) -> None:
        """Stop as SIGTERM does; no task may be left over."""
        process, buffer = self.process, self.buffer
        assert process is not None
        assert buffer is not None
        self.world.trace.note("stop", process.name)
        await process.finish_serving(0)
        await self._end_main(process)
        buffer.close()
        self.world.network.unplug(process)
        await process.ended("a stopped edge")
        self.process = self.agent = self.buffer = None
