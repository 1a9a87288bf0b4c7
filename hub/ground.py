"""What the parts of a hub stand on: what is there before any of them is built."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.calls import Calls
from hub.config import HubConfig
from hub.crowd import Crowd
from hub.edge_doors import EdgeDoors
from hub.gossip import HubRecord
from hub.keeper import Keeper
from hub.links import Links
from hub.mesh import Mesh
from hub.registry import Registry
from hub.store.chunks import ChunkStore
from hub.web.sockets import SocketSpec
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock, Stamp


@dataclass(frozen=True, slots=True)
class Ground:
    """The standing things of one hub. `store_epoch` names its store, `instance` this run of it."""

    config: HubConfig
    runtime: Runtime
    database: Database
    store_epoch: str
    instance: str
    incarnation: int
    """A number that grows with every start."""
    cluster_id: str
    registry: Registry
    mesh: Mesh
    store: ChunkStore
    links: Links
    calls: Calls
    clock: HybridClock
    counters: Counter[str]
    stopping: asyncio.Event
    report: Callable[[str, Mapping[str, Any]], None]
    """Writes an event, by name and facts, into the hub's own log."""
    describe: Callable[[], HubRecord]
    intend: Callable[[str, str, object], Awaitable[None]]
    """Sets a field of a node, as people do; returns once it is on disk."""
    stamp: Callable[[], Awaitable[Stamp]]
    """A new stamp, which no restart makes again."""
    edges: EdgeDoors
    keeper: Keeper
    crowd: Crowd
    ask_store: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
    """Answers a question about stored data, such as event.list; raises RpcError."""
    on_verdict: list[Callable[[str, str, str], None]] = field(default_factory=list)
    """Who is told when this hub's verdict on a node changes: node, state, reason."""
    in_status: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """What parts add to the answer of hub.status, by name."""
    in_gauges: list[Callable[[], Mapping[str, float]]] = field(default_factory=list)
    """What parts add to the metrics, by names that hub.exposition explains."""

    sockets: list[SocketSpec] = field(default_factory=list)
    """What parts add to the WebSockets of the hub."""

    @property
    def hub_id(self) -> str:
        """The name of this hub."""
        return self.config.hub_id

    @property
    def now(self) -> float:
        """The monotonic clock of the event loop."""
        return asyncio.get_running_loop().time()
