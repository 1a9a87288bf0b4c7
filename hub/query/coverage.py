"""What an answer covers: until when it is complete, and which edges still hold how much.

Pure: it judges what heartbeats said. A node that is silent may hold data of any age since its last
word, so it makes an answer partial whatever its last beat said.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.ledger import MOVED
from hub.query.times import NS_PER_S, format_time
from shared.records import Gap

SKEW_MS_MAX = 2000
"""A clock that is wrong by more than this is worth a word: its rows stand at wrong places."""

FRESH_SECONDS = 5.0
"""Data that is on its way for no longer than this is the normal case, and no reason to warn."""

NAMED_MAX = 1000
"""When a whole fleet is silent, an answer counts its nodes, and names so many of them."""

ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one node last said of its buffer: the part of it that no hub has yet.

    `oldest_age_seconds` is how old the oldest of it was then, None without any; `beat_age_seconds`
    is how long ago that was, None when the node never spoke.
    """

    node_id: str
    state: str
    pending_chunks: int
    pending_records: int
    oldest_age_seconds: float | None
    beat_age_seconds: float | None
    clock_skew_ms: int | None = None

    @property
    def behind_seconds(self) -> float | None:
        """How far back from now this node's data may be missing; None when nothing is known."""
        if self.beat_age_seconds is None:
            return None
        pending_s = (self.oldest_age_seconds or 0.0) if self.pending_chunks else 0.0
        return self.beat_age_seconds + pending_s

    @property
    def is_behind(self) -> bool:
        """Whether an operator should know."""
        if self.state != ONLINE:
            return True
        return self.pending_chunks > 0 and (self.oldest_age_seconds or 0.0) > FRESH_SECONDS

    @property
    def is_skewed(self) -> bool:
        """Whether its rows stand at wrong places."""
        return abs(self.clock_skew_ms or 0) > SKEW_MS_MAX

    @property
    def is_told(self) -> bool:
        """Whether answers name the node."""
        return self.is_behind or self.is_skewed or self.behind_seconds is None


def backlog_of(node: Mapping[str, Any]) -> Backlog:
    """The backlog in a node record as `node.get` gives it. Records are those of the pending chunks
    where the edge says so, else all that it has buffered."""
    buffer = node.get("buffer") or {}
    records = buffer.get("pending_records", buffer.get("records", 0))
    pending = int(buffer.get("pending_chunks") or 0)
    return Backlog(
        node["node_id"],
        node["state"],
        pending,
        int(records or 0) if pending else 0,
        buffer.get("oldest_age_s"),
        node.get("told_age_s"),
        node.get("clock_skew_ms"),
    )


@dataclass(frozen=True, slots=True)
class LostRecords:
    """What nodes have declared lost in the time that was asked about."""

    gaps: int = 0
    records: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Records by reason."""
    nodes: Sequence[str] = ()

    def to_wire(self) -> dict[str, Any]:
        """As answers show it."""
        return {
            "count": self.gaps,
            "records": self.records,
            "reasons": dict(self.reasons),
            "nodes": list(self.nodes),
        }


def lost_records(gaps: Iterable[tuple[str, Gap]]) -> LostRecords:
    """The sum of gaps of several nodes, without those whose records are in other chunks."""
    counted = [(node, gap) for node, gap in gaps if gap.reason not in MOVED]
    reasons: Counter[str] = Counter()
    for _, gap in counted:
        reasons[gap.reason] += gap.records
    nodes = sorted({node for node, _ in counted})
    return LostRecords(len(counted), reasons.total(), dict(sorted(reasons.items())), nodes)


NOTHING_LOST = LostRecords()


@dataclass(frozen=True, slots=True)
class StoreState:
    """What the hub that answers knows of its own files: how far its index is, None when it has none,
    and how many chunks it has lost by damage and not yet fetched again."""

    index: Mapping[str, Any] | None = None
    damaged_chunks: int = 0
    unreadable_chunks: int = 0
    """Of this very answer: damage that was met just now, and is not mended yet."""
    is_isolated: bool = False
    """Whether it reaches no other hub: what came to them meanwhile is not here."""
    split: Mapping[str, Any] | None = None
    """While hubs are apart: who is with this one, and for how long; what came to the others is not here."""

    @property
    def is_partial(self) -> bool:
        """Whether there may be something elsewhere that is not here."""
        is_cut_off = self.is_isolated or self.split is not None
        return bool(self.damaged_chunks or self.unreadable_chunks or is_cut_off)


def coverage(
    hub_id: str,
    backlogs: Iterable[Backlog],
    asked: Collection[str] | None,
    now_ns: int,
    lost: LostRecords = NOTHING_LOST,
    store: StoreState | None = None,
) -> dict[str, Any]:
    """The Coverage of an answer about the asked nodes, or about all when none are named.

    `complete_until` is None when a queried node never told what it holds, or is not known here. What
    is lost does not make an answer partial: asking again will not bring it. A hub that is cut off from
    all others makes each of its answers partial.
    """
    store = store or StoreState()
    queried = [held for held in backlogs if asked is None or held.node_id in asked]
    missing = sorted(set(asked or ()) - {held.node_id for held in queried})
    behind = _by_name(held for held in queried if held.is_behind)
    skewed = _by_name(held for held in queried if held.is_skewed)
    return {
        "hub": hub_id,
        "complete_until": None if missing else _complete_until(queried, now_ns),
        "behind": [_item(held) for held in behind[:NAMED_MAX]],
        "behind_nodes": len(behind),
        "missing_nodes": missing,
        "partial": bool(behind or missing or store.is_partial),
        "isolated": store.is_isolated,
        **({"split": store.split} if store.split else {}),
        "index": store.index,
        "damaged_chunks": store.damaged_chunks,
        "gaps": lost.to_wire(),
        "skewed": [
            {"node": held.node_id, "clock_skew_ms": held.clock_skew_ms}
            for held in skewed[:NAMED_MAX]
        ],
        "skewed_nodes": len(skewed),
    }


def _by_name(held: Iterable[Backlog]) -> list[Backlog]:
    return sorted(held, key=lambda each: each.node_id)


def _complete_until(queried: list[Backlog], now_ns: int) -> str | None:
    ages = [held.behind_seconds for held in queried]
    known = [age for age in ages if age is not None]
    if len(known) < len(ages):
        return None
    return format_time(max(0, now_ns - int(max(known, default=0.0) * NS_PER_S)))


def _item(held: Backlog) -> dict[str, Any]:
    return {
        "node": held.node_id,
        "chunks": held.pending_chunks,
        "records": held.pending_records,
        "age_s": held.behind_seconds,
        "state": held.state,
    }
