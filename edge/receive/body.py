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


async def read_body(receive: Receive, lease: Lease, limits: BodyLimits) -> bytes:
    """The whole body; raises TooLarge, TooSlow, ClientGone, or Unavailable for lack of memory."""
    try:
        async with asyncio.timeout(limits.read_seconds_max):
            return await _read_all(receive, lease, limits.body_bytes_max)
    except TimeoutError as error:
        raise TooSlow(f"the body took longer than {limits.read_seconds_max:g} s") from error


async def _read_all(receive: Receive, lease: Lease, bytes_max: int) -> bytes:
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
