"""What of a peer's news is let in to the join: everything of a sound hub, no stamps of a wrong clock.

Admission looks at the clock of the *peer*, never at the clock of a record, and stands before the join
(`shared.merge.merge`), which reads no clock. Facts and observations are counters of nodes and
pass always. Of the intents, these wait while a hub is quarantined:

- what that hub stamped, whether it brings it itself, or another passes on what is younger than the
  quarantine (what is older is from its sound days, and who passes it on has found it sound);
- what that hub passes on with a stamp later than now and the limit, whoever made it.

They are *parked* here, of each field the winner of all that came, by the order of the join itself, so
letting it in later gives the same record as letting in each when it came. What is parked is memory
only, and what finds no room is only counted, for nothing rests on it: this hub does not claim the
changes that it let in only in part (`Replica.admit`), and has them told again once the clock is right.

Stamps are never rewritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from hub.peering.clocks import Clocks
from shared.merge import Intent, NodeRecord, merge, to_bytes

PARKED_MAX = 10_000
PARKED_BYTES_MAX = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Door:
    """What decides on admission: our wall clock now, how far ahead of it a stamp that a quarantined
    hub passes on may be, and the quarantined hubs with the time (Unix ms, ours) since when."""

    wall_ms: int
    limit_ms: float
    quarantined: Mapping[str, int]

    def admits(self, intent: Intent, from_hub: str) -> bool:
        """Whether an intent may be merged when this hub brings it."""
        maker, stamp_ms = intent.stamp.hub_id, intent.stamp.wall_ms
        if from_hub in self.quarantined:
            return (
                maker != from_hub and stamp_ms <= self.wall_ms + self.limit_ms and self._old(intent)
            )
        return self._old(intent)

    def _old(self, intent: Intent) -> bool:
        """Whether the maker is sound, or was not known to be wrong when it can have made this."""
        since_ms = self.quarantined.get(intent.stamp.hub_id)
        return since_ms is None or intent.stamp.wall_ms <= since_ms


def door_of(clocks: Clocks, now: float, wall_ms: int) -> Door:
    """The door as the clocks stand at `now` (monotonic seconds)."""
    return Door(wall_ms, clocks.limits.skew_ms_max, clocks.quarantined(now, wall_ms))


@dataclass(frozen=True, slots=True)
class Parked:
    """The winner among the intents that wait for one field of one node, and who brought it."""

    record: NodeRecord
    from_hub: str
    size_bytes: int

    @property
    def intent(self) -> Intent:
        """The one intent in it."""
        return next(iter(self.record.intent.values()))


@dataclass(slots=True)
class Admission:
    """The door of one hub, with the room where intents wait for a clock to be sound."""

    parked_max: int = PARKED_MAX
    parked_bytes_max: int = PARKED_BYTES_MAX
    withheld: int = 0
    """Intents that were not let in when they came."""

    released: int = 0
    """Intents that were let in later."""

    turned_away: int = 0
    """Intents that found no room; their hubs are asked again."""

    to_ask_again: set[str] = field(default_factory=set)
    parked_bytes: int = 0
    _parked: dict[tuple[str, str, str], Parked] = field(default_factory=dict)

    def let_in(
        self, record: NodeRecord, from_hub: str, held: NodeRecord | None, door: Door
    ) -> NodeRecord:
        """The part of a record that may be merged now; the rest waits here.

        `held` is what this hub already has: what it holds itself, or something later, is no news and
        does not wait.
        """
        if not door.quarantined or not record.intent:
            return record
        kept = {f: i for f, i in record.intent.items() if door.admits(i, from_hub)}
        if len(kept) == len(record.intent):
            return record
        for name, intent in record.intent.items():
            if name not in kept:
                self._withhold(NodeRecord(record.node_id, intent={name: intent}), from_hub, held)
        return msgspec.structs.replace(record, intent=kept)

    def _withhold(self, single: NodeRecord, from_hub: str, held: NodeRecord | None) -> None:
        name = next(iter(single.intent))
        if held is not None and merge(held, single).intent[name] == held.intent.get(name):
            return
        self.withheld += 1
        # What two hubs bring waits twice: one of them may be sound before the other.
        key = (from_hub, single.node_id, name)
        before = self._parked.get(key)
        winner = merge(before.record, single) if before else single
        size_bytes = len(to_bytes(winner))
        grown = size_bytes - (before.size_bytes if before else 0)
        is_full = before is None and len(self._parked) >= self.parked_max
        if is_full or self.parked_bytes + grown > self.parked_bytes_max:
            self.turned_away += 1
            self.to_ask_again.add(from_hub)
            return
        self.parked_bytes += grown
        self._parked[key] = Parked(winner, from_hub, size_bytes)

    def release(self, door: Door) -> list[NodeRecord]:
        """What may be let in now and no longer waits: merge it as it is, and save it.

        Call it when a quarantine has ended; without one it costs a look at an empty table.
        """
        freed = [
            key
            for key, parked in self._parked.items()
            if door.admits(parked.intent, parked.from_hub)
        ]
        self.released += len(freed)
        return [self._take_out(key).record for key in freed]

    def _take_out(self, key: tuple[str, str, str]) -> Parked:
        parked = self._parked.pop(key)
        self.parked_bytes -= parked.size_bytes
        return parked

    def take_to_ask_again(self, door: Door) -> list[str]:
        """The hubs, sound again, whose exchange must begin anew, since not all found room. Once."""
        sound = sorted(hub for hub in self.to_ask_again if hub not in door.quarantined)
        self.to_ask_again.difference_update(sound)
        return sound

    def forget(self, hub_id: str) -> None:
        """Drop what a hub brought that will not come back: its clock is never sound again."""
        for key in [key for key in self._parked if key[0] == hub_id]:
            self._take_out(key)
        self.to_ask_again.discard(hub_id)

    def holds_of(self, hub_id: str) -> bool:
        """Whether something that this hub brought still waits, or has to be asked for again."""
        return hub_id in self.to_ask_again or any(hub == hub_id for hub, _, _ in self._parked)

    @property
    def parked(self) -> int:
        """How many intents wait."""
        return len(self._parked)

    def parked_by_maker(self) -> dict[str, int]:
        """How many intents wait, by the hub that stamped them."""
        counts: dict[str, int] = {}
        for parked in self._parked.values():
            maker = parked.intent.stamp.hub_id
            counts[maker] = counts.get(maker, 0) + 1
        return counts

    def parked_records(self, limit: int) -> list[Parked]:
        """Some of what waits, the latest stamps first, for people."""
        newest = sorted(self._parked.values(), key=lambda each: each.intent.stamp, reverse=True)
        return newest[:limit]
