"""Incidents: what is kept of a time during which hubs were apart. Values and their merge, pure.

Each hub writes what it saw itself, its *sight*, and nobody else's; of two versions of a sight the later
revision holds. So a set of sights is merged by union, whatever the order, repetition and grouping.
An incident is no object of its own: it is every sight whose time overlaps with that of another one (with
a slack, for not all notice at the same moment), and it is named after the earliest of them. Hubs that
could not talk to each other name a split differently; once they have each other's sights they name it
alike, and all the other names still lead to it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta

from hub.peering.conflicts import Conflict
from shared.errors import BadInput
from shared.merge import Count, UnixMs

SLACK_MS = 10_000
"""Hubs notice a split up to 8 s apart, by clocks that differ a little."""

MOMENTS_MAX = 64
CONFLICTS_MAX = 1_000
HUBS_MAX = 32
SIGHTS_PER_HUB_MAX = 20
SIGHTS_MAX = 200
"""Of all hubs together, whatever names a peer makes up."""
SIGHT_BYTES_MAX = 2 * 1024 * 1024

HubId = Annotated[str, Meta(min_length=1, max_length=64)]
Island = Annotated[tuple[HubId, ...], Meta(max_length=HUBS_MAX)]
Key = tuple[str, int]
"""Who saw it, and the wall time at which its split began."""


def utc_text(wall_ms: int | None) -> str | None:
    """A wall time as RFC 3339 text."""
    if wall_ms is None:
        return None
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"


class Writes(msgspec.Struct, frozen=True):
    """What a hub took in: orders of people, records and chunks of telemetry."""

    intents: Count = 0
    records: Count = 0
    chunks: Count = 0

    def since(self, base: "Writes") -> "Writes":
        """What came after `base`; counters that began anew count from there."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(base), strict=True)
        return Writes(*(max(0, mine - theirs) for mine, theirs in pairs))

    def plus(self, more: "Writes") -> "Writes":
        """Both together."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(more), strict=True)
        return Writes(*(mine + theirs for mine, theirs in pairs))


class Moment(msgspec.Struct, frozen=True):
    """Which islands a hub saw from a wall time on."""

    at_ms: UnixMs
    islands: Annotated[tuple[Island, ...], Meta(max_length=HUBS_MAX)]


class Sight(msgspec.Struct, frozen=True):
    """A time apart as one hub saw it. `lasted_s` and `equal_after_s` are by its monotonic clock.

    `returned` says of each hub that came back whether it had gone on all the time ("same") or was
    started anew ("restarted"); `forgotten` are hubs that an operator gave up.
    """

    observer: HubId
    began_ms: UnixMs
    revision: Count = 0
    configured: Island = ()
    moments: Annotated[tuple[Moment, ...], Meta(max_length=MOMENTS_MAX)] = ()
    moments_more: Count = 0
    writes: Writes = Writes()
    conflicts: Annotated[tuple[Conflict, ...], Meta(max_length=CONFLICTS_MAX)] = ()
    conflicts_more: Count = 0
    clock_offsets_ms: Annotated[dict[HubId, float], Meta(max_length=HUBS_MAX)] = {}
    returned: Annotated[dict[HubId, str], Meta(max_length=HUBS_MAX)] = {}
    forgotten: Island = ()
    ended_ms: UnixMs | None = None
    lasted_s: float | None = None
    equal_ms: UnixMs | None = None
    equal_after_s: float | None = None

    @property
    def key(self) -> Key:
        """What names it among all sights."""
        return self.observer, self.began_ms

    @property
    def name(self) -> str:
        """What an incident is called after it, such as 20261121T101502-hub-1."""
        at = datetime.fromtimestamp(self.began_ms / 1000, UTC)
        return f"{at:%Y%m%dT%H%M%S}-{self.observer}"

    def missed(self) -> set[str]:
        """The hubs that were once not on the island of the observer."""
        return {
            hub
            for moment in self.moments
            for island in moment.islands
            if self.observer not in island
            for hub in island
        }


_decoder = msgspec.json.Decoder(Sight)


def sight_bytes(sight: Sight) -> bytes:
    """The canonical bytes of a sight."""
    return orjson.dumps(msgspec.to_builtins(sight), option=orjson.OPT_SORT_KEYS)


def read_sight(body: bytes) -> Sight:
    """Read a sight from disk or a peer; raises BadInput."""
    if len(body) > SIGHT_BYTES_MAX:
        raise BadInput(f"what a hub saw of a split has at most {SIGHT_BYTES_MAX} bytes")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"what a hub saw of a split cannot be read: {error}") from error


def later(mine: Sight, theirs: Sight) -> Sight:
    """The one of two versions of a sight that holds."""
    if mine.revision != theirs.revision:
        return mine if mine.revision > theirs.revision else theirs
    # A hub that lost its disk can reuse a revision: any rule would do that is the same everywhere.
    return max(mine, theirs, key=sight_bytes)


def merge_sights(mine: Mapping[Key, Sight], theirs: Mapping[Key, Sight]) -> dict[Key, Sight]:
    """All sights of both sides: of each hub the newest `SIGHTS_PER_HUB_MAX`, in all `SIGHTS_MAX`."""
    merged = dict(mine)
    for key, sight in theirs.items():
        merged[key] = later(merged[key], sight) if key in merged else sight
    return {key: merged[key] for key in _newest(merged)}


def _newest(keys: Iterable[Key]) -> list[Key]:
    kept: dict[str, int] = {}
    found: list[Key] = []
    for observer, began_ms in sorted(keys, key=lambda key: (-key[1], key[0])):
        kept[observer] = kept.get(observer, 0) + 1
        if kept[observer] <= SIGHTS_PER_HUB_MAX:
            found.append((observer, began_ms))
    return sorted(found[:SIGHTS_MAX])


def end_ms(sight: Sight, sights: Iterable[Sight]) -> int | None:
    """When a sight was over; None while it is not.

    That of a hub that was forgotten can only be closed by those that forgot it.
    """
    if sight.equal_ms is not None:
        return sight.equal_ms
    ends = [
        other.equal_ms
        for other in sights
        if sight.observer in other.forgotten and other.equal_ms is not None
    ]
    later_ends = [end for end in ends if end >= sight.began_ms]
    return min(later_ends) if later_ends else None


def groups_of(sights: Iterable[Sight]) -> list[tuple[Sight, ...]]:
    """The sights that belong together, each group and all groups from the earliest on."""
    ordered = sorted(sights, key=lambda sight: (sight.began_ms, sight.observer))
    groups: list[list[Sight]] = []
    reach_ms: int | None = -SLACK_MS - 1
    for sight in ordered:
        if not groups or (reach_ms is not None and sight.began_ms > reach_ms + SLACK_MS):
            groups.append([])
            reach_ms = sight.began_ms
        groups[-1].append(sight)
        end = end_ms(sight, ordered)
        reach_ms = None if reach_ms is None or end is None else max(reach_ms, end)
    return [tuple(group) for group in groups]
