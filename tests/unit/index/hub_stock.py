"""A hub's store with real chunks, as the writer of the indexes finds it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from hub.index.files import index_path, opaque, open_for_read, through
from hub.index.log_reader import LogIndex
from hub.query.needs import Needs
from hub.replicate import SafeLedger
from hub.store.chunks import ChunkStore
from hub.store.days import DAY_MS, DayKey, day_of
from hub.store.files import open_files
from shared.records import Signal
from shared.runtime import system_runtime
from tests.law.drawing import chunk_of
from tests.unit.query.stock import gauge, log, logs, metrics, span, spans

IDENTITY = "this store"
NOON_MS = 1_772_366_400_000
DAYS = tuple(day_of(NOON_MS + n * DAY_MS) for n in range(4))
SIGNALS = tuple(Signal)


def key_of(day: int = 0, signal: Signal = Signal.LOGS) -> DayKey:
    return DayKey(DAYS[day], str(signal))


def body_of(signal: Signal, number: int) -> bytes:
    """Content that is found by the word `w<number>`, or that has the trace of this number."""
    if signal == Signal.METRICS:
        return metrics([gauge(f"w{number}", [(number, 1)])]).SerializeToString()
    if signal == Signal.TRACES:
        return spans([span(number, 1)]).SerializeToString()
    return logs([log(number, f"some w{number}")]).SerializeToString()


@dataclass
class HubStock:
    """The store, and how many chunks were put into it."""

    store: ChunkStore
    count: int = 0
    arrivals: dict[DayKey, list[int]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.store.files.folder

    async def put(
        self,
        chunks: int,
        day: int = 0,
        signal: Signal = Signal.LOGS,
        bodies: Iterable[bytes] = (),
    ) -> list[int]:
        """Keep some more chunks, each of a log with holes; returns their arrival numbers."""
        given, made = list(bodies), []
        for _ in range(chunks):
            self.count += 1
            body = given.pop(0) if given else body_of(signal, self.count)
            chunk = chunk_of(2 * self.count, body, signal=signal, records=self.count % 3 + 1)
            await self.store.keep([chunk], "hub-2", [NOON_MS + day * DAY_MS])
            made.append(self.store.head_arrival)
        self.arrivals.setdefault(key_of(day, signal), []).extend(made)
        return made


@asynccontextmanager
async def hub_stock(folder: Path) -> AsyncIterator[HubStock]:
    """A new store in a folder, or the one that is there."""
    files = open_files(folder, "OFF", threads=False)
    try:
        store = ChunkStore(files, replace(system_runtime(), threads=False), SafeLedger(1))
        await store.open()
        yield HubStock(store)
    finally:
        files.close()


def reached(folder: Path, key: DayKey, identity: str = IDENTITY) -> int | None:
    """How far an index goes; None when there is none."""
    connection = open_for_read(index_path(folder, key.day, key.signal), identity)
    if connection is None:
        return None
    with closing(connection):
        return through(connection)


def opaque_in(folder: Path, key: DayKey) -> set[int]:
    connection = open_for_read(index_path(folder, key.day, key.signal), IDENTITY)
    assert connection is not None
    with closing(connection):
        return opaque(connection)


def chunks_with(folder: Path, word: str, key: DayKey | None = None) -> set[int]:
    """The chunks that an index of logs names for a word."""
    key = key or key_of()
    connection = open_for_read(index_path(folder, key.day, key.signal), IDENTITY)
    assert connection is not None
    with LogIndex(connection) as index:
        return index.candidates(Needs(words=(word.encode(),))) or set()
