"""Line charts as plain geometry: what an SVG needs, from the answer of metric.query.

The drawing is 1000 by 280 units. Lines break where there is no value: a gap in the data is news.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log2, log10
from typing import Any

from hub.web.formats import quantity, text

LINES_MAX = 12  # Beyond that nobody can tell the lines apart.
WIDTH, HEIGHT = 1000.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 76.0, 12.0, 12.0, 28.0

_TIME_STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_BINARY = ("By", "By/s")
_TIME_TICKS_MAX = 9
_VALUE_TICKS = 4
_VALUE_MAX = 1e300  # Values beyond are drawn as gaps: the difference of two must not overflow.
_SPAN_MIN = 1e-300

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One series: the path of its line, dots for lone points, and what the table says of it."""

    label: str
    path: str
    dots: tuple[Point, ...]
    least: str
    average: str
    greatest: str
    last: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing. `left_out` series of the answer are not in it."""

    lines: tuple[Line, ...]
    times: tuple[Tick, ...]
    values: tuple[Tick, ...]
    left_out: int
    unit: str
    data: Mapping[str, Any]


def chart_of(answer: Mapping[str, Any]) -> Chart | None:
    """The chart of an answer of metric.query; None when there is no point in it."""
    series = list(answer.get("series") or [])
    shown = [each for each in series if any(_is_finite(v) for _, v in each["points"])][:LINES_MAX]
    if not shown:
        return None
    unit = display_unit(str(answer.get("unit") or ""), str(answer.get("aggregation") or ""))
    labels = _labels(shown)
    times = [point[0] for each in shown for point in each["points"]]
    values = [value for each in shown for _, value in each["points"] if _is_finite(value)]
    frame = _Frame.around(times, values, unit)
    lines = tuple(
        _line(frame, label, each["points"], unit) for label, each in zip(labels, shown, strict=True)
    )
    return Chart(
        lines,
        frame.time_ticks(),
        tuple(Tick(frame.y(value), quantity(value, unit)) for value in frame.value_marks),
        len(series) - len(shown),
        unit,
        _data(shown, labels, unit),
    )


def display_unit(unit: str, aggregation: str) -> str:
    """A rate counts per second; a count has no unit."""
    if aggregation == "rate":
        return f"{unit if unit != '1' else ''}/s"
    return "" if aggregation == "count" else unit


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values and times lie on the drawing."""

    first_s: float
    last_s: float
    value_marks: tuple[float, ...]

    @classmethod
    def around(cls, times: Sequence[float], values: Sequence[float], unit: str) -> "_Frame":
        return cls(min(times), max(times), tuple(nice_marks(min(values), max(values), unit)))

    def x(self, seconds: float) -> float:
        span = (self.last_s - self.first_s) or 1.0
        return round(LEFT + (seconds - self.first_s) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.value_marks[0], self.value_marks[-1]
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def time_ticks(self) -> tuple[Tick, ...]:
        span = self.last_s - self.first_s
        step = next((s for s in _TIME_STEPS_S if span / s <= _TIME_TICKS_MAX), 0)
        step = step or ceil(span / _TIME_TICKS_MAX / 86_400) * 86_400
        first = ceil(self.first_s / step) * step
        marks = range(int(first), int(self.last_s) + 1, step)
        form = "%d %b" if step >= 86_400 else "%d %b %H:%M" if span > 86_400 else "%H:%M"
        form = "%H:%M:%S" if step < 60 else form
        return tuple(Tick(self.x(s), datetime.fromtimestamp(s, UTC).strftime(form)) for s in marks)


def nice_marks(low: float, high: float, unit: str = "") -> list[float]:
    """Round values from below the least to above the greatest; zero is in it when it is near."""
    if 0 < low < high * 0.75 or low == high > 0:
        low = 0.0
    if 0 > high > low * 0.75 or low == high < 0:
        high = 0.0
    if high - low < _SPAN_MIN:
        high = low + 1.0
    step = _binary_step(high - low) if unit in _BINARY else _decimal_step(high - low)
    first, last = floor(low / step), ceil(high / step)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def _decimal_step(span: float) -> float:
    """1, 2, 2.5 or 5 times a power of ten."""
    rough = span / _VALUE_TICKS
    power = 10.0 ** floor(log10(rough))
    return float(next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999) * power)


def _binary_step(span: float) -> float:
    """A power of two, so that marks are whole KiB, MiB or GiB."""
    return float(2.0 ** ceil(log2(span / _VALUE_TICKS)))


def _line(frame: _Frame, label: str, points: Iterable[Sequence[Any]], unit: str) -> Line:
    runs = _runs(points)
    path = " ".join(
        "M" + "L".join(f"{frame.x(seconds)} {frame.y(value)}" for seconds, value in run)
        for run in runs
        if len(run) > 1
    )
    dots = tuple((frame.x(run[0][0]), frame.y(run[0][1])) for run in runs if len(run) == 1)
    values = [value for run in runs for _, value in run]
    told = (min(values), sum(values) / len(values), max(values), values[-1])
    least, average, greatest, last = (quantity(value, unit) for value in told)
    return Line(label, path, dots, least, average, greatest, last)


def _runs(points: Iterable[Sequence[Any]]) -> list[list[Point]]:
    """The stretches of points without a gap."""
    runs: list[list[Point]] = [[]]
    for seconds, value in points:
        if _is_finite(value):
            runs[-1].append((seconds, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _VALUE_MAX


def _labels(series: Sequence[Mapping[str, Any]]) -> list[str]:
    """What sets each series apart: its node where there are several, and attributes that differ."""
    nodes = {each["node"] for each in series}
    keys = {key for each in series for key in each["attributes"]}
    telling = [
        key
        for key in sorted(keys)
        if len(series) == 1 or len({text(each["attributes"].get(key)) for each in series}) > 1
    ]
    return [_label(each, telling, with_node=len(nodes) > 1 or not telling) for each in series]


def _label(series: Mapping[str, Any], keys: Sequence[str], with_node: bool) -> str:
    held = series["attributes"]
    parts = [series["node"]] if with_node else []
    return " · ".join([*parts, *(text(held[key]) for key in keys if key in held)])


def _data(series: Sequence[Mapping[str, Any]], labels: Sequence[str], unit: str) -> dict[str, Any]:
    """What a script needs to draw the same chart: columns of times and values."""
    times = sorted({point[0] for each in series for point in each["points"]})
    columns = []
    for each in series:
        held = dict(each["points"])
        columns.append([held.get(seconds) for seconds in times])
    return {"unit": unit, "labels": list(labels), "columns": [times, *columns]}
