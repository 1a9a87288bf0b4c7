"""Islands: the groups of hubs that reach each other, found in what every hub says whom it reaches. Pure.

Two hubs are linked when each reaches the other, by its own word. An island is what is linked by way of
any number of hubs, so that one bad link among three hubs parts nobody.

A hub that died is not apart: where its machine says that nobody listens there, no other side goes on. From
silence alone nobody can tell the two, and it counts as apart. Should a hub that looked dead be back in the
same life, it was apart after all, and that is told then.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SPLIT_SECONDS = 3.0
"""A split that ends sooner is a lost message or two."""

Rows = Mapping[str, Mapping[str, bool]]
"""Whom each hub reaches, as that hub says."""

Islands = tuple[tuple[str, ...], ...]
"""Hub ids in order within islands in order of their first hub."""

Event = tuple[str, Mapping[str, Any]]


def islands_of(rows: Rows, hubs: Iterable[str]) -> Islands:
    """The islands among some hubs; one that says nothing is an island of its own."""
    left = sorted(set(hubs))
    islands: list[tuple[str, ...]] = []
    while left:
        island = _reached(left[0], rows, left)
        islands.append(tuple(hub for hub in left if hub in island))
        left = [hub for hub in left if hub not in island]
    return tuple(islands)


def _reached(first: str, rows: Rows, hubs: Collection[str]) -> set[str]:
    found, waiting = {first}, [first]
    while waiting:
        here = waiting.pop()
        fresh = {hub for hub in hubs if hub not in found and _linked(rows, here, hub)}
        found |= fresh
        waiting += fresh
    return found


def _linked(rows: Rows, a: str, b: str) -> bool:
    return bool(rows.get(a, {}).get(b)) and bool(rows.get(b, {}).get(a))


@dataclass(frozen=True, slots=True)
class Apart:
    """Hubs are apart: since when, by this hub's monotonic and wall clock, and who is with whom."""

    since: float
    since_ms: int
    islands: Islands


@dataclass(slots=True)
class Missed:
    """A hub that is away: since when, in which life it was, and why, unless that is not known."""

    since: float
    since_ms: int
    islands: Islands
    life: str
    why: str = ""


LEFT, DIED = "left", "died"


@dataclass(slots=True)
class IslandBook:
    """What one hub sees of islands over time; tell it of each round.

    `together` are the hubs that were once in one island with this one: a hub that has never been seen is
    not apart, it is not there yet.
    """

    hub_id: str
    together: set[str] = field(default_factory=set)
    islands: Islands = ()
    apart: Apart | None = None
    """Set while this hub's island is smaller than it was, from the first moment."""
    is_split: bool = False
    """Whether that has lasted long enough to be called a split."""
    configured: tuple[str, ...] = ()
    _lives: dict[str, str] = field(default_factory=dict)
    """The life of each hub when it was last in this island."""
    away: dict[str, Missed] = field(default_factory=dict)
    """The hubs that are not with this one now, for whatever reason."""

    def see(
        self,
        rows: Rows,
        configured: Collection[str],
        now: float,
        wall_ms: int,
        leaving: Collection[str] = (),
        gone: Collection[str] = (),
        lives: Mapping[str, str] | None = None,
    ) -> list[Event]:
        """Take in who reaches whom now; `leaving` are hubs that said that they stop for a while, `gone`
        those whose machines say that nobody listens there, `lives` the lives of the hubs."""
        self.configured = tuple(sorted({*configured, self.hub_id}))
        self.islands = islands_of(rows, self.configured)
        self.together = (self.together | set(self.island)) & set(self.configured)
        self._miss(leaving, gone, now, wall_ms)
        feigned = self._come_back(lives or {}, now)
        if feigned and not self.is_split:
            # It went on all the time, and that is over: said now, and whole with the next round.
            hub, was = feigned
            self.apart = Apart(was.since, was.since_ms, was.islands)
            return self._tell_split(hub)
        if not self.missing:
            return self._whole(now)
        if self.apart is None:
            first = min((self.away[hub] for hub in self.missing), key=lambda held: held.since)
            self.apart = Apart(first.since, first.since_ms, self.islands)
        elif self.apart.islands != self.islands:
            self.apart = Apart(self.apart.since, self.apart.since_ms, self.islands)
        return self._split(now)

    def _miss(
        self, leaving: Collection[str], gone: Collection[str], now: float, wall_ms: int
    ) -> None:
        """Note who is away now. Why a hub is away counts when it shows before a split would be told."""
        for hub in self.together - set(self.island):
            fresh = Missed(now, wall_ms, self.islands, self._lives.get(hub, ""))
            held = self.away.setdefault(hub, fresh)
            if not held.why and now - held.since < SPLIT_SECONDS:
                held.why = LEFT if hub in leaving else DIED if hub in gone else ""

    def _come_back(self, lives: Mapping[str, str], now: float) -> tuple[str, Missed] | None:
        """Let go of who is away no longer; returns a hub that looked dead and was not."""
        away, here = self.together - set(self.island), set(self.island)
        back = {hub: self.away.pop(hub) for hub in self.away.keys() - away}
        feigned = [
            (hub, held)
            for hub, held in sorted(back.items())
            if hub in here and held.why == DIED and held.life and held.life == lives.get(hub)
        ]
        self._lives.update({hub: life for hub, life in lives.items() if hub in here})
        long_ago = [(hub, held) for hub, held in feigned if now - held.since >= SPLIT_SECONDS]
        return long_ago[0] if long_ago else None

    def _whole(self, now: float) -> list[Event]:
        was_split, apart = self.is_split, self.apart
        self.apart, self.is_split = None, False
        if apart is None or not was_split:
            return []
        return [("mesh.whole", {"seconds": round(now - apart.since, 1)})]

    def _split(self, now: float) -> list[Event]:
        if self.apart is None or self.is_split or now - self.apart.since < SPLIT_SECONDS:
            return []
        return self._tell_split(", ".join(self.missing))

    def _tell_split(self, missing: str) -> list[Event]:
        self.is_split = True
        island = ", ".join(hub for hub in self.island if hub != missing)
        return [("mesh.split", {"island": island, "missing": missing})]

    def resume(self, together: Collection[str], now: float, since_ms: int) -> None:
        """Go on with a split that was not over when this hub stopped."""
        self.together |= set(together)
        self.apart = Apart(now, since_ms, ())
        self.is_split = True

    @property
    def island(self) -> tuple[str, ...]:
        """The hubs that this one is together with, itself among them."""
        for island in self.islands:
            if self.hub_id in island:
                return island
        return (self.hub_id,)

    @property
    def missing(self) -> tuple[str, ...]:
        """The hubs that were with this one and are not now, and neither left nor died as far as is
        known."""
        return tuple(sorted(hub for hub, held in self.away.items() if not held.why))

    @property
    def side(self) -> str:
        """Whether this hub's island is the majority of the configured hubs, the minority, or half."""
        twice, whole = 2 * len(self.island), len(self.configured)
        return "majority" if twice > whole else "half" if twice == whole else "minority"

    @property
    def is_minority(self) -> bool:
        """Whether other hubs that cannot be seen from here may be more."""
        return self.is_split and self.side != "majority"

    def standing(self, now: float) -> dict[str, Any] | None:
        """What every answer says during a split; None while there is none."""
        if self.apart is None or not self.is_split:
            return None
        return {
            "island": list(self.island),
            "configured": list(self.configured),
            "side": self.side,
            "age_s": round(now - self.apart.since, 1),
        }
