"""A day file leaves in steps, and a crash after any of them is gone on with."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from hub.replicate import SafeLedger
from hub.retention import DayFile, Reason
from hub.store import dropped, ledger_reads, retire
from hub.store.chunks import ChunkStore
from hub.store.days import DAY_MS, DayKey, day_of, path_of
from hub.store.dropped import DroppedDay
from hub.store.files import StoreFiles, open_files
from shared.ranges import Ranges
from shared.receipt import Outcome
from shared.records import Chunk, Signal
from shared.runtime import system_runtime
from shared.sums import Sum
from tests.law.drawing import chunk_of

Result = TypeVar("Result")

DAY = "2026-03-01"
NOON_MS = 1_772_366_400_000
LOGS = DayKey(DAY, "logs")
LOG = ("edge-1", "e1")
FILE = DayFile(DAY, "logs", 0, 0, 0, 0)


def test_the_day_of_these_tests_is_what_it_says() -> None:
    assert (day_of(NOON_MS), day_of(NOON_MS + DAY_MS)) == (DAY, "2026-03-02")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[ChunkStore]:
    files = open_files(folder, "OFF", threads=False)
    store = ChunkStore(files, system_runtime(), SafeLedger(1))
    await store.open()
    yield store
    files.close()


async def put(
    store: ChunkStore, seqs: Sequence[int], signal: Signal = Signal.LOGS, at_ms: int = NOON_MS
) -> list[Chunk]:
    """Keep chunks of one log that do not follow each other, one after the other in time."""
    chunks = [chunk_of(seq, signal=signal) for seq in seqs]
    for chunk in chunks:
        await store.keep([chunk], "hub-2", [at_ms])
    return chunks


async def put_three_days(store: ChunkStore) -> None:
    """Logs and metrics that share the numbers of a log, on the day, and logs of the next."""
    await put(store, range(1, 20, 4))
    await put(store, range(3, 20, 4), Signal.METRICS)
    await put(store, range(21, 30, 4), at_ms=NOON_MS + DAY_MS)


class Steps:
    """The steps of taking out the logs of the day, each of which can be the last before a crash."""

    def __init__(self, store: ChunkStore) -> None:
        self.files: StoreFiles = store.files
        self.left: list[DayKey] = []

    async def write(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self.files.database.write(job)

    async def choose(self) -> DroppedDay:
        return await self.write(lambda db: retire.choose(db, FILE, Reason.AGE, 5))

    async def take_out(self) -> None:
        going = await self.choose()
        await self.write(lambda db: retire.take_out(db, going, 2))

    async def take_all_out(self) -> None:
        going = await self.choose()
        while (await self.write(lambda db: retire.take_out(db, going, 2))).seqs:
            pass

    async def set_aside(self) -> None:
        await self.take_all_out()
        assert await self.write(
            lambda db: retire.set_aside(db, self.files.folder, LOGS, self.leave)
        )

    def leave(self, key: DayKey) -> None:
        self.left.append(key)
        self.files.writer.leave(key)
        self.files.readers.leave(key)

    async def unlink(self) -> None:
        await self.set_aside()
        retire.unlink(self.files.folder, LOGS)

    async def finish(self) -> DroppedDay:
        await self.unlink()
        going = await self.choose()
        return await self.write(lambda db: retire.finish(db, going))


async def sums_of(store: ChunkStore) -> dict[str, Sum]:
    (book,) = await store.reading(lambda db: ledger_reads.epoch_books(db, "edge-1"))
    return {signal: each for signal, each in book.by_signal.items() if each.chunks}


def names_in(folder: Path) -> set[str]:
    """What lies in the folder of day files, but for what SQLite keeps beside them."""
    names = {path.name for path in (folder / "days").iterdir()}
    return {name for name in names if not name.endswith(("-wal", "-shm"))}


KEPT = {f"{DAY}.metrics.db", "2026-03-02.logs.db"}


@pytest.mark.parametrize(
    "last_step", ["", "choose", "take_out", "take_all_out", "set_aside", "unlink", "finish"]
)
async def test_after_a_crash_at_any_step_it_is_gone_on_with(tmp_path: Path, last_step: str) -> None:
    """At the end the file is gone, all else is here, and what went is written down once."""
    async with opened(tmp_path) as store:
        await put_three_days(store)
        before = await sums_of(store)
        if last_step:
            await getattr(Steps(store), last_step)()
    async with opened(tmp_path) as store:
        going = await store.reading(dropped.going_days)
        assert [each.key for each in going] == ([LOGS] if last_step not in ("", "finish") else [])
        if last_step != "finish":
            await Steps(store).finish()
        (gone,) = await store.reading(lambda db: dropped.dropped_days(db, 10))
        after, files = (
            await sums_of(store),
            await store.reading(lambda db: dropped.day_files(db, 99)),
        )
    assert names_in(tmp_path) == KEPT
    assert (gone.key, gone.reason, gone.is_gone, gone.at_ms) == (LOGS, "age", True, 5)
    assert gone.sum.chunks == 5
    assert after["logs"] == before["logs"] - gone.sum
    assert after["metrics"] == before["metrics"]
    assert [(file.day, file.signal, file.chunks) for file in files] == [
        (DAY, "metrics", 5),
        ("2026-03-02", "logs", 3),
    ]


async def test_what_went_still_counts_as_received(tmp_path: Path) -> None:
    """Its numbers stay, so that nobody has to send it again; the sums are those of what is here."""
    async with opened(tmp_path) as store:
        await put_three_days(store)
        received = store.have(LOG)
        gone = await Steps(store).finish()
        records = store.records
    async with opened(tmp_path) as store:
        assert store.have(LOG) == received
        assert store.records == records - gone.sum.records
        of_log = await store.reading(lambda db: dropped.dropped_of(db, LOG))
    assert of_log is not None
    assert (of_log.first_seq, of_log.last_seq, of_log.sum) == (1, 17, gone.sum)


async def test_numbers_that_went_can_be_told_from_those_that_never_came(tmp_path: Path) -> None:
    """Logs 1, 5, 9, 13 and 17 went; metrics 3 to 19 are here, and even numbers never came."""
    async with opened(tmp_path) as store:
        await put_three_days(store)
        everything = Ranges(((1, 100),))
        assert not await store.reading(lambda db: dropped.gone(db, LOG, everything))
        await Steps(store).finish()
        gone = await store.reading(lambda db: dropped.gone(db, LOG, everything))
        assert list(gone) == [1, 5, 9, 13, 17]
        some = Ranges(((2, 9), (18, 40)))
        assert list(await store.reading(lambda db: dropped.gone(db, LOG, some))) == [5, 9]
        assert not await store.reading(lambda db: dropped.gone(db, ("edge-9", "e1"), some))
        assert await store.reading(dropped.dropped_chunks) == gone.count


async def test_a_chunk_that_went_and_comes_again_is_a_duplicate(tmp_path: Path) -> None:
    """An edge that never heard the first answer may send it weeks later; new numbers are new."""
    async with opened(tmp_path) as store:
        (chunk,) = await put(store, [1])
        await put(store, [5, 9])
        await Steps(store).finish()
        outcomes = await store.keep([chunk, chunk_of(3), chunk_of(11)], "hub-2", [NOON_MS] * 3)
        files = await store.reading(lambda db: dropped.day_files(db, 99))
    assert [each.outcome for each in outcomes] == [
        Outcome.DUPLICATE,
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
    ]
    assert [file.chunks for file in files] == [2]


async def test_the_hash_of_the_last_chunk_that_went_is_kept(tmp_path: Path) -> None:
    """The next chunk of the log follows it, and an edge asks for it as a proof."""
    async with opened(tmp_path) as store:
        chunks = await put(store, [9, 1, 5])
        await Steps(store).take_all_out()
        of_log = await store.reading(lambda db: dropped.dropped_of(db, LOG))
    assert of_log is not None
    assert of_log.last_hash == chunks[0].hash


async def test_each_slice_tells_which_numbers_of_which_logs_it_took(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, [1, 5])
        await store.keep([chunk_of(7, origin="edge-2")], "hub-2", [NOON_MS])
        steps = Steps(store)
        going = await steps.choose()
        slices = [await steps.write(lambda db: retire.take_out(db, going, 2)) for _ in range(3)]
    assert [taken.seqs for taken in slices] == [
        {LOG: Ranges(((1, 1), (5, 5)))},
        {("edge-2", "e1"): Ranges(((7, 7),))},
        {},
    ]
    assert [taken.sum.chunks for taken in slices] == [2, 1, 0]


async def test_a_file_is_not_set_aside_while_a_chunk_counts_on_it(tmp_path: Path) -> None:
    """A peer may tell of a chunk of that day while the day is taken out."""
    async with opened(tmp_path) as store:
        steps = Steps(store)
        await put(store, [1])
        await steps.take_all_out()
        await put(store, [5])

        def set_aside(db: sqlite3.Connection) -> bool:
            return retire.set_aside(db, tmp_path, LOGS, steps.leave)

        assert not await steps.write(set_aside)
        assert (steps.left, path_of(tmp_path, *("2026-03-01", "logs")).exists()) == ([], True)
        await steps.take_all_out()
        assert await steps.write(set_aside)
        assert steps.left == [LOGS]


async def test_the_index_of_the_file_goes_with_it(tmp_path: Path) -> None:
    """And no other one."""
    index = tmp_path / "index"
    index.mkdir()
    for name in (f"{DAY}.logs.db", f"{DAY}.logs.db-wal", f"{DAY}.metrics.db"):
        (index / name).touch()
    async with opened(tmp_path) as store:
        await put(store, [1])
        await Steps(store).finish()
    assert [path.name for path in index.iterdir()] == [f"{DAY}.metrics.db"]


async def test_what_was_put_aside_for_damage_goes_with_its_day(tmp_path: Path) -> None:
    """Nobody will repair it any more."""
    async with opened(tmp_path) as store:
        await put(store, [1])
        for name in (f"{LOGS.file_name}.damaged-1", f"{LOGS.file_name}.damaged-2-wal"):
            (tmp_path / "days" / name).touch()
        other = tmp_path / "days" / f"{DAY}.metrics.db.damaged-1"
        other.touch()
        await Steps(store).finish()
    assert names_in(tmp_path) == {other.name}


async def test_chunks_of_a_day_that_is_gone_may_come_and_go_again(tmp_path: Path) -> None:
    """A peer that keeps more was away: the day gets a new file and a second line in the record."""
    async with opened(tmp_path) as store:
        await put(store, [1])
        await Steps(store).finish()
        await put(store, [5, 9])
        assert names_in(tmp_path) == {LOGS.file_name}
        await Steps(store).finish()
        days = await store.reading(lambda db: dropped.dropped_days(db, 10))
    assert [(day.number, day.sum.chunks) for day in days] == [(2, 2), (1, 1)]
    assert names_in(tmp_path) == set()


async def test_a_file_with_a_chunk_that_lacks_copies_is_not_called_safe(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put_three_days(store)  # Arrivals 1 to 5, 6 to 10 and 11 to 13.
        files = await store.reading(lambda db: dropped.day_files(db, 10))
    assert [(file.day, file.signal, file.is_safe) for file in files] == [
        (DAY, "logs", True),
        (DAY, "metrics", True),
        ("2026-03-02", "logs", False),
    ]


async def test_a_slice_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """All sums are moved in one transaction, or none is."""
    async with opened(tmp_path) as store:
        await put_three_days(store)
        steps, before = Steps(store), await sums_of(store)
        going = await steps.choose()

        def fail(db: sqlite3.Connection) -> None:
            retire.take_out(db, going)
            raise KeyError

        with pytest.raises(KeyError):
            await steps.write(fail)
        files = await store.reading(lambda db: dropped.day_files(db, 99))
        assert (await sums_of(store), files[0].chunks) == (before, 5)
        assert await store.reading(lambda db: dropped.dropped_of(db, LOG)) is None
