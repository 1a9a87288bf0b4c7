"""One end of a stream on a link: reads and writes with windows, whatever else the link carries."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from shared import streams
from shared.errors import BadInput, Unreachable
from shared.streams import PAYLOAD_BYTES_MAX, WINDOW_BYTES, Frame, FrameKind

STREAMS_MAX = 256
"""Of one link: with full windows 64 MiB."""

EARLY_WORDS_MAX = 16
"""Words held for one who does not listen yet; the oldest are left out beyond that."""

Send = Callable[[bytes], Awaitable[None]]
Control = Callable[[dict[str, Any]], None]


class StreamEnd:
    """What both sides hold of a stream. It ends once: by either side, or with its link.

    `why` says why it ended: empty for an end in order.
    """

    def __init__(self, number: int, send: Send) -> None:
        self.number, self.why = number, ""
        self._send = send
        self._control: Control | None = None
        self._early: deque[dict[str, Any]] = deque(maxlen=EARLY_WORDS_MAX)
        self._inbox: deque[bytes] = deque()
        self._held_bytes = self._unthanked_bytes = 0
        self._window = WINDOW_BYTES
        self._is_over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def on_control(self) -> Control | None:
        """Who is told of words beside the bytes; whoever comes late hears the first ones too."""
        return self._control

    @on_control.setter
    def on_control(self, control: Control) -> None:
        self._control = control
        while self._early:
            control(self._early.popleft())

    @property
    def is_over(self) -> bool:
        """Whether nothing can be written any more."""
        return self._is_over

    async def read(self) -> bytes:
        """The next bytes, at least one; empty once it is over and all was read."""
        while not self._inbox and not self._is_over:
            self._news.clear()
            await self._news.wait()
        if not self._inbox:
            return b""
        data = self._inbox.popleft()
        self._held_bytes -= len(data)
        await self._thank(len(data))
        return data

    async def _thank(self, size_bytes: int) -> None:
        """Give room for what was read, in few messages."""
        self._unthanked_bytes += size_bytes
        if self._unthanked_bytes < WINDOW_BYTES // 4 or self._is_over:
            return
        thanks, self._unthanked_bytes = self._unthanked_bytes, 0
        await self._tell(streams.credit(self.number, thanks))

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the other side does not read. Raises Unreachable once it is over."""
        while data:
            while self._window == 0 and not self._is_over:
                self._room.clear()
                await self._room.wait()
            if self._is_over:
                raise Unreachable("the stream", self.why or "it is over", sent=False)
            size = min(len(data), self._window, PAYLOAD_BYTES_MAX)
            self._window -= size
            await self._send(streams.write(Frame(FrameKind.DATA, self.number, data[:size])))
            data = data[size:]

    async def control(self, value: dict[str, Any]) -> None:
        """Say something beside the bytes; raises TooLarge."""
        if not self._is_over:
            await self._tell(streams.control(self.number, value))

    async def close(self, why: str = "") -> None:
        """End it, and say why; nothing happens where it is over."""
        if not self._is_over:
            self.broke(why)
            await self._tell(streams.close(self.number, why))

    async def _tell(self, frame: Frame) -> None:
        try:
            await self._send(streams.write(frame))
        except Unreachable as error:
            self.broke(str(error))

    # ---- the reader of the link

    def take(self, frame: Frame) -> None:
        """Take a frame from the other side; raises BadInput for one that breaks the rules."""
        if frame.kind is FrameKind.DATA:
            self._take_data(frame.payload)
        elif frame.kind is FrameKind.CREDIT:
            self._window += streams.credit_of(frame)
            if self._window > WINDOW_BYTES:
                raise BadInput("a stream was given more room than it has")
            self._room.set()
        elif frame.kind is FrameKind.CONTROL:
            self._take_word(streams.control_of(frame))
        else:
            self.broke(streams.why_of(frame))

    def _take_word(self, word: dict[str, Any]) -> None:
        if self._control is None:
            self._early.append(word)
        else:
            self._control(word)

    def _take_data(self, data: bytes) -> None:
        if self._held_bytes + self._unthanked_bytes + len(data) > WINDOW_BYTES:
            raise BadInput("a stream holds more bytes than there was room for")
        if data and not self._is_over:
            self._inbox.append(data)
            self._held_bytes += len(data)
            self._news.set()

    def broke(self, why: str) -> None:
        """It is over; what came before may still be read."""
        if not self._is_over:
            self._is_over, self.why = True, why
        self._news.set()
        self._room.set()


class StreamEnds:
    """The streams of one link, by their numbers, which the side that opens them gives."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._ends: dict[int, StreamEnd] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, number: int) -> StreamEnd:
        """A new stream; raises BadInput for a number in use, or one stream too many."""
        if number in self._ends:
            raise BadInput(f"stream {number} is open already")
        if len(self._ends) >= STREAMS_MAX:
            raise BadInput(f"a link carries at most {STREAMS_MAX} streams")
        end = self._ends[number] = StreamEnd(number, self._send)
        return end

    def drop(self, number: int) -> None:
        """Forget a stream that is over; frames that come for it late are passed over."""
        self._ends.pop(number, None)

    async def take(self, message: bytes) -> None:
        """Pass a frame on to its stream; one that breaks the rules ends that stream alone.

        Raises BadInput for what is no frame at all.
        """
        frame = streams.read(message)
        end = self._ends.get(frame.stream)
        if end is None:
            return
        try:
            end.take(frame)
        except BadInput as error:
            await end.close(str(error))

    def broke(self, why: str) -> None:
        """The link is gone."""
        for end in list(self._ends.values()):
            end.broke(why)
        self._ends.clear()
