"""Who watches the console of one sandbox: each sees all of it, or is told how much it missed.

The payload never waits for a viewer, and nothing is kept for one but what its socket holds. Only
the standard library is used.
"""

from __future__ import annotations

import selectors
import socket

from edge.vm.shim_values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

VIEWER_BYTES_MAX = 64 * 1024
"""What may wait for one viewer; of what comes while it is full only the count is kept."""
MISSED = "\x1b[0m\r\n[headwater: {} bytes are left out here, this viewer was too slow]\r\n"
"""Begins by setting colours back: what is left out may begin in the middle of a sequence."""


class Viewers:
    """Sockets that get what the console shows; what they send is typed.

    `type_in` returns how much the payload took. The rest waits, and so does whoever sends more.
    """

    def __init__(self, selector: selectors.BaseSelector, type_in: Callable[[bytes], int]) -> None:
        self._selector, self._type_in = selector, type_in
        self._missed: dict[socket.socket, int] = {}
        self._untyped: dict[socket.socket, bytes] = {}

    def __len__(self) -> int:
        return len(self._missed)

    def add(self, viewer: socket.socket) -> None:
        """Show it the console from now on."""
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, VIEWER_BYTES_MAX)
        self._missed[viewer] = 0
        self._watch(viewer)

    @property
    def is_typing(self) -> bool:
        """Whether something waits to be typed."""
        return bool(self._untyped)

    def type_on(self) -> None:
        """The payload has room again."""
        for viewer, data in list(self._untyped.items()):
            del self._untyped[viewer]
            self._type(viewer, data)
            self._watch(viewer)

    def show(self, data: bytes) -> None:
        """Show all of them the next output."""
        for viewer in list(self._missed):
            sent = self._send(viewer, data) if self._is_told(viewer) else 0
            self._note(viewer, len(data) - sent)

    def close(self) -> None:
        """End all of them."""
        for viewer in self._missed:
            viewer.close()

    def _attend(self, viewer: socket.socket) -> None:
        """It typed, left, or has room again."""
        if viewer not in self._untyped:
            data = receive(viewer)
            if data is None:
                self._leave(viewer)
                return
            self._type(viewer, data)
        self._is_told(viewer)
        self._watch(viewer)

    def _type(self, viewer: socket.socket, data: bytes) -> None:
        if rest := data[self._type_in(data) :]:
            self._untyped[viewer] = rest

    def _watch(self, viewer: socket.socket) -> None:
        """Hear it unless what it typed waits, and tell it what it missed; a selector takes no zero."""
        if viewer not in self._missed:
            return
        wanted = selectors.EVENT_WRITE if self._missed[viewer] else 0
        wanted |= 0 if viewer in self._untyped else selectors.EVENT_READ
        key = self._selector.get_map().get(viewer)
        if key and key.events == wanted:
            return
        if key:
            self._selector.unregister(viewer)
        if wanted:
            self._selector.register(viewer, wanted, lambda: self._attend(viewer))

    def _is_told(self, viewer: socket.socket) -> bool:
        """True once it knows how much it missed, if it did."""
        missed = self._missed[viewer]
        if not missed:
            return True
        note = MISSED.format(missed).encode()
        if self._send(viewer, note) < len(note):  # Cut in the middle: it is said again, later.
            return False
        self._missed[viewer] = 0
        self._watch(viewer)
        return True

    def _note(self, viewer: socket.socket, missed: int) -> None:
        if missed and viewer in self._missed:
            self._missed[viewer] += missed
            self._watch(viewer)

    def _send(self, viewer: socket.socket, data: bytes) -> int:
        try:
            return viewer.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._leave(viewer)
            return 0

    def _leave(self, viewer: socket.socket) -> None:
        del self._missed[viewer]
        self._untyped.pop(viewer, None)
        if viewer in self._selector.get_map():
            self._selector.unregister(viewer)
        viewer.close()


def receive(connection: socket.socket) -> bytes | None:
    """What came; None when the other side is gone."""
    try:
        return connection.recv(16 * 1024) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
