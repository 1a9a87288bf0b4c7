"""Bars over time as plain geometry: how many records of which severity each step of a range has.

Places across are percents, so that the drawing fits any width and its letters keep their size;
heights are pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.query.times import NS_PER_S, format_time, parse_time
from hub.web.formats import number

HEIGHT = 84
PIECE_HEIGHT_MIN = 2.0  # One error among a million records must be seen.
GAP_PERCENT = 0.15
TICKS_MAX = 6

LEVELS = ("fatal", "error", "warn", "info", "debug", "trace", "unset")
"""From the ground up: what matters most stands on it, where heights can be compared."""

_DAY_S = 86_400
_TICK_STEPS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(hours * 3600 for hours in (1, 2, 3, 6, 12, 24, 48, 168)),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """The records of one severity in a bar."""

    level: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: where it stands, what it says, and the range that it is about."""

    left: float
    width: float
    pieces: tuple[Piece, ...]
    records: int
    counts: tuple[tuple[str, int], ...]
    start: str
    end: str

    @property
    def told(self) -> str:
        """What it says in words."""
        parts = ", ".join(f"{number(records)} {level}" for level, records in reversed(self.counts))
        begin, end = self.start[:19].replace("T", " "), self.end[11:19]
        return f"{begin} to {end}: {number(self.records)} records ({parts})"


@dataclass(frozen=True, slots=True)
class Mark:
    """A time below the bars."""

    left: float
    label: str
    anchor: str
    is_minor: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """A drawing. `whole_from` is set when counts are only whole from then on."""

    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    totals: tuple[tuple[str, int], ...]
    records: int
    most: int
    step_s: float
    start: str
    end: str
    whole_from: str
    height: int = HEIGHT


def bars_of(answer: Mapping[str, Any]) -> Bars | None:
    """The drawing of an answer of log.histogram by severity; None when it holds no bins."""
    bins = answer.get("bins") or []
    if not bins:
        return None
    start_ns, end_ns = _ns(answer["start"]), _ns(answer["end"])
    frame = _Frame(start_ns, end_ns, int(answer["step_s"] * NS_PER_S))
    most = max(held["records"] for held in bins)
    scanned = answer.get("scanned", {})
    return Bars(
        tuple(_bar(frame, held, most) for held in bins if held["records"]),
        _marks(frame),
        _by_level(answer.get("totals", {})),
        sum(held["records"] for held in bins),
        most,
        answer["step_s"],
        answer["start"],
        answer["end"],
        str(scanned.get("from") or "") if scanned.get("complete") is False else "",
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where times lie on the drawing."""

    start_ns: int
    end_ns: int
    step_ns: int

    def left(self, time_ns: int) -> float:
        inside_ns = min(max(time_ns, self.start_ns), self.end_ns)
        return round(100 * (inside_ns - self.start_ns) / (self.end_ns - self.start_ns), 3)


def _bar(frame: _Frame, held: Mapping[str, Any], most: int) -> Bar:
    """The bar of one bin; the first and the last bin may be cut by the range."""
    begin_ns = max(_ns(held["time"]), frame.start_ns)
    end_ns = min(_ns(held["time"]) + frame.step_ns, frame.end_ns)
    left, right = frame.left(begin_ns), frame.left(end_ns)
    counts = _by_level(held["counts"])
    return Bar(
        left,
        round(max(right - left - GAP_PERCENT, GAP_PERCENT), 3),
        _pieces(counts, most),
        held["records"],
        counts,
        format_time(begin_ns),
        format_time(end_ns),
    )


def _pieces(counts: Sequence[tuple[str, int]], most: int) -> tuple[Piece, ...]:
    """The parts of a bar from the ground up, all of them in the drawing."""
    pieces: list[Piece] = []
    floor = float(HEIGHT)
    for level, records in counts:
        height = min(floor, max(PIECE_HEIGHT_MIN, HEIGHT * records / most))
        floor -= height
        pieces.append(Piece(level, round(floor, 1), round(height, 1)))
    return tuple(pieces)


def _by_level(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Counts by severity, in the order of LEVELS; a severity of another name counts as unset."""
    sums = dict.fromkeys(LEVELS, 0)
    for name, records in counts.items():
        level = name.lower()
        sums[level if level in sums else "unset"] += records
    return tuple((level, records) for level, records in sums.items() if records)


def _marks(frame: _Frame) -> tuple[Mark, ...]:
    first_s, last_s = frame.start_ns / NS_PER_S, frame.end_ns / NS_PER_S
    span_s = last_s - first_s
    step_s = next((s for s in _TICK_STEPS_S if span_s / s <= TICKS_MAX), 0)
    step_s = step_s or -(-int(span_s / TICKS_MAX) // _DAY_S) * _DAY_S
    first = -(-int(first_s) // step_s) * step_s
    times = range(first, int(last_s) + 1, step_s)
    form = "%d %b" if step_s >= _DAY_S else "%d %b %H:%M" if span_s > _DAY_S else "%H:%M"
    form = "%H:%M:%S" if step_s < 60 else form
    return tuple(
        _mark(frame.left(time_s * NS_PER_S), datetime.fromtimestamp(time_s, UTC).strftime(form), at)
        for at, time_s in enumerate(times)
    )


def _mark(left: float, label: str, at: int) -> Mark:
    anchor = "start" if left < 4 else "end" if left > 96 else "middle"
    return Mark(left, label, anchor, is_minor=at % 2 == 1)


def _ns(time: str) -> int:
    return parse_time(time, 0, "time")
