"""Days of chunks of traces, some indexed and some not, over a store that is only a list."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.index.files import fill, open_for_write
from hub.index.trace_reader import TraceIndex
from hub.index.traces import TraceIndexer
from hub.query.scan import Held
from shared.records import Signal
from tests.unit.query.stock import HeldChunk, ListReader


@dataclass
class Days:
    """What a hub wires: the index of each day, and which day each chunk belongs to."""

    reader: ListReader
    indexed: Mapping[int, TraceIndex]
    day_of: Mapping[int, int]

    def days(self) -> Sequence[TraceIndex]:
        return list(self.indexed.values())

    def chunks(self, arrivals: Collection[int]) -> Iterator[Held]:
        return (held for held in self.reader.chunks if held.arrival in arrivals)

    def rest(self, *, nodes: Collection[str] | None, start_ns: int, end_ns: int) -> Iterator[Held]:
        return self.reader.find(
            signals={Signal.TRACES},
            nodes=nodes,
            start_ns=start_ns,
            end_ns=end_ns,
            may_hold=lambda arrival, received_ms, signal: not self.covers(arrival),
        )

    def covers(self, arrival: int) -> bool:
        day = self.indexed.get(self.day_of[arrival])
        return day is not None and day.covers(arrival)


IN_MEMORY = Path(":memory:")


def index_of(chunks: Sequence[HeldChunk], path: Path = IN_MEMORY) -> TraceIndex:
    """The index of these chunks; a body that says "damaged" cannot be read."""
    indexer = TraceIndexer()
    connection = open_for_write(path, indexer.tables(), "store")
    given = [
        (held.arrival, held.header, None if held.body == b"damaged" else held.body)
        for held in chunks
    ]
    fill(connection, indexer, given)
    return TraceIndex(connection)


def make_days(reader: ListReader, day_of: Mapping[int, int], indexed: Mapping[int, int]) -> Days:
    """`indexed` tells of each day how many of its chunks are indexed; a day that it does not name has
    no index file."""
    made = {}
    for day, count in indexed.items():
        own = [held for held in reader.chunks if day_of[held.arrival] == day]
        made[day] = index_of(own[:count])
    return Days(reader, made, day_of)


def close(days: Days) -> None:
    """Let go of the files."""
    for day in days.indexed.values():
        day.close()
