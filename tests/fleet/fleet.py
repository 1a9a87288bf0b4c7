"""A fleet in one process: real hubs and edges, their lives and deaths, and what they must agree on."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from starlette.applications import Starlette

from edge.agent import Agent, Host
from edge.buffer import Buffer, BufferLimits
from edge.identity import Identity
from hub.hub import Hub, HubConfig
from shared.codec import decompress
from shared.errors import BufferFull
from shared.otlp_make import Event, event_part
from shared.otlp_rows import log_rows
from shared.records import GENESIS_HASH, MIB, Chunk, Encoding, read_header
from shared.runtime import Runtime
from tests.fleet.network import Network

CLUSTER_KEY = "the key of a cluster that exists only in memory"
EPOCH_NS = 1_750_000_000_000_000_000


@dataclass(slots=True)
class World:
    """What all processes of a simulation share: the network, and chance by name."""

    seed: int
    folder: Path
    network: Network

    def runtime(self, name: str, life: int = 0, skew_seconds: float = 0.0) -> Runtime:
        """The world as one process sees it, with its own luck and its own wrong clock."""
        skew_ns = int(skew_seconds * 1e9)

        def wall_ns() -> int:
            return EPOCH_NS + int(asyncio.get_running_loop().time() * 1e9) + skew_ns

        rng = Random(f"{self.seed} {name} {life}")
        return Runtime(wall_ns, rng, self.network.client, self.network.dial, threads=False)


@dataclass(slots=True)
class SimHub:
    """A hub that can be killed and started again in the same folder."""

    world: World
    name: str
    peers: list[str]
    skew_seconds: float = 0.0
    lives: int = 0
    hub: Hub | None = None
    _loops: "asyncio.Task[None] | None" = None

    @property
    def url(self) -> str:
        return f"http://{self.name}"

    @property
    def folder(self) -> Path:
        return self.world.folder / self.name

    async def start(self) -> None:
        """Open the hub on what is on its disk, and join the network."""
        self.folder.mkdir(exist_ok=True)
        runtime = self.world.runtime(self.name, self.lives, self.skew_seconds)
        self.lives += 1
        config = HubConfig(
            self.name, self.folder, self.url, self.peers, CLUSTER_KEY, "token", synchronous="OFF"
        )
        self.hub = await Hub.open(config, runtime)
        self._loops = asyncio.create_task(self.hub.run())
        self.world.network.attach(self.url, Starlette(routes=self.hub.routes()))

    async def kill(self) -> None:
        """Die in the middle of whatever happens: nothing more is written."""
        assert self.hub is not None
        assert self._loops is not None
        self.world.network.happened["hub_killed"] += 1
        self.hub.abandon()
        await self.world.network.detach(self.url)
        await _cancel(self._loops)
        self.hub = None

    def lose_disk(self) -> None:
        """Everything this hub had written is gone."""
        self.world.network.happened["disk_lost"] += 1
        shutil.rmtree(self.folder)

    async def stop(self) -> None:
        """End cleanly."""
        assert self.hub is not None
        assert self._loops is not None
        self.hub.stop()
        await self.world.network.detach(self.url)
        await _cancel(self._loops)
        await self.hub.close()
        self.hub = None

    def chunks(self) -> dict[tuple[str, str, int], Chunk]:
        """What is on this hub's disk, read past its code."""
        with closing(sqlite3.connect(self.folder / "hub.db")) as connection:
            rows = connection.execute("SELECT header, body FROM chunk").fetchall()
        held = (Chunk(read_header(header), header, body) for header, body in rows)
        return {(c.header.origin, c.header.epoch, c.header.seq): c for c in held}


@dataclass(slots=True)
class SimEdge:
    """An edge that writes numbered records, remembers which were acknowledged, and may be killed."""

    world: World
    name: str
    masters: list[str]
    skew_seconds: float = 0.0
    lives: int = 0
    written: int = 0
    acked: set[int] = field(default_factory=set)
    effects: dict[str, int] = field(default_factory=dict)
    agent: Agent | None = None
    _loops: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        """Open the edge on what is on its disk."""
        folder = self.world.folder / self.name
        folder.mkdir(exist_ok=True)
        runtime = self.world.runtime(self.name, self.lives, self.skew_seconds)
        self.lives += 1
        buffer = await Buffer.open(folder, self.name, runtime, BufferLimits(), "OFF")
        identity = Identity(self.name, f"key of {self.name}", self.lives)
        host = Host(lambda: {"hostname": self.name}, dict)
        self.agent = Agent(identity, buffer, runtime, self.masters, CLUSTER_KEY, host)
        self.agent.methods["vm.start"] = self._order
        self._loops = asyncio.create_task(self.agent.run())

    async def _order(self, params: dict[str, Any]) -> dict[str, Any]:
        """An effect that is remembered by its request_id, as the VM ledger does."""
        request_id = params["request_id"]
        if request_id not in self.effects:
            self.effects[request_id] = len(self.effects) + 1
        await asyncio.sleep(0.01)
        return {"op_id": str(self.effects[request_id])}

    async def write(self, records: int) -> None:
        """Append one part; its records count as acknowledged once append returns."""
        assert self.agent is not None
        numbers = range(self.written, self.written + records)
        self.written += records
        now_ns = self.agent.runtime.wall_ns()
        events = [Event(now_ns, "made", "info", str(number)) for number in numbers]
        try:
            await self.agent.buffer.append(event_part({}, "sim", events))
        except BufferFull:
            return
        self.acked.update(numbers)

    async def kill(self) -> None:
        """Die in the middle of whatever happens."""
        assert self.agent is not None
        assert self._loops is not None
        self.world.network.happened["edge_killed"] += 1
        self.agent.buffer.abandon()
        await _cancel(self._loops)
        self.agent = None

    async def stop(self) -> None:
        """End cleanly."""
        assert self.agent is not None
        assert self._loops is not None
        await _cancel(self._loops)
        self.agent.buffer.close()


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def records_in(chunks: Iterator[Chunk]) -> Iterator[int]:
    """The numbers of the records in these chunks."""
    for chunk in chunks:
        body = decompress(chunk.body, 64 * MIB)
        for row in log_rows(Encoding(chunk.header.encoding), body):
            yield int(row.body)


def check_chain(chunks: list[Chunk]) -> None:
    """The chunks of one log, in order, are contiguous from 1 and each names the hash before it."""
    previous = GENESIS_HASH
    for number, chunk in enumerate(chunks, 1):
        assert chunk.header.seq == number, f"{chunk.header.origin} lacks chunk {number}"
        assert chunk.header.previous_hash == previous, f"the chain breaks at {number}"
        previous = chunk.hash
