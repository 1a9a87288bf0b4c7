"""What a hub stands on before any of its services is there: its disk, its clock, its records, its peers."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

from hub.config import HubConfig, life_limits
from hub.gossip import HubRecord
from hub.links import Links
from hub.loading import load_nodes
from hub.peers import Peers
from hub.registry import Registry
from hub.replicate import SafeLedger
from hub.saving import Saving
from hub.stamps import Stamps
from hub.store import gossip_table, hub_table
from hub.store.chunks import ChunkStore
from hub.store.files import StoreFiles, open_files
from hub.store.hub_table import StoredPeer
from hub.store.starts import read_starts, write_starts
from shared import __version__
from shared.runtime import HttpClient, Runtime
from shared.security import derive
from shared.sqlite import Database
from shared.stamp import HybridClock

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Footing:
    """The standing things of one hub, and what is done with nothing but them."""

    config: HubConfig
    runtime: Runtime
    files: StoreFiles
    instance: str = field(init=False)
    """Names this run of the hub."""
    store_epoch: str = field(init=False)
    """Names its store."""
    incarnation: int = field(init=False)
    """A number that grows with every start."""
    cluster_id: str = field(init=False)
    clock: HybridClock = field(init=False)
    registry: Registry = field(init=False)
    saving: Saving = field(init=False)
    store: ChunkStore = field(init=False)
    peers: Peers = field(init=False)
    stamps: Stamps = field(init=False)
    client: HttpClient = field(init=False)
    links: Links = field(default_factory=Links)
    counters: Counter[str] = field(default_factory=Counter)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _started_ms: int = field(init=False)

    def __post_init__(self) -> None:
        config, runtime = self.config, self.runtime
        began_at, limits = asyncio.get_running_loop().time(), life_limits(config)
        self.instance, self._started_ms = runtime.token_hex(8), runtime.wall_ms()
        self.cluster_id = derive(config.cluster_key, "cluster id")[:16]
        self.clock = HybridClock(config.hub_id)
        self.registry = Registry(config.hub_id, began_at, self.clock, limits, self.instance)
        self.saving = Saving(self.registry, self.database, runtime)
        self.store = ChunkStore(self.files, runtime, SafeLedger(config.copies))
        self.peers = Peers(config.hub_id, config.url)
        self.stamps = Stamps(self.clock, self.database, runtime)
        self.client = runtime.http()

    @property
    def hub_id(self) -> str:
        """The name of this hub."""
        return self.config.hub_id

    @property
    def database(self) -> Database:
        """Where all but the bodies of chunks is kept."""
        return self.files.database

    # ---- from disk

    async def load(self) -> None:
        """Take up where the last run was; to be called once, before anything else."""
        fresh, inode = self.runtime.token_hex(8), self.files.inode
        write = self.database.write
        folder, offload = self.config.folder, self.runtime.offload
        starts = await offload(lambda: read_starts(folder))
        self.store_epoch = await write(lambda db: hub_table.store_life(db, inode, fresh, starts))
        self.incarnation = await write(hub_table.next_incarnation)
        await offload(lambda: write_starts(folder, self.incarnation))
        await self.stamps.load()
        await self._load_nodes()
        self.peers.learn(self.config.peers, configured=True)
        for stored in await write(hub_table.load_peers):
            self._recall(stored)
        for peer in self.peers.by_url.values():
            # A configured peer counts as a copy that is missing until it has confirmed something.
            self.store.ledger.peers.setdefault(peer.key, 0)

    async def _load_nodes(self) -> None:
        """Begin a life, which is on disk before anything of it is told, with the records of the last."""
        database = self.database
        word = self.instance[:8]
        life = await database.write(lambda db: gossip_table.begin_life(db, self.store_epoch, word))
        nodes = load_nodes(self.registry, database, self.runtime, life, self.cluster_id)
        for node_id, reason in (await nodes).items():
            log.error("the record of node %s cannot be read: %s", node_id, reason)

    def _recall(self, stored: StoredPeer) -> None:
        """Take up with a peer where we were when we stopped."""
        self.peers.learn([stored.url])
        peer = self.peers.by_url.get(stored.url)
        if peer is not None:
            peer.hub_id, peer.store_epoch = stored.hub_id, stored.store_epoch
            peer.pulled_arrival = stored.pulled_arrival
        self.store.ledger.peers[stored.hub_id] = stored.confirmed_arrival

    # ---- onto disk

    async def save_peer(self, peer: StoredPeer) -> None:
        """Keep what is known of a peer; returns once it is on disk."""
        await self.database.write(lambda db: hub_table.save_peer(db, peer))

    async def drop_peer(self, hub_id: str) -> None:
        """Forget a peer; returns once it is off the disk."""
        await self.database.write(lambda db: hub_table.forget_peer(db, hub_id))

    async def intend(self, node_id: str, field: str, value: object) -> None:
        """Record what a person wants of a node; returns once it is on disk."""
        await self.stamps.ahead()
        now = asyncio.get_running_loop().time()
        self.registry.intend(node_id, field, value, self.runtime.wall_ms(), now)
        await self.stamps.settle()
        await self.saving.save()

    # ---- what it says of itself

    def describe(self) -> HubRecord:
        """This hub as it tells of itself."""
        return HubRecord(
            self.config.hub_id,
            self.config.url,
            __version__,
            self.instance,
            self._started_ms,
            nodes=len(self.registry.life.watched),
            links=len(self.links.sessions),
            chunks=self.store.chunks,
            records=self.store.records,
            stored_bytes=self.store.stored_bytes,
            head_arrival=self.store.head_arrival,
        )


async def lay(config: HubConfig, runtime: Runtime) -> Footing:
    """Open or create the store of a hub, and take up where it was."""
    files = open_files(config.folder, config.synchronous, threads=runtime.threads)
    footing = Footing(config, runtime, files)
    await footing.load()
    return footing
