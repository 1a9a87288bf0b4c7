"""Reading a request body within limits: of its own size, of all bodies at once, and of time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Receive

from shared.codec import BODY_BYTES_MAX
from shared.errors import BadInput, HeadwaterError, TooLarge, Unavailable
from shared.records import MIB


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The bounds of the door."""

    body_bytes_max: int = BODY_BYTES_MAX
    held_bytes_max: int = 256 * MIB  # Four of the largest bodies; a small edge survives that.
    read_seconds_max: float = 60.0  # A sender on the same machine needs well under one.


class ClientGone(HeadwaterError):
    """The sender hung up; nobody is left to answer."""


class TooSlow(HeadwaterError):
    """The body did not arrive in time."""


class HeldBytes:
    """Counts the bytes of all bodies in memory, so that many senders cannot fill it."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0

    @contextmanager
    def lease(self) -> Iterator["Lease"]:
        """A share that is given back when the block ends, however it ends."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.bytes -= lease.bytes

    def take(self, size_bytes: int) -> None:
        """Count these bytes; raises Unavailable when that would be too many."""
        if self.bytes + size_bytes > self._bytes_max:
            raise Unavailable("too many requests are waiting to be stored", 1.0)
        self.bytes += size_bytes


class Lease:
    """The bytes that one request holds."""

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self.bytes = 0

    def grow_to(self, size_bytes: int) -> None:
        """Hold at least this much; raises Unavailable."""
        if size_bytes > self.bytes:
            self._held.take(size_bytes - self.bytes)
            self.bytes = size_bytes


def declared_bytes(content_length: str | None, limit_bytes: int) -> int:
    """What Content-Length promises, 0 when unknown; raises BadInput or TooLarge."""
    if content_length is None:
        return 0
    if not (content_length.isascii() and content_length.isdigit() and len(content_length) < 20):
        raise BadInput(f"content-length {content_length[:40]!r} is not a size in bytes")
    if int(content_length) > limit_bytes:
        raise TooLarge("the body", limit_bytes)
    return int(content_length)


class Watchdog:
    """Ends the reading of bodies that take too long.

    It looks now and then at all of them together: a timer for each would cost a small request a tenth
    of all its work.
    """

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._look_seconds = min(1.0, seconds_max / 4)
        self._began: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._look: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._began[task] = loop.time()
        if self._look is None:
            self._look = loop.call_later(self._look_seconds, self._end_overdue)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raises TooSlow in the place of the cancellation that this watchdog asked for."""
        task = asyncio.current_task()
        assert task is not None
        del self._began[task]
        if task in self._overdue:
            self._overdue.remove(task)
            # With nothing left that was asked for from outside, the cancellation was our own.
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TooSlow(f"the body took longer than {self._seconds_max:g} s")

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() - self._seconds_max
        for task, began in self._began.items():
            if began <= latest and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        waits = bool(self._began)
        self._look = loop.call_later(self._look_seconds, self._end_overdue) if waits else None


async def read_body(receive: Receive, lease: Lease, bytes_max: int) -> bytes:
    """The whole body; raises TooLarge, ClientGone, or Unavailable for lack of memory."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the sender hung up in the middle of its body")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > bytes_max:
            raise TooLarge("the body", bytes_max)
        lease.grow_to(size)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)  # Of a single piece this makes no copy.
