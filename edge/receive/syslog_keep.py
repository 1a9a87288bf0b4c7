"""Keeping batches of syslog messages, and the limits of the receiver."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from edge.receive.host_sample import host_facts
from edge.receive.sink import Sink
from edge.receive.syslog_counters import SyslogCounters, Transport
from edge.receive.syslog_frames import FRAME_BYTES_MAX
from edge.receive.syslog_part import Made, Origin, Received, syslog_part
from shared.errors import Unavailable
from shared.records import KIB, MIB
from shared.runtime import Runtime

log = logging.getLogger(__name__)

WAIT_SECONDS_MIN = 0.1
"""Between two attempts to keep a batch in a buffer that is full."""


@dataclass(frozen=True, slots=True)
class SyslogLimits:
    """The bounds of the receiver."""

    # The local time of time stamps that do not say theirs.
    utc_offset_seconds: int = 0
    batch_messages_max: int = 500  # Together well below a chunk of 1 MiB.
    batch_bytes_max: int = 512 * KIB
    linger_seconds: float = 0.05  # One commit for a burst; nobody notices the delay.
    queue_messages_max: int = 20_000  # Seconds of a loud network while a disk is slow.
    queue_bytes_max: int = 16 * MIB
    socket_bytes: int = 4 * MIB  # Asked of the system, which may give less.
    drops_interval_seconds: float = 10.0
    frame_bytes_max: int = FRAME_BYTES_MAX
    connections_max: int = 256  # Each holds at most a frame and a read, together 32 MiB.
    # Senders that keep a quiet connection do not notice its end and lose what they say next, so
    # only connections that are surely forgotten are ended.
    idle_seconds_max: float = 3600.0


class Keeper:
    """Makes parts of messages and keeps them, however long that takes."""

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        counters: SyslogCounters,
        utc_offset_seconds: int,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._counters = counters
        self._node_id = node_id
        self._host_name = host_facts()["host.name"]
        self._utc_offset_seconds = utc_offset_seconds

    def wall_ns(self) -> int:
        """The time that messages received now are dated by."""
        return self._runtime.wall_ns()

    async def keep(self, batch: Sequence[Received], transport: Transport) -> None:
        """Return after the commit. Messages that are cancelled before it count as lost."""
        try:
            await self._commit(batch, transport)
        except asyncio.CancelledError:
            # The commit may still happen; a loss that did not happen is the better error to make.
            self._counters.count_lost(transport, "stopping", len(batch))
            raise

    async def _commit(self, batch: Sequence[Received], transport: Transport) -> None:
        origin = Origin(self._node_id, self._host_name, self._utc_offset_seconds, transport)
        made: Made = await self._runtime.offload(lambda: syslog_part(batch, origin))
        waits = 0
        while True:
            try:
                await self._sink.append(made.part)
                break
            except Unavailable as error:
                if not waits:
                    log.warning("syslog over %s waits: %s", transport, error)
                waits += 1
                await asyncio.sleep(max(WAIT_SECONDS_MIN, error.retry_after_seconds))
        size_bytes = sum(len(received.raw) for received in batch)
        self._counters.count_stored(transport, made.forms, size_bytes)
