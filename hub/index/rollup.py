"""Rollups: readings of one stream that follow each other, folded into one row, and how rows merge.

A stream is one life of one series: cumulative counters and histograms have one for each start time,
gauges and deltas have one in all. The law of `merge`: rows that do not overlap in time give what
folding all their readings in order would give, in whatever order the rows are merged. Levels
(readings, total, low, high, last) merge exactly even where rows overlap. Increases do not: such a
row is no longer `exact`, and whoever asks for an increase reads the chunks instead.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

NS_PER_S = 1_000_000_000
RESOLUTIONS_NS = (3600 * NS_PER_S, 60 * NS_PER_S, 10 * NS_PER_S)
"""Widths of the buckets, the widest first; each is a multiple of the next."""

DELTA = 1
"""The temporality of points that tell what came since the point before."""


_INT_MAX = 2**63 - 1


class Growth(IntEnum):
    """How a stream tells of increases."""

    NONE = 0
    CUMULATIVE = 1
    DELTA = 2


class Rollup(NamedTuple):
    """Readings from first_ns to last_ns, both included.

    `first` and `last` are the readings at the edges: a level, or the events that were counted;
    `first_amount` and `last_amount` are the sums of a histogram at these times. `rise` and
    `rise_amount` are the increases between the edges, resets included. Of deltas, `first` is the
    amount that came between since_ns (0 when that is unknown) and first_ns, and `rise` came after it.
    """

    first_ns: int
    last_ns: int
    readings: int
    total: float
    low: float
    high: float
    first: float
    last: float
    rise: float = 0
    first_amount: float = 0
    last_amount: float = 0
    rise_amount: float = 0
    since_ns: int = 0
    exact: bool = True


Increase = tuple[float, float, int, bool]
"""rise, rise_amount, since_ns and exact of a merged row."""


def growth_of(kind: str, monotonic: bool, temporality: int) -> Growth:
    """How points of this kind grow, by the names of MetricPoint."""
    if kind == "gauge":
        return Growth.NONE
    if temporality == DELTA:
        return Growth.DELTA
    return Growth.NONE if kind == "sum" and not monotonic else Growth.CUMULATIVE


def reading(time_ns: int, value: float, amount: float = 0.0, since_ns: int = 0) -> Rollup:
    """One reading as a row. `since_ns` is for deltas; a beginning that is not earlier is unknown.

    Sums are floats, and so are values that SQLite could not hold as integers.
    """
    value = value if -_INT_MAX <= value <= _INT_MAX else float(value)
    total = float(value)
    since_ns = since_ns if 0 < since_ns < time_ns else 0
    return Rollup(
        time_ns, time_ns, 1, total, value, value, value, value, 0.0, amount, amount, 0.0, since_ns
    )


def merge(held: Rollup, more: Rollup, growth: Growth) -> Rollup:
    """Both rows of one stream in one."""
    if more.first_ns < held.first_ns:
        held, more = more, held
    if growth is Growth.NONE:
        rise, rise_amount, since_ns, exact = _NO_INCREASE
    elif growth is Growth.CUMULATIVE:
        rise, rise_amount, since_ns, exact = _grown(held, more)
    else:
        rise, rise_amount, since_ns, exact = _summed(held, more)
    late = more if (more.last_ns, more.last) >= (held.last_ns, held.last) else held
    return Rollup(
        held.first_ns,
        late.last_ns,
        held.readings + more.readings,
        held.total + more.total,
        min(held.low, more.low),
        max(held.high, more.high),
        held.first,
        late.last,
        rise,
        held.first_amount,
        late.last_amount,
        rise_amount,
        since_ns,
        exact and held.exact and more.exact,
    )


def fold(rows: Iterable[Rollup], growth: Growth) -> Rollup | None:
    """All rows in one, in order of time; None when there are none."""
    folded: Rollup | None = None
    for row in sorted(rows, key=lambda row: row.first_ns):
        folded = row if folded is None else merge(folded, row, growth)
    return folded


_NO_INCREASE: Increase = (0.0, 0.0, 0, True)


def _grown(held: Rollup, more: Rollup) -> Increase:
    """Of cumulative readings, where a smaller one means that the counter began again."""
    rise, rise_amount = held.rise + more.rise, held.rise_amount + more.rise_amount
    if more.first_ns > held.last_ns:
        began_again = more.first < held.last
        rise += more.first if began_again else more.first - held.last
        rise_amount += more.first_amount if began_again else more.first_amount - held.last_amount
        return rise, rise_amount, 0, True
    # The same reading twice adds nothing; of two different ones nobody knows which was first.
    is_twin = (more.first_ns, more.first, more.first_amount) == (
        held.last_ns, held.last, held.last_amount,
    )  # fmt: skip
    return rise, rise_amount, 0, is_twin


def _summed(held: Rollup, more: Rollup) -> Increase:
    """Of deltas: what is inside one row was watched without a hole, or nobody knows since when."""
    rise = held.rise + more.first + more.rise
    rise_amount = held.rise_amount + more.first_amount + more.rise_amount
    no_starts = held.since_ns == more.since_ns == 0
    follows = held.since_ns > 0 and more.since_ns == held.last_ns
    return rise, rise_amount, held.since_ns, no_starts or follows
