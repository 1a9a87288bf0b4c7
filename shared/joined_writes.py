"""A server protocol that sends an answer in one piece: head and body of it come as two writes, and
each would cost a system call here and wake the reader of the other side, half of all that a small
answer costs."""

import asyncio
from collections.abc import Iterable
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HELD_BYTES_MAX = 64 * 1024
"""An answer without end is sent on all the same, so that its writer is told when nobody reads."""

Piece: TypeAlias = "bytes | bytearray | memoryview[Any]"


class JoinedWrites(asyncio.Transport):
    """A transport over another one: what is written in one turn of the event loop is sent at once.

    Nothing is sent later than at the end of that turn, before a close, or with `HELD_BYTES_MAX`.
    """

    __slots__ = ("_held", "_held_bytes", "_loop", "below")

    def __init__(self, below: asyncio.Transport) -> None:
        super().__init__()
        self.below = below
        self._loop = asyncio.get_running_loop()
        self._held: list[Piece] = []
        self._held_bytes = 0

    def write(self, data: Piece) -> None:
        """Send it with all else that is written in this turn."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= HELD_BYTES_MAX:
            self._send()

    def writelines(self, list_of_data: Iterable[Piece]) -> None:
        """Send all of it so."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self.below.is_closing():
            self.below.write(b"".join(held))

    def close(self) -> None:
        """Send what is held, then close."""
        self._send()
        self.below.close()

    def abort(self) -> None:
        """Close at once; what is held is lost, as what the system holds is."""
        self._held, self._held_bytes = [], 0
        self.below.abort()

    def write_eof(self) -> None:
        """Send what is held, and then the end."""
        self._send()
        self.below.write_eof()

    def get_write_buffer_size(self) -> int:
        """How much was not sent yet."""
        return self._held_bytes + self.below.get_write_buffer_size()

    # ---- as the one below

    def can_write_eof(self) -> bool:
        """Whether half a close is possible."""
        return self.below.can_write_eof()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self.below.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self.below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whom to tell of what comes in."""
        self.below.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told of what comes in."""
        return self.below.get_protocol()

    def is_reading(self) -> bool:
        """Whether what comes in is read."""
        return self.below.is_reading()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self.below.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self.below.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the writer is told to wait."""
        self.below.set_write_buffer_limits(high, low)


class OnePieceProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with answers in one piece. A WebSocket gets the transport itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As the one below.
        """A client has come."""
        super().connection_made(JoinedWrites(transport))

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over."""
        if isinstance(self.transport, JoinedWrites):
            self.transport = self.transport.below
        super().handle_websocket_upgrade()
