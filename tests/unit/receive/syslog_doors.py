"""Syslog receivers for tests: on real sockets, with what they counted, and sinks that can be held."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from edge.receive.syslog import Syslog
from edge.receive.syslog_counters import SyslogCounters
from edge.receive.syslog_keep import SyslogLimits
from shared.address import Address
from shared.records import Checkpoint, Part
from tests.unit.receive.sinks import ListSink, runtime

ANY = Address("127.0.0.1", 0)
LIMITS = SyslogLimits(linger_seconds=0.01)


@dataclass
class GatedSink(ListSink):
    """Commits only while the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        await super().append(part, checkpoint)


@dataclass
class Door:
    """A receiver under test, and what it counted."""

    syslog: Syslog
    registry: CollectorRegistry
    task: "asyncio.Task[None]"

    def count(self, name: str, **labels: str) -> int:
        return int(self.registry.get_sample_value(f"headwater_edge_syslog_{name}", labels) or 0)

    def lost(self, transport: str, reason: str) -> int:
        return self.count("lost_total", transport=transport, reason=reason)

    def ended(self, reason: str) -> int:
        return self.count("connections_ended_total", reason=reason)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.syslog.tcp_port)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def receiving(sink: ListSink, limits: SyslogLimits = LIMITS) -> AsyncIterator[Door]:
    """A receiver that runs while the block does."""
    registry = CollectorRegistry()
    counters = SyslogCounters(registry)
    syslog = Syslog.open(runtime(), sink, "edge-1", ANY, ANY, counters, limits)
    task = asyncio.create_task(syslog.run())
    try:
        await asyncio.sleep(0)  # The doors are open from its first step on.
        await asyncio.sleep(0)
        yield Door(syslog, registry, task)
    finally:
        await syslog.stop(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def datagrams(door: Door) -> Iterator[Callable[[bytes], object]]:
    """Sends datagrams to the receiver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", door.syslog.udp_port))
        yield sender.send


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What the receiver says at the end of a connection: b"" for a good one, else an error."""
    try:
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
