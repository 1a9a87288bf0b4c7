"""Commits that take time, as those of a writer thread do, without the thread.

Inline, a commit is one step in which nobody else moves, and half of all races could not happen. Here
jobs wait in line, commit, and only then let their caller know; a crash can fall into any of the gaps.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

from shared.sqlite import Database, Job

COMMIT_SECONDS_MAX = 0.008
REPORT_SECONDS_MAX = 0.001


@contextlib.contextmanager
def slow_commits(rng: Random) -> Iterator[None]:
    """Let every write of every database take a moment while this lasts."""
    inline = Database.write
    lines: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()

    async def commit(database: Database, job: Job[Any]) -> Any:
        async with lines.setdefault(database, asyncio.Lock()):
            await asyncio.sleep(rng.uniform(0, COMMIT_SECONDS_MAX))
            try:
                return await inline(database, job)
            finally:
                await asyncio.sleep(rng.uniform(0, REPORT_SECONDS_MAX))

    async def write(database: Database, job: Job[Any]) -> Any:
        # A job that was handed in is done even when its caller has gone away.
        return await asyncio.shield(asyncio.create_task(commit(database, job)))

    Database.write = write  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Database.write = inline  # type: ignore[method-assign]
