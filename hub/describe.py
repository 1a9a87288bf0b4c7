"""How nodes and hubs look from outside: one place that turns records into what RPC and pages show."""

from typing import Any

from hub.gossip import HubRecord
from hub.peers import Peer
from hub.query.times import format_time
from hub.registry import Registry
from shared.merge import LABELS, NodeRecord

PRIVATE_FACTS = frozenset({"key_sha256"})


def time_of_ms(wall_ms: int | None) -> str | None:
    """Unix milliseconds as RFC 3339 text."""
    return None if wall_ms is None else format_time(wall_ms * 1_000_000)


def describe_node(registry: Registry, record: NodeRecord, now: float) -> dict[str, Any]:
    """One node as this hub sees it at `now` (monotonic)."""
    seen, facts = record.observation, record.facts
    data = seen.data if seen else {}
    age = registry.age_seconds(record.node_id, now)
    return {
        "node_id": record.node_id,
        "state": str(registry.state(record.node_id, now)),
        "last_seen": time_of_ms(seen.last_seen_ms if seen else None),
        "last_seen_by": seen.hub_id if seen else None,
        "age_s": None if age is None else round(age, 3),
        "draining": registry.is_draining(record),
        "labels": record.intent_value(LABELS) or {},
        "facts": _public(facts.data) if facts else {},
        "load": data.get("load", {}),
        "buffer": data.get("buffer", {}),
        "clock_skew_ms": data.get("clock_skew_ms"),
        "vms": data.get("vms", []),
        "incarnation": seen.incarnation if seen else 0,
        "beat": seen.beat if seen else 0,
        "hubs": {hub: time_of_ms(heard.last_seen_ms) for hub, heard in record.heard.items()},
    }


def _public(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in PRIVATE_FACTS}


def describe_hub(record: HubRecord, wall_ms: int) -> dict[str, Any]:
    """What a hub says of itself."""
    return {
        "hub_id": record.hub_id,
        "url": record.url,
        "version": record.version,
        "uptime_s": round((wall_ms - record.started_ms) / 1000, 1),
        "nodes": record.nodes,
        "links": record.links,
        "chunks": record.chunks,
        "records": record.records,
        "bytes": record.stored_bytes,
    }


def describe_peer(peer: Peer, now: float, wall_ms: int) -> dict[str, Any]:
    """A peer as this hub sees it."""
    nothing = HubRecord(peer.hub_id or peer.url, peer.url, "", "", wall_ms)
    age = None if peer.answered_at is None else now - peer.answered_at
    return {
        **describe_hub(peer.record or nothing, wall_ms),
        "url": peer.url,
        "state": peer.state(now),
        "last_seen": None if age is None else time_of_ms(round(wall_ms - age * 1000)),
        "age_s": None if age is None else round(age, 3),
        "lag_chunks": peer.lag_chunks if peer.answered_at is not None else None,
        "rtt_ms": peer.rtt_ms,
        "clock_offset_ms": peer.clock_offset_ms,
        "error": peer.error or None,
    }


def describe_self(record: HubRecord, wall_ms: int) -> dict[str, Any]:
    """This hub in the same shape as its peers."""
    return {
        **describe_hub(record, wall_ms),
        "state": "self",
        "last_seen": time_of_ms(wall_ms),
        "age_s": 0.0,
        "lag_chunks": 0,
        "rtt_ms": None,
        "clock_offset_ms": None,
        "error": None,
    }
