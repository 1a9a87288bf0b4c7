"""Syslog over UDP (RFC 5426): senders cannot wait, so what does not fit is lost, and counted."""

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from pathlib import Path

from edge.receive.syslog_counters import Loss, SyslogCounters
from edge.receive.syslog_keep import Keeper, SyslogLimits
from edge.receive.syslog_part import Received, plain_address
from shared.address import Address
from shared.errors import SettingsError
from shared.runtime import Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 65_535
READS_AT_ONCE_MAX = 128
"""Datagrams taken in one go; then everybody else has a turn."""

PROC_NET = Path("/proc/net")


def bind_udp(address: Address, socket_bytes: int) -> socket.socket:
    """A bound UDP socket; raises SettingsError in words when the address cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_bytes)
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"cannot receive on {address.host} UDP port {address.port}: {error.strerror}; "
            "stop the program that uses it or choose another port"
        ) from error
    bound.setblocking(False)
    return bound


def kernel_drops(inode: int, folder: Path = PROC_NET) -> int | None:
    """How many datagrams the system has dropped for lack of room in the socket with this inode.

    None where the system does not tell. Source: the last column of /proc/net/udp and udp6.
    """
    for name in ("udp", "udp6"):
        with contextlib.suppress(OSError):  # No such table: another system, or no IPv6.
            found = find_drops((folder / name).read_text(encoding="ascii", errors="replace"), inode)
            if found is not None:
                return found
    return None


def find_drops(table: str, inode: int) -> int | None:
    """The drops of the socket with this inode, None when the table does not have it."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 13 and fields[9] == str(inode) and fields[-1].isdecimal():
            return int(fields[-1])
    return None


class UdpDoor:
    """Takes datagrams from a bound socket, each one a message; keep `run` running."""

    def __init__(
        self,
        runtime: Runtime,
        keeper: Keeper,
        bound: socket.socket,
        counters: SyslogCounters,
        limits: SyslogLimits,
    ) -> None:
        self._runtime = runtime
        self._keeper = keeper
        self._socket = bound
        self._counters = counters
        self._limits = limits
        self._queue: deque[Received] = deque()
        self._queue_bytes = 0
        self._arrived = Bell()
        self._filled = Bell()
        self._stopping = False
        self._drops = 0
        self._reported: dict[Loss, int] = {}
        counters.queue_bytes.set_function(lambda: self._queue_bytes)

    @property
    def port(self) -> int:
        """The port that the socket has."""
        return int(self._socket.getsockname()[1])

    def stop(self) -> None:
        """Take what has arrived by now and nothing more; `run` ends once that is kept."""
        if self._stopping:
            return
        self._drain()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._stopping = True
        self._arrived.ring()
        self._filled.ring()

    def close(self) -> None:
        """Give the address back."""
        self._socket.close()

    async def run(self) -> None:
        """Receive and keep until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch_losses())
                await self._keep_all()
                watch.cancel()
        finally:
            loop.remove_reader(self._socket)
            self._drain()  # Nobody will keep these; they are counted at least.
            if self._queue:
                self._counters.count_lost("udp", "stopping", len(self._queue))
            self._count_drops(self._kernel_drops())
            self._report()
            self.close()

    def _drain(self) -> None:
        """Take what has arrived, but do not follow a sender that never pauses."""
        for _ in range(self._limits.queue_messages_max // READS_AT_ONCE_MAX + 1):
            if not self._read():
                return

    def _read(self) -> bool:
        """Take some datagrams; whether there may be more."""
        received_ns = self._keeper.wall_ns()
        for _ in range(READS_AT_ONCE_MAX):
            try:
                raw, sender = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                # Of one datagram; the socket itself lives on.
                log.warning("syslog over UDP: %s", error.strerror or error)
                return False
            if raw.strip(b"\r\n\0"):
                self._offer(Received(raw, plain_address(sender[0]), received_ns))
        return True

    def _offer(self, received: Received) -> None:
        size_bytes = self._queue_bytes + len(received.raw)
        limits = self._limits
        if len(self._queue) >= limits.queue_messages_max or size_bytes > limits.queue_bytes_max:
            self._counters.count_lost("udp", "queue_full", 1)
            return
        self._queue.append(received)
        self._queue_bytes = size_bytes
        self._arrived.ring()
        if self._is_batch():
            self._filled.ring()

    def _is_batch(self) -> bool:
        limits = self._limits
        return (
            len(self._queue) >= limits.batch_messages_max
            or self._queue_bytes >= limits.batch_bytes_max
        )

    async def _keep_all(self) -> None:
        while self._queue or not self._stopping:
            if not self._queue:
                await self._arrived.wait()
                continue
            if not self._is_batch() and not self._stopping:
                await self._filled.wait(self._limits.linger_seconds)
            await self._keeper.keep(self._take(), "udp")

    def _take(self) -> list[Received]:
        batch = [self._queue.popleft()]
        size_bytes = len(batch[0].raw)
        while self._queue and len(batch) < self._limits.batch_messages_max:
            size_bytes += len(self._queue[0].raw)
            if size_bytes > self._limits.batch_bytes_max:
                break
            batch.append(self._queue.popleft())
        self._queue_bytes -= sum(len(received.raw) for received in batch)
        return batch

    async def _watch_losses(self) -> None:
        while True:
            await asyncio.sleep(self._limits.drops_interval_seconds)
            self._count_drops(await self._runtime.offload(self._kernel_drops))
            self._report()

    def _kernel_drops(self) -> int | None:
        return kernel_drops(os.fstat(self._socket.fileno()).st_ino)

    def _count_drops(self, drops: int | None) -> None:
        if drops is not None and drops != self._drops:
            # The system counts in 32 bits.
            self._counters.count_lost("udp", "kernel", (drops - self._drops) % 2**32)
            self._drops = drops

    def _report(self) -> None:
        """Say what was lost since the last time: a line each interval, not each message."""
        lost: dict[Loss, int] = {
            reason: count for (via, reason), count in self._counters.lost.items() if via == "udp"
        }
        if lost != self._reported:
            new = {reason: count - self._reported.get(reason, 0) for reason, count in lost.items()}
            said = ", ".join(f"{count} {reason}" for reason, count in new.items() if count)
            log.warning("syslog over UDP lost messages: %s", said)
            self._reported = lost
