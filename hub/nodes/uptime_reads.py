"""From what is on disk to bars, lists and the worst nodes: each function reads on one connection."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.nodes.history import Attendance, Told, by_log, joined, spans_of, told
from hub.nodes.history_share import Standing, with_standings
from hub.nodes.uptime import COARSE, DAY_MS, Bucket, Parts, Scale, bars, total
from hub.store.check_table import attendances, lines_of_node, troubled

CONSIDERED_MAX = 50
HISTORY_KEPT_MS = COARSE.count * DAY_MS


@dataclass(frozen=True, slots=True)
class Moment:
    """When a question is asked, and until when each observer is known to have observed."""

    now_ms: int
    standings: Mapping[str, Standing]


Attended = Mapping[str, list[Attendance]]


def attended(connection: sqlite3.Connection, start_ms: int, moment: Moment) -> Attended:
    """When each observer observed since a time."""
    return with_standings(attendances(connection, start_ms), moment.standings, moment.now_ms)


def told_of(
    connection: sqlite3.Connection, node: str, start_ms: int, end_ms: int, known: Attended
) -> list[Told]:
    """What all observers said of a node within a window."""
    logs = by_log(lines_of_node(connection, node))
    return [
        each
        for log, changes in sorted(logs.items())
        for each in told(log, changes, known.get(log, ()), start_ms, end_ms)
    ]


def bars_of_nodes(
    connection: sqlite3.Connection, nodes: Iterable[str], scale: Scale, moment: Moment
) -> dict[str, list[Bucket]]:
    """The bars of some nodes."""
    first_ms, now_ms = scale.first_ms(moment.now_ms), moment.now_ms
    known = attended(connection, first_ms, moment)
    return {
        node: bars(spans_of(told_of(connection, node, first_ms, now_ms, known)), scale, now_ms)
        for node in nodes
    }


def history_of(
    connection: sqlite3.Connection, node: str, start_ms: int, end_ms: int, moment: Moment
) -> list[Told]:
    """What all observers said of a node within a window, newest first."""
    known = attended(connection, start_ms, moment)
    end_ms = min(end_ms, moment.now_ms)
    found = joined(told_of(connection, node, start_ms, end_ms, known))
    return sorted(found, key=lambda each: (-each.since_ms, each.log, each.subject))


def worst_nodes(
    connection: sqlite3.Connection,
    now_bad: Iterable[str],
    present: frozenset[str],
    scale: Scale,
    moment: Moment,
) -> tuple[list[tuple[str, Parts]], int]:
    """The nodes of a scale's time with the least uptime, worst first, and how many were weighed.

    Weighed are those that are not well now and those with the most trouble in that time, at most 50
    of each: a node that was well all the time cannot be among the worst.
    """
    first_ms = scale.first_ms(moment.now_ms)
    before = [node for node in troubled(connection, first_ms, CONSIDERED_MAX) if node in present]
    weighed = dict.fromkeys([*sorted(now_bad)[:CONSIDERED_MAX], *before])
    found = bars_of_nodes(connection, weighed, scale, moment)
    sums = [(node, total(buckets)) for node, buckets in found.items()]
    known = [(node, parts) for node, parts in sums if parts.ratio is not None and parts.ratio < 1]
    return sorted(known, key=lambda each: (each[1].ratio, each[0])), len(weighed)
