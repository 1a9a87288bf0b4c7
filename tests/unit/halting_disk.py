"""A database that refuses, or writes and says so only when a test lets it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.sqlite import Database


@dataclass
class HaltingDisk:
    """Writes what was handed in at once, and says so when its gate opens; or takes nothing."""

    database: Database
    takes: bool = True
    handed_in: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None

    def reading(self) -> Any:
        """As a database lends its readers."""
        return self.database.reading()

    async def write(self, job: Any) -> Any:
        """Raises Unavailable for what it did not take."""
        done = await self.database.write(job) if self.takes else None
        self.handed_in.set()
        if self.gate is not None:
            await self.gate.wait()
        if not self.takes:
            raise Unavailable("the disk is full", retry_after_seconds=1.0)
        return done

    async def cancelled(self, work: Any, *, takes: bool) -> None:
        """Have the work cancelled while it waits for what it handed in."""
        self.takes, self.handed_in, self.gate = takes, asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self.handed_in.set())  # It may fail before that.
        await self.handed_in.wait()
        task.cancel()
        self.gate.set()  # Some work waits until it knows what became of what it handed in.
        with pytest.raises(asyncio.CancelledError):
            await task
        self.takes, self.gate = True, None
