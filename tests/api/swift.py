"""Hubs of this process on virtual time: tests of minutes of their lives wait for nothing.

A test module asks for it with `LOOP = SwiftLoop`. Its hubs must use `runtime_here()`: no threads, and
wall clocks that go on with virtual time. Sockets work as ever: as long as a connection is open, time
is real, and only what waits with none open goes by at once.
"""

import asyncio
import os
import selectors
import socket
import time
from dataclasses import replace

from shared.runtime import Runtime, system_runtime
from tests.sim.loop import START_SECONDS, VirtualLoop, VirtualSelector

LOOK_SECONDS = 0.05
"""A connection of which nothing comes is looked at so often in real time."""


class SwiftSelector(VirtualSelector):
    """Waits for connections in real time, and for nothing else at all."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: set[int] = set()

    def register(  # type: ignore[override]  # The stubs name the arguments by type variables.
        self, fileobj: int, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Also note whether it is a connection."""
        key = super().register(fileobj, events, data)
        if _is_connection(key.fd):
            self._connections.add(key.fd)
        return key

    def unregister(self, fileobj: int) -> selectors.SelectorKey:  # type: ignore[override]  # As above.
        """Also forget that it was a connection."""
        key = super().unregister(fileobj)
        self._connections.discard(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; without anything, the time has passed. Raises Deadlock or Livelock."""
        if len(self.get_map()) > 1:  # More than what the loop wakes itself by.
            patience = LOOK_SECONDS if timeout is None else min(max(timeout, 0.0), LOOK_SECONDS)
            began = time.monotonic()
            ready = selectors.SelectSelector.select(self, patience if self._connections else 0)
            self.now += time.monotonic() - began
            if ready or (self._connections and timeout != 0):
                return ready
        return super().select(timeout)


def _is_connection(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as found:
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return found.family in (socket.AF_INET, socket.AF_INET6) and not is_listening


class SwiftLoop(VirtualLoop):
    """An event loop on virtual time that carries real connections, too."""

    def __init__(self) -> None:
        self._virtual = SwiftSelector()
        self._began_ns = time.time_ns()
        asyncio.SelectorEventLoop.__init__(self, self._virtual)

    def _run_once(self) -> None:
        """A turn of asyncio's own loop, which looks at the sockets, too."""
        asyncio.SelectorEventLoop._run_once(self)  # type: ignore[attr-defined]

    def wall_ns(self) -> int:
        """The wall clock of all that runs here."""
        return self._began_ns + int((self.real_time - START_SECONDS) * 1e9)


def runtime_here() -> Runtime:
    """The world of a hub in this process: virtual if the loop that runs is."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SwiftLoop):
        return system_runtime()
    return replace(system_runtime(), wall_ns=loop.wall_ns, threads=False)
