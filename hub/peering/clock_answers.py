"""What `clock.list` answers and the page of clocks shows: every hub, who thinks what of whom, edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hub.describe import time_of_ms
from hub.nodes.edge_clocks import WORST_MAX, EdgeClock, EdgeClocks
from hub.peering.admission import Admission, Parked
from hub.peering.clock_section import BAD_VERDICTS, Belief
from hub.peering.clock_verdict import Verdict
from hub.peering.clocks import Clocks
from shared.stamp import Stamp

PARKED_SHOWN = 20
_COUNTS = ("No hub", "One hub", "Two hubs", "Three hubs", "Four hubs", "Five hubs", "Six hubs")


class ListClocks(msgspec.Struct, forbid_unknown_fields=True):
    """How many edges to list, worst first: of those that are `off`, or of `all`."""

    limit: Annotated[int, Meta(ge=1, le=WORST_MAX)] = 100
    edges: Literal["off", "all"] = "off"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks of this hub: monotonic seconds and Unix ms."""

    now: float
    wall_ms: int

    def time_before(self, seconds: float) -> str | None:
        """The wall time that many seconds ago, as RFC 3339 text."""
        return time_of_ms(max(round(self.wall_ms - seconds * 1000), 0))


def describe_clocks(
    clocks: Clocks,
    edges: EdgeClocks,
    admission: Admission,
    moment: Moment,
    *,
    poisoned: int = 0,
    wanted: ListClocks | None = None,
) -> dict[str, Any]:
    """Everything that this hub knows of clocks. `poisoned` counts stored stamps that are no times."""
    own = _own(clocks, moment)
    hubs = [_hub(clocks, hub_id, moment) for hub_id in _by_worst(clocks)]
    return {
        "hub": clocks.own_id,
        "limits": {
            "suspect_ms": clocks.limits.skew_ms_max,
            "quarantine_ms": clocks.limits.quarantine_ms,
            "edge_ms": edges.skew_ms_max,
        },
        "own": own,
        "hubs": hubs,
        "matrix": describe_matrix(clocks, moment.now),
        "edges": _edges(edges, moment, wanted or ListClocks()),
        "withheld": describe_withheld(admission, moment),
        "poisoned": poisoned,
        "samples": {
            "refused": clocks.counters["samples_refused"],
            "doubtful": clocks.counters["samples_doubtful"],
            "steps": clocks.steps.counted,
        },
        "totals": _totals([own, *hubs], edges),
    }


def _totals(hubs: Sequence[Mapping[str, Any]], edges: EdgeClocks) -> dict[str, int]:
    verdicts = [hub["verdict"] for hub in hubs]
    counts = {str(verdict): verdicts.count(verdict) for verdict in Verdict}
    return {"hubs": len(hubs), **counts, "edges": edges.known, "edges_off": edges.off}


def _by_worst(clocks: Clocks) -> list[str]:
    ranks = list(Verdict)

    def rank(hub_id: str) -> tuple[int, float, str]:
        standing = clocks.standings.get(hub_id)
        certain_ms = standing.off.certain_ms if standing and standing.off else 0.0
        return -ranks.index(clocks.verdict(hub_id)), -certain_ms, hub_id

    known = {*clocks.peers, *clocks.standings, *clocks.told} - {clocks.own_id}
    return sorted(known, key=rank)


def _hub(clocks: Clocks, hub_id: str, moment: Moment) -> dict[str, Any]:
    """One peer: how far ahead of ours its clock is, and what is said of it."""
    offset, peer = clocks.offset(hub_id, moment.now), clocks.peers.get(hub_id)
    return {
        "hub_id": hub_id,
        "offset_ms": _round(offset.offset_ms if offset else None),
        "error_ms": _round(offset.error_ms if offset else None),
        "delay_ms": _round(offset.delay_ms if offset else None),
        "age_s": _round(moment.now - offset.at if offset else None),
        "drift_ppm": _round(peer.drift_ppm if peer else None),
        **_standing(clocks, hub_id, moment),
        "told": _accusation(clocks, hub_id, moment.now),
    }


def _standing(clocks: Clocks, hub_id: str, moment: Moment) -> dict[str, Any]:
    held = clocks.standings.get(hub_id)
    if held is None:
        return {"verdict": "unknown", "off_ms": None, "off_error_ms": None, "since": None, "by": []}
    return {
        "verdict": str(held.verdict),
        "off_ms": _round(held.off.middle_ms if held.off else None),
        "off_error_ms": _round(held.off.error_ms if held.off else None),
        "since": moment.time_before(moment.now - held.since),
        "by": list(held.by),
    }


def _own(clocks: Clocks, moment: Moment) -> dict[str, Any]:
    accusation = _accusation(clocks, clocks.own_id, moment.now)
    return {
        "hub_id": clocks.own_id,
        "time": time_of_ms(moment.wall_ms),
        **_standing(clocks, clocks.own_id, moment),
        "told": accusation,
        "sentence": own_sentence(clocks, moment.now),
    }


def _accusation(clocks: Clocks, hub_id: str, now: float) -> list[str]:
    """The peers that call the clock of a hub wrong."""
    beliefs = clocks.beliefs_of(hub_id, now)
    return sorted(teller for teller, held in beliefs.items() if held.verdict in BAD_VERDICTS)


def own_sentence(clocks: Clocks, now: float) -> str | None:
    """What the other hubs say of our clock, as a person reads it; None when nobody finds it wrong."""
    beliefs = clocks.beliefs_of(clocks.own_id, now)
    bad = [held for held in beliefs.values() if held.verdict in BAD_VERDICTS]
    if not bad:
        return None
    offset_ms = sorted(held.off_ms for held in bad)[len(bad) // 2]
    who = _COUNTS[len(bad)] if len(bad) < len(_COUNTS) else f"{len(bad)} hubs"
    verb = "says" if len(bad) == 1 else "say"
    side = "ahead" if offset_ms > 0 else "behind"
    return f"{who} {verb} that this hub's clock is {_seconds(abs(offset_ms))} {side}"


def _seconds(ms: float) -> str:
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def describe_matrix(clocks: Clocks, now: float) -> dict[str, Any]:
    """Who thinks what of whom: one row for each hub that tells, one cell for each hub it has measured."""
    rows = {clocks.own_id: (0.0, clocks.of_mine(now))}
    rows |= {teller: (now - told.at, told.section) for teller, told in clocks.told.items()}
    seen = {belief.hub_id for _, section in rows.values() for belief in section.beliefs}
    hubs = sorted(seen | rows.keys() | clocks.peers.keys())
    return {
        "hubs": hubs,
        "rows": [
            {
                "hub_id": teller,
                "age_s": _round(rows[teller][0]),
                "cells": [_cell(rows[teller][1].of(hub_id)) for hub_id in hubs],
            }
            for teller in sorted(rows)
        ],
    }


def _cell(belief: Belief | None) -> dict[str, Any] | None:
    if belief is None:
        return None
    return {
        "offset_ms": belief.offset_ms,
        "error_ms": belief.error_ms,
        "off_ms": belief.off_ms,
        "drift_ppm": belief.drift_ppm,
        "verdict": belief.verdict,
        "for_s": belief.for_seconds,
        "by": list(belief.by),
    }


def _edges(edges: EdgeClocks, moment: Moment, wanted: ListClocks) -> dict[str, Any]:
    shown = edges.worst(wanted.limit, moment.now, sound_too=wanted.edges == "all")
    return {
        "items": [describe_edge_clock(each) for each in shown],
        "off": edges.off,
        "known": edges.known,
        "median_ms": _round(edges.median_ms()),
    }


def describe_edge_clock(edge: EdgeClock) -> dict[str, Any]:
    """The clock of one edge."""
    return {
        "node_id": edge.node_id,
        "offset_ms": _round(edge.offset_ms),
        "drift_ppm": _round(edge.drift_ppm),
        "age_s": _round(edge.age_seconds),
    }


def describe_withheld(admission: Admission, moment: Moment) -> dict[str, Any]:
    """The orders that wait for a clock to be sound."""
    return {
        "parked": admission.parked,
        "parked_bytes": admission.parked_bytes,
        "by_hub": admission.parked_by_maker(),
        "withheld": admission.withheld,
        "released": admission.released,
        "turned_away": admission.turned_away,
        "items": [_parked(each, moment) for each in admission.parked_records(PARKED_SHOWN)],
    }


def _parked(parked: Parked, moment: Moment) -> dict[str, Any]:
    """An order that waits. Its stamp is of a wrong clock, so it is told as a distance and not a time."""
    stamp: Stamp = parked.intent.stamp
    return {
        "node_id": parked.record.node_id,
        "field": next(iter(parked.record.intent)),
        "hub": stamp.hub_id,
        "from_hub": parked.from_hub,
        "ahead_s": round((stamp.wall_ms - moment.wall_ms) / 1000, 1),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
