"""What a hub does for its own files: keeps, mends, indexes and watches the disk."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.config import HubConfig
from hub.disk_watch import DiskWatch
from hub.indexing import Indexing
from hub.keeper import Keeper
from hub.mender import Mender
from hub.mesh import Mesh
from hub.query.coverage import StoreState
from hub.store.chunks import ChunkStore
from shared.runtime import Runtime
from shared.tasks import repeat

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Upkeep:
    """The loops that look after the store. Without `indexing` questions are answered by reading."""

    store: ChunkStore
    keeper: Keeper
    mender: Mender
    disk: DiskWatch
    indexing: Indexing | None
    runtime: Runtime
    scrubs: bool

    async def run(self) -> None:
        """Look after the store, for ever."""
        rng = self.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(repeat("keeping day files", self.keeper.step, rng))
            tasks.create_task(repeat("mending day files", self.mender.step, rng))
            tasks.create_task(repeat("watching the disk", self.disk.step, rng))
            if self.scrubs:
                tasks.create_task(repeat("reading day files", self.mender.scrub, rng))
            if self.indexing is not None:
                tasks.create_task(self.indexing.run())
                tasks.create_task(
                    self.indexing.tell(self.store.news, lambda: self.store.head_arrival)
                )

    @property
    def state(self) -> StoreState:
        """What answers say of the store that they come from."""
        index = self.indexing.state.to_wire(self.store.head_arrival) if self.indexing else None
        return StoreState(index, self.mender.chunks_wanting)


def build_upkeep(
    config: HubConfig,
    store_epoch: str,
    store: ChunkStore,
    mesh: Mesh,
    runtime: Runtime,
    counters: Counter[str],
    report: Tell,
) -> Upkeep:
    """Put the parts together; from then on the disk guard stands before the store."""
    hub_id, parts = config.hub_id, (runtime, report, counters)
    disk = DiskWatch(hub_id, config.folder, *parts, config.disk_reserve_bytes, config.room)
    store.guard = disk
    keeper = Keeper(hub_id, store, config.policies, *parts)
    mender = Mender(hub_id, store, runtime, report, mesh.sweeper.sweep_soon, counters)
    indexing = None
    if config.index:
        indexing = Indexing(config.folder, store_epoch, config.log_level, runtime.rng)
    return Upkeep(store, keeper, mender, disk, indexing, runtime, scrubs=config.scrub)
