"""How well a node was over time, from what all hubs said of it. Rules only: times are Unix ms, UTC.

At each moment the best opinion counts: a node is *offline* only when no hub that observed heard it,
*healthy* when any of them heard it well and no check failed, *degraded* when it was late or a check
failed, and *unknown* when nobody observed it. So the order in which opinions come makes no difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Opinion(IntEnum):
    """What one hub said during a span; the highest one of those about liveness counts."""

    OFFLINE = 1
    DEGRADED = 2
    HEALTHY = 3
    FAILED = 4
    """Of a check, not of liveness: it makes a healthy node degraded."""


class Health(StrEnum):
    """What counted at a moment, or for a bucket the worst that counted in it."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


OF_STATE = {
    "online": Opinion.HEALTHY,
    "late": Opinion.DEGRADED,
    "suspect": Opinion.DEGRADED,
    "flapping": Opinion.DEGRADED,
    "offline": Opinion.OFFLINE,
}
"""What a verdict says. All others (`unknown`, states of newer versions) say nothing."""


class Span(NamedTuple):
    """From `start_ms` on and before `end_ms`, a hub was of this opinion."""

    start_ms: int
    end_ms: int
    opinion: Opinion


class Piece(NamedTuple):
    """A stretch of time with one merged verdict; what no piece covers is unknown."""

    start_ms: int
    end_ms: int
    health: Health


def merged(spans: Iterable[Span]) -> list[Piece]:
    """The verdict over time, oldest first, neighbours differ; the same for every order of spans."""
    edges = [
        edge
        for start_ms, end_ms, opinion in spans
        if end_ms > start_ms
        for edge in ((start_ms, 1, opinion), (end_ms, -1, opinion))
    ]
    edges.sort()
    counts = [0] * (max(Opinion) + 1)
    pieces: list[Piece] = []
    since_ms, health = 0, Health.UNKNOWN
    for index, (time_ms, step, opinion) in enumerate(edges):
        counts[opinion] += step
        if index + 1 < len(edges) and edges[index + 1][0] == time_ms:
            continue
        now_health = _health(counts)
        if now_health is not health:
            if health is not Health.UNKNOWN:
                pieces.append(Piece(since_ms, time_ms, health))
            since_ms, health = time_ms, now_health
    return pieces


def _health(counts: Sequence[int]) -> Health:
    if counts[Opinion.HEALTHY]:
        return Health.DEGRADED if counts[Opinion.FAILED] else Health.HEALTHY
    if counts[Opinion.DEGRADED]:
        return Health.DEGRADED
    return Health.OFFLINE if counts[Opinion.OFFLINE] else Health.UNKNOWN


@dataclass(frozen=True, slots=True)
class Scale:
    """So many buckets of one length, aligned to the clock (days to midnight UTC)."""

    name: str
    step_ms: int
    count: int

    def first_ms(self, now_ms: int) -> int:
        """Where the oldest bucket begins; the newest one holds `now_ms`."""
        return (now_ms // self.step_ms - self.count + 1) * self.step_ms


FINE = Scale("5m", 5 * MINUTE_MS, 60)
COARSE = Scale("24h", DAY_MS, 90)
SCALES = {scale.name: scale for scale in (FINE, COARSE)}


@dataclass(frozen=True, slots=True)
class Parts:
    """How long a node was how, in ms; together they are the length of the time that is past."""

    healthy_ms: int = 0
    degraded_ms: int = 0
    offline_ms: int = 0
    unknown_ms: int = 0

    @property
    def length_ms(self) -> int:
        """All of it."""
        return self.known_ms + self.unknown_ms

    @property
    def known_ms(self) -> int:
        """How long anybody observed."""
        return self.healthy_ms + self.degraded_ms + self.offline_ms

    @property
    def ratio(self) -> float | None:
        """The share of the known time in which the node was heard; None when nothing is known."""
        known = self.known_ms
        return (self.healthy_ms + self.degraded_ms) / known if known else None

    @property
    def healthy_ratio(self) -> float | None:
        """The share of the known time in which the node was heard and nothing failed."""
        return self.healthy_ms / self.known_ms if self.known_ms else None

    @property
    def coverage(self) -> float | None:
        """The share of the time that is known; None for a time that is still to come."""
        return self.known_ms / self.length_ms if self.length_ms else None

    @property
    def health(self) -> Health:
        """The worst that is known of this time."""
        if self.offline_ms:
            return Health.OFFLINE
        if self.degraded_ms:
            return Health.DEGRADED
        return Health.HEALTHY if self.healthy_ms else Health.UNKNOWN

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(
            self.healthy_ms + other.healthy_ms,
            self.degraded_ms + other.degraded_ms,
            self.offline_ms + other.offline_ms,
            self.unknown_ms + other.unknown_ms,
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar: where it begins and ends, and how the node was in that part of it that is past."""

    start_ms: int
    end_ms: int
    parts: Parts


def buckets(
    pieces: Iterable[Piece], first_ms: int, step_ms: int, count: int, now_ms: int
) -> list[Bucket]:
    """Cut the verdict into `count` buckets; nothing after `now_ms` counts, whoever claims it."""
    sums = [dict.fromkeys(Health, 0) for _ in range(count)]
    end_ms = min(first_ms + step_ms * count, now_ms)
    for piece in pieces:
        start, stop = max(piece.start_ms, first_ms), min(piece.end_ms, end_ms)
        while start < stop:
            index = (start - first_ms) // step_ms
            until = min(stop, first_ms + (index + 1) * step_ms)
            sums[index][piece.health] += until - start
            start = until
    starts = (first_ms + index * step_ms for index in range(count))
    return [_bucket(start, step_ms, now_ms, each) for start, each in zip(starts, sums, strict=True)]


def _bucket(start_ms: int, step_ms: int, now_ms: int, sums: dict[Health, int]) -> Bucket:
    past_ms = min(max(now_ms - start_ms, 0), step_ms)
    known = (sums[Health.HEALTHY], sums[Health.DEGRADED], sums[Health.OFFLINE])
    return Bucket(start_ms, start_ms + step_ms, Parts(*known, past_ms - sum(known)))


def bars(spans: Iterable[Span], scale: Scale, now_ms: int) -> list[Bucket]:
    """The bars of a scale that end with the bucket in which `now_ms` lies."""
    return buckets(merged(spans), scale.first_ms(now_ms), scale.step_ms, scale.count, now_ms)


def total(all_buckets: Iterable[Bucket]) -> Parts:
    """All buckets together."""
    return sum((bucket.parts for bucket in all_buckets), Parts())
