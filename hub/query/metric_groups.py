"""Series of an answer as they are sent, alone or combined by their labels step by step."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.query.metric_chart import POINTS_MAX, Chart, Line, Values, too_much
from hub.query.metric_query import Grouping
from hub.query.metric_selector import label_text
from hub.query.times import NS_PER_S

NODE = "node"

_COMBINATIONS: Mapping[str, str] = {
    "avg": "avg",
    "min": "min",
    "max": "max",
    "last": "avg",
    "quantile": "avg",
}
"""How groups are combined when nobody says how: what is counted is added."""


@dataclass(slots=True)
class Group:
    """What the series with the same labels come to, step by step."""

    labels: dict[str, Any]
    series: int = 0
    counts: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, values: Values, combine: Callable[[float, float], float]) -> None:
        """Take one more series; steps without a value are left as they are."""
        if not self.counts:
            self.counts, self.values = [0] * len(values), [0.0] * len(values)
        self.series += 1
        for index, value in enumerate(values):
            if value is not None:
                held = self.values[index]
                self.values[index] = combine(held, value) if self.counts[index] else value
                self.counts[index] += 1

    def read(self, combination: str) -> Values:
        """The combined values; None where no series has one."""
        pairs = zip(self.values, self.counts, strict=True)
        if combination == "count":
            return [count or None for _, count in pairs]
        if combination == "avg":
            return [value / count if count else None for value, count in pairs]
        return [value if count else None for value, count in pairs]


def series_items(chart: Chart) -> list[dict[str, Any]]:
    """`series` of the answer; raises RpcError quota."""
    grouping = chart.query.grouping
    lines = chart.shown()
    if grouping is not None:
        return _grouped_items(chart, lines, grouping)
    _check_size(chart, len(lines))
    return [
        {
            "node": line.node,
            "attributes": line.attributes,
            "points": _points(chart, chart.values(line)),
        }
        for line in lines
    ]


def seconds(time_ns: int) -> float:
    """Seconds, as a whole number where they are."""
    return time_ns // NS_PER_S if time_ns % NS_PER_S == 0 else time_ns / NS_PER_S


def _grouped_items(chart: Chart, lines: list[Line], grouping: Grouping) -> list[dict[str, Any]]:
    combination = combination_of(grouping, chart.aggregation)
    groups = _groups(chart, lines, grouping, _COMBINE[combination])
    return [
        {
            "node": label_text(group.labels.get(NODE, "")),
            "attributes": {key: value for key, value in group.labels.items() if key != NODE},
            "points": _points(chart, group.read(combination)),
            "series": group.series,
        }
        for _, group in sorted(groups.items())
    ]


def combination_of(grouping: Grouping, aggregation: str) -> str:
    """How the series of a group become one."""
    return grouping.combination or _COMBINATIONS.get(aggregation, "sum")


_COMBINE: Mapping[str, Callable[[float, float], float]] = {
    "sum": lambda held, more: held + more,
    "avg": lambda held, more: held + more,
    "count": lambda held, more: held,
    "min": min,
    "max": max,
}


def _groups(
    chart: Chart, lines: list[Line], grouping: Grouping, combine: Callable[[float, float], float]
) -> dict[tuple[str, ...], Group]:
    groups: dict[tuple[str, ...], Group] = {}
    for line in lines:
        labels = dict(_labels(line, grouping))
        key = tuple(label_text(labels.get(label, "")) for label in grouping.labels)
        if key not in groups:
            _check_size(chart, len(groups) + 1)
            groups[key] = Group(labels)
        groups[key].add(chart.values(line), combine)
    return groups


def _labels(line: Line, grouping: Grouping) -> Iterator[tuple[str, Any]]:
    attributes = line.attributes
    for label in grouping.labels:
        if label in attributes:
            yield label, attributes[label]
        elif label == NODE:
            yield label, line.node


def _check_size(chart: Chart, series: int) -> None:
    if series * chart.query.grid.count > POINTS_MAX:
        raise too_much(f"more than {POINTS_MAX} points")


def _points(chart: Chart, values: Values) -> list[list[float | None]]:
    grid = chart.query.grid
    return [
        [seconds(grid.first_ns + index * grid.step_ns), value] for index, value in enumerate(values)
    ]
