"""Writes down what this hub sees of a split, from its beginning until all hubs are equal again. Pure.

Tell it of each round of gossip, after the islands and the views, and of records that are merged while
`is_open`. Save what `take_unsaved` gives; the sights of other hubs come in by `learn`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from hub.peering.conflicts import Between, Conflict, conflict_of_settings, conflicts_of
from hub.peering.incident import (
    CONFLICTS_MAX,
    MOMENTS_MAX,
    Key,
    Moment,
    Sight,
    Writes,
    later,
    merge_sights,
)
from hub.peering.islands import IslandBook, Islands
from shared.conf import Entry
from shared.merge import NodeRecord

WRITE_DOWN_SECONDS = 60.0
"""What was written since is lost from the count when a hub crashes during a split."""

Event = tuple[str, Mapping[str, Any]]
EqualSince = Callable[[float, Collection[str]], bool]


@dataclass(frozen=True, slots=True)
class Around:
    """What there is to see in a round: this hub's counters, its peers' lives and clocks."""

    now: float
    wall_ms: int
    written: Writes
    instances: Mapping[str, str]
    clock_offsets_ms: Mapping[str, float]
    equal_since: EqualSince
    """Whether the node records of these hubs were equal to ours since a moment: `ViewBook`'s."""


@dataclass(slots=True)
class _Open:
    """What is not part of the sight while it is written: where its counts and its times start."""

    began: float | None
    base: Writes
    instances: dict[str, str]
    counted: Writes
    noted_at: float
    islands: Islands
    """What was seen last, also when there is no room for more moments."""
    whole_at: float | None = None
    found: set[Conflict] = field(default_factory=set)
    more: int = 0


@dataclass(slots=True)
class IncidentBook:
    """All sights that this hub knows, and its own one that is being written."""

    hub_id: str
    sights: dict[Key, Sight] = field(default_factory=dict)
    _key: Key | None = None
    _open: _Open | None = None
    _whole: tuple[Writes, dict[str, str]] = (Writes(), {})
    _unsaved: set[Key] = field(default_factory=set)

    def load(self, sights: Iterable[Sight], islands: IslandBook, around: Around) -> None:
        """Take in what was on disk, and go on with a split that was not over when this hub stopped."""
        self.sights = merge_sights({}, {sight.key: sight for sight in sights})
        mine = [s for s in self.sights.values() if s.observer == self.hub_id and s.equal_ms is None]
        if not mine:
            return
        sight = max(mine, key=lambda each: each.began_ms)
        held = self._begin(sight, around, None, around.written, dict(around.instances))
        if sight.ended_ms is None:
            islands.resume({*sight.configured} - {*sight.forgotten}, around.now, sight.began_ms)
        else:
            held.whole_at = around.now

    @property
    def is_open(self) -> bool:
        """Whether records that are merged now may contradict each other by a split."""
        return self._open is not None

    @property
    def own(self) -> Sight | None:
        """What this hub has written down of the split that is not closed yet."""
        return self.sights[self._key] if self._key is not None else None

    def round(self, islands: IslandBook, around: Around) -> list[Event]:
        """Take in one round."""
        sight, held = self.own, self._open
        if sight is None or held is None:
            return self._watch(islands, around)
        sight = self._with_conflicts(sight, held)
        if islands.apart is not None:
            self._go_on(sight, held, islands, around)
        elif held.whole_at is None:
            self._heal(sight, held, islands, around)
        elif around.equal_since(held.whole_at, islands.configured):
            return self._close(sight, held, around)
        self._write_down(held, around)
        return []

    def _watch(self, islands: IslandBook, around: Around) -> list[Event]:
        apart = islands.apart
        if apart is None:
            self._whole = (around.written, dict(around.instances))
        if apart is None or not islands.is_split:
            return []
        base, instances = self._whole
        hubs = tuple(sorted(islands.together | set(islands.island)))
        moment = Moment(apart.since_ms, apart.islands)
        sight = Sight(self.hub_id, apart.since_ms, configured=hubs, moments=(moment,))
        self._begin(sight, around, apart.since, base, instances)
        self._put(replace(sight, clock_offsets_ms=dict(around.clock_offsets_ms)))
        return [("incident.opened", {"incident": sight.name, "island": ", ".join(islands.island)})]

    def _begin(
        self,
        sight: Sight,
        around: Around,
        began: float | None,
        base: Writes,
        instances: dict[str, str],
    ) -> _Open:
        self._key = sight.key
        self.sights.setdefault(sight.key, sight)
        seen = sight.moments[-1].islands if sight.moments else ()
        held = self._open = _Open(began, base, instances, sight.writes, around.now, seen)
        held.found, held.more = set(sight.conflicts), sight.conflicts_more
        return held

    def _go_on(self, sight: Sight, held: _Open, islands: IslandBook, around: Around) -> None:
        held.whole_at = None
        if islands.islands == held.islands and sight.ended_ms is None:
            return
        held.islands = islands.islands
        fresh = self._moment(sight, Moment(around.wall_ms, islands.islands))
        self._put(replace(fresh, ended_ms=None, lasted_s=None))

    def _moment(self, sight: Sight, moment: Moment) -> Sight:
        if len(sight.moments) >= MOMENTS_MAX:
            return replace(sight, moments_more=sight.moments_more + 1)
        return replace(sight, moments=(*sight.moments, moment))

    def _heal(self, sight: Sight, held: _Open, islands: IslandBook, around: Around) -> None:
        """All that were together are so again, or somebody forgot those that are not."""
        held.whole_at, held.islands = around.now, islands.islands
        lasted_s = None if held.began is None else round(around.now - held.began, 1)
        gone = set(sight.configured) - set(islands.configured)
        back = sight.missed() - gone
        fresh = self._moment(sight, Moment(around.wall_ms, islands.islands))
        fresh = replace(
            fresh,
            ended_ms=around.wall_ms,
            lasted_s=lasted_s,
            forgotten=tuple(sorted({*sight.forgotten, *gone})),
            returned={hub: self._how(hub, held, around) for hub in sorted(back)},
            clock_offsets_ms=dict(around.clock_offsets_ms),
        )
        self._put(self._counted(fresh, held, around))

    def _how(self, hub: str, held: _Open, around: Around) -> str:
        before, after = held.instances.get(hub, ""), around.instances.get(hub, "")
        if not before or not after:
            return "unknown"
        return "same" if before == after else "restarted"

    def _close(self, sight: Sight, held: _Open, around: Around) -> list[Event]:
        after_s = None if held.whole_at is None else round(around.now - held.whole_at, 1)
        self._put(
            replace(sight, equal_ms=max(around.wall_ms, sight.began_ms), equal_after_s=after_s)
        )
        self._key, self._open = None, None
        facts = {
            "incident": sight.name,
            "seconds": sight.lasted_s,
            "equal_after_seconds": after_s,
            "conflicts": len(sight.conflicts) + sight.conflicts_more,
        }
        return [("incident.closed", facts)]

    def _write_down(self, held: _Open, around: Around) -> None:
        sight = self.own
        if sight is None or around.now - held.noted_at < WRITE_DOWN_SECONDS:
            return
        held.noted_at = around.now
        fresh = sight if held.whole_at is not None else self._counted(sight, held, around)
        if fresh != sight:
            self._put(fresh)

    def _counted(self, sight: Sight, held: _Open, around: Around) -> Sight:
        return replace(sight, writes=held.counted.plus(around.written.since(held.base)))

    def note_merge(self, mine: NodeRecord | None, theirs: NodeRecord) -> None:
        """Look at two records that become one, before they do; costs nothing while there is no split."""
        between = self._between()
        if between is not None and mine is not None:
            self._find(conflicts_of(mine, theirs, between))

    def note_setting(self, mine: Entry, theirs: Entry) -> None:
        """Look at two wishes for one setting, before one of them goes."""
        between = self._between()
        if between is not None and (found := conflict_of_settings(mine, theirs, between)):
            self._find([found])

    def _between(self) -> Between | None:
        """Who was with whom until now; None while there is no split."""
        sight = self.own
        if sight is None or self._open is None or not sight.moments:
            return None
        return Between(tuple((moment.at_ms, moment.islands) for moment in sight.moments))

    def _find(self, conflicts: Iterable[Conflict]) -> None:
        held = self._open
        if held is None:
            return
        for conflict in conflicts:
            if len(held.found) < CONFLICTS_MAX:
                held.found.add(conflict)
            elif conflict not in held.found:
                held.more += 1

    def _with_conflicts(self, sight: Sight, held: _Open) -> Sight:
        if (len(sight.conflicts), sight.conflicts_more) == (len(held.found), held.more):
            return sight
        found = tuple(sorted(held.found))
        return self._put(replace(sight, conflicts=found, conflicts_more=held.more))

    def _put(self, sight: Sight) -> Sight:
        fresh = self.sights[sight.key] = replace(sight, revision=sight.revision + 1)
        self._unsaved.add(sight.key)
        return fresh

    def learn(self, sights: Iterable[Sight]) -> int:
        """Take in what other hubs saw; returns how much of it was new.

        Nobody else writes what this hub saw: its own sights come back to it only when its disk was lost.
        """
        before = self.sights
        theirs = {sight.key: sight for sight in sights if sight.key != self._key}
        self.sights = merge_sights(before, theirs)
        if self._key is not None and self._key not in self.sights:
            self.sights[self._key] = before[self._key]
        fresh = [key for key, sight in self.sights.items() if before.get(key) is not sight]
        self._unsaved.update(fresh, before.keys() - self.sights.keys())
        return len(fresh)

    def take_unsaved(self) -> dict[Key, Sight | None]:
        """What must be written down, once; None for sights to be deleted."""
        unsaved = {key: self.sights.get(key) for key in sorted(self._unsaved)}
        self._unsaved = set()
        return unsaved

    def put_back(self, keys: Iterable[Key]) -> None:
        """These could not be written down: they are taken again, as they are by then."""
        self._unsaved.update(keys)


def newer(mine: Sight | None, theirs: Sight) -> bool:
    """Whether a sight tells more than the one held."""
    return mine is None or later(mine, theirs) is not mine
