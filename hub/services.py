"""Builds the services of a hub on what it stands on, each from those before it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.answers import Answers
from hub.audit import Audit
from hub.calls import Calls
from hub.credits import CreditLimits
from hub.crowd import Crowd
from hub.edge_doors import EdgeDoors
from hub.figures import Figures
from hub.fleet import Fleet
from hub.footing import Footing
from hub.ground import Ground
from hub.health import HealthDoors
from hub.mesh import Mesh
from hub.own import Own
from hub.peer_watch import FROM_HEADER
from hub.pull import Pulls
from hub.store.tail_reads import StoreTailSource
from hub.tail_door import TailDoor
from hub.upkeep import Upkeep
from hub.web.guard import Guard

Report = Callable[[str, Mapping[str, Any]], None]
"""Writes an event, by name and facts, into the hub's own log."""


@dataclass(frozen=True, slots=True)
class EdgeSide:
    """What faces the edges: their doors, what they may bring, and what is pulled from them."""

    crowd: Crowd
    pulls: Pulls
    doors: EdgeDoors


def build_guard(footing: Footing) -> Guard:
    """Who stands before all doors."""
    config = footing.config
    return Guard(
        config.hub_id,
        config.admin_token,
        config.cluster_key,
        lambda: footing.runtime.wall_ms() / 1000,
        footing.counters,
    )


def build_mesh(footing: Footing, report: Report) -> Mesh:
    """What this hub does with its peers."""

    def report_lag(peer: str, seconds: float) -> None:
        report("peer.lag", {"peer": peer, "seconds": round(seconds, 1)})

    own = {"authorization": f"Bearer {footing.config.cluster_key}", FROM_HEADER: footing.hub_id}
    mesh = Mesh(
        footing.peers,
        footing.store,
        footing.runtime,
        footing.client,
        own,
        footing.describe,
        footing.save_peer,
        footing.drop_peer,
        report_lag,
    )
    mesh.sweeper.tell = report
    return mesh


def build_edge_side(footing: Footing, mesh: Mesh) -> EdgeSide:
    """What faces the edges."""
    limits = CreditLimits(footing.config.backlog_bytes_per_s)
    crowd = Crowd(footing.registry, footing.store, limits)
    pulls = Pulls(
        footing.hub_id,
        footing.links,
        lambda node_id, wire, mark: doors.pulled(node_id, wire, mark),
        footing.runtime.rng,
    )
    doors = EdgeDoors(
        footing.hub_id,
        footing.registry,
        footing.store,
        footing.links,
        mesh,
        footing.runtime,
        crowd,
        footing.counters,
        pulls.heard,
    )
    return EdgeSide(crowd, pulls, doors)


def build_fleet(footing: Footing, mesh: Mesh, calls: Calls, upkeep: Upkeep) -> Fleet:
    """What people ask of nodes and hubs."""
    return Fleet(
        footing.registry,
        mesh,
        footing.store,
        calls,
        footing.runtime,
        footing.config.folder,
        footing.cluster_id,
        footing.describe,
        lambda: footing.counters,
        footing.intend,
        upkeep,
    )


def build_ground(
    footing: Footing,
    mesh: Mesh,
    calls: Calls,
    report: Report,
    edge: EdgeSide,
    upkeep: Upkeep,
    answers: Answers,
) -> Ground:
    """What the parts stand on."""
    return Ground(
        footing.config,
        footing.runtime,
        footing.database,
        footing.store_epoch,
        footing.instance,
        footing.incarnation,
        footing.cluster_id,
        footing.registry,
        mesh,
        footing.store,
        footing.links,
        calls,
        footing.clock,
        footing.counters,
        footing.stopping,
        report,
        footing.describe,
        footing.intend,
        footing.stamps.next,
        edges=edge.doors,
        keeper=upkeep.keeper,
        crowd=edge.crowd,
        ask_store=answers.ask,
    )


def build_figures(footing: Footing, ground: Ground, audit: Audit, upkeep: Upkeep) -> Figures:
    """What the metrics show, those of the parts included."""
    return Figures(
        footing.registry,
        footing.store,
        ground.mesh,
        audit,
        ground.crowd,
        upkeep,
        footing.runtime,
        footing.counters,
        footing.describe,
        ground.in_gauges,
    )


def build_health(footing: Footing, upkeep: Upkeep, own: Own, audit: Audit) -> HealthDoors:
    """Where others look whether this hub is well."""
    stopping, peers = footing.stopping, footing.peers
    return HealthDoors(stopping, upkeep.disk, peers, own.registry, audit.count)


def build_tail(footing: Footing, guard: Guard) -> TailDoor:
    """Where people follow what arrives."""
    return TailDoor(
        StoreTailSource(footing.store),
        footing.runtime.offload,
        footing.runtime.wall_ms,
        footing.stopping,
        guard.csrf_ok,
        footing.counters,
    )
