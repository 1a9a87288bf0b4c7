"""One hub, put together: its store, its registry, its mesh, and the routes that lead to them."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from hub.audit import Audit
from hub.calls import Calls
from hub.credits import BUDGET_BYTES_PER_S, CreditLimits
from hub.crowd import Crowd
from hub.edge_doors import EdgeDoors
from hub.exposition import Snapshot, exposition
from hub.fleet import Fleet
from hub.gossip import HubRecord
from hub.links import Links
from hub.mesh import Mesh
from hub.methods import method_table
from hub.peer_doors import PeerDoors
from hub.peers import Peers
from hub.pull import Pulls
from hub.registry import Registry
from hub.replicate import SafeLedger
from hub.rpc import Rpc
from hub.store import hub_table
from hub.store.chunks import ChunkStore
from hub.store.hub_table import StoredPeer
from hub.store.schema import MIGRATIONS
from hub.vms import Vms
from hub.web.guard import Guard
from hub.web.routes import RouteSpec
from shared import __version__
from shared.errors import Unavailable
from shared.merge import NodeRecord
from shared.runtime import HttpClient, Runtime
from shared.security import derive
from shared.sqlite import Database
from shared.stamp import HybridClock
from shared.tasks import repeat

log = logging.getLogger(__name__)

FILE_NAME = "hub.db"
SAVE_SECONDS = 1.0
PRUNE_SECONDS = 60.0
PRUNE_ROWS = 10_000
RECEIPT_DAYS = 8  # Longer than an edge keeps trying to send the same bytes in ordinary trouble.
STAMP_AHEAD_MS = 10_000
COPIES = 2
CHANGES_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HubConfig:
    """What a hub must know to begin. URLs have no slash at the end."""

    hub_id: str
    folder: Path
    url: str
    peers: Sequence[str]
    cluster_key: str
    admin_token: str
    synchronous: str = "FULL"
    backlog_bytes_per_s: int = BUDGET_BYTES_PER_S
    copies: int = COPIES


class Hub:
    """The parts of one hub. `open` it, keep `run` running, serve `routes`."""

    def __init__(self, config: HubConfig, runtime: Runtime, database: Database) -> None:
        self.config, self.runtime, self._database = config, runtime, database
        self.stopping = asyncio.Event()
        self.counters: Counter[str] = Counter()
        self.clock = HybridClock(config.hub_id)
        began_at = asyncio.get_running_loop().time()
        self.registry = Registry(config.hub_id, began_at, self.clock)
        self.store = ChunkStore(database, runtime, SafeLedger(config.copies))
        self.peers = Peers(config.hub_id, config.url)
        self.links = Links()
        self.client: HttpClient = runtime.http()
        self._started_ms = runtime.wall_ms()
        self._instance = runtime.token_hex(8)
        self._persisted_ms = 0
        self.store_epoch = ""
        self.guard = Guard(
            config.hub_id,
            config.admin_token,
            config.cluster_key,
            lambda: runtime.wall_ms() / 1000,
            self.counters,
        )

    @classmethod
    async def open(cls, config: HubConfig, runtime: Runtime) -> "Hub":
        """Open or create the store of a hub, and take up where it was."""
        database = Database(
            config.folder / FILE_NAME,
            MIGRATIONS,
            synchronous=config.synchronous,
            threads=runtime.threads,
        )
        hub = cls(config, runtime, database)
        await hub._load()
        return hub

    async def _load(self) -> None:
        fresh = self.runtime.token_hex(8)
        write = self._database.write
        self.store_epoch = await write(lambda db: hub_table.meta(db, "store_epoch", fresh))
        self._persisted_ms = int(await write(lambda db: hub_table.meta(db, "stamp_ms", "0")))
        self.clock.high_water_ms = self._persisted_ms
        self.registry.load(await write(hub_table.load_nodes))
        self.peers.learn(self.config.peers, configured=True)
        for stored in await write(hub_table.load_peers):
            self._recall(stored)
        for peer in self.peers.by_url.values():
            # A configured peer counts as a copy that is missing until it has confirmed something.
            self.store.ledger.peers.setdefault(peer.key, 0)
        self._build()
        await self.store.open()

    def _recall(self, stored: StoredPeer) -> None:
        """Take up with a peer where we were when we stopped."""
        self.peers.learn([stored.url])
        peer = self.peers.by_url.get(stored.url)
        if peer is not None:
            peer.hub_id, peer.store_epoch = stored.hub_id, stored.store_epoch
            peer.pulled_arrival = stored.pulled_arrival
        self.store.ledger.peers[stored.hub_id] = stored.confirmed_arrival

    def _build(self) -> None:
        headers = {"authorization": f"Bearer {self.config.cluster_key}"}
        self.mesh = Mesh(
            self.peers,
            self.registry,
            self.store,
            self.runtime,
            self.client,
            headers,
            self.describe,
            self._save_peer,
            self._drop_peer,
        )
        calls = Calls(self.config.hub_id, self.links, self.peers, self.client, headers)
        self.audit = Audit(self.config.hub_id, self.registry, self.store, self.mesh, self.runtime)
        limits = CreditLimits(self.config.backlog_bytes_per_s)
        self.crowd = Crowd(self.registry, self.store, limits)
        self.pulls = Pulls(
            self.config.hub_id,
            self.links,
            lambda node_id, wire, mark: self.edge_doors.pulled(node_id, wire, mark),
            self.runtime.rng,
        )
        self.edge_doors = EdgeDoors(
            self.config.hub_id,
            self.registry,
            self.store,
            self.links,
            self.mesh,
            self.runtime,
            self.crowd,
            self.counters,
            self.pulls.heard,
        )
        self.peer_doors = PeerDoors(
            self.store, self.mesh, calls, self.store_epoch, self.stopping, self.audit
        )
        self.fleet = Fleet(
            self.registry,
            self.mesh,
            self.store,
            calls,
            self.runtime,
            self.config.folder,
            derive(self.config.cluster_key, "cluster id")[:16],
            self.describe,
            lambda: self.counters,
            self.intend,
        )
        self.vms = Vms(self.registry, calls, self.runtime, self.config.hub_id)
        methods = method_table(
            self.fleet, self.vms, self.audit, self.runtime, self.config.hub_id, self.store.reader
        )
        self.rpc = Rpc(methods, self.counters)

    async def _save_peer(self, peer: StoredPeer) -> None:
        await self._database.write(lambda db: hub_table.save_peer(db, peer))

    async def _drop_peer(self, hub_id: str) -> None:
        await self._database.write(lambda db: hub_table.forget_peer(db, hub_id))

    def describe(self) -> HubRecord:
        """This hub as it tells of itself."""
        return HubRecord(
            self.config.hub_id,
            self.config.url,
            __version__,
            self._instance,
            self._started_ms,
            nodes=len(self.registry.records),
            links=len(self.links.sessions),
            chunks=self.store.chunks,
            records=self.store.records,
            stored_bytes=self.store.stored_bytes,
            head_arrival=self.store.head_arrival,
        )

    async def intend(self, node_id: str, field: str, value: object) -> None:
        """Record what a person wants of a node; returns once it is on disk."""
        now = asyncio.get_running_loop().time()
        stamp = self.clock.next(self.runtime.wall_ms())
        if self.clock.reached_ms >= self._persisted_ms:
            # Ahead of use, so that no restart and no clock set back can reissue a stamp.
            self._persisted_ms = self.clock.reached_ms + STAMP_AHEAD_MS
        ahead = str(self._persisted_ms)
        self.registry.intend(node_id, field, value, stamp, now)
        record = self.registry.records[node_id]

        def save(db: Any) -> None:
            hub_table.set_meta(db, "stamp_ms", ahead)
            hub_table.save_nodes(db, [record])

        await self._database.write(save)
        self.mesh.tell_soon()

    async def run(self) -> None:
        """Keep everything going, for ever; cancel to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.mesh.run())
            tasks.create_task(self.pulls.run())
            tasks.create_task(repeat("saving nodes", self._save, self.runtime.rng))
            tasks.create_task(repeat("forgetting receipts", self._prune, self.runtime.rng))

    async def _save(self) -> float:
        records: list[NodeRecord] = self.registry.take_dirty()
        try:
            if records:
                await self._database.write(lambda db: hub_table.save_nodes(db, records))
        except Unavailable:
            self.registry.dirty |= {record.node_id for record in records}
            raise
        return SAVE_SECONDS

    async def _prune(self) -> float:
        before_ms = self.runtime.wall_ms() - RECEIPT_DAYS * 86_400_000
        await self._database.write(partial(hub_table.prune_receipts, before_ms, PRUNE_ROWS))
        return PRUNE_SECONDS

    def stop(self) -> None:
        """Tell streams and waiting peers that this hub is about to go."""
        self.stopping.set()
        self.store.announce()

    async def close(self) -> None:
        """Write what is not yet on disk and let go of everything."""
        self.stop()
        await self.links.close()
        try:
            await self._save()
        except (
            Unavailable
        ) as error:  # Beats and peers tell it again; the rest must still be closed.
            log.warning("nodes are not saved: %s", error)
        await self.client.close()
        self._database.close()

    def abandon(self) -> None:
        """Let go as a killed process would. For simulations."""
        self._database.abandon()

    async def changes(self) -> AsyncIterator[str]:
        """Names what has changed, at most once a second, for pages that keep themselves fresh."""
        seen = self._marks()
        while True:
            await asyncio.sleep(CHANGES_SECONDS)
            marks = self._marks()
            for name in sorted(name for name in marks if marks[name] != seen[name]):
                yield name
            seen = marks

    def _marks(self) -> dict[str, object]:
        now = asyncio.get_running_loop().time()
        return {
            "nodes": self.registry.changes,
            "chunks": self.store.head_arrival,
            "hubs": [(peer.key, peer.state(now)) for peer in self.peers.by_url.values()],
        }

    # ---- routes

    def route_table(self) -> list[RouteSpec]:
        """Every HTTP path of this hub but the pages, with who may use it."""
        edge, peer = self.edge_doors, self.peer_doors
        return [
            RouteSpec("/livez", ("GET",), "open", self._livez),
            RouteSpec("/readyz", ("GET",), "open", self._readyz),
            RouteSpec("/metrics", ("GET",), "admin", self._metrics),
            RouteSpec("/rpc", ("POST",), "admin", self.rpc.endpoint),
            RouteSpec("/edge/heartbeat", ("POST",), "edge", edge.heartbeat),
            RouteSpec("/edge/batches", ("POST",), "edge", edge.batches),
            RouteSpec("/peer/gossip", ("POST",), "peer", peer.gossip),
            RouteSpec("/peer/have", ("POST",), "peer", peer.have),
            RouteSpec("/peer/chunks", ("POST",), "peer", peer.chunks),
            RouteSpec("/peer/call", ("POST",), "peer", peer.call),
            RouteSpec("/peer/ledger", ("POST",), "peer", peer.ledger),
        ]

    def routes(self, pages: Sequence[RouteSpec] = ()) -> list[Route | WebSocketRoute]:
        """All routes, guarded."""
        link = WebSocketRoute("/edge/link", self._link)
        return [link, *self.guard.routes([*self.route_table(), *pages])]

    async def _link(self, socket: WebSocket) -> None:
        if not await self.guard.refuse_socket("edge", socket):
            await self.edge_doors.link(socket)

    async def _livez(self, request: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    async def _readyz(self, request: Request) -> Response:
        if self.stopping.is_set():
            return Response("stopping\n", 503, media_type="text/plain")
        return Response("ready\n", media_type="text/plain")

    async def _metrics(self, request: Request) -> Response:
        body = exposition(self._snapshot)()
        return Response(body, media_type="text/plain; version=1.0.0; charset=utf-8")

    def _snapshot(self) -> Snapshot:
        now, mine = asyncio.get_running_loop().time(), self.describe()
        states = Counter(str(self.registry.state(each, now)) for each in self.registry.records)
        sums, unbalanced = self.audit.sums_of_all()
        peers = list(self.peers.by_url.values())
        return Snapshot(
            self.counters,
            {
                "chunks": mine.chunks,
                "records": mine.records,
                "stored_bytes": mine.stored_bytes,
                "links": mine.links,
                **self._ledger_gauges(),
                "unbalanced_ledgers": unbalanced,
                "uptime_seconds": (self.runtime.wall_ms() - mine.started_ms) / 1000,
            },
            dict(states),
            {peer.key: peer.lag_chunks for peer in peers},
            {peer.key: peer.state(now) == "alive" for peer in peers},
            dict(self.store.losses.records_by_reason),
            dict(sums),
        )

    def _ledger_gauges(self) -> dict[str, float]:
        losses = self.store.losses
        return {
            "conflicts": losses.conflicts,
            "conflict_chunks": losses.kept_beside,
            "undeclared_holes": self.store.holes,
            "edges_with_backlog": self.crowd.edges_with_backlog,
            "credit_bytes_per_second": self.crowd.credit or 0.0,
        }
