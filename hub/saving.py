"""Writes down what a hub learns of nodes, and forgets receipts that nobody asks for any more."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from hub.peering.exchange_saved import put_back, take_dirty, take_some
from hub.registry import Registry
from hub.store import gossip_table, hub_table
from shared.memory import give_back
from shared.runtime import Runtime
from shared.sqlite import Database

SAVE_SECONDS = 1.0
PRUNE_SECONDS = 60.0
PRUNE_ROWS = 10_000
PAGE_RECORDS = 2000  # About ten milliseconds of encoding on the event loop.
GIVE_BACK_CHANGES = 50_000
"""After so many beats and changes, what they used for a moment is worth being given back: that takes
some 20 ms, less than a hundredth of what they took."""
RECEIPT_DAYS = 8  # Longer than an edge keeps trying to send the same bytes in ordinary trouble.


@dataclass(slots=True)
class Saving:
    """The steps of two loops; each returns the seconds until the next one."""

    registry: Registry
    database: Database
    runtime: Runtime
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _written: tuple[str, int] = ("", 0)
    _given_back: int = 0
    """How many changes there had been when memory was given back last."""

    async def save(self) -> float:
        """Save the nodes that changed, and which changes are in them; returns once all that was known
        before is on disk. Raises Unavailable, and then they are saved with the next step."""
        # A save that overtakes one that fails would cover changes that are in no record on disk.
        async with self._one_at_a_time:
            await self._save()
        if self.registry.changes >= self._given_back + GIVE_BACK_CHANGES:
            self._given_back = self.registry.changes
            await self.runtime.offload(give_back)
        return SAVE_SECONDS

    async def _save(self) -> None:
        replica = self.registry.replica
        for page in _pages(replica.dirty):
            await self._save_some(page)
        covered = (replica.vector.digest(), len(replica.retired))
        if not replica.dirty and covered == self._written:
            return
        saved = take_dirty(replica)
        try:
            await self.database.write(lambda db: gossip_table.save(db, saved))
        # Also when this is cancelled: what may not be on disk is to be saved again.
        except BaseException:
            put_back(replica, saved.nodes)
            raise
        self._written = covered

    async def _save_some(self, page: Sequence[str]) -> None:
        """Save a page of what changed, so that the last step, which must save all at once, is short."""
        replica = self.registry.replica
        some = take_some(replica, page)
        try:
            await self.database.write(lambda db: gossip_table.save_records(db, some))
        except BaseException:
            put_back(replica, some)
            raise

    async def prune(self) -> float:
        """Forget some of the oldest receipts."""
        before_ms = self.runtime.wall_ms() - RECEIPT_DAYS * 86_400_000
        await self.database.write(partial(hub_table.prune_receipts, before_ms, PRUNE_ROWS))
        return PRUNE_SECONDS


def _pages(dirty: Collection[str]) -> Iterator[list[str]]:
    """What is too much for one step, in pages."""
    if len(dirty) <= PAGE_RECORDS:
        return
    nodes = sorted(dirty)
    for first in range(0, len(nodes), PAGE_RECORDS):
        yield nodes[first : first + PAGE_RECORDS]
