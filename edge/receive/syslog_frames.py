"""Finding the messages in a TCP stream of syslog (RFC 6587): by count, or by LF or NUL at the end.

Both kinds may alternate. No clock and no socket: bytes in, frames out.
"""

import re
from typing import Literal

from shared.errors import BadInput
from shared.records import KIB

FRAME_BYTES_MAX = 64 * KIB
"""Eight times what rsyslog takes by default."""

COUNT_DIGITS_MAX = 9

# Every message that is counted begins with its priority. A line that begins with a number and a
# space is not one: "42 is the answer".
_COUNT = re.compile(rb"([1-9][0-9]{0,%d}) <" % (COUNT_DIGITS_MAX - 1))
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,%d} ?\Z" % (COUNT_DIGITS_MAX - 1))
_BLANK = re.compile(rb"[\r\n\0]*")
_LINE_END = re.compile(rb"[\n\0]")


class BadFrame(BadInput):
    """The stream cannot be read on from here; `reason` is one short word for counters."""

    def __init__(self, reason: Literal["too_large", "out_of_step"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Frames:
    """A conversation: `feed` it what arrived, then `take` until nothing is left.

    Holds what was fed and not taken, at most one frame more than the last feed.
    """

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self._place = 0
        self._searched = 0
        self._counting = False

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        del self._held[: self._place]
        self._searched = max(0, self._searched - self._place)
        self._place = 0
        self._held += data

    def take(self, frames_max: int) -> list[bytes]:
        """The next whole messages, without framing; blank ones are left out. [] when more must come.

        Raises BadFrame once everything before the bad place was taken.
        """
        frames: list[bytes] = []
        try:
            while len(frames) < frames_max and (frame := self._next()) is not None:
                frames.append(frame)
        except BadFrame:
            if not frames:
                raise
        return frames

    def rest(self) -> tuple[bytes, bool]:
        """What is left at the end of the stream, and whether it is surely not a whole message.

        At most one frame; b"" when nothing is left.
        """
        self._skip_blank()
        count = _COUNT.match(self._held, self._place)
        start = count.end() - 1 if count else self._place
        left = bytes(self._held[start : start + self._bytes_max])
        return left, count is not None or len(self._held) - start > self._bytes_max

    def _next(self) -> bytes | None:
        self._skip_blank()
        if self._place == len(self._held):
            return None
        count = _COUNT.match(self._held, self._place)
        if count:
            return self._counted(count)
        if _COUNT_BEGUN.match(self._held, self._place):
            return None
        if self._counting and self._held[self._place] != ord("<"):
            # The sender counts, so the last count was wrong, and so is every guess from here on.
            raise BadFrame("out_of_step", "no message begins where the counted one before it ends")
        return self._line()

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._held, self._place)
        self._place = blank.end() if blank else self._place

    def _counted(self, count: re.Match[bytes]) -> bytes | None:
        size_bytes = int(count[1])
        self._check(size_bytes)
        start = count.end() - 1
        if len(self._held) < start + size_bytes:
            return None
        self._counting = True
        self._place = start + size_bytes
        return bytes(self._held[start : self._place])

    def _line(self) -> bytes | None:
        # A sender that gives one byte at a time must not make us search the same bytes each time.
        end = _LINE_END.search(self._held, max(self._place, self._searched))
        self._searched = end.start() if end else len(self._held)
        self._check(self._searched - self._place)
        if end is None:
            return None
        line = bytes(self._held[self._place : end.start()])
        self._place = end.end()
        return line.removesuffix(b"\r")

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            limit = f"the limit of {self._bytes_max} bytes"
            raise BadFrame("too_large", f"a message is larger than {limit}")
