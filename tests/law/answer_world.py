"""A hub's store on a real disk with indexes in any state, and the same chunks as a plain list."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec

from hub.archive import Archive
from hub.index import filling
from hub.index.backlog import Behind
from hub.index.files import index_path
from hub.index.filling import Filler
from hub.replicate import SafeLedger
from hub.store import chunk_find
from hub.store.chunks import ChunkStore
from hub.store.days import DayKey, day_span_ms, keys_in
from hub.store.files import StoreFiles, open_files
from shared.codec import compress
from shared.records import GENESIS_HASH, Chunk, Signal, seal
from shared.runtime import Runtime, system_runtime
from tests.unit.query.log_model import LATE_MS
from tests.unit.query.stock import (
    NOW_NS,
    HeldChunk,
    ListReader,
    gauge,
    log,
    logs,
    metrics,
    span,
    spans,
)

IDENTITY = "this store"
DAY_MS = 86_400_000
MEMORY = Path("/dev/shm")  # Nothing here is about a disk, and there are hundreds of stores.
FIRST_DAY_MS = NOW_NS // 1_000_000 // DAY_MS * DAY_MS - 3 * DAY_MS


@dataclass(frozen=True)
class Arriving:
    """A chunk that is to come to the hub: its content, on which of some days, and whether late."""

    signal: Signal
    message: Any
    node: str = "edge-1"
    encoding: str = "proto"
    day: int = 0
    late: bool = False


@dataclass
class World:
    """One store, asked with its indexes or without, and the list that models are made of."""

    folder: Path
    reader: ListReader
    indexed: Archive
    plain: Archive

    def ask(self, archive: Archive, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return archive.answer(method, dict(params), NOW_NS)

    def each(self, method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answers with indexes and without."""
        return [self.ask(archive, method, params) for archive in (self.indexed, self.plain)]

    def pages(
        self, archives: Sequence[Archive], method: str, params: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The items of all pages; each page is asked of the next archive in turn."""
        items: list[dict[str, Any]] = []
        asked = dict(params)
        for number in range(1000):
            page = self.ask(archives[number % len(archives)], method, asked)
            assert len(page["items"]) <= params["limit"]
            items += page["items"]
            if page["cursor"] is None:
                return items
            asked["cursor"] = page["cursor"]
        raise AssertionError("the pages do not end")

    def all_pages(self, method: str, params: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
        """All pages with indexes, without, and in turn, beginning with either."""
        with_index, without = self.indexed, self.plain
        turns = ([with_index], [without], [with_index, without], [without, with_index])
        return [self.pages(archives, method, params) for archives in turns]


NOISE = (
    Arriving(Signal.LOGS, logs([log(5_000_000_000_000, "noise")]), "edge-noise", day=1),
    Arriving(Signal.EVENTS, logs([log(5_000_000_000_000, event_name="noise")]), "edge-noise"),
    Arriving(Signal.METRICS, metrics([gauge("noise", [(90_000, 1)])]), "edge-noise", day=2),
    Arriving(Signal.TRACES, spans([span(99, 1, 0, 90_000)]), "edge-noise", day=1),
)
"""Chunks of all signals, on nodes and at times that no question is about."""


@contextmanager
def world(
    arriving: Sequence[Arriving],
    states: Mapping[tuple[int, str], str],
    damaged: Sequence[Signal] = (),
    way: str = "as ever",
) -> Iterator[World]:
    """Chunks of these and of all other signals in a store; `states` says of a day and signal what its
    index is like, by default whole. Chunks that nobody can read come first for `damaged`; `way` is one
    of WAYS."""
    reader = ListReader()
    for signal in damaged:
        reader.put_body(signal, b"\xff no OTLP", time_max_ns=2**62)
    days = [0] * len(damaged)
    lates = [False] * len(damaged)
    for each in (*NOISE[:2], *arriving, *NOISE[2:]):
        reader.put(each.signal, each.message, each.node, each.encoding)
        days.append(each.day)
        lates.append(each.late)
    for number, (day, late) in enumerate(zip(days, lates, strict=True)):
        _receive(reader, number, day, late)
    root = MEMORY if MEMORY.is_dir() else None
    with (
        TemporaryDirectory(dir=root) as name,
        _stored(Path(name), reader) as (files, suspect),
        patch.multiple(chunk_find, **WAYS[way]),
    ):
        for key in keys_in(files.folder):
            day = (day_span_ms(key.day)[0] - FIRST_DAY_MS) // DAY_MS
            STATES[states.get((day, key.signal), "whole")](files.folder, key)
        parts = (files.database, files.readers, suspect)
        yield World(
            files.folder,
            ListReader([each for each in reader.chunks if each.body[:1] != b"\xff"]),
            Archive(files.folder, IDENTITY, *parts),
            Archive(files.folder, None, *parts),
        )


WAYS: Mapping[str, Mapping[str, Any]] = {
    "as ever": {"CURSORS_MAX": 32},
    "as if there were many": {"NUMBERS_MAX": 0, "CURSORS_MAX": 0},
    "as if there were some": {"NUMBERS_MAX": 2, "CURSORS_MAX": 1},
    "as if times were odd": {"NUMBERS_MAX": 1, "SPAN_NS_MAX": 0},
}
"""How the store finds chunks depends on how many there are; a million would take a while here."""


def _receive(reader: ListReader, number: int, day: int, late: bool) -> None:
    """Set the times of arrival and the place in its log: half of the chunks are of a later epoch."""
    held = reader.chunks[number]
    epoch = "e1" if number < len(reader.chunks) // 2 else "e2"
    received_ms = FIRST_DAY_MS + day * DAY_MS + number
    header = msgspec.structs.replace(
        held.header,
        epoch=epoch,
        seq=1
        + sum(
            (each.header.origin, each.header.epoch) == (held.header.origin, epoch)
            for each in reader.chunks[:number]
        ),
        created_ms=received_ms - (LATE_MS if late else 0),
    )
    reader.chunks[number] = replace(held, header=header, received_ms=received_ms)


@contextmanager
def _stored(folder: Path, reader: ListReader) -> Iterator[tuple[StoreFiles, Callable[..., None]]]:
    with asyncio.Runner() as runner:
        files = open_files(folder, "OFF", threads=False)
        try:
            store = runner.run(_keep(files, reader))
            yield files, store.suspect
        finally:
            files.close()


async def _keep(files: StoreFiles, reader: ListReader) -> ChunkStore:
    runtime: Runtime = replace(system_runtime(), wall_ns=lambda: NOW_NS, threads=False)
    store = ChunkStore(files, runtime, SafeLedger(1))
    await store.open()
    hashes: dict[tuple[str, str], bytes] = {}
    for held in reader.chunks:
        chunk = _sealed(held, hashes)
        (outcome,) = await store.keep([chunk], "hub-2", [held.received_ms])
        assert outcome.held
    assert store.head_arrival == len(reader.chunks)
    return store


def _sealed(held: HeldChunk, hashes: dict[tuple[str, str], bytes]) -> Chunk:
    stored = compress(held.body)
    log_key = (held.header.origin, held.header.epoch)
    header = msgspec.structs.replace(
        held.header,
        codec="zstd",
        raw_bytes=len(held.body),
        stored_bytes=len(stored),
        body_sha256=hashlib.sha256(stored).digest(),
        previous_hash=hashes.get(log_key, GENESIS_HASH),
    )
    chunk = seal(header, stored)
    hashes[log_key] = chunk.hash
    return chunk


# ---- States of an index


def _fill(folder: Path, key: DayKey, identity: str = IDENTITY) -> None:
    with closing(Filler(folder, identity)) as filler:
        while filler.fill_some([Behind(key, 1)]):
            pass


def _fill_half(folder: Path, key: DayKey) -> None:
    """By two processes in turn, a chunk each."""
    with patch.object(filling, "BUNCH_CHUNKS_MAX", 1):
        for _ in range(2):
            with closing(Filler(folder, IDENTITY)) as filler:
                filler.fill_some([Behind(key, 1)])


def _leave_out(folder: Path, key: DayKey) -> None:
    """There is none."""


def _spoil(folder: Path, key: DayKey, keep_bytes: int, filling_byte: bytes) -> None:
    _fill(folder, key)
    path = index_path(folder, key.day, key.signal)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:keep_bytes] + filling_byte * (size - keep_bytes))


def _cut(folder: Path, key: DayKey) -> None:
    _fill(folder, key)
    path = index_path(folder, key.day, key.signal)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


STATES: Mapping[str, Callable[[Path, DayKey], None]] = {
    "whole": _fill,
    "half": _fill_half,
    "none": _leave_out,
    "foreign": partial(_fill, identity="another store"),
    "garbage": partial(_spoil, keep_bytes=0, filling_byte=b"x"),
    "damaged": partial(_spoil, keep_bytes=4096, filling_byte=b"\xff"),
    "badly damaged": partial(_spoil, keep_bytes=5 * 4096, filling_byte=b"\xff"),
    "cut": _cut,
    "empty": partial(_spoil, keep_bytes=0, filling_byte=b""),
}
