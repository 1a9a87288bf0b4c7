"""An incident as it is shown: all sights of one split put side by side. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hub.peering.conflicts import Conflict, Side
from hub.peering.incident import CONFLICTS_MAX, Sight, Writes, end_ms, groups_of, utc_text

Group = Sequence[Sight]


def incidents(sights: Iterable[Sight]) -> list[dict[str, Any]]:
    """All incidents in short, the newest first."""
    held = list(sights)
    return [_summary(group, held) for group in reversed(groups_of(held))]


def incident(name: str, sights: Iterable[Sight]) -> dict[str, Any] | None:
    """One incident whole, by any name that a hub gave it; None when there is none."""
    held = list(sights)
    for group in groups_of(held):
        if name in {sight.name for sight in group}:
            return {**_summary(group, held), **_details(group)}
    return None


def kind_of(group: Group) -> str:
    """Whether hubs went on apart ("split"), or one did not ("outage"): it was not running, or stood still.

    Who goes on apart misses the others as they miss it, and writes that down. One that is back and has
    not is said to have stood still once the incident is closed: until then its word may be on its way.
    From one side alone nobody can tell; "unknown" stands until somebody is back.
    """
    returned = {how for sight in group for how in sight.returned.values()}
    observers = {sight.observer for sight in group}
    if any(observers & sight.missed() for sight in group):
        return "split"
    stood_still = "same" in returned and all(sight.equal_ms is not None for sight in group)
    return "outage" if stood_still or "restarted" in returned else "unknown"


def _summary(group: Group, sights: Iterable[Sight]) -> dict[str, Any]:
    held = list(sights)
    ends = [end_ms(sight, held) for sight in group]
    is_open = None in ends
    conflicts, more = _conflicts(group)
    return {
        "id": group[0].name,
        "names": [sight.name for sight in group],
        "kind": kind_of(group),
        "state": "open" if is_open else "closed",
        "began": utc_text(group[0].began_ms),
        "ended": None if is_open else utc_text(max(end for end in ends if end is not None)),
        "hubs": sorted({hub for sight in group for hub in sight.configured}),
        "observers": sorted({sight.observer for sight in group}),
        "lasted_s": _largest(sight.lasted_s for sight in group),
        "equal_after_s": None if is_open else _largest(s.equal_after_s for s in group),
        "conflicts_total": len(conflicts) + more,
        "writes": msgspec.to_builtins(_sum(group)),
    }


def _details(group: Group) -> dict[str, Any]:
    conflicts, more = _conflicts(group)
    return {
        "seen_by": [_seen(sight) for sight in group],
        "islands": _islands(group),
        "sides": _sides(group),
        "conflicts": [_conflict(each) for each in conflicts],
        "conflicts_more": more,
        "forgotten": sorted({hub for sight in group for hub in sight.forgotten}),
    }


def _seen(sight: Sight) -> dict[str, Any]:
    return {
        "observer": sight.observer,
        "name": sight.name,
        "began": utc_text(sight.began_ms),
        "ended": utc_text(sight.ended_ms),
        "equal": utc_text(sight.equal_ms),
        "lasted_s": sight.lasted_s,
        "equal_after_s": sight.equal_after_s,
        "writes": msgspec.to_builtins(sight.writes),
        "clock_offsets_ms": dict(sight.clock_offsets_ms),
        "returned": dict(sight.returned),
        "moments_more": sight.moments_more,
    }


def _islands(group: Group) -> list[dict[str, Any]]:
    """Who saw which islands from when on, in order of time."""
    moments = [(moment.at_ms, s.observer, moment.islands) for s in group for moment in s.moments]
    return [
        {
            "at": utc_text(at_ms),
            "observer": observer,
            "islands": [list(island) for island in islands],
        }
        for at_ms, observer, islands in sorted(moments)
    ]


def _sides(group: Group) -> list[dict[str, Any]]:
    """What was written on each side: hubs belong to the island in which they saw themselves first."""
    sides: dict[tuple[str, ...], list[Sight]] = {}
    for sight in group:
        sides.setdefault(_side_of(sight, group), []).append(sight)
    return [
        {
            "island": list(island),
            "told_by": sorted({sight.observer for sight in told}),
            "writes": msgspec.to_builtins(_sum(told)),
        }
        for island, told in sorted(sides.items())
    ]


def _side_of(sight: Sight, group: Group) -> tuple[str, ...]:
    first = next((each for each in group if each.observer == sight.observer), sight)
    islands = first.moments[0].islands if first.moments else ()
    return next((island for island in islands if sight.observer in island), (sight.observer,))


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "node": conflict.node_id,
        "field": conflict.field,
        "rule": conflict.rule,
        "winner": _value(conflict.winner),
        "loser": _value(conflict.loser),
    }


def _value(side: Side) -> dict[str, Any]:
    return {
        "value": side.value,
        "hub": side.hub,
        "at": utc_text(side.at_ms) if side.at_ms else None,
    }


def _conflicts(group: Group) -> tuple[list[Conflict], int]:
    """Each conflict once, though several hubs met it; and how many more are not listed anywhere."""
    found = sorted({conflict for sight in group for conflict in sight.conflicts})
    more = max(sight.conflicts_more for sight in group)
    return found[:CONFLICTS_MAX], more + max(0, len(found) - CONFLICTS_MAX)


def _sum(group: Iterable[Sight]) -> Writes:
    total = Writes()
    for sight in group:
        total = total.plus(sight.writes)
    return total


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
