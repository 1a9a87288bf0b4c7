"""A day file that cannot be written to, or is no longer the one of its name, harms nobody else."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hub.store.chunks import ChunkStore
from hub.store.day_readers import DayReaders
from hub.store.days import DayKey, path_of, remove_day
from shared.errors import Unavailable
from tests.hub_files import chunks_in, day_files
from tests.unit.hub.test_day_files import DAY_MS, T0, chain, opened

DAY = DayKey("2026-09-21", "logs")


async def with_days(folder: Path) -> ChunkStore:
    """A store with one chunk in each of two day files, of which the later one is `DAY`."""
    store = await opened(folder)
    await store.keep(chain(2), "hub-2", [T0 - DAY_MS, T0])
    return store


def bodies(path: Path) -> int:
    """How many chunks are in a day file."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM body").fetchone()
    return int(count)


async def test_a_day_file_that_cannot_be_written_to_is_suspected_and_the_others_take_data(
    tmp_path: Path,
) -> None:
    """Who wanted to write there may try again; it is bad weather, as a full disk is."""
    store = await with_days(tmp_path)
    store.files.writer.leave(DAY)
    remove_day(tmp_path, DAY)
    path_of(tmp_path, DAY.day, DAY.signal).write_bytes(b"no database at all " * 500)
    with pytest.raises(Unavailable, match="damaged"):
        await store.keep(chain(3)[2:], "hub-2", [T0])
    assert list(store.suspects) == [DAY]
    assert store.files.writer.broken == {DAY}
    await store.keep(chain(3)[2:], "hub-2", [T0 - DAY_MS])
    assert 3 in store.have(("edge-1", "e1"))
    store.files.close()


async def test_nothing_is_written_to_a_day_file_that_has_lost_its_name(tmp_path: Path) -> None:
    store = await with_days(tmp_path)
    remove_day(tmp_path, DAY)
    await store.keep(chain(3)[2:], "hub-2", [T0])
    store.files.close()
    assert [bodies(path) for path in day_files(tmp_path)] == [1, 1]


async def test_a_reader_of_a_day_file_that_was_replaced_is_not_lent_any_more(
    tmp_path: Path,
) -> None:
    """Neither are those that are lent just then, once they come back."""
    store = await with_days(tmp_path)
    days = DayReaders(tmp_path)
    with days.reading(DAY) as old:
        store.files.writer.leave(DAY)
        remove_day(tmp_path, DAY)
        await store.keep(chain(3)[2:], "hub-2", [T0])
        with days.reading(DAY) as new:
            assert new.execute("SELECT arrival FROM body").fetchall() == [(3,)]
    with days.reading(DAY) as again:
        assert again is new is not old
    days.close()
    store.files.close()


async def test_a_chunk_without_its_body_makes_its_day_file_suspect_when_it_is_read(
    tmp_path: Path,
) -> None:
    store = await with_days(tmp_path)
    assert len(list(chunks_in(tmp_path))) == 2
    with closing(sqlite3.connect(path_of(tmp_path, DAY.day, DAY.signal))) as file, file:
        file.execute("DELETE FROM body")
    await store.read({("edge-1", "e1"): store.have(("edge-1", "e1"))}, 1 << 20, 10)
    assert list(store.suspects) == [DAY]
    store.files.close()
