"""Reads one page of a log for a live tail, a bounded batch of messages at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hub.query.scan import WHOLE_LIMITS, ChunkReader, Held, Tally
from hub.tail_position import LogKey, Position
from hub.tail_query import TailQuery
from hub.tail_telling import Message, tell_chunk
from shared.errors import BadInput
from shared.records import MIB

BATCH_MESSAGES = 16
BATCH_BYTES = 4 * MIB  # Of bodies read in one go: some 10 ms of looking for a text.


class Passing(Protocol):
    """A chunk of the log without its body."""

    @property
    def arrival(self) -> int: ...
    @property
    def key(self) -> LogKey: ...
    @property
    def seq(self) -> int: ...
    @property
    def received_ms(self) -> int: ...
    def held(self) -> Held:
        """With its header; raises BadInput when that is damaged."""
        ...


@dataclass(slots=True)
class PageReading:
    """A page of chunks on its way to a reader. `position` moves with what was told; `see` hears of
    each chunk that ended without its last word."""

    page: Sequence[Passing]
    query: TailQuery
    position: Position
    see: Callable[[LogKey, int], None]
    is_done: bool = False
    _reader: ChunkReader | None = None
    _read_bytes: int = 0
    _telling: Iterator[Message | None] = field(init=False)

    def __post_init__(self) -> None:
        self._telling = self._tell_all()

    def take(self, open_reader: Callable[[], ChunkReader]) -> list[Message]:
        """The next messages, none of them is a valid answer. Blocks, so not for the event loop."""
        taken: list[Message] = []
        self._reader, self._read_bytes = open_reader(), 0
        try:
            for message in self._telling:
                if message is None:
                    return taken
                taken.append(message)
                if len(taken) >= BATCH_MESSAGES:
                    return taken
        finally:
            self._reader.close()
        self.is_done = True
        return taken

    def _tell_all(self) -> Iterator[Message | None]:
        for passing in self.page:
            if not self.query.follows(passing.key[0]):
                continue
            if not self.position.wants(passing.key, passing.seq, passing.received_ms):
                continue
            try:
                yield from self._tell(passing)
            except BadInput as error:
                yield _unreadable(passing, error)
            if self._read_bytes >= BATCH_BYTES:
                yield None

    def _tell(self, passing: Passing) -> Iterator[Message | None]:
        held, tally = passing.held(), Tally(WHOLE_LIMITS)
        place = self.position.place(passing.key, passing.seq)
        for message in tell_chunk(held, self._open_reader, self.query, place, tally):
            if message is not None:
                self.position.fold(message.event, message.data)
            yield message
        self._read_bytes += tally.bytes
        if passing.seq not in self.position.seen(passing.key):
            self.see(passing.key, passing.seq)

    def _open_reader(self) -> ChunkReader:
        assert self._reader is not None, "messages are made inside of take()"
        return self._reader


def _unreadable(passing: Passing, error: BadInput) -> Message:
    """Not counted as seen: another hub may have it whole."""
    name = {"origin": passing.key[0], "epoch": passing.key[1], "seq": passing.seq}
    return Message("unreadable", {**name, "reason": str(error)})
