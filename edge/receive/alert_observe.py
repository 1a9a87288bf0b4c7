"""What alert rules want to know of a part of telemetry: values of their metrics, counts of records."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.receive.alert_config import LOG_CHARACTERS_MAX
from edge.receive.alert_rule import AlertRule
from edge.receive.alert_rules import Attributes
from shared.otlp_points import MetricPoint
from shared.otlp_rows import LogRow, log_rows, metric_points, resource_value
from shared.records import Encoding, Part, Signal
from shared.signals import SEVERITIES

ATTRIBUTES_MAX = 32
ATTRIBUTE_CHARACTERS_MAX = 256

_PLAIN = re.compile(r"[\w :,/=<>@#%&;'\"!~-]+(\|[\w :,/=<>@#%&;'\"!~-]+)*")


@dataclass(frozen=True, slots=True)
class Observed:
    """What one part said: values in their order as (rule, attributes, value), counts by rule."""

    values: tuple[tuple[str, Attributes, float], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


class Observer:
    """Reads parts for a set of rules. Metrics count when they are of this node itself."""

    def __init__(self, rules: Sequence[AlertRule], node_id: str) -> None:
        self._node_id = node_id
        self._metric_rules = [rule for rule in rules if rule.metric]
        self._log_rules = [(rule, re.compile(rule.log)) for rule in rules if rule.log]
        self._names = {rule.metric for rule in self._metric_rules}
        self._hints = {
            Signal.METRICS: [name.encode() for name in self._names],
            Signal.LOGS: _hints_of(rule.log for rule, _ in self._log_rules),
        }

    def wants(self, part: Part) -> bool:
        """Whether the part may hold what a rule asks for; a quick search of its bytes."""
        if part.signal not in self._hints or not (
            self._metric_rules if part.signal is Signal.METRICS else self._log_rules
        ):
            return False
        hints = self._hints[part.signal]
        # JSON may spell a letter in several ways; protobuf has texts as they are.
        if part.encoding is not Encoding.PROTO or not hints:
            return True
        return any(hint in part.body for hint in hints)

    def observe(self, part: Part) -> Observed:
        """Read a part that is wanted; raises BadInput."""
        if part.signal is Signal.METRICS:
            points = metric_points(part.encoding, part.body)
            return Observed(values=tuple(self._values(points)))
        return Observed(counts=self._counts(log_rows(part.encoding, part.body)))

    def _values(self, points: Iterable[MetricPoint]) -> Iterator[tuple[str, Attributes, float]]:
        for point in points:
            if point.name not in self._names or point.value is None:
                continue
            if resource_value(point.resource, "headwater.node") != self._node_id:
                continue
            attributes = _attributes_of(point.attributes)
            for rule in self._metric_rules:
                if rule.metric == point.name and set(rule.where) <= set(attributes):
                    yield rule.name, attributes, float(point.value)

    def _counts(self, rows: Iterable[LogRow]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in rows:
            body = "\n".join(_texts(row.body))[:LOG_CHARACTERS_MAX]
            for rule, expression in self._log_rules:
                least = SEVERITIES.get(rule.min_severity, 0)
                if row.severity_number >= least and expression.search(body):
                    counts[rule.name] = counts.get(rule.name, 0) + 1
        return counts


def _texts(body: Any) -> Iterator[str]:
    """A text body, or the texts within a body that has parts."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict):
        for key, value in body.items():
            yield key
            yield from _texts(value)
    elif isinstance(body, list):
        for value in body:
            yield from _texts(value)


def _attributes_of(attributes: dict[str, Any]) -> Attributes:
    pairs = sorted((key, str(value)) for key, value in attributes.items())[:ATTRIBUTES_MAX]
    return tuple(
        (key[:ATTRIBUTE_CHARACTERS_MAX], value[:ATTRIBUTE_CHARACTERS_MAX]) for key, value in pairs
    )


def _hints_of(expressions: Iterable[str]) -> list[bytes]:
    """Texts of which a body must hold one; none when some expression is more than plain words."""
    hints: list[bytes] = []
    for expression in expressions:
        if not _PLAIN.fullmatch(expression):
            return []
        hints += [word.encode() for word in expression.split("|")]
    return hints
