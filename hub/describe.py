"""How nodes and hubs look from outside: one place that turns records into what RPC and pages show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.gossip import HubRecord
from hub.nodes.tombstones import has_come
from hub.nodes.verdict import Verdict
from hub.peers import Peer
from hub.query.times import format_time
from hub.registry import Registry
from shared.liveness import NodeState
from shared.merge import LABELS, REGISTERED, ROLE, UNIX_MS_MAX, NodeRecord, Observation

MAINTENANCE = "maintenance"
"""The field of a node's record that says that people work on it."""

SAME_MS = 1000
"""Moments of one beat differ by less: by its way between hubs, and by their clocks."""

PRIVATE_FACTS = frozenset({"key_sha256"})


def time_of_ms(wall_ms: int | None) -> str | None:
    """Unix milliseconds as RFC 3339 text; None also for what is no time, as rubbish in one record of
    a peer may be: all others must still be shown."""
    if wall_ms is None or not 0 <= wall_ms <= UNIX_MS_MAX:
        return None
    return format_time(wall_ms * 1_000_000)


@dataclass(frozen=True, slots=True)
class Now:
    """One moment by both clocks: monotonic seconds, and Unix milliseconds."""

    seconds: float
    wall_ms: int

    def time(self, seconds: float | None) -> str | None:
        """A moment of the monotonic clock as RFC 3339 text."""
        if seconds is None:
            return None
        return time_of_ms(round(self.wall_ms + (seconds - self.seconds) * 1000))

    def before(self, age_seconds: float) -> str | None:
        """So long ago, as RFC 3339 text."""
        return self.time(self.seconds - age_seconds)


def describe_node(registry: Registry, record: NodeRecord, now: Now) -> dict[str, Any]:
    """One node as this hub sees it now.

    `age_s` is how long ago any hub heard it, and `told_age_s` how old what is shown of it is. Of a node
    that was silent ever since this hub started, the record says who heard it last, and when.
    """
    seen, facts = registry.newest(record.node_id), record.facts
    last = seen if has_come(record) else None
    data = seen.data if seen else {}
    ages = registry.life.ages(record.node_id, now.seconds)
    seen_ms, seen_by = _last_seen(seen, ages, now)
    return {
        "node_id": record.node_id,
        **_describe_verdict(registry.life.verdict(record.node_id), now, last, has_come(record)),
        "preferred_hub": registry.home_of(record.node_id) or None,
        "last_seen": time_of_ms(seen_ms),
        "last_seen_by": seen_by,
        "age_s": _seconds(min(ages.values(), default=_age_by_record(last, now))),
        "told_age_s": _seconds(registry.age_seconds(record.node_id, now.seconds)),
        "draining": registry.is_draining(record),
        "maintenance": maintenance_of(record),
        "labels": record.intent_value(LABELS) or {},
        "role": record.intent_value(ROLE) or None,
        "registered": _registered(record),
        "facts": _public(facts.data) if facts else {},
        "load": data.get("load", {}),
        "buffer": data.get("buffer", {}),
        "clock_skew_ms": data.get("clock_skew_ms"),
        "vms": data.get("vms", []),
        "incarnation": seen.incarnation if seen else 0,
        "beat": seen.beat if seen else 0,
        "hubs": {hub: now.before(age) for hub, age in sorted(ages.items())},
    }


def maintenance_of(record: NodeRecord) -> dict[str, Any] | None:
    """By whom, since when and why people work on a node, and which VMs ran before; None if nobody."""
    told = record.intent_value(MAINTENANCE)
    if not isinstance(told, dict):
        return None
    at_ms, vms = told.get("at_ms"), told.get("vms")
    return {
        "by": str(told.get("by", "")),
        "since": time_of_ms(at_ms) if isinstance(at_ms, int) else None,
        "why": str(told.get("why", "")),
        "vms": [vm for vm in vms if isinstance(vm, str)] if isinstance(vms, list) else [],
    }


def _last_seen(
    seen: Observation | None, ages: Mapping[str, float], now: Now
) -> tuple[int | None, str | None]:
    """When a node was heard last and by which hub: by the newest beat known here, or by the word of a hub
    that heard a later one, which this hub has not, as after a restart.

    Between the two ways of telling time some milliseconds are no news.
    """
    told_ms, told_by = (seen.last_seen_ms, seen.hub_id) if seen else (None, None)
    if not ages:
        return told_ms, told_by
    hub = min(ages, key=lambda each: (ages[each], each))
    heard_ms = round(now.wall_ms - ages[hub] * 1000)
    is_later = told_ms is None or heard_ms - told_ms > SAME_MS
    return (heard_ms, hub) if is_later else (told_ms, told_by)


def _registered(record: NodeRecord) -> dict[str, Any] | None:
    """By whom and when the node was registered; None for one that came by itself."""
    told = record.intent_value(REGISTERED)
    if not isinstance(told, dict):
        return None
    at_ms = told.get("at_ms")
    return {"by": told.get("by"), "at": time_of_ms(at_ms) if isinstance(at_ms, int) else None}


def _age_by_record(last: Observation | None, now: Now) -> float | None:
    """How long ago a record says that a node was heard, by the wall clocks of two hubs."""
    return None if last is None else max(0.0, (now.wall_ms - last.last_seen_ms) / 1000)


def _describe_verdict(
    verdict: Verdict | None, now: Now, last: Observation | None, has_come: bool
) -> dict[str, Any]:
    """What this hub says of a node, and by whose word."""
    if verdict is None:
        why = "this hub does not watch it" if has_come else "it is expected, and has not come yet"
        verdict = Verdict(NodeState.UNKNOWN, "", now.seconds, why)
    return {
        "state": str(verdict.state),
        "last_heard_by": verdict.observer or (last.hub_id if last else None),
        "since": now.time(verdict.since),
        "reason": verdict.reason or None,
        "ends": now.time(verdict.ends_at),
    }


def _seconds(age_seconds: float | None) -> float | None:
    return None if age_seconds is None else round(age_seconds, 3)


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
        "error": peer.error or peer.refusal or None,
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
