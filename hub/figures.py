"""The figures of a hub at one moment, for its metrics."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hub.audit import Audit
from hub.crowd import Crowd
from hub.exposition import Snapshot
from hub.gossip import HubRecord
from hub.mesh import Mesh
from hub.registry import Registry
from hub.store.chunks import ChunkStore
from hub.upkeep import Upkeep
from shared.runtime import Runtime

ORIGINS_MAX = 100  # A metric for each of thousands of machines would drown all others.


def _most_lagging(lags: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return dict(sorted(lags.items(), key=lambda each: -each[1])[:ORIGINS_MAX])


@dataclass(frozen=True, slots=True)
class Figures:
    """Reads what the parts of a hub have counted."""

    registry: Registry
    store: ChunkStore
    mesh: Mesh
    audit: Audit
    crowd: Crowd
    upkeep: Upkeep
    runtime: Runtime
    counters: Counter[str]
    describe: Callable[[], HubRecord]

    def snapshot(self) -> Snapshot:
        """Everything that is counted, now."""
        now = asyncio.get_running_loop().time()
        states = Counter(str(self.registry.state(each, now)) for each in self.registry.records)
        sums, unbalanced = self.audit.sums_of_all()
        peers = list(self.mesh.peers.by_url.values())
        standings = {peer.key: self.mesh.puller.standing(peer) for peer in peers}
        return Snapshot(
            self.counters,
            {
                **self._store_gauges(),
                **self._ledger_gauges(),
                **self._upkeep_gauges(),
                "unbalanced_ledgers": unbalanced,
            },
            dict(states),
            {peer.key: peer.lag_chunks for peer in peers},
            {peer.key: peer.state(now) == "alive" for peer in peers},
            {peer.key: standings[peer.key].lag.seconds(now) for peer in peers},
            {peer.key: self.mesh.sweeper.count(peer).repaired for peer in peers},
            _most_lagging(
                {
                    (name, origin): count
                    for name, standing in standings.items()
                    for origin, count in standing.lag.by_origin.items()
                }
            ),
            {
                (name, reason): count
                for name, standing in standings.items()
                for reason, count in standing.faults.items()
            },
            dict(self.store.losses.records_by_reason),
            dict(sums),
        )

    def _store_gauges(self) -> dict[str, float]:
        mine = self.describe()
        return {
            "chunks": mine.chunks,
            "records": mine.records,
            "stored_bytes": mine.stored_bytes,
            "links": mine.links,
            "uptime_seconds": (self.runtime.wall_ms() - mine.started_ms) / 1000,
        }

    def _ledger_gauges(self) -> dict[str, float]:
        losses = self.store.losses
        return {
            "conflicts": losses.conflicts,
            "conflict_chunks": losses.kept_beside,
            "undeclared_holes": self.store.holes,
            "edges_with_backlog": self.crowd.edges_with_backlog,
            "credit_bytes_per_second": self.crowd.credit or 0.0,
        }

    def _upkeep_gauges(self) -> dict[str, float]:
        upkeep = self.upkeep
        figures = {"damaged_chunks": float(upkeep.mender.chunks_wanting), **upkeep.disk.gauges()}
        lag_ms = self.store.lag_ms(0.99)
        if lag_ms is not None:
            figures["replication_lag_p99_seconds"] = lag_ms / 1000
        if upkeep.indexing:
            behind = upkeep.indexing.state.behind_chunks(self.store.head_arrival)
            if behind is not None:
                figures["index_behind_chunks"] = behind
        return figures
