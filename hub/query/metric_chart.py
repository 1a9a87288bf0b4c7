"""The lines of a chart while they grow, from readings and rollups alike."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import msgspec

from hub.index.rollup import Growth, Rollup
from hub.query.buckets import COUNTERS, DISTRIBUTIONS, LEVELS, Bucket, Series
from hub.query.metric_quantile import (
    ShapeSeries,
    quantile_of,
    quantile_of_shape,
    shape_of,
)
from hub.query.metric_query import MetricQuery
from hub.query.metric_sources import Source
from shared.errors import RpcError
from shared.otlp_points import MetricPoint

SERIES_MAX = 1000
GROUPED_SERIES_MAX = 10_000  # Only their groups are in the answer.
POINTS_MAX = 1_000_000  # About 25 MB of JSON.

QUANTILE = "quantile"
_READINGS: Mapping[str, Mapping[str, Callable[[Bucket, int], float | None]]] = {
    "level": LEVELS,
    "counter": COUNTERS,
    "distribution": DISTRIBUTIONS,
}

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series of an answer. A chart of quantiles of histograms has shapes instead."""

    node: str
    labels: bytes
    family: str
    series: Series
    shapes: ShapeSeries

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.series.buckets and not self.shapes.buckets

    @property
    def attributes(self) -> dict[str, Any]:
        """The labels by their names."""
        decoded: dict[str, Any] = msgspec.json.decode(self.labels)
        return decoded


@dataclass(slots=True)
class Chart:
    """The series of an answer. The first point fixes unit and aggregation."""

    query: MetricQuery
    unit: str = ""
    kind: str | None = None
    aggregation: str = ""
    lines: dict[tuple[str, str, bytes], Line] = field(default_factory=dict)
    by_source: dict[Source, Line] = field(default_factory=dict)

    def begin(self, source: Source) -> None:
        """Fix unit, kind and aggregation by the source of the first point."""
        if self.kind is None:
            self.kind, self.unit = source.kind, source.unit
            self.aggregation = self.query.aggregation or source.default_aggregation

    def add_row(self, source: Source, row: Rollup) -> None:
        """Take the next readings of a stream, or any of a line of levels; raises RpcError
        not_supported or quota."""
        self.begin(source)
        line = self._line(source)
        series = line.series
        if line.family == "level":
            series.add_levels(row)
        elif line.family == "reading":
            series.add_value(row.first_ns, row.last)
        elif source.growth is Growth.DELTA:
            series.add_delta_row(row)
        else:
            series.add_cumulative_row(source.start_ns, row)

    def add_shape(self, source: Source, time_ns: int, point: MetricPoint) -> None:
        """Take the next point of a histogram whose quantiles are asked for; raises RpcError
        not_supported or quota."""
        self.begin(source)
        line, shape = self._line(source), shape_of(point.kind, point.buckets)
        if shape is not None:
            line.shapes.add(time_ns, point.start_ns, source.growth, shape)

    def _line(self, source: Source) -> Line:
        line = self.by_source.get(source)
        if line is None:
            line = self.by_source[source] = self._find_or_add(source)
        return line

    def _find_or_add(self, source: Source) -> Line:
        family = family_of(source, self.aggregation, self.query.name)
        key = (source.node, family, source.labels)
        line = self.lines.get(key)
        if line is None:
            series_max = SERIES_MAX if self.query.grouping is None else GROUPED_SERIES_MAX
            if len(self.lines) >= series_max:
                raise too_much(f"more than {series_max} series")
            query = self.query
            frame = query.grid, query.gap_ns_max, query.read_from_ns
            line = Line(source.node, source.labels, family, Series(*frame), ShapeSeries(*frame))
            self.lines[key] = line
        return line

    def shown(self) -> list[Line]:
        """The lines that have something to show, in order of node and attributes."""
        return [line for _, line in sorted(self.lines.items()) if not line.is_empty]

    def values(self, line: Line) -> Values:
        """One value for each step; None where nothing is known."""
        found = dict(self._readings(line))
        return [finite(found.get(index)) for index in range(self.query.grid.count)]

    def _readings(self, line: Line) -> Iterator[tuple[int, float | None]]:
        quantile, step_ns = self.query.quantile or 0.0, self.query.grid.step_ns
        if line.family == "shape":
            for index, shape in line.shapes.buckets.items():
                yield index, quantile_of_shape(shape, quantile)
        elif line.family == "reading":
            for index, bucket in line.series.buckets.items():
                yield index, quantile_of(bucket.values, quantile)
        else:
            read = _READINGS[line.family][self.aggregation]
            for index, bucket in line.series.buckets.items():
                yield index, read(bucket, step_ns)


def family_of(source: Source, aggregation: str, name: str) -> str:
    """How the aggregation reads points of this kind; raises RpcError not_supported."""
    known = _known(source)
    if aggregation not in known:
        raise RpcError(
            "not_supported",
            f"aggregation: {name} is a {source.kind} on {source.node}, which has no "
            f"{aggregation}; it has {', '.join(known)}",
            {"parameter": "aggregation", "known": list(known)},
        )
    if aggregation == QUANTILE:
        return "reading" if source.is_number else "shape"
    if source.is_number:
        return "counter" if aggregation in COUNTERS else "level"
    return "distribution"


def _known(source: Source) -> tuple[str, ...]:
    if source.is_number:
        counts = source.kind == "sum" and source.growth is not Growth.NONE
        return (*LEVELS, QUANTILE, *(COUNTERS if counts else ()))
    return tuple(DISTRIBUTIONS) if source.kind == "summary" else (*DISTRIBUTIONS, QUANTILE)


def too_much(what: str) -> RpcError:
    """The refusal of an answer that would be too large."""
    return RpcError(
        "quota",
        f"the answer would have {what}: name nodes or attributes, or take a longer step",
    )


def finite(value: float | None) -> float | None:
    """A sum of huge numbers may have no value, and JSON has no infinity."""
    return value if value is not None and isfinite(value) else None
