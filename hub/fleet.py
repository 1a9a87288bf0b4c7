"""The RPC methods about nodes and hubs, answered from what this hub knows."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub import params
from hub.backlogs import AllBacklogs
from hub.calls import DEADLINE_SECONDS, DEADLINE_SECONDS_MAX, HOP_RESERVE, Calls
from hub.describe import Now, describe_node, describe_peer, describe_self, time_of_ms
from hub.fleet_list import NodeList
from hub.gossip import HubRecord
from hub.mesh import Mesh
from hub.nodes.enrolment import way_back
from hub.nodes.tombstones import removal_of
from hub.peers import Peer
from hub.registry import Registry
from hub.standing import describe_standing
from hub.store.chunks import ChunkStore
from hub.upkeep import Upkeep
from shared.errors import BadInput, RpcError
from shared.label_name import check_label_names
from shared.liveness import NodeState
from shared.merge import DRAINING, LABELS, NodeRecord
from shared.runtime import Runtime

HEARD = (NodeState.ONLINE, NodeState.LATE)
NODES_AT_ONCE = 1000
DRAIN_MARGIN_SECONDS = 15.0


@dataclass(slots=True)
class Fleet:
    """Nodes and hubs for RPC and pages."""

    registry: Registry
    mesh: Mesh
    store: ChunkStore
    calls: Calls
    runtime: Runtime
    folder: Path
    cluster_id: str
    describe: Callable[[], HubRecord]
    counters: Callable[[], Counter[str]]
    intend: Callable[[str, str, object], Awaitable[None]]
    upkeep: Upkeep
    in_status: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    nodes: NodeList = field(init=False)
    backlogs: AllBacklogs = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = NodeList(self.registry, self.now)
        self.backlogs = AllBacklogs(self.registry, self.runtime.wall_ns)

    def node(self, node_id: str) -> NodeRecord:
        """The record of a node; raises RpcError not_found."""
        record = self.registry.records.get(node_id)
        if record is None:
            raise RpcError("not_found", f"no node is called {node_id}", {"node": node_id})
        removal = removal_of(record)
        if removal is not None:
            raise RpcError("not_found", way_back(node_id, removal), {"node": node_id})
        return record

    def now(self) -> Now:
        """This moment."""
        return Now(asyncio.get_running_loop().time(), self.runtime.wall_ms())

    async def node_get(self, raw: dict[str, Any]) -> dict[str, Any]:
        """One node."""
        wanted = params.read(params.OfNode, raw)
        return describe_node(self.registry, self.node(wanted.node), self.now())

    async def node_undrain(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Let a node take new work again."""
        wanted = params.read(params.OfNode, raw)
        return await self._set(wanted.node, DRAINING, False)

    async def node_label(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Set the labels of a node."""
        wanted = params.read(params.LabelNode, raw)
        held = self.node(wanted.node).intent_value(LABELS)
        try:
            check_label_names(wanted.labels, held if isinstance(held, Mapping) else ())
        except BadInput as error:
            raise RpcError("invalid_params", str(error), {"node": wanted.node}) from error
        return await self._set(wanted.node, LABELS, wanted.labels)

    async def _set(self, node_id: str, field: str, value: object) -> dict[str, Any]:
        self.node(node_id)
        await self.intend(node_id, field, value)
        return describe_node(self.registry, self.node(node_id), self.now())

    async def hub_list(self, raw: dict[str, Any]) -> dict[str, Any]:
        """This hub and its peers, and the hubs that people have sent away."""
        params.read(params.Nothing, raw)
        gone = self.in_status.get("removed_hubs", list)
        return {"items": self._hubs(), "removed": gone()}

    def _hubs(self) -> list[dict[str, Any]]:
        now, wall_ms = asyncio.get_running_loop().time(), self.runtime.wall_ms()
        peers = [
            {
                **describe_peer(peer, now, wall_ms),
                "away": self._away(peer, now, wall_ms),
                "replication": self._standing(peer, now),
            }
            for peer in self.mesh.peers.by_url.values()
        ]
        hubs = [describe_self(self.describe(), wall_ms), *peers]
        return sorted(hubs, key=lambda hub: str(hub["hub_id"]))

    def _away(self, peer: Peer, now: float, wall_ms: int) -> dict[str, Any] | None:
        """Why a peer is away by plan and until when; None for one that means to be here."""
        hold, moment = self.mesh.peers.hold_of(peer.hub_id), Now(now, wall_ms)
        if hold is None:
            return None
        return {
            "since": moment.time(hold.began_at),
            "ends": moment.time(hold.ends_at),
            "reason": hold.reason,
        }

    def _standing(self, peer: Peer, now: float) -> dict[str, Any]:
        """How pulling from a peer goes."""
        mesh = self.mesh
        return describe_standing(mesh.puller.standing(peer), mesh.sweeper.count(peer), now)

    async def hub_status(self, raw: dict[str, Any]) -> dict[str, Any]:
        """How this hub is."""
        params.read(params.Nothing, raw)
        mine, wall_ms = self.describe(), self.runtime.wall_ms()
        nodes, vms = await self._count()
        return {
            **describe_self(mine, wall_ms),
            "cluster_id": self.cluster_id,
            "isolated": self.mesh.peers.is_isolated,
            "started": time_of_ms(mine.started_ms),
            "nodes": dict(nodes),
            "vms": dict(vms),
            "disk_free_bytes": self.upkeep.disk.state.room.free_bytes,
            "disk": self.upkeep.disk.to_wire(),
            "index": self.upkeep.state.index,
            "damaged_chunks": self.upkeep.state.damaged_chunks,
            "replication": {
                "lag_p50_ms": self.store.lag_ms(0.5),
                "lag_p99_ms": self.store.lag_ms(0.99),
            },
            "copies": self.store.ledger.copies,
            "peers": [hub for hub in self._hubs() if hub["state"] != "self"],
            "counters": dict(self.counters()),
            **{name: tell() for name, tell in self.in_status.items()},
        }

    async def _count(self) -> tuple[Counter[str], Counter[str]]:
        """How many nodes and machines are in each state; the event loop gets its turn meanwhile."""
        vms = Counter[str]()
        for number, node_id in enumerate(self.registry.roster.names, 1):
            seen = self.registry.newest(node_id)
            known = [each for each in (seen.vms if seen else ()) if isinstance(each, dict)]
            if self.registry.state(node_id) in HEARD:
                vms.update(str(each.get("state", "")) for each in known)
            elif known:  # What runs on a silent node is not known.
                vms["unknown"] += len(known)
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return Counter(self.nodes.states()), vms

    async def edge_buffer(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What a node's buffer holds, asked of the node itself."""
        wanted = params.read(params.OfNode, raw)
        return await self._ask(wanted.node, "edge.buffer", {})

    async def edge_drain(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Push out everything a node has buffered; returns its verdict."""
        wanted = params.read(params.DrainNode, raw)
        order = {"deadline_s": wanted.deadline_s, "request_id": wanted.request_id}
        # A hop passes on only a part of its time, and the last one must outlast the deadline.
        seconds = (wanted.deadline_s + DRAIN_MARGIN_SECONDS) / HOP_RESERVE
        return await self._ask(wanted.node, "edge.drain", order, min(seconds, DEADLINE_SECONDS_MAX))

    async def edge_drain_status(self, raw: dict[str, Any]) -> dict[str, Any]:
        """How the drains of a node go, and the verdicts of those that ended last."""
        wanted = params.read(params.DrainsOfNode, raw)
        which = {"request_id": wanted.request_id}
        return await self._ask(wanted.node, "edge.drain.status", which)

    async def edge_drain_cancel(self, raw: dict[str, Any]) -> dict[str, Any]:
        """End a drain before its deadline; the node goes on pushing as it always does."""
        wanted = params.read(params.CancelDrain, raw)
        which = {"request_id": wanted.request_id}
        return await self._ask(wanted.node, "edge.drain.cancel", which)

    async def _ask(
        self,
        node: str,
        method: str,
        order: dict[str, Any],
        seconds: float = DEADLINE_SECONDS,
    ) -> dict[str, Any]:
        self.node(node)
        answer = await self.calls.call(node, method, order, seconds=seconds)
        return {**answer.result, "path": {"served_by": answer.hops[-1]["hub"], "hops": answer.hops}}
