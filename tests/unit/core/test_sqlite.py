"""The writer: jobs are committed in order, share commits, and fail alone."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlite_utils.db import Database as Schema
from sqlite_utils.migrations import Migrations

from shared.errors import Unavailable
from shared.sqlite import QUEUE_JOBS_MAX, Database

MIGRATIONS = Migrations("test")


@MIGRATIONS()
def first(db: Schema) -> None:
    db.execute("CREATE TABLE item (number INTEGER PRIMARY KEY)")


@pytest.fixture(params=[True, False], ids=["thread", "inline"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database(tmp_path / "x.db", MIGRATIONS, synchronous="FULL", threads=request.param)
    yield database
    database.close()


def insert(number: int) -> Callable[[sqlite3.Connection], int | None]:
    def job(connection: sqlite3.Connection) -> int | None:
        return connection.execute("INSERT INTO item VALUES (?)", (number,)).lastrowid

    return job


def numbers(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        found = [number for (number,) in connection.execute("SELECT number FROM item")]
    connection.close()
    return found


async def test_what_was_written_is_on_disk_when_write_returns(database: Database) -> None:
    assert await database.write(insert(7)) == 7
    assert numbers(database.path) == [7]


async def test_a_job_that_fails_spoils_no_other_of_its_commit(database: Database) -> None:
    """Jobs that wait together share a commit, but each has its own outcome."""
    await database.write(insert(2))
    jobs = (database.write(insert(number)) for number in (1, 2, 3))
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, sqlite3.IntegrityError, int]
    assert numbers(database.path) == [1, 2, 3]


async def test_jobs_are_committed_in_the_order_they_came(database: Database) -> None:
    seen: list[int] = []

    def note(number: int) -> Callable[[sqlite3.Connection], None]:
        return lambda _: seen.append(number)

    await asyncio.gather(*(database.write(note(number)) for number in range(200)))
    assert seen == list(range(200))


async def test_a_half_done_job_leaves_nothing_behind(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO item VALUES (1)")
        raise ValueError("on second thought")

    with pytest.raises(ValueError, match="second thought"):
        await database.write(half)
    assert numbers(database.path) == []


async def test_readers_see_committed_rows_and_cannot_write(database: Database) -> None:
    await database.write(insert(5))
    with database.reading() as connection:
        assert connection.execute("SELECT number FROM item").fetchall() == [(5,)]
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM item")


async def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(Unavailable, match="closed"):
        await database.write(insert(1))


async def test_a_queue_that_is_too_long_refuses_more(tmp_path: Path) -> None:
    """Work is bounded: what does not fit is refused at once, and nothing that was taken is lost."""
    database = Database(tmp_path / "x.db", MIGRATIONS, synchronous="OFF", threads=True)
    jobs = [asyncio.create_task(database.write(insert(n))) for n in range(QUEUE_JOBS_MAX + 10)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    database.close()
    assert len(refused) == 10
    assert len(numbers(database.path)) == QUEUE_JOBS_MAX
