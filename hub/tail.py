"""A live tail: every chunk that is not in the reader's position, in the order in which chunks came
to this hub, and then whatever comes.

Nothing waits in memory for a reader: the next page of the log is read when it has taken the last
message, so a slow reader only falls behind, and is told so. What it was told is folded into a
position here as it is there, so that a chunk is told once even when it comes twice.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.query.scan import ChunkReader
from hub.tail_position import (
    LOGS_MAX,
    PARTS_MAX,
    SKEW_MS,
    LogKey,
    Position,
    base_messages,
    seen_messages,
)
from hub.tail_query import TailQuery
from hub.tail_reading import PageReading, Passing
from hub.tail_telling import Message
from shared.errors import BadInput, Unavailable
from shared.ranges import NOTHING, Ranges

PAGE_CHUNKS = 256
BACKLOG_CHUNKS_MAX = 10_000  # How far `since` reaches back.
PACE_SECONDS = 0.05  # What comes within it is read together.
CHANGES_SECONDS = 1.0
PING_SECONDS = 15.0  # Keeps proxies from taking a quiet stream for a dead one.
LAG_CHUNKS = 1000

Offload = Callable[[Callable[[], Any]], Awaitable[Any]]


class TailSource(Protocol):
    """The log of this hub."""

    @property
    def head_arrival(self) -> int: ...
    @property
    def held(self) -> Mapping[LogKey, Ranges]: ...
    def have(self, key: LogKey) -> Ranges: ...
    async def news(self) -> None: ...
    async def passing_after(self, arrival: int, limit: int) -> Sequence[Passing]: ...
    async def passing_of(self, wanted: Mapping[LogKey, Ranges]) -> Sequence[Passing]: ...
    async def earliest(self, wanted: Mapping[LogKey, Ranges], received_ms_min: int) -> int | None:
        """The first arrival among these chunks that the cluster took in since then."""
        ...

    async def received_since(
        self, since_ms: int, chunks_max: int
    ) -> tuple[int | None, Mapping[LogKey, Ranges]]:
        """Which of the newest chunks the cluster took in since then, and the first arrival."""
        ...

    def reader(self) -> ChunkReader: ...


@dataclass(slots=True)
class Tail:
    """One reader's tail. `begin` it, then read `messages`."""

    source: TailSource
    offload: Offload
    query: TailQuery
    now_ms: int
    _position: Position = field(default_factory=Position)
    _arrival: int = 0
    _quiet: dict[LogKey, Ranges] = field(default_factory=dict)
    _changes_told_at: float = 0.0
    _spoke_at: float = 0.0
    _lag_told: int = 0

    async def begin(self) -> None:
        """Find where to begin; raises BadInput, or Unavailable when another hub must help."""
        self._changes_told_at = self._spoke_at = _now()
        if self.query.position is None:
            await self._begin_anew()
        else:
            await self._take_up(self.query.position)

    async def _begin_anew(self) -> None:
        self._arrival = self.source.head_arrival
        base = {key: self.source.have(key) for key in self._followed()}
        if len(base) > LOGS_MAX:
            raise BadInput(f"nodes: there are more than {LOGS_MAX} logs here, so name some nodes")
        self._position = Position(self.now_ms, base, is_whole=True)
        if self.query.since_ms is not None:
            await self._reach_back(min(self.query.since_ms, self.now_ms))

    async def _reach_back(self, since_ms: int) -> None:
        first, recent = await self.source.received_since(since_ms, BACKLOG_CHUNKS_MAX)
        base = self._position.base
        self._position.base = {key: seen - recent.get(key, NOTHING) for key, seen in base.items()}
        self._position.start_ms = since_ms
        if first is not None:
            self._arrival = min(self._arrival, first - 1)

    async def _take_up(self, position: Position) -> None:
        parts = self._parts_here(position)
        if len(position.parts) >= PARTS_MAX and not parts:
            raise Unavailable("this hub lacks all chunks that the reader was in the middle of")
        self._position = position
        self._arrival = self.source.head_arrival
        missing = position.missing({key: self.source.held[key] for key in self._followed()})
        known = {key: ranges for key, ranges in missing.items() if key in position.base}
        fresh = {key: ranges for key, ranges in missing.items() if key not in position.base}
        for wanted, received_ms_min in ((known, 0), (fresh, position.start_ms - SKEW_MS)):
            first = await self.source.earliest(wanted, received_ms_min)
            if first is not None:
                self._arrival = min(self._arrival, first - 1)

    def _followed(self) -> list[LogKey]:
        return [key for key in self.source.held if self.query.follows(key[0])]

    def _parts_here(self, position: Position) -> dict[LogKey, Ranges]:
        """The chunks that were told in part, as far as they are here."""
        here: dict[LogKey, Ranges] = {}
        for key, seq in position.parts:
            if seq in self.source.held.get(key, NOTHING):
                here[key] = here.get(key, NOTHING).add(seq, seq)
        return here

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Everything there is to tell, for ever."""
        for message in self._opening():
            yield message
        # A chunk told in part goes first: so at most one more is begun than there were hubs.
        parts = await self.source.passing_of(self._parts_here(self._position))
        async for message in self._tell(parts):
            yield message
        while True:
            head = self.source.head_arrival
            page = await self.source.passing_after(self._arrival, PAGE_CHUNKS)
            async for message in self._tell(page):
                yield message
            self._arrival = page[-1].arrival if page else head
            for message in self._asides():
                yield message
            if len(page) < PAGE_CHUNKS:
                await self._rest()

    def _opening(self) -> Iterator[Message]:
        if self.query.position is None:
            for data in base_messages(self._position):
                yield Message("position", data)
            return
        for key in self._followed():
            gone = self.source.have(key) - self.source.held[key] - self._position.seen(key)
            if gone and key in self._position.base:
                name = {"origin": key[0], "epoch": key[1]}
                yield Message("gone", {**name, "ranges": gone.to_wire(), "reason": "retention"})

    async def _tell(self, page: Sequence[Passing]) -> AsyncIterator[Message]:
        reading = PageReading(page, self.query, self._position, self._see)
        while page and not reading.is_done:
            for message in await self.offload(lambda: reading.take(self.source.reader)):
                self._spoke_at = _now()
                yield message
            for message in self._asides():
                yield message

    def _see(self, key: LogKey, seq: int) -> None:
        """A chunk went by without a word."""
        self._position.see(key, Ranges(((seq, seq),)))
        self._quiet[key] = self._quiet.get(key, NOTHING).add(seq, seq)

    def _asides(self) -> Iterator[Message]:
        """What is told beside the rows, at most once a second."""
        now = _now()
        if now - self._changes_told_at >= CHANGES_SECONDS:
            self._changes_told_at = now
            yield from self._changes()
            yield from self._lag()
        if now - self._spoke_at >= PING_SECONDS:
            self._spoke_at = now
            yield Message("ping", {})

    def _changes(self) -> Iterator[Message]:
        quiet, self._quiet = self._quiet, {}
        for data in seen_messages(quiet):
            self._spoke_at = _now()
            yield Message("position", data)

    def _lag(self) -> Iterator[Message]:
        behind = self.source.head_arrival - self._arrival
        lag = behind if behind > LAG_CHUNKS else 0
        if lag or self._lag_told:
            yield Message("lag", {"chunks": lag})
        self._lag_told = lag

    async def _rest(self) -> None:
        """Wait for news, but not past the next thing to say."""
        due_at = self._spoke_at + PING_SECONDS
        if self._quiet or self._lag_told:
            due_at = min(due_at, self._changes_told_at + CHANGES_SECONDS)
        try:
            async with asyncio.timeout_at(due_at):
                if self.source.head_arrival <= self._arrival:
                    await self.source.news()
                await asyncio.sleep(PACE_SECONDS)
        except TimeoutError:
            return


def _now() -> float:
    return asyncio.get_running_loop().time()
