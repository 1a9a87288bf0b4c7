"""How far the clock of every edge is from ours, as its heartbeats show. Pure, and small per edge.

A beat tells when it was spoken by the clock of the edge, and takes some time to arrive: the difference
at arrival is the offset less that time, so the largest of several beats is the best one. A beat that
was held up for a minute changes nothing. 100,000 edges take about 20 MB in columns of numbers.
"""

import heapq
import math
import statistics
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

WINDOW_BEATS = 4
"""The best of the last four to eight beats is believed."""

EDGE_SKEW_MS_MAX = 2_000.0  # As answers to queries do, which say what such a clock displaces.
DRIFT_SECONDS_MIN = 600.0
DRIFT_SECONDS_MAX = 3_600.0
DRIFT_PPM_MAX = 2_000.0
STEP_MS_MIN = 250.0
MEDIAN_OF = 1_001
WORST_MAX = 1_000
NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class EdgeClock:
    """The clock of one edge: ahead of ours by `offset_ms`, or a little more, by what a beat takes."""

    node_id: str
    offset_ms: float
    drift_ppm: float | None
    age_seconds: float


def _numbers() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class EdgeClocks:
    """The clocks of all edges that beat to this hub. Times are monotonic seconds."""

    skew_ms_max: float = EDGE_SKEW_MS_MAX
    _row: dict[str, int] = field(default_factory=dict)
    _name: list[str] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)
    _off: set[int] = field(default_factory=set)
    _best: "array[float]" = field(default_factory=_numbers)
    _before: "array[float]" = field(default_factory=_numbers)
    _beats: "array[int]" = field(default_factory=lambda: array("B"))
    _heard_at: "array[float]" = field(default_factory=_numbers)
    _anchor_at: "array[float]" = field(default_factory=_numbers)
    _anchor_ms: "array[float]" = field(default_factory=_numbers)
    _drift: "array[float]" = field(default_factory=_numbers)

    def hear(self, node_id: str, edge_ms: int, wall_ms: int, now: float) -> float | None:
        """Take in a beat spoken at `edge_ms`; returns the offset, None for an edge that tells no time."""
        if not edge_ms:
            return None
        row = self._row.get(node_id)
        if row is None:
            row = self._add(node_id)
        seen_ms = float(edge_ms - wall_ms)
        self._heard_at[row] = now
        if seen_ms > self._offset_ms(row) + STEP_MS_MIN and self._beats[row]:
            # A delay never makes a clock look ahead: it was set, or all beats before this came late.
            self._begin_anew(row)
        self._best[row] = max(self._best[row], seen_ms)
        self._beats[row] += 1
        if self._beats[row] > WINDOW_BEATS:
            self._turn_window(row, now)
        offset_ms = self._offset_ms(row)
        if abs(offset_ms) > self.skew_ms_max:
            self._off.add(row)
        else:
            self._off.discard(row)
        return offset_ms

    def _add(self, node_id: str) -> int:
        if self._free:
            row = self._free.pop()
            self._name[row] = node_id
        else:
            row = len(self._name)
            self._name.append(node_id)
            self._beats.append(0)
            for column in self._columns():
                column.append(0.0)
        self._row[node_id] = row
        self._begin_anew(row)
        return row

    def _columns(self) -> "tuple[array[float], ...]":
        seen = (self._best, self._before, self._heard_at)
        return (*seen, self._anchor_at, self._anchor_ms, self._drift)

    def _begin_anew(self, row: int) -> None:
        self._best[row] = self._before[row] = NEVER
        self._beats[row] = 0
        self._anchor_at[row] = self._anchor_ms[row] = self._drift[row] = math.nan

    def _offset_ms(self, row: int) -> float:
        return max(self._best[row], self._before[row])

    def _turn_window(self, row: int, now: float) -> None:
        """One window of beats is full: what it showed is a point for the drift, and the next begins.

        The beats of a window count from one, so that zero says that nothing was heard yet.
        """
        best_ms = self._best[row]
        self._before[row], self._best[row], self._beats[row] = best_ms, NEVER, 1
        seconds = now - self._anchor_at[row]
        if math.isnan(seconds) or self._is_step(best_ms - self._anchor_ms[row], seconds):
            self._drift[row] = math.nan
            self._anchor_at[row], self._anchor_ms[row] = now, best_ms
        elif seconds >= DRIFT_SECONDS_MIN:
            self._drift[row] = 1000 * (best_ms - self._anchor_ms[row]) / seconds
            if seconds >= DRIFT_SECONDS_MAX:
                self._anchor_at[row], self._anchor_ms[row] = now, best_ms

    def _is_step(self, moved_ms: float, seconds: float) -> bool:
        return abs(moved_ms) > STEP_MS_MIN + seconds * DRIFT_PPM_MAX / 1000

    def begin_anew(self) -> None:
        """Our own clock was set: what was measured against it says nothing any more."""
        rows = len(self._name)
        self._best, self._before = array("d", [NEVER]) * rows, array("d", [NEVER]) * rows
        self._anchor_at, self._anchor_ms = (
            array("d", [math.nan]) * rows,
            array("d", [math.nan]) * rows,
        )
        self._drift, self._beats = array("d", [math.nan]) * rows, array("B", [0]) * rows
        self._off.clear()

    def forget(self, node_id: str) -> None:
        """Drop an edge that was removed."""
        row = self._row.pop(node_id, None)
        if row is not None:
            self._begin_anew(row)
            self._off.discard(row)
            self._name[row] = ""
            self._free.append(row)

    def of(self, node_id: str, now: float) -> EdgeClock | None:
        """The clock of one edge; None when it has told no time since it, or our clock, was set."""
        row = self._row.get(node_id)
        return None if row is None or not self._beats[row] else self._describe(row, now)

    def _describe(self, row: int, now: float) -> EdgeClock:
        drift = self._drift[row]
        age_seconds = max(now - self._heard_at[row], 0.0)
        return EdgeClock(
            self._name[row],
            self._offset_ms(row),
            None if math.isnan(drift) else drift,
            age_seconds,
        )

    @property
    def known(self) -> int:
        """How many edges have told a time."""
        return len(self._row)

    @property
    def off(self) -> int:
        """How many of them are off by more than the limit."""
        return len(self._off)

    def worst(self, limit: int, now: float, *, sound_too: bool = False) -> list[EdgeClock]:
        """The edges that are off by more than the limit, or all of them, worst first; equals by name."""
        measured = (row for row in self._row.values() if self._beats[row])
        rows = self._furthest(list(measured if sound_too else self._off), min(limit, WORST_MAX))
        rows.sort(key=lambda row: (-abs(self._offset_ms(row)), self._name[row]))
        return [self._describe(row, now) for row in rows]

    def _furthest(self, rows: list[int], limit: int) -> list[int]:
        """The rows with the largest offsets; of equals those whose names come first.

        When our own clock is wrong, all 100,000 are off: so nothing is called for each but what is
        written in C, which takes some 30 ms.
        """
        if len(rows) <= limit:
            return rows
        bests = map(self._best.__getitem__, rows)
        befores = map(self._before.__getitem__, rows)
        sizes = list(map(abs, map(max, bests, befores)))
        least = sorted(sizes)[-limit]
        above = [row for row, size in zip(rows, sizes, strict=True) if size > least]
        equal = [row for row, size in zip(rows, sizes, strict=True) if size == least]
        return above + heapq.nsmallest(limit - len(above), equal, key=self._name.__getitem__)

    def median_ms(self) -> float | None:
        """The offset of the edge in the middle, of a thousand at most; None when there is none.

        Where most edges agree that our clock is off, it is ours that is.
        """
        offsets = list(self._some_offsets())
        return statistics.median(offsets) if offsets else None

    def _some_offsets(self) -> Iterator[float]:
        pace = -(-len(self._name) // MEDIAN_OF) or 1
        for row in range(0, len(self._name), pace):
            if self._beats[row]:
                yield self._offset_ms(row)

    @property
    def size_bytes(self) -> int:
        """What the columns take, without the names of the edges."""
        numbers = sum(column.itemsize * len(column) for column in self._columns())
        return numbers + self._beats.itemsize * len(self._beats)
