"""Hubs that hold chunks in memory, and a reader that moves its live tail from one to the other."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hub.tail import Tail
from hub.tail_position import LogKey, Position, read_position
from hub.tail_query import read_tail_query
from shared.errors import BadInput, Unavailable
from shared.ranges import NOTHING, Ranges
from shared.records import ChunkHeader, Encoding, Gap, Signal

NOW_MS = 1_700_000_000_000


class Quiet(Exception):
    """There is nothing more to tell."""


@dataclass(frozen=True)
class MadeChunk:
    """A chunk with so many rows, each with its own name; it may declare a loss."""

    key: LogKey
    seq: int
    rows: int
    signal: Signal = Signal.LOGS
    received_ms: int = NOW_MS
    declares_loss: bool = False
    is_damaged: bool = False

    @property
    def names(self) -> list[str]:
        """What its rows say; every third one is loud."""
        return [
            f"{'loud' if index % 3 == 0 else 'calm'} {self.key[0]}/{self.key[1]}/{self.seq}/{index}"
            for index in range(self.rows)
        ]

    @property
    def loss(self) -> str:
        """The name of the loss that it declares."""
        return f"loss {self.key}/{self.seq}"

    @property
    def header(self) -> ChunkHeader:
        """Its header."""
        gap = Gap(str(self.signal), self.loss, ((900, 905),), 6, 60, 600, NOW_MS, NOW_MS)
        return ChunkHeader(
            *(*self.key, self.seq, str(self.signal), str(Encoding.JSON), "none", self.rows),
            *(0, 0, 1, 2**62, NOW_MS, b"", b""),
            gaps=(gap,) if self.declares_loss else (),
        )

    @property
    def body(self) -> bytes:
        """Its body, decompressed."""
        records = [{"body": {"stringValue": name}} for name in self.names]
        return orjson.dumps([{"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}])


@dataclass(frozen=True)
class Arrived:
    """A chunk on a hub."""

    arrival: int
    chunk: MadeChunk

    @property
    def key(self) -> LogKey:
        return self.chunk.key

    @property
    def seq(self) -> int:
        return self.chunk.seq

    @property
    def received_ms(self) -> int:
        return self.chunk.received_ms

    @property
    def header(self) -> ChunkHeader:
        return self.chunk.header

    def held(self) -> "Arrived":
        return self


@dataclass
class MemoryHub:
    """What a hub holds, in the order in which it came. It has no news but what was put in before."""

    arrived: list[Arrived] = field(default_factory=list)
    held: dict[LogKey, Ranges] = field(default_factory=dict)
    dropped: dict[LogKey, Ranges] = field(default_factory=dict)
    bodies_read: int = 0
    left_out: int = 0
    readers_open: int = 0

    def put(self, chunk: MadeChunk) -> None:
        """A chunk arrives, unless it is here."""
        if chunk.seq in self.have(chunk.key):
            return
        self.arrived.append(Arrived(self.head_arrival + 1, chunk))
        held = self.held.get(chunk.key, NOTHING)
        self.held[chunk.key] = held.add(chunk.seq, chunk.seq)

    def drop(self, key: LogKey, first: int, last: int) -> None:
        """What retention does."""
        gone = Ranges(((first, last),)) & self.held[key]
        self.held[key] -= gone
        self.dropped[key] = self.dropped.get(key, NOTHING) | gone
        self.arrived = [each for each in self.arrived if each.key != key or each.seq not in gone]

    @property
    def head_arrival(self) -> int:
        return self.arrived[-1].arrival if self.arrived else 0

    def have(self, key: LogKey) -> Ranges:
        return self.held.get(key, NOTHING) | self.dropped.get(key, NOTHING)

    async def news(self) -> None:
        raise Quiet

    async def passing_after(self, arrival: int, limit: int) -> list[Arrived]:
        return [each for each in self.arrived if each.arrival > arrival][:limit]

    async def passing_of(self, wanted: Mapping[LogKey, Ranges]) -> list[Arrived]:
        return [each for each in self.arrived if each.seq in wanted.get(each.key, NOTHING)]

    async def earliest(self, wanted: Mapping[LogKey, Ranges], received_ms_min: int) -> int | None:
        found = [
            each.arrival
            for each in await self.passing_of(wanted)
            if each.received_ms >= received_ms_min
        ]
        return min(found, default=None)

    async def received_since(
        self, since_ms: int, chunks_max: int
    ) -> tuple[int | None, dict[LogKey, Ranges]]:
        recent: dict[LogKey, Ranges] = {}
        newest = [each for each in self.arrived[-chunks_max:] if each.received_ms >= since_ms]
        for each in newest:
            recent[each.key] = recent.get(each.key, NOTHING).add(each.seq, each.seq)
        return (newest[0].arrival if newest else None), recent

    def reader(self) -> "MemoryHub":
        self.readers_open += 1
        return self

    def find(
        self, *, signals: Collection[Signal], nodes: Collection[str] | None, **rest: Any
    ) -> Iterator[Arrived]:
        return (
            each
            for each in self.arrived
            if each.chunk.signal in signals and (nodes is None or each.key[0] in nodes)
        )

    def body(self, held: Any) -> bytes:
        self.bodies_read += 1
        if held.chunk.is_damaged:
            raise BadInput("the body is damaged")
        body: bytes = held.chunk.body
        return body

    def close(self) -> None:
        self.readers_open -= 1


async def inline(work: Callable[[], Any]) -> Any:
    """Runs blocking work where it is."""
    return work()


@dataclass
class Reader:
    """Follows a tail over any number of connections, with what it was told."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    position: Position = field(default_factory=Position)
    told: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    events: list[tuple[str, Any]] = field(default_factory=list)

    async def connect(self, hub: MemoryHub, messages_max: int = 10**9) -> bool:
        """Take in so many messages, then lose the connection; whether there was one at all."""
        asked = dict(self.filters)
        if self.position.is_whole:
            asked["position"] = orjson.loads(orjson.dumps(self.position.to_wire()))
            asked.pop("since", None)
        tail = Tail(hub, inline, read_tail_query(asked, NOW_MS), NOW_MS)
        try:
            await tail.begin()
        except Unavailable:
            return False
        with contextlib.suppress(Quiet):
            async with contextlib.aclosing(tail.messages()) as messages:
                async for message in messages:
                    self.take(message.event, orjson.loads(orjson.dumps(message.data)))
                    messages_max -= 1
                    if messages_max <= 0:
                        break
        return True

    def take(self, event: str, data: dict[str, Any]) -> None:
        """One message."""
        self.events.append((event, data))
        self.position.fold(event, data)
        self.told.update(row["body"] for row in data.get("rows", ()))
        self.losses.update(gap["reason"] for gap in data.get("gaps", ()))


def chunks_of(key: LogKey, *rows: int, **changes: Any) -> Sequence[MadeChunk]:
    """The first chunks of a log, with so many rows each."""
    return [MadeChunk(key, seq, count, **changes) for seq, count in enumerate(rows, 1)]


def again(position: Position) -> Position:
    """A position that went through JSON."""
    return read_position(orjson.loads(orjson.dumps(position.to_wire())))
