"""A day file that is damaged is mended: what is sound stays, the rest comes again, and people are told."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.mender import Mender
from hub.replicate import SafeLedger
from hub.store.chunks import ChunkStore
from hub.store.days import DayKey, path_of, remove_day
from hub.store.files import open_files
from hub.store.mend import Promise
from hub.store.repair import Repair
from shared.errors import Unavailable
from shared.ranges import Ranges, of_seqs
from shared.records import Chunk
from shared.runtime import system_runtime
from tests.hub_files import chunks_in
from tests.unit.hub.test_day_files import KEY, T0, chain

DAY = DayKey("2026-09-21", "logs")
CHUNKS = chain(300)  # More than are read at a time.


@dataclass
class Place:
    """A store with its mender, and what was told."""

    folder: Path
    store: ChunkStore
    mender: Mender
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    sweeps: int = 0

    @property
    def file(self) -> Path:
        return path_of(self.folder, DAY.day, DAY.signal)

    async def mend(self) -> None:
        """One turn of the mender, which does not wait for the next trouble."""
        self.store.suspected.ring()
        await self.mender.step()

    async def refill(self) -> None:
        """What a peer does: it brings what is lacking, and says when that was received."""
        lacking = [each for each in CHUNKS if each.header.seq not in self.store.have(KEY)]
        await self.store.keep(lacking, "hub-2", [T0] * len(lacking))


async def opened(folder: Path) -> Place:
    store = ChunkStore(open_files(folder, "OFF", threads=False), system_runtime(), SafeLedger(1))
    await store.open()
    place = Place(folder, store, None)  # type: ignore[arg-type]  # It comes in the next line.
    place.mender = Mender(
        "hub-1",
        store,
        system_runtime(),
        lambda kind, told: place.told.append((kind, told)),
        lambda: setattr(place, "sweeps", place.sweeps + 1),
        Counter(),
    )
    await place.mender.open()
    return place


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    """A store whose one day file was closed in peace and spoilt by nobody yet."""
    store = await opened(tmp_path)
    await store.store.keep(CHUNKS, "hub-2", [T0] * len(CHUNKS))
    store.store.files.close()
    return await opened(tmp_path)


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 5000)


def gone(path: Path) -> None:
    remove_day(path.parent.parent, DAY)


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE body SET body = x'00' WHERE arrival IN (3, 4, 250)")
    connection.close()


@pytest.mark.parametrize("spoil", [garbage, gone, torn, empty, flipped])
async def test_what_is_sound_stays_and_the_rest_comes_again(
    place: Place, spoil: Callable[[Path], None]
) -> None:
    place.store.files.close()
    spoil(place.file)
    again = await opened(place.folder)
    again.store.suspect(DAY, "somebody met an error")
    await again.mend()
    held = again.store.have(KEY)
    assert [chunk.seq for chunk in chunks_in(place.folder)] == list(held)
    assert held != Ranges(((1, 300),))
    assert again.mender.chunks_wanting == 300 - held.count
    assert [kind for kind, _ in again.told] == ["store.damaged"]
    assert again.sweeps == 1
    await again.refill()
    await again.mend()
    assert [kind for kind, _ in again.told] == ["store.damaged", "store.refilled"]
    assert again.mender.chunks_wanting == 0
    assert [chunk.header for chunk in chunks_in(place.folder)] == [
        chunk.header_bytes for chunk in CHUNKS
    ]
    assert sums_on_disk(again.store) == (300, 300)
    again.store.files.close()


def sums_on_disk(store: ChunkStore) -> tuple[int, int]:
    """Chunks as the books say, and as there are rows."""
    with store.files.database.reading() as connection:
        (noted,) = connection.execute("SELECT chunks FROM held").fetchone()
        (there,) = connection.execute("SELECT count(*) FROM chunk").fetchone()
    return noted, there


async def test_only_the_flipped_chunks_are_lost(place: Place) -> None:
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    await place.mend()
    assert Ranges(((1, 300),)) - place.store.have(KEY) == of_seqs([3, 4, 250])
    assert sorted(path.name for path in place.file.parent.glob("*.damaged-1")) == [
        "2026-09-21.logs.db.damaged-1"
    ]
    place.store.files.close()


async def test_a_sound_file_under_suspicion_is_left_alone(place: Place) -> None:
    place.store.suspect(DAY, "a reader had bad luck")
    await place.mend()
    assert (place.told, place.store.suspects) == ([], {})
    assert place.store.have(KEY) == Ranges(((1, 300),))
    place.store.files.close()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM]
)
async def test_a_sound_file_that_cannot_be_read_just_now_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Too many open files are no damage: no other hub might have what is taken out of the log."""

    def refuse(path: Path) -> None:
        error = sqlite3.OperationalError(f"{path.name}: not now")
        error.sqlite_errorcode = code
        raise error

    place.store.suspect(DAY, "a reader had bad luck")
    monkeypatch.setattr("hub.store.mend.open_reader", refuse)
    with pytest.raises(Unavailable, match="not now"):
        await place.mend()
    monkeypatch.undo()
    assert place.store.have(KEY) == Ranges(((1, 300),))
    await place.mend()
    assert (place.told, place.store.suspects) == ([], {})
    place.store.files.close()


@pytest.mark.parametrize(("name", "turns"), [("begin", 0), ("copy", 0), ("copy", 2), ("finish", 0)])
async def test_a_hub_that_was_killed_while_it_mended_loses_nothing_sound(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, turns: int
) -> None:
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    stop_after(monkeypatch, name, turns)
    with pytest.raises(KeyboardInterrupt):
        await place.mend()
    monkeypatch.undo()
    place.store.files.abandon()
    again = await opened(place.folder)
    again.store.suspect(DAY, "somebody met an error")
    await again.mend()
    assert Ranges(((1, 300),)) - again.store.have(KEY) == of_seqs([3, 4, 250])
    assert [chunk.seq for chunk in chunks_in(place.folder)] == list(again.store.have(KEY))
    again.store.files.close()


def stop_after(monkeypatch: pytest.MonkeyPatch, name: str, turns: int) -> None:
    real, left = getattr(Repair, name), [None] * turns

    def stopping(repair: Repair, *given: Any) -> Any:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(repair, *given)

    monkeypatch.setattr(Repair, name, stopping)


async def test_who_reads_while_a_file_is_mended_finds_every_sound_chunk(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    real, seen = Repair.copy, []

    def looking(repair: Repair, page: list[Promise]) -> Any:
        reader = place.store.reader()
        held = list(reader.chunks([1, 100, 300]))
        seen.append([len(reader.body(each)) for each in held])
        reader.close()
        return real(repair, page)

    monkeypatch.setattr(Repair, "copy", looking)
    await place.mend()
    assert seen == [[4, 4, 4]] * 3
    place.store.files.close()


async def test_what_came_while_a_file_was_mended_is_in_the_new_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    late = chain(301)[300:]
    real = Mender._strike

    async def with_news(mender: Mender, key: DayKey, broken: list[Promise]) -> None:
        await real(mender, key, broken)
        await place.store.keep(late, "hub-2", [T0])

    monkeypatch.setattr(Mender, "_strike", with_news)
    await place.mend()
    assert 301 in place.store.have(KEY)
    assert [chunk.seq for chunk in chunks_in(place.folder)] == list(place.store.have(KEY))
    place.store.files.close()


async def test_what_no_hub_brings_for_a_day_is_told_as_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are not partial for ever; the ledger shows the hole, and a hub may still fill it."""
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    await place.mend()
    await place.mend()
    assert place.mender.chunks_wanting == 3
    monkeypatch.setattr("hub.mender.GIVE_UP_MS", -1)
    await place.mend()
    assert place.mender.chunks_wanting == 0
    lost = [told for kind, told in place.told if kind == "store.lost"]
    assert [(told["node"], told["chunks"], told["first_seq"]) for told in lost] == [
        ("edge-1", 3, 3)
    ]
    assert 3 not in place.store.have(KEY)
    await place.refill()
    assert place.store.have(KEY) == Ranges(((1, 300),))
    place.store.files.close()


async def test_every_chunk_is_read_now_and_then(place: Place) -> None:
    flipped(place.file)
    for _ in range(5):
        await place.mender.scrub()
    assert list(place.store.suspects) == [DAY]
    await place.mend()
    assert place.mender.chunks_wanting == 3
    place.store.files.close()


async def test_what_is_wanting_is_known_after_a_restart(place: Place) -> None:
    flipped(place.file)
    place.store.suspect(DAY, "somebody met an error")
    await place.mend()
    place.store.files.close()
    again = await opened(place.folder)
    assert again.mender.chunks_wanting == 3
    again.store.files.close()


def test_the_chunks_of_these_tests_are_a_log() -> None:
    def follows(one: Chunk, other: Chunk) -> bool:
        return other.header.previous_hash == one.hash

    assert all(map(follows, CHUNKS, CHUNKS[1:]))
