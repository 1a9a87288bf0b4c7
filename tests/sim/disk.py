"""Disks that take time to commit, as a writer thread does without the thread, and disks that are full.

Inline, a commit is one step in which nobody else moves, and half of all races could not happen. Here
jobs wait in line, commit, and only then let their caller know; a crash can fall into any of the gaps.
"""

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

from shared.sqlite import Database, Job

COMMIT_SECONDS_MAX = 0.008
REPORT_SECONDS_MAX = 0.001
SLOW_SECONDS_MAX = 0.6
"""Of one commit on a disk that is about to die, or that others keep busy."""

Inline = Callable[[Database, Job[Any]], Coroutine[Any, Any, Any]]
"""Database.write without a thread."""


@dataclass(slots=True)
class Line:
    """The jobs that wait for one database."""

    jobs: deque[tuple[Job[Any], "asyncio.Future[Any]"]] = field(default_factory=deque)
    worker: "asyncio.Task[None] | None" = None


class Disks:
    """The disks of all machines; a database is on the disk that a folder above it names."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lines: WeakKeyDictionary[Database, Line] = WeakKeyDictionary()
        self.full: set[str] = set()
        self.slow: set[str] = set()
        self.slowed = 0
        """How many commits had to wait for a slow disk."""

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Let every write of every database go through here while this lasts."""
        inline, close = Database.write, Database.close

        async def write(database: Database, job: Job[Any]) -> Any:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            line = self._lines.setdefault(database, Line())
            line.jobs.append((job, future))
            if line.worker is None or line.worker.done():
                line.worker = asyncio.create_task(self._work(database, line, inline))
            return await future

        def finish_and_close(database: Database) -> None:
            line = self._lines.get(database, Line())
            while line.jobs:
                self._do_next(database, line, inline)()
            close(database)

        Database.write = write  # type: ignore[assignment, method-assign]
        Database.close = finish_and_close  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            Database.write, Database.close = inline, close  # type: ignore[method-assign]

    async def _work(self, database: Database, line: Line, inline: Inline) -> None:
        while line.jobs:
            await asyncio.sleep(self._rng.uniform(0, self._commit_seconds_max(database)))
            if line.jobs:  # Closing does not wait.
                tell = self._do_next(database, line, inline)
                await asyncio.sleep(self._rng.uniform(0, REPORT_SECONDS_MAX))
                tell()

    def _commit_seconds_max(self, database: Database) -> float:
        if self.slow.isdisjoint(database.path.parts):
            return COMMIT_SECONDS_MAX
        self.slowed += 1
        return SLOW_SECONDS_MAX

    def unsaid(self, folder: Path) -> int:
        """How many writes below a folder were handed in, and are not on disk."""
        lines = (line for base, line in self._lines.items() if base.path.is_relative_to(folder))
        return sum(len(line.jobs) for line in lines)

    def _do_next(self, database: Database, line: Line, inline: Inline) -> Callable[[], None]:
        """Commit the first job of a line; what is returned lets its caller know."""
        job, future = line.jobs.popleft()
        is_full = not self.full.isdisjoint(database.path.parts)
        # Handed in is done, even when the caller has gone away or the database closes meanwhile.
        writing = inline(database, out_of_room(job) if is_full else job)
        try:
            writing.send(None)
        except StopIteration as done:
            value = done.value
            return lambda: None if future.done() else future.set_result(value)
        except Exception as error:  # The caller's, as Database.write has it.
            reason = error
            return lambda: None if future.done() else future.set_exception(reason)
        raise AssertionError("a write without a thread must not wait")


def out_of_room(job: Job[Any]) -> Job[Any]:
    """The same job on a disk that has no room for it, as SQLite tells of it."""

    def fail(connection: sqlite3.Connection) -> None:
        job(connection)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    return fail
