"""Damage to one header in hub.db leaves everything else served, is told, and heals."""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.archive import Archive
from hub.mender import Mender
from hub.query.methods import QUESTIONS
from hub.store.days import path_of
from hub.store.headers import header_of, is_true, true_header
from shared.errors import BadInput, Unavailable
from shared.ranges import Ranges, of_seqs
from shared.records import Chunk, Signal
from shared.runtime import system_runtime
from tests.hub_files import chunks_in, rows
from tests.law.drawing import chunks as drawn_chunks
from tests.unit.index.fill_world import fill_all, filler, index_of
from tests.unit.index.hub_stock import (
    IDENTITY,
    HubStock,
    hub_stock,
    key_of,
    opaque_in,
    reached,
)
from tests.unit.query.stock import NOW_NS

LOG = ("edge-1", "e1")
SPOIL: dict[str, Callable[[bytes], tuple[str, object]]] = {
    "garbage": lambda header: ("header = ?", b"\x00"),
    "a text": lambda header: ("header = ?", "no blob at all"),
    "a text that is none": lambda header: ("header = CAST(? AS TEXT)", b"\xff" + header),
    "another node": lambda header: ("header = ?", header.replace(b"edge-1", b"edge-9")),
    "another hash": lambda header: ("hash = ?", bytes(32)),
    "a short hash": lambda header: ("hash = ?", "text"),
}
SIGNAL_OF = {
    "event.list": Signal.EVENTS,
    "metric.query": Signal.METRICS,
    "metric.names": Signal.METRICS,
    "series.list": Signal.METRICS,
    "trace.search": Signal.TRACES,
    "trace.get": Signal.TRACES,
}
EVER = {"start": 0, "end": 2_000_000_000}
PARAMS: dict[str, dict[str, Any]] = {
    "log.histogram": {"start": 0, "end": 600, "step": 60},
    "label.values": {"label": "service"},
    "metric.query": {"name": "w2"},
    "trace.get": {"trace_id": f"{2:032x}", "start": None, "end": None},
}


@dataclass
class Place:
    """A store, its mender, and what that told."""

    stock: HubStock
    mender: Mender
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def ask(self, method: str, identity: str | None = None, **params: Any) -> dict[str, Any]:
        store, asked = self.stock.store, {**EVER, **PARAMS.get(method, {}), **params}
        files = store.files
        archive = Archive(self.stock.folder, identity, files.database, files.readers, store.suspect)
        given = {name: value for name, value in asked.items() if value is not None}
        return archive.answer(method, given, NOW_NS)

    def words(self) -> list[str]:
        return sorted(item["body"] for item in self.ask("log.query")["items"])

    def unreadable(self, method: str = "log.query", identity: str | None = None) -> int:
        count = self.ask(method, identity)["scanned"].get("unreadable_chunks", 0)
        return int(count)

    def spoil(self, how: str = "garbage", arrival: int = 2) -> None:
        """One row of hub.db; the header in the day file is as it was."""
        change, value = SPOIL[how](self.header_of(arrival)[0])
        _execute(self.stock.folder / "hub.db", f"UPDATE chunk SET {change}", value, arrival)

    def spoil_day_file(self, arrival: int = 2) -> None:
        """The other copy of the header."""
        path = path_of(self.stock.folder, key_of().day, key_of().signal)
        _execute(path, "UPDATE body SET header = ?", b"\x00", arrival)

    async def mend(self) -> None:
        """One turn of the mender, which does not wait for the next trouble."""
        self.stock.store.suspected.ring()
        await self.mender.step()

    def header_of(self, arrival: int) -> tuple[bytes, bytes]:
        """Header and hash in hub.db."""
        query = "SELECT header, hash FROM chunk WHERE arrival = ?"
        ((header, digest),) = rows(self.stock.folder / "hub.db", query, arrival)
        return header, digest


def _execute(path: Path, update: str, value: object, arrival: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        done = connection.execute(f"{update} WHERE arrival = ?", (value, arrival))
        assert done.rowcount == 1


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Place]:
    """The place in a folder; a new one has no chunks."""
    async with hub_stock(folder) as stock:
        told: list[tuple[str, Mapping[str, Any]]] = []
        mender = Mender(
            "hub-1",
            stock.store,
            system_runtime(),
            lambda kind, facts: told.append((kind, facts)),
            lambda: None,
            Counter(),
        )
        await mender.open()
        yield Place(stock, mender, told)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Three chunks of logs, each with the word of its number."""
    async with opened(tmp_path) as made:
        await made.stock.put(3)
        yield made


@pytest.mark.parametrize("how", SPOIL)
async def test_a_question_is_answered_with_the_rest_and_says_that_something_is_lacking(
    place: Place, how: str
) -> None:
    place.spoil(how)
    assert place.words() == ["some w1", "some w3"]
    assert place.unreadable() == 1
    assert list(place.stock.store.suspects) == [key_of()]


@pytest.mark.parametrize("indexed", ["before", "after", "never"])
@pytest.mark.parametrize("method", QUESTIONS)
async def test_every_method_answers_and_counts_what_it_could_not_see(
    tmp_path: Path, method: str, indexed: str
) -> None:
    """Where an index was made before the damage, some need not see the chunk at all."""
    async with opened(tmp_path) as place:
        await place.stock.put(3, signal=SIGNAL_OF.get(method, Signal.LOGS))
        sound = place.ask(method)
        if indexed == "before":
            fill(place)
        place.spoil(arrival=3)
        if indexed == "after":
            fill(place)
        identity = None if indexed == "never" else IDENTITY
        counted = place.unreadable(method, identity)
        assert counted == 1 or (counted == 0 and indexed == "before")
        if counted == 0:
            assert {**place.ask(method, identity), "scanned": 0} == {**sound, "scanned": 0}


def fill(place: Place) -> None:
    with filler(place.stock) as made:
        fill_all(made)


async def test_a_sound_store_leaves_nothing_out(place: Place) -> None:
    assert "unreadable_chunks" not in place.ask("log.query")["scanned"]
    assert place.stock.store.suspects == {}


@pytest.mark.parametrize("how", SPOIL)
async def test_a_peer_gets_the_others(place: Place, how: str) -> None:
    """A header that was changed would be taken for another chunk with the same number."""
    place.spoil(how)
    page = await place.stock.store.read({LOG: Ranges(((1, 9),))}, 1 << 20, 10)
    assert [chunk.header.seq for chunk in page.chunks] == [2, 6]
    assert list(place.stock.store.suspects) == [key_of()]


@pytest.mark.parametrize("how", ["garbage", "a text"])
async def test_the_index_goes_on_behind_it(place: Place, how: str) -> None:
    place.spoil(how)
    fill(place)
    assert (reached(place.stock.folder, key_of()), opaque_in(place.stock.folder, key_of())) == (
        3,
        {2},
    )


@pytest.mark.parametrize("how", SPOIL)
async def test_what_the_day_file_still_has_is_put_back(place: Place, how: str) -> None:
    before = place.header_of(2)
    place.spoil(how)
    place.words()
    await place.mend()
    assert place.header_of(2) == before
    assert place.words() == ["some w1", "some w2", "some w3"]
    assert place.unreadable() == 0
    assert place.told == [
        ("store.healed", {"day": key_of().day, "signal": "logs", "chunks": 1}),
    ]
    assert place.mender.counters == {"chunks_healed": 1}
    assert (place.stock.store.suspects, place.mender.chunks_wanting) == ({}, 0)
    await place.mend()
    assert len(place.told) == 1


async def test_damage_that_nobody_meets_is_found_by_reading_everything(place: Place) -> None:
    place.spoil("another node")
    while key_of() not in place.stock.store.suspects:
        await place.mender.scrub()
    await place.mend()
    assert [kind for kind, _ in place.told] == ["store.healed"]


async def test_an_index_that_believed_a_changed_header_is_made_again(place: Place) -> None:
    """One that has the chunk as opaque is as true as before, and stays."""
    place.spoil("garbage", 1)
    fill(place)
    place.stock.store.suspect(key_of(), "somebody met an error")
    await place.mend()
    assert index_of(place.stock).exists()
    place.spoil("another node")
    place.stock.store.suspect(key_of(), "somebody met an error")
    await place.mend()
    assert not index_of(place.stock).exists()


async def test_what_no_copy_tells_is_fetched_from_peers(place: Place) -> None:
    lost = await place.stock.store.read({LOG: of_seqs([4])}, 1 << 20, 10)
    place.spoil()
    place.spoil_day_file()
    place.words()
    await place.mend()
    assert place.stock.store.have(LOG) == of_seqs([2, 6])
    assert place.words() == ["some w1", "some w3"]
    assert place.mender.chunks_wanting == 1
    assert [kind for kind, _ in place.told] == ["store.damaged"]
    await place.stock.store.keep(lost.chunks, "hub-2", lost.received_ms)
    await place.mend()
    assert place.words() == ["some w1", "some w2", "some w3"]
    assert [kind for kind, _ in place.told] == ["store.damaged", "store.refilled"]
    assert len(list(chunks_in(place.stock.folder))) == 3


async def test_one_chunk_heals_while_another_is_lost(place: Place) -> None:
    for arrival in (1, 2):
        place.spoil(arrival=arrival)
    place.spoil_day_file()
    place.words()
    await place.mend()
    assert place.stock.store.have(LOG) == of_seqs([2, 6])
    assert [kind for kind, _ in place.told] == ["store.healed", "store.damaged"]


async def test_a_header_is_found_in_a_file_that_was_put_aside(place: Place) -> None:
    """The day file was damaged before, and its successor has not got all."""
    key, store = key_of(), place.stock.store
    before = place.header_of(2)
    place.spoil()
    store.files.writer.leave(key)
    store.files.readers.leave(key)
    path = path_of(place.stock.folder, key.day, key.signal)
    for beside in ("-wal", "-shm", ""):
        source = path.with_name(path.name + beside)
        if source.exists():
            source.rename(path.with_name(f"{path.name}.damaged-1{beside}"))
    store.suspect(key, "the file is gone")
    await place.mend()
    assert place.header_of(2) == before
    assert place.words() == ["some w1", "some w2", "some w3"]


async def test_a_day_file_that_cannot_be_read_just_now_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        error = sqlite3.OperationalError(f"{path.name}: not now")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    place.spoil()
    place.words()
    monkeypatch.setattr("hub.store.healing.open_reader", refuse)
    with pytest.raises(Unavailable, match="not now"):
        await place.mend()
    monkeypatch.undo()
    await place.mend()
    assert place.words() == ["some w1", "some w2", "some w3"]


# ---- Reading a header


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_header_or_bad_input(data: bytes) -> None:
    try:
        header = header_of(data)
    except BadInput:
        return
    assert isinstance(header.seq, int)


@given(drawn_chunks, st.data())
def test_a_header_with_any_bit_flipped_is_not_taken_for_the_true_one(
    chunk: Chunk, data: st.DataObject
) -> None:
    assert true_header(chunk.header_bytes, chunk.hash) == chunk.header
    spoilt = bytearray(chunk.header_bytes)
    bit = data.draw(st.integers(0, 8 * len(spoilt) - 1))
    spoilt[bit // 8] ^= 1 << bit % 8
    assert not is_true(bytes(spoilt), chunk.hash)
    with pytest.raises(BadInput, match="its hash"):
        true_header(bytes(spoilt), chunk.hash)
