"""Index files over a list of chunks, some of them indexed and some not yet."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from hub.index.files import fill, open_for_read, open_for_write
from hub.index.metric_reader import MetricDay
from hub.index.metrics import MetricIndexer
from hub.query.picks import DAY_MS
from tests.unit.query.stock import HeldChunk, ListReader

IDENTITY = "a hub"


@dataclass
class Days:
    """The index files of a folder; each is opened for one answer."""

    folder: Path
    days: Collection[int]
    opened: list[MetricDay] = field(default_factory=list)

    def files(self, start_ns: int, end_ns: int) -> list[MetricDay]:
        for day in self.days:
            connection = open_for_read(self.folder / f"{day}.db", IDENTITY)
            assert connection is not None
            self.opened.append(MetricDay(connection, day))
        return self.opened

    def close(self) -> None:
        for day in self.opened:
            day.close()
        self.opened.clear()


@contextmanager
def indexed(reader: ListReader, folder: Path, until: int | None = None) -> Iterator[Days]:
    """The chunks up to this arrival in the index files of their days."""
    by_day: dict[int, list[HeldChunk]] = {}
    for held in sorted(reader.chunks, key=lambda held: held.arrival):
        if until is None or held.arrival <= until:
            by_day.setdefault(held.received_ms // DAY_MS, []).append(held)
    for day, chunks in by_day.items():
        write(folder / f"{day}.db", chunks)
    days = Days(folder, by_day)
    try:
        yield days
    finally:
        days.close()


def write(path: Path, chunks: list[HeldChunk]) -> None:
    """Index chunks in bunches, some by one process and some by the next."""
    half = len(chunks) // 2
    for bunch in (chunks[:half], chunks[half:]):
        indexer = MetricIndexer()
        connection = open_for_write(path, indexer.tables(), IDENTITY)
        for start in range(0, len(bunch), 3):
            fill(
                connection,
                indexer,
                [
                    (held.arrival, held.header, None if held.body == b"damaged" else held.body)
                    for held in bunch[start : start + 3]
                ],
            )
        connection.close()


def receive_on(reader: ListReader, held: HeldChunk, received_ms: int) -> None:
    """Say that a chunk came at another time, and so lies in another day file."""
    place = reader.chunks.index(held)
    reader.chunks[place] = replace(held, received_ms=received_ms)
