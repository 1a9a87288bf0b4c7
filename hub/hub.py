"""One hub, put together: its store, its registry, its mesh, and the routes that lead to them."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from hub.answers import build_answers
from hub.audit import Audit
from hub.calls import Calls
from hub.changes import Changes
from hub.config import HubConfig, life_limits
from hub.credits import CreditLimits
from hub.crowd import Crowd
from hub.edge_doors import EdgeDoors
from hub.figures import Figures
from hub.fleet import Fleet
from hub.gossip import HubRecord
from hub.ground import Ground
from hub.health import HealthDoors
from hub.links import Links
from hub.loading import load_nodes
from hub.mesh import Mesh
from hub.methods import method_table
from hub.otlp_doors import otlp_routes
from hub.own import build_own
from hub.part import Part
from hub.parts import build_parts
from hub.peer_doors import PeerDoors
from hub.peer_watch import FROM_HEADER, watched
from hub.peers import Peers
from hub.pull import Pulls
from hub.registry import Registry
from hub.replicate import SafeLedger
from hub.rest import rest_routes
from hub.rpc import Rpc
from hub.saving import Saving
from hub.stamps import Stamps
from hub.store import gossip_table, hub_table
from hub.store.chunks import ChunkStore
from hub.store.files import StoreFiles, open_files
from hub.store.hub_table import StoredPeer
from hub.store.tail_reads import StoreTailSource
from hub.tail_door import TailDoor
from hub.upkeep import build_upkeep
from hub.vms import Vms
from hub.web.guard import Guard
from hub.web.routes import RouteSpec
from shared import __version__
from shared.errors import Unavailable
from shared.runtime import HttpClient, Runtime
from shared.security import derive
from shared.stamp import HybridClock
from shared.tasks import repeat

log = logging.getLogger(__name__)


class Hub:
    """The parts of one hub. `open` it, keep `run` running, serve `routes`."""

    def __init__(self, config: HubConfig, runtime: Runtime, files: StoreFiles) -> None:
        self.config, self.runtime, self._files = config, runtime, files
        self._database = files.database
        self.stopping = asyncio.Event()
        self.counters: Counter[str] = Counter()
        self.clock = HybridClock(config.hub_id)
        began_at = asyncio.get_running_loop().time()
        self._instance = runtime.token_hex(8)
        limits = life_limits(config)
        self.registry = Registry(config.hub_id, began_at, self.clock, limits, self._instance)
        self.saving = Saving(self.registry, files.database, runtime)
        self.store = ChunkStore(files, runtime, SafeLedger(config.copies))
        self.peers = Peers(config.hub_id, config.url)
        self.links = Links()
        self.changes = Changes(self.registry, self.store, self.peers)
        self.client: HttpClient = runtime.http()
        self._started_ms = runtime.wall_ms()
        self.stamps = Stamps(self.clock, files.database, runtime)
        self.parts: list[Part] = []
        self.store_epoch = ""
        self._incarnation = 0
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
        files = open_files(config.folder, config.synchronous, threads=runtime.threads)
        hub = cls(config, runtime, files)
        await hub._load()
        return hub

    async def _load(self) -> None:
        fresh = self.runtime.token_hex(8)
        write = self._database.write
        inode = self._files.inode
        self.store_epoch = await write(lambda db: hub_table.store_life(db, inode, fresh))
        self._incarnation = await write(hub_table.next_incarnation)
        await self.stamps.load()
        await self._load_nodes()
        self.peers.learn(self.config.peers, configured=True)
        for stored in await write(hub_table.load_peers):
            self._recall(stored)
        for peer in self.peers.by_url.values():
            # A configured peer counts as a copy that is missing until it has confirmed something.
            self.store.ledger.peers.setdefault(peer.key, 0)
        self._build()
        await self.upkeep.disk.step()
        await self.store.open()
        await self.upkeep.mender.open()

    async def _load_nodes(self) -> None:
        """Begin a life, which is on disk before anything of it is told, with the records of the last."""
        write = self._database.write
        life = await write(lambda db: gossip_table.begin_life(db, self.store_epoch))
        cluster = derive(self.config.cluster_key, "cluster id")[:16]
        unreadable = await load_nodes(self.registry, self._database, self.runtime, life, cluster)
        for node_id, reason in unreadable.items():
            log.error("the record of node %s cannot be read: %s", node_id, reason)

    def _recall(self, stored: StoredPeer) -> None:
        """Take up with a peer where we were when we stopped."""
        self.peers.learn([stored.url])
        peer = self.peers.by_url.get(stored.url)
        if peer is not None:
            peer.hub_id, peer.store_epoch = stored.hub_id, stored.store_epoch
            peer.pulled_arrival = stored.pulled_arrival
        self.store.ledger.peers[stored.hub_id] = stored.confirmed_arrival

    def _build(self) -> None:
        key, hub_id = self.config.cluster_key, self.config.hub_id
        headers = {"authorization": f"Bearer {key}", FROM_HEADER: hub_id}
        self.mesh = Mesh(
            self.peers,
            self.store,
            self.runtime,
            self.client,
            headers,
            self.describe,
            self._save_peer,
            self._drop_peer,
            self._report_lag,
        )
        self.mesh.sweeper.tell = self._report
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
        self.upkeep = build_upkeep(
            self.config,
            self.store_epoch,
            self.store,
            self.mesh,
            self.runtime,
            self.counters,
            self._report,
        )
        self.own = build_own(
            self.config,
            self.store_epoch,
            self.store,
            self.runtime,
            self.counters,
            self.upkeep.disk,
            lambda: self.figures.snapshot(),
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
            self.upkeep,
        )
        self.answers = build_answers(self.config, self.store_epoch, self.store, self.runtime)
        self.vms = Vms(self.registry, calls, self.runtime, self.config.hub_id)
        methods = method_table(
            self.fleet, self.vms, self.audit, self.runtime, self.config.hub_id, self.answers
        )
        self._build_parts(calls)
        for part in self.parts:
            methods |= part.methods()
        self.rpc = Rpc(dict(sorted(methods.items())), self.counters)
        self._build_watching()

    def _build_parts(self, calls: Calls) -> None:
        """Build what stands on all that is there by now."""
        ground = Ground(
            self.config,
            self.runtime,
            self._database,
            self.store_epoch,
            self._instance,
            self._incarnation,
            derive(self.config.cluster_key, "cluster id")[:16],
            self.registry,
            self.mesh,
            self.store,
            self.links,
            calls,
            self.clock,
            self.counters,
            self.stopping,
            self._report,
            self.describe,
            self.intend,
            self.stamps.next,
            edges=self.edge_doors,
            keeper=self.upkeep.keeper,
            crowd=self.crowd,
        )
        self.parts = build_parts(ground)
        self.fleet.in_status = ground.in_status
        self._in_gauges = ground.in_gauges
        for part in self.parts:
            for section in part.sections():
                self.mesh.sections.add(section)

    def _build_watching(self) -> None:
        self.figures = Figures(
            self.registry,
            self.store,
            self.mesh,
            self.audit,
            self.crowd,
            self.upkeep,
            self.runtime,
            self.counters,
            self.describe,
            self._in_gauges,
        )
        disk, registry = self.upkeep.disk, self.own.registry
        self.health = HealthDoors(self.stopping, disk, self.peers, registry, self.audit.count)
        self.tail = TailDoor(
            StoreTailSource(self.store),
            self.runtime.offload,
            self.runtime.wall_ms,
            self.stopping,
            self.guard.csrf_ok,
            self.counters,
        )

    def _report(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write an event into this hub's own log."""
        self.own.voice.report(name, facts)

    def _report_lag(self, peer: str, seconds: float) -> None:
        self._report("peer.lag", {"peer": peer, "seconds": round(seconds, 1)})

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
            nodes=len(self.registry.life.watched),
            links=len(self.links.sessions),
            chunks=self.store.chunks,
            records=self.store.records,
            stored_bytes=self.store.stored_bytes,
            head_arrival=self.store.head_arrival,
        )

    async def intend(self, node_id: str, field: str, value: object) -> None:
        """Record what a person wants of a node; returns once it is on disk."""
        await self.stamps.ahead()
        now = asyncio.get_running_loop().time()
        self.registry.intend(node_id, field, value, self.runtime.wall_ms(), now)
        await self.stamps.settle()
        await self.saving.save()

    async def run(self) -> None:
        """Keep everything going, for ever; cancel to stop."""
        async with asyncio.TaskGroup() as tasks:
            for run in (self.mesh.run, self.pulls.run, self.upkeep.run, self.own.run):
                tasks.create_task(run())
            tasks.create_task(repeat("saving nodes", self.saving.save, self.runtime.rng))
            tasks.create_task(repeat("forgetting receipts", self.saving.prune, self.runtime.rng))
            tasks.create_task(repeat("adding up ledgers", self.audit.count, self.runtime.rng))
            for part in self.parts:
                tasks.create_task(part.run())
            if self.answers.pool is not None:
                tasks.create_task(self.answers.pool.run())

    def stop(self) -> None:
        """Tell streams and waiting peers that this hub is about to go."""
        self.stopping.set()
        self.store.announce()

    async def close(self) -> None:
        """Write what is not yet on disk and let go of everything."""
        self.stop()
        await self.links.close()
        if self.answers.pool is not None:
            await self.answers.pool.close()
        for part in reversed(self.parts):
            await part.close()
        await self.own.voice.flush()
        try:
            await self.saving.save()
        except (
            Unavailable
        ) as error:  # Beats and peers tell it again; the rest must still be closed.
            log.warning("nodes are not saved: %s", error)
        await self.client.close()
        self._files.close()

    def abandon(self) -> None:
        """Let go as a killed process would. For simulations."""
        self._files.abandon()

    # ---- routes

    def route_table(self) -> list[RouteSpec]:
        """Every HTTP path of this hub but the pages, with who may use it."""
        return [
            *self.health.routes(),
            *otlp_routes(self.own.otlp),
            *rest_routes(self.rpc.call, self.config.hub_id, self.stopping),
            RouteSpec("/rpc", ("POST",), "admin", self.rpc.endpoint),
            *self.edge_doors.routes(),
            *watched(self._part_routes(), self.mesh.witness),
        ]

    def _part_routes(self) -> list[RouteSpec]:
        parts = (route for part in self.parts for route in part.routes())
        return [*self.peer_doors.routes(), *parts]

    def routes(self, pages: Sequence[RouteSpec] = ()) -> list[Route | WebSocketRoute]:
        """All routes, guarded."""
        link = WebSocketRoute("/edge/link", self._link)
        return [link, *self.guard.routes([*self.route_table(), *pages])]

    async def _link(self, socket: WebSocket) -> None:
        if not await self.guard.refuse_socket("edge", socket):
            await self.edge_doors.link(socket)
