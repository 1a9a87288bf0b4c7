"""Bodies lie in day files, and a store finds itself again in them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.replicate import SafeLedger
from hub.store.chunks import ChunkStore
from hub.store.days import DayKey, day_of, day_span_ms, keys_in, path_of
from hub.store.files import FILE_NAME, open_files
from shared.errors import Unavailable
from shared.ranges import Ranges
from shared.records import GENESIS_HASH, Chunk
from shared.runtime import system_runtime
from tests.hub_files import chunks_in, remove_store
from tests.law.drawing import chunk_of

KEY = ("edge-1", "e1")
DAY_MS = 86_400_000
T0 = 1_790_000_000_000


def chain(last: int) -> list[Chunk]:
    """A log of chunks 1 to `last`."""
    made: list[Chunk] = []
    for seq in range(1, last + 1):
        made.append(chunk_of(seq, previous_hash=made[-1].hash if made else GENESIS_HASH))
    return made


async def opened(folder: Path) -> ChunkStore:
    store = ChunkStore(open_files(folder, "OFF", threads=False), system_runtime(), SafeLedger(1))
    await store.open()
    return store


@pytest.mark.parametrize(
    ("received_ms", "day"),
    [(0, "1970-01-01"), (T0, "2026-09-21"), (T0 - T0 % DAY_MS, "2026-09-21")],
)
def test_a_day_is_one_of_utc(received_ms: int, day: str) -> None:
    assert day_of(received_ms) == day
    first, after = day_span_ms(day)
    assert first <= received_ms < after == first + DAY_MS


async def test_a_chunk_lies_in_the_file_of_the_day_on_which_the_cluster_took_it_in(
    tmp_path: Path,
) -> None:
    store = await opened(tmp_path)
    chunks = chain(2)
    await store.keep(chunks, "hub-2", [T0, T0 - DAY_MS])
    assert keys_in(tmp_path) == [DayKey("2026-09-20", "logs"), DayKey("2026-09-21", "logs")]
    page = await store.read({KEY: Ranges(((1, 9),))}, 1 << 20, 10)
    assert (list(page.chunks), list(page.received_ms)) == (chunks, [T0, T0 - DAY_MS])
    store.files.close()


async def test_a_peer_cannot_put_chunks_into_the_future_or_into_another_age(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.keep(chain(2), "hub-2", [2**60, -5])
    days = [key.day for key in keys_in(tmp_path)]
    assert days == ["2000-01-01", day_of(system_runtime().wall_ms())]
    store.files.close()


async def test_a_store_whose_hub_db_is_gone_is_put_together_from_its_day_files(
    tmp_path: Path,
) -> None:
    store = await opened(tmp_path)
    chunks = chain(6)
    await store.keep(chunks[:5], "hub-2", [T0 + seq * DAY_MS // 2 for seq in range(5)])
    store.files.close()
    before = list(chunks_in(tmp_path))
    (tmp_path / FILE_NAME).unlink()
    again = await opened(tmp_path)
    assert again.have(KEY) == Ranges(((1, 5),))
    assert again.head_arrival == 5
    assert list(chunks_in(tmp_path)) == before
    (outcome,) = await again.keep(chunks[5:], "hub-2")
    assert outcome.held
    assert [chunk.seq for chunk in chunks_in(tmp_path)] == [1, 2, 3, 4, 5, 6]
    again.files.close()


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize("spoil", [overwrite, cut])
async def test_a_hub_db_of_garbage_is_put_aside_and_made_again(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    store = await opened(tmp_path)
    await store.keep(chain(2), "hub-2")
    store.files.close()
    spoil(tmp_path / FILE_NAME)
    again = await opened(tmp_path)
    assert again.have(KEY) == Ranges(((1, 2),))
    assert (tmp_path / f"{FILE_NAME}.damaged-1").exists()
    again.files.close()


async def test_damaged_rows_of_day_files_are_not_taken_up(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.keep(chain(3), "hub-2", [T0] * 3)
    store.files.close()
    (tmp_path / FILE_NAME).unlink()
    file = sqlite3.connect(path_of(tmp_path, "2026-09-21", "logs"))
    with file:
        file.execute("UPDATE body SET body = x'00' WHERE arrival = 2")
        file.execute("UPDATE body SET header = x'c1' WHERE arrival = 3")
    file.close()
    again = await opened(tmp_path)
    assert again.have(KEY) == Ranges(((1, 1),))
    again.files.close()


async def test_a_new_disk_is_empty(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.keep([chunk_of(1)], "hub-2")
    store.files.close()
    remove_store(tmp_path)
    again = await opened(tmp_path)
    assert (again.chunks, again.head_arrival) == (0, 0)
    again.files.close()


async def keep_one_by_one(store: ChunkStore, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        await store.keep([chunk], "hub-2")


@pytest.mark.parametrize("threads", [False, True])
async def test_when_a_body_cannot_be_written_nothing_of_its_group_is(
    tmp_path: Path, threads: bool
) -> None:
    """A row without its body would be a chunk that was acknowledged and lost."""
    files = open_files(tmp_path, "OFF", threads=threads)
    store = ChunkStore(files, system_runtime(), SafeLedger(1))
    await store.open()
    await store.keep([chunk_of(1)], "hub-2")
    key = keys_in(tmp_path)[0]

    def limit(connection: sqlite3.Connection) -> None:
        del connection
        day = files.writer._open[key]
        (pages,) = day.execute("PRAGMA page_count").fetchone()
        day.execute(f"PRAGMA max_page_count = {pages}")

    await files.database.write(limit)
    with pytest.raises(Unavailable, match="disk is full"):
        await keep_one_by_one(store, chain(200)[1:])
    held = [chunk.seq for chunk in chunks_in(tmp_path)]
    assert held == list(range(1, len(held) + 1))
    assert store.have(KEY) == Ranges(((1, len(held)),))
    store.files.close()


async def test_a_body_that_cannot_be_read_makes_its_file_a_suspect(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.keep(chain(2), "hub-2", [T0, T0 - DAY_MS])
    store.files.close()
    overwrite(path_of(tmp_path, "2026-09-20", "logs"))
    again = await opened(tmp_path)
    page = await again.read({KEY: Ranges(((1, 9),))}, 1 << 20, 10)
    assert [chunk.header.seq for chunk in page.chunks] == [1]
    assert list(again.suspects) == [DayKey("2026-09-20", "logs")]
    again.files.close()


async def test_chunks_of_many_days_come_in_one_batch(tmp_path: Path) -> None:
    """After an outage a peer brings weeks at a time: more files than are open at once."""
    store = await opened(tmp_path)
    chunks = chain(30)
    await store.keep(chunks, "hub-2", [T0 - seq * DAY_MS for seq in range(30)])
    assert len(keys_in(tmp_path)) == 30
    assert [chunk.seq for chunk in chunks_in(tmp_path)] == list(range(1, 31))
    store.files.close()
