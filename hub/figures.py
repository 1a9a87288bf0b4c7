"""The figures of a hub at one moment, for its metrics."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hub.audit import Audit
from hub.crowd import Crowd
from hub.exposition import Snapshot
from hub.gossip import HubRecord
from hub.mesh import Mesh
from hub.peering.detect_values import PeerState
from hub.peering.exchange_values import Taken
from hub.peers import Peer
from hub.registry import Registry
from hub.store.chunks import ChunkStore
from hub.upkeep import Upkeep
from shared.runtime import Runtime

HELD = "held"
PEER_STATES = (*(str(state) for state in PeerState), HELD)

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
    in_gauges: Sequence[Callable[[], Mapping[str, float]]] = ()
    """What the parts of the hub add."""

    def snapshot(self) -> Snapshot:
        """Everything that is counted, now."""
        now = asyncio.get_running_loop().time()
        states = {str(state): nodes for state, nodes in self.registry.life.book.counts().items()}
        sums, unbalanced = self.audit.sums_of_all
        peers = list(self.mesh.peers.by_url.values())
        standings = {peer.key: self.mesh.puller.standing(peer) for peer in peers}
        return Snapshot(
            self.counters,
            {
                **self._store_gauges(),
                **self._ledger_gauges(),
                **self._upkeep_gauges(),
                **self._exchange_gauges(),
                **self._life_gauges(),
                **{name: value for tell in self.in_gauges for name, value in tell().items()},
                "unbalanced_ledgers": unbalanced,
            },
            states,
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
            dict(self.registry.replica.repaired),
            dict(sums),
            self._peers_by_state(peers),
            {each.value: self.registry.replica.taken[each] for each in Taken},
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

    def _peers_by_state(self, peers: Sequence[Peer]) -> dict[str, int]:
        """How many peers are in each state; those that are away by plan are in `held`."""
        held, counts = self.mesh.peers.hold_of, dict.fromkeys(PEER_STATES, 0)
        for peer in peers:
            counts[HELD if held(peer.hub_id) else peer.verdict] += 1
        return counts

    def _life_gauges(self) -> dict[str, float]:
        life = self.registry.life
        return {
            "heartbeat_interval_seconds": life.interval_seconds,
            "heartbeats_per_second_max": life.interval.per_second,
            "braked": float(life.brake.braked is not None),
            "isolated": float(self.mesh.peers.is_isolated),
            "peer_deaths": self.counters["peer_deaths"],
            "hints_given": self.counters["hints"],
        }

    def _exchange_gauges(self) -> dict[str, float]:
        replica = self.registry.replica
        return {
            "records_parked": replica.parked.total,
            "records_withheld": len(replica.waiting.entries),
            "changes_rescued": replica.rescued,
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
