"""Syslog in, over UDP and TCP: what other machines and old programs speak.

The way of the data: datagrams or frames -> messages -> log records -> the sink.
"""

import asyncio
from collections.abc import Sequence

from edge.receive.sink import Sink
from edge.receive.syslog_counters import SyslogCounters
from edge.receive.syslog_keep import Keeper, SyslogLimits
from edge.receive.syslog_tcp import TcpDoor
from edge.receive.syslog_udp import UdpDoor, bind_udp
from shared.address import Address
from shared.errors import SettingsError
from shared.runtime import Runtime
from shared.serve import bind


class Syslog:
    """Receives syslog; keep `run` running, and `stop` it before the sink is closed."""

    def __init__(self, udp: UdpDoor | None, tcp: TcpDoor | None) -> None:
        self._udp = udp
        self._tcp = tcp
        self._ended = asyncio.Event()
        self._running = False

    @classmethod
    def open(
        cls,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        udp: Address | None,
        tcp: Address | None,
        counters: SyslogCounters,
        limits: SyslogLimits | None = None,
    ) -> "Syslog":
        """Bind the addresses, port 0 for any; raises SettingsError when one cannot be had."""
        limits = limits or SyslogLimits()
        keeper = Keeper(runtime, sink, node_id, counters, limits.utc_offset_seconds)
        bound = bind_udp(udp, limits.socket_bytes) if udp else None
        try:
            listener = bind(tcp.host, tcp.port) if tcp else None
        except SettingsError:
            if bound:
                bound.close()
            raise
        return cls(
            UdpDoor(runtime, keeper, bound, counters, limits) if bound else None,
            TcpDoor(keeper, listener, counters, limits) if listener else None,
        )

    @property
    def udp_port(self) -> int | None:
        """The UDP port that was bound; None when there is none."""
        return self._udp.port if self._udp else None

    @property
    def tcp_port(self) -> int | None:
        """The TCP port that was bound; None when there is none."""
        return self._tcp.port if self._tcp else None

    async def run(self) -> None:
        """Receive and keep until `stop`. Cancelled, it gives up what it holds, and counts it."""
        if self._ended.is_set():
            return  # Stopped before it began.
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                for door in self._doors:
                    tasks.create_task(door.run())
        finally:
            self._ended.set()

    async def stop(self, seconds_max: float = 2.0) -> bool:
        """Receive no more and keep what has come; False when that takes longer than it may.

        `run` must then be cancelled. Connections end in order only if all they sent is kept.
        """
        if not self._running:
            self._close()
        if self._ended.is_set():
            return True
        for door in self._doors:
            door.stop()
        try:
            async with asyncio.timeout(seconds_max):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def _close(self) -> None:
        for door in self._doors:
            door.close()
        self._ended.set()

    @property
    def _doors(self) -> Sequence[UdpDoor | TcpDoor]:
        return [door for door in (self._udp, self._tcp) if door]
