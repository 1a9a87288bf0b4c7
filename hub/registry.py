"""What this hub knows of all nodes: the records that all hubs share, and the newest beat heard here.

A record changes by `apply`, `hear` and `intend`, which peers are told, or by what peers tell, which
`exchange` takes in. Most beats change no record: every hub hears them by itself, and tells of one
now and then. Rules only: everything comes in with the local monotonic time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.nodes.fresh import FreshBeats
from hub.nodes.life import Life, LifeLimits
from hub.nodes.roster import Roster
from hub.nodes.tombstones import is_watched, lifted, merge_settled, settled
from hub.peering.clock_poison import stamp_over
from hub.peering.exchange import Exchange
from hub.peering.exchange_moments import Moments
from hub.peering.exchange_pace import ObservationPace, ToldObservation
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_saved import Beginning, ReadNode, SavedGossip, read_node
from hub.peering.exchange_values import RecordRules
from shared.beat import Beat
from shared.liveness import NodeState
from shared.merge import (
    DRAINING,
    REMOVED,
    Facts,
    Intent,
    NodeRecord,
    Observation,
    from_bytes,
    intent_order,
    to_bytes,
)
from shared.stamp import HybridClock

ClockOfEdge = Callable[[str, int, int, float], float | None]
"""How far the clock of an edge is ahead (ms), by a beat: its name, its time and ours (Unix ms), and
monotonic seconds. None: it has told no time."""


def _difference(node_id: str, edge_ms: int, wall_ms: int, now: float) -> float | None:
    """Less the time that the beat was on its way: an estimate, and good enough for people."""
    return edge_ms - wall_ms if edge_ms else None


RULES: RecordRules[NodeRecord] = RecordRules(
    lambda record: record.node_id,
    merge_settled,
    to_bytes,
    lambda stored: settled(from_bytes(stored)),
)


def _nobody(is_urgent: bool) -> None:
    """Nobody listens."""


def _nobody_misses(node_id: str) -> bool:
    """Every hub hears every node by itself."""
    return False


def _no_other(node_id: str) -> bool:
    """There is no other hub that could speak for a node."""
    return True


def _no_home(node_id: str) -> str:
    """It is not known which hub is preferred for a node."""
    return ""


Noted = Callable[[NodeRecord | None, NodeRecord], None]
"""A record as it was, and as it is."""


@dataclass(slots=True)
class Registry:
    """The node table of one hub. `began_at` is when this hub started to listen."""

    hub_id: str
    began_at: float
    clock: HybridClock
    limits: LifeLimits = field(default_factory=LifeLimits)
    numbering: str = ""
    """A text that no other run of any hub uses."""
    clock_of_edge: ClockOfEdge = _difference
    is_missed: Callable[[str], bool] = _nobody_misses
    """Whether some peer does not hear a node by itself: then it is told of every beat."""
    home_of: Callable[[str], str] = _no_home
    """The hub that is preferred for a node; empty while that is not known."""
    cares_for: Callable[[str], bool] = _no_other
    """Whether this hub is the one that speaks for a node."""
    on_news: Callable[[bool], None] = _nobody
    """Called when peers are to be told something: at once (True), or with the next round."""
    on_noted: list[Noted] = field(default_factory=list)
    """Who is told of each record that has changed, here or by a peer."""
    exchange: Exchange[NodeRecord] = field(init=False)
    life: Life = field(init=False)
    """Who lives, and how often nodes are asked to beat."""
    roster: Roster = field(default_factory=Roster)
    """The names of the nodes that nobody removed."""
    fresh: FreshBeats = field(init=False)
    """The newest beat of each node that this hub heard itself since it started."""
    _pace: ObservationPace = field(init=False)
    _told_at: Moments = field(init=False)
    _beats: int = 0
    _moved_at: Moments = field(init=False)

    def __post_init__(self) -> None:
        self.life = Life(self.hub_id, self.began_at, self.numbering, self.limits)
        self.exchange = Exchange(Replica((self.hub_id, "first"), RULES), "")
        slots = self.life.heard.slots
        self.fresh = FreshBeats(self.hub_id, slots)
        self._told_at, self._moved_at = Moments(slots), Moments(slots)
        self._pace = ObservationPace(self.hub_id, lambda node_id: self.is_missed(node_id))

    def begin(self, epoch: str, cluster: str, saved: SavedGossip) -> dict[str, str]:
        """Begin a life with what was on disk: known, but not heard of since this hub started.

        Returns the nodes whose records cannot be read, with why.
        """
        beginning = self.beginning(epoch)
        self.load(beginning, [read_node(RULES, each) for each in saved.nodes])
        return self.begun(beginning, cluster, saved)

    def beginning(self, epoch: str) -> Beginning[NodeRecord]:
        """The same in steps: what this returns goes into `load` for each page, then into `begun`."""
        return Beginning(Replica((self.hub_id, epoch), RULES))

    def load(self, beginning: Beginning[NodeRecord], page: Iterable[ReadNode[NodeRecord]]) -> None:
        """Take in some records of the last life."""
        page = list(page)
        beginning.take(page)
        records = [each.record for each in page if each.record is not None]
        self.life.load(each.node_id for each in records if is_watched(each))
        self.roster.put_all(each.node_id for each in records if not each.intent_value(REMOVED))

    def begun(
        self, beginning: Beginning[NodeRecord], cluster: str, saved: SavedGossip
    ) -> dict[str, str]:
        """Begin the life; `saved` tells what was covered. Returns the nodes that cannot be read."""
        self.exchange = Exchange(beginning.end(saved.vector, saved.retired), cluster)
        return beginning.unreadable

    @property
    def replica(self) -> Replica[NodeRecord]:
        """The records with the changes that are in them."""
        return self.exchange.replica

    @property
    def records(self) -> dict[str, NodeRecord]:
        """The records that all hubs share, by node."""
        return self.exchange.replica.records

    @property
    def changes(self) -> int:
        """Grows whenever something that people see of nodes has changed."""
        return self.exchange.replica.dots.position + self._beats

    def apply(self, record: NodeRecord, now: float) -> bool:
        """Merge a change that begins on this hub; returns whether it is one."""
        before = self.records.get(record.node_id)
        if not self.replica.originate(record):
            return False
        self.noted(before, self.records[record.node_id], now)
        self.on_news(True)
        return True

    def noted(self, before: NodeRecord | None, after: NodeRecord, now: float) -> None:
        """A record has changed, here or by a peer."""
        for tell in self.on_noted:
            tell(before, after)
        if after.intent_value(REMOVED):
            self._let_go(after.node_id)
            return
        self.roster.put(after.node_id)
        if is_watched(after):
            self.life.watch(after.node_id, now)
        told = before.observation if before else None
        if after.observation == told:
            return
        node_id = after.node_id
        self._told_at.put(node_id, now)
        known = max(_beat_of(told), self.fresh.count(node_id))
        if _beat_of(after.observation) > known:
            self._moved_at.put(node_id, now)

    def _let_go(self, node_id: str) -> None:
        """Forget what was heard of a node that was removed."""
        self.roster.drop(node_id)
        self.life.forget(node_id)
        self.fresh.forget(node_id)
        self._told_at.forget(node_id)
        self._moved_at.forget(node_id)

    def hear(self, beat: Beat, now: float, wall_ms: int) -> float:
        """Take in a beat that reached this hub directly; in how many seconds the next one is due."""
        held = self.records.get(beat.node_id)
        beat = lifted(beat, held)
        due_seconds = self.life.hear(beat.node_id, beat.incarnation, beat.beat, now)
        known = self._newest(beat.node_id, held)
        seen_ms = wall_ms if known is None else _not_before(known, wall_ms)
        data: dict[str, Any] = {
            "load": beat.load,
            "buffer": beat.buffer,
            "epoch": beat.epoch,
            "vms": beat.vms,
        }
        if beat.run:
            data["run"] = beat.run
        offset_ms = self.clock_of_edge(beat.node_id, beat.wall_ms, wall_ms, now)
        if offset_ms is not None:
            data["clock_skew_ms"] = round(offset_ms)
        seen = Observation(beat.incarnation, beat.beat, seen_ms, self.hub_id, data)
        if _beat_of(seen) > _beat_of(known):
            self._moved_at.put(beat.node_id, now)
        self._freshen(beat.node_id, seen)
        self._tell(beat, held, seen, now)
        return due_seconds

    def _freshen(self, node_id: str, seen: Observation) -> None:
        if _beat_of(seen) >= self.fresh.count(node_id):
            self.fresh.put(node_id, seen)
            self._beats += 1

    def _tell(self, beat: Beat, held: NodeRecord | None, seen: Observation, now: float) -> None:
        """Make a change of what the other hubs must know of a beat."""
        facts: Facts | None = Facts(beat.incarnation, beat.facts_number, beat.facts)
        if held is not None and held.facts == facts:
            facts = None
        is_due = self._pace.is_due(beat.node_id, beat.incarnation, self._told(held), now)
        if facts is None and not is_due:
            return
        change = NodeRecord(beat.node_id, facts, seen if is_due else None)
        if self.replica.originate(change):
            self.noted(held, self.records[beat.node_id], now)
            self.on_news(self._is_urgent(held, change))

    def _told(self, held: NodeRecord | None) -> ToldObservation | None:
        """What the hubs share of a node's beats. What was on disk counts as told at our start."""
        if held is None or held.observation is None:
            return None
        at = self._told_at.get(held.node_id)
        return ToldObservation(held.observation.incarnation, self.began_at if at is None else at)

    def _is_urgent(self, held: NodeRecord | None, change: NodeRecord) -> bool:
        """Whether peers wait for this: what is told only because a minute has passed can wait."""
        told = self._told(held)
        is_new = told is None or (
            change.observation is not None and change.observation.incarnation > told.incarnation
        )
        return change.facts is not None or is_new or self.is_missed(change.node_id)

    def newest(self, node_id: str) -> Observation | None:
        """The newest beat of a node that is known here: what this hub heard, or what hubs share."""
        return self._newest(node_id, self.records.get(node_id))

    def _newest(self, node_id: str, record: NodeRecord | None) -> Observation | None:
        told = record.observation if record else None
        if self.fresh.count(node_id) < _beat_of(told):
            return told
        return self.fresh.get(node_id) or told

    def intend(
        self, node_id: str, field_name: str, value: object, wall_ms: int, now: float
    ) -> None:
        """Record what a person wants of a node: it wins over what is known here, whatever that is."""
        known = self.records.get(node_id, NodeRecord(node_id)).intent
        # What was said before a node was let back does not count, so this must win over that, too.
        held = [known[name] for name in (field_name, REMOVED) if name in known]
        over = max(held, key=intent_order, default=None)
        stamp, reissue = stamp_over(self.clock, over, wall_ms)
        self.apply(NodeRecord(node_id, intent={field_name: Intent(value, stamp, reissue)}), now)

    def age_seconds(self, node_id: str, now: float) -> float | None:
        """How old what is known here of the node's last word is, as this hub measured.

        None if nothing came since this hub started. That some hub heard it later is no word here.
        """
        moved_at = self._moved_at.get(node_id)
        return None if moved_at is None else now - moved_at

    def state(self, node_id: str) -> NodeState:
        """What this hub says of a node."""
        return self.life.state(node_id)

    def present(self) -> list[NodeRecord]:
        """The nodes that nobody removed, by name."""
        return list(map(self.records.__getitem__, self.roster.names))

    def is_draining(self, record: NodeRecord) -> bool:
        """Whether a person asked this node to take no new work."""
        return bool(record.intent_value(DRAINING))

    def key_fingerprint(self, node_id: str) -> str | None:
        """What recognises the node's own key; None for a node that has not come yet."""
        record = self.records.get(node_id)
        value = _key.decode(record.facts.packed).key_sha256 if record and record.facts else None
        return value if isinstance(value, str) else None


class _Key(msgspec.Struct):
    """The one of the facts that every beat asks for, read without the others."""

    key_sha256: Any = None


_key = msgspec.json.Decoder(_Key)


def _not_before(known: Observation, wall_ms: int) -> int:
    """A wall clock that was set back must not make a node look older than it was."""
    return max(wall_ms, min(known.last_seen_ms, wall_ms + 5_000))


def _beat_of(seen: Observation | None) -> tuple[int, int]:
    return (seen.incarnation, seen.beat) if seen else (0, 0)
