"""Lines between hubs that a benchmark can cut and count on: a little TCP proxy for each direction.

A cut is as a network makes it: nobody says no, and what was sent just does not come. What is on its
way then comes after the healing, unless whoever waits for it has given up.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE_BYTES = 65_536
START_SECONDS_MAX = 10.0


@dataclass(slots=True)
class Wire:
    """From one hub to another: connections that the first opens, with the answers to them."""

    start: str
    end: str
    end_port: int
    port: int = 0
    bytes_by_path: Counter[str] = field(default_factory=Counter)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        with contextlib.suppress(OSError):
            await self.open.wait()
            upstream = await asyncio.open_connection("127.0.0.1", self.end_port)
            path = [""]
            there = asyncio.create_task(self._carry(reader, upstream[1], path, is_asking=True))
            back = asyncio.create_task(self._carry(upstream[0], writer, path, is_asking=False))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            upstream[1].close()
        writer.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: list[str],
        *,
        is_asking: bool,
    ) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self.open.wait()
            if is_asking and piece.startswith((b"POST ", b"GET ")):
                path[0] = piece.split(b" ", 2)[1].decode("ascii", "replace")
            self.bytes_by_path[path[0]] += len(piece)
            writer.write(piece)
            await writer.drain()


class Wires:
    """All wires of a mesh, carried by a thread of their own."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.all = [
            Wire(start, end, port) for end, port in ports.items() for start in ports if start != end
        ]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for wire in self.all:
                server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
                await stack.enter_async_context(server)
                wire.port = server.sockets[0].getsockname()[1]
                wire.open.set()
            self._started.set()
            await self._stopping.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()
        if not self._started.wait(START_SECONDS_MAX):
            raise TimeoutError("the wires between the hubs could not be laid")

    def stop(self) -> None:
        """End all of it."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(START_SECONDS_MAX)

    def ports_from(self, start: str) -> list[int]:
        """Where a hub finds all others."""
        return [wire.port for wire in self.all if wire.start == start]

    def cut_off(self, hub: str) -> None:
        """Let nothing pass to a hub or from it."""
        for wire in self._of(hub):
            self._loop.call_soon_threadsafe(wire.open.clear)

    def heal(self, hub: str) -> None:
        """Let everything pass again."""
        for wire in self._of(hub):
            self._loop.call_soon_threadsafe(wire.open.set)

    def _of(self, hub: str) -> Iterator[Wire]:
        return (wire for wire in self.all if hub in (wire.start, wire.end))

    def carried(self) -> Counter[str]:
        """The bytes of all pairs so far, by path, answers included."""
        return sum((wire.bytes_by_path.copy() for wire in self.all), Counter[str]())
