"""Writes down what a hub learns of nodes, and forgets receipts that nobody asks for any more."""

from dataclasses import dataclass
from functools import partial

from hub.registry import Registry
from hub.store import hub_table
from shared.errors import Unavailable
from shared.runtime import Runtime
from shared.sqlite import Database

SAVE_SECONDS = 1.0
PRUNE_SECONDS = 60.0
PRUNE_ROWS = 10_000
RECEIPT_DAYS = 8  # Longer than an edge keeps trying to send the same bytes in ordinary trouble.


@dataclass(frozen=True, slots=True)
class Saving:
    """The steps of two loops; each returns the seconds until the next one."""

    registry: Registry
    database: Database
    runtime: Runtime

    async def save(self) -> float:
        """Save the nodes that changed; raises Unavailable, and then they are saved with the next step."""
        records = self.registry.take_dirty()
        try:
            if records:
                await self.database.write(lambda db: hub_table.save_nodes(db, records))
        except Unavailable:
            self.registry.dirty |= {record.node_id for record in records}
            raise
        return SAVE_SECONDS

    async def prune(self) -> float:
        """Forget some of the oldest receipts."""
        before_ms = self.runtime.wall_ms() - RECEIPT_DAYS * 86_400_000
        await self.database.write(partial(hub_table.prune_receipts, before_ms, PRUNE_ROWS))
        return PRUNE_SECONDS
