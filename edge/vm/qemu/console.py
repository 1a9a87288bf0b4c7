"""The serial line of one machine: read by us alone, kept in a capped log, shown to many.

A slow viewer loses its oldest bytes and is told so in the text; it never holds up the guest.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from edge.vm.console_log import ConsoleLog
from edge.vm.qemu.argv import SERIAL_SOCKET
from edge.vm.qemu.gap import (
    empty_gap,
    fill_gap,
    gap_size,
    is_flooded,
    log_size,
    overlap,
    read_gap,
    settle,
)
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
VIEWER_BYTES_MAX = 256 * 1024
UNSENT_BYTES_MAX = 64 * 1024
CONNECT_SECONDS_MAX = 3.0
GATHER_SECONDS = 0.005
"""Between two reads: a guest that floods sends single bytes, and each would cost a write."""

SILENT_SECONDS = 0.1
"""After which nothing that was said can still be on its way to us."""

HEARD_SECONDS = 0.05
"""How long a line that has more to say may be silent."""


class Viewer:
    """One who looks at a console, and may type; see edge.vm.driver.Console."""

    def __init__(self, line: "SerialLine") -> None:
        self._line = line
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._lost = 0
        self._news = asyncio.Event()
        self._is_over = False

    async def read(self) -> bytes:
        """The next output, at least a byte; empty at the end."""
        while not self._pieces and not self._is_over:
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._pieces)
        note = f"\r\n[{self._lost} bytes were left out]\r\n".encode() if self._lost else b""
        self._pieces.clear()
        self._held = self._lost = 0
        return note + data

    async def write(self, data: bytes) -> None:
        """Type; waits while the guest does not take it in. Raises RpcError driver_error."""
        await self._line.write(data)

    async def resize(self, columns: int, rows: int) -> None:
        """A serial line has no size that a guest could ask for."""

    async def close(self) -> None:
        """Let go of it; what was not read is not read any more."""
        self._pieces.clear()
        self.end()
        self._line.forget(self)

    def show(self, data: bytes) -> None:
        """Hold output until it is read; drops the oldest beyond the bound."""
        self._pieces.append(data)
        self._held += len(data)
        while self._held > VIEWER_BYTES_MAX and len(self._pieces) > 1:
            lost = len(self._pieces.popleft())
            self._held, self._lost = self._held - lost, self._lost + lost
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._is_over = True
        self._news.set()


class SerialLine:
    """The agent's end of the line; `open` fills the gap first, `listen` runs until the guest's end
    hangs up."""

    def __init__(self, folder: Path, runtime: Runtime, bytes_max: int) -> None:
        self._folder = folder
        self._runtime = runtime
        self._bytes_max = bytes_max
        self._viewers: set[Viewer] = set()
        self._typing = asyncio.Lock()
        self._heard = b""
        self._is_log_broken = False
        self._writer: asyncio.StreamWriter | None = None
        self._log: ConsoleLog | None = None
        self.size = 0

    async def open(self, is_accepted: Callable[[], Awaitable[bool]]) -> None:
        """Connect, and log what was said before. Raises RpcError driver_error."""
        before = gap_size(self._folder)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                self._reader, self._writer = await _dial(self._folder)
                while not await is_accepted():  # noqa: ASYNC110 -- QEMU has no event for it.
                    await asyncio.sleep(0.005)
            self._log = ConsoleLog(self._folder, self._bytes_max)
            await self._fill(before)
        except (OSError, TimeoutError) as error:
            why = str(error) or "no answer"
            raise RpcError("driver_error", f"the console does not answer: {why}") from error

    async def listen(self) -> None:
        """Log and show all that the guest says; returns when its end hung up."""
        data, self._heard = self._heard, b""
        is_settled = False
        while True:
            if data:
                await self._keep(data)
                await asyncio.sleep(GATHER_SECONDS)
            try:
                async with asyncio.timeout(None if is_settled else SILENT_SECONDS):
                    data = await self._reader.read(READ_BYTES)
            except ConnectionError:
                return
            except TimeoutError:
                data, is_settled = b"", True
                await self._write_down(partial(settle, self._folder))
                continue
            if not data:
                return
            is_settled = False

    async def write(self, data: bytes) -> None:
        """Type all of it; waits while the guest takes nothing in. Raises RpcError driver_error."""
        async with self._typing:
            if self._writer is None or self._writer.is_closing():
                raise RpcError("driver_error", "the console hung up")
            try:
                self._writer.write(data)
                await self._writer.drain()
            except OSError as error:
                raise RpcError("driver_error", f"the console hung up: {error}") from error

    def send(self, data: bytes) -> int:
        """Queue it whole for the guest, or not at all while it does not take in what waits."""
        if self._writer is None or self._writer.is_closing():
            return 0
        waiting: int = self._writer.transport.get_write_buffer_size()
        if waiting + len(data) > UNSENT_BYTES_MAX:
            return 0
        self._writer.write(data)
        return len(data)

    def view(self) -> Viewer:
        """A new viewer; its output begins now."""
        viewer = Viewer(self)
        self._viewers.add(viewer)
        return viewer

    def forget(self, viewer: Viewer) -> None:
        """Show it no more."""
        self._viewers.discard(viewer)

    async def close(self) -> None:
        """Hang up and end all viewers; the guest goes on. Repeatable."""
        for viewer in self._viewers:
            viewer.end()
        self._viewers.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()  # What the guest did not take in must not hold us up.
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        held, self._log = self._log, None
        if held is not None:
            held.close()

    async def _fill(self, before: int) -> None:
        """Bytes between the two looks at QEMU's file may have come through the socket as well."""
        after = gap_size(self._folder)
        if after > before:
            self._heard = await self._hear(after - before)
        window = read_gap(self._folder, before, after)
        end = after - overlap(window, self._heard)
        held = self._log
        assert held is not None
        await to_its_end(
            self._runtime.offload(lambda: fill_gap(self._folder, held, self._bytes_max, end))
        )
        self.size = log_size(self._folder)

    async def _hear(self, wanted: int) -> bytes:
        heard = b""
        with contextlib.suppress(TimeoutError):
            while len(heard) < wanted:
                async with asyncio.timeout(HEARD_SECONDS):
                    data = await self._reader.read(READ_BYTES)
                if not data:
                    break
                heard += data
        return heard

    async def _keep(self, data: bytes) -> None:
        for viewer in self._viewers:
            viewer.show(data)
        self.size += len(data)
        await self._write_down(lambda: self._append(data))

    async def _write_down(self, work: Callable[[], None]) -> None:
        try:  # To its end, since `close` takes the file away from under it.
            await to_its_end(self._runtime.offload(work))
        except OSError as error:  # A full disk is no reason to stop a guest from talking.
            if not self._is_log_broken:
                log.warning("the console log in %s misses output: %s", self._folder, error)
            self._is_log_broken = True
        else:
            self._is_log_broken = False

    def _append(self, data: bytes) -> None:
        assert self._log is not None
        self._log.append(data)
        if is_flooded(self._folder):
            empty_gap(self._folder)


def absorb(folder: Path, bytes_max: int) -> None:
    """Log what a machine said that is over and that nobody heard. Blocking; raises OSError."""
    if gap_size(folder) == 0:
        return
    log = ConsoleLog(folder, bytes_max)
    try:
        fill_gap(folder, log, bytes_max)
        empty_gap(folder)
    finally:
        log.close()


async def _dial(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder_fd}/{SERIAL_SOCKET}")
    finally:
        os.close(folder_fd)
