"""Redacting texts and removing attributes, wherever in a request they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge.receive.scrub_rules import RedactRule, RemoveRule
from shared.errors import BadInput
from shared.otlp_tree import NESTS, Tree
from shared.otlp_values import METRIC_KINDS, VALUE_DEPTH_MAX
from shared.records import Signal


@dataclass(slots=True)
class Cleaning:
    """Applies one rule to requests of one encoding and signal, and counts what it changes.

    Only texts that are values are redacted: not names of metrics, spans, events and keys, nor
    numbers, bytes, and fields that this version does not know.
    """

    tree: Tree
    signal: Signal
    rule: RedactRule | RemoveRule
    changed: int = 0

    def clean(self, request: Any) -> int:
        """How many texts were redacted, or attributes removed."""
        resources, scopes, records = NESTS[self.signal]
        for held in self.tree.many(request, resources):
            self._attributes_of(held, "resource")
            for scoped in self.tree.many(held, scopes):
                self._attributes_of(scoped, "scope")
                for record in self.tree.many(scoped, records):
                    self._record(record)
        return self.changed

    def _attributes_of(self, message: Any, field: str) -> None:
        inner = self.tree.one(message, field)
        if inner is not None:
            self._pairs(inner, "attributes", 0)

    def _record(self, record: Any) -> None:
        if self.signal is Signal.METRICS:
            self._metric(record)
            return
        self._pairs(record, "attributes", 0)
        if self.signal is Signal.TRACES:
            self._span(record)
            return
        body = self.tree.one(record, "body")
        if body is not None:
            self._value(body, 0)

    def _span(self, span: Any) -> None:
        for field in ("events", "links"):
            for each in self.tree.many(span, field):
                self._pairs(each, "attributes", 0)
        status = self.tree.one(span, "status")
        if status is not None:
            self._text(status, "message")

    def _metric(self, metric: Any) -> None:
        self._pairs(metric, "metadata", 0)
        for kind, point in self._points(metric):
            self._pairs(point, "attributes", 0)
            if kind != "summary":
                for exemplar in self.tree.many(point, "exemplars"):
                    self._pairs(exemplar, "filtered_attributes", 0)

    def _points(self, metric: Any) -> Iterator[tuple[str, Any]]:
        for kind in METRIC_KINDS:  # JSON may hold several; only the first is read, all are kept.
            data = self.tree.one(metric, kind)
            for point in self.tree.many(data, "data_points") if data is not None else ():
                yield kind, point

    def _pairs(self, message: Any, field: str, depth: int) -> None:
        pairs = self.tree.many(message, field)
        if isinstance(self.rule, RemoveRule):
            rule = self.rule
            kept = [each for each in pairs if not rule.removes(self.tree.text(each, "key") or "")]
            if len(kept) < len(pairs):
                self.changed += len(pairs) - len(kept)
                self.tree.keep(message, field, kept)
                pairs = self.tree.many(message, field)
        for pair in pairs:
            value = self.tree.one(pair, "value")
            if value is not None:
                self._value(value, depth)

    def _value(self, value: Any, depth: int) -> None:
        if depth > VALUE_DEPTH_MAX:  # Nothing passes because it is hidden too deep.
            raise BadInput(f"attribute values are nested more than {VALUE_DEPTH_MAX} deep")
        self._text(value, "string_value")
        array, pairs = self.tree.one(value, "array_value"), self.tree.one(value, "kvlist_value")
        for item in self.tree.many(array, "values") if array is not None else ():
            self._value(item, depth + 1)
        if pairs is not None:
            self._pairs(pairs, "values", depth + 1)

    def _text(self, message: Any, field: str) -> None:
        text = self.tree.text(message, field)
        if not text or not isinstance(self.rule, RedactRule):
            return
        redacted = self.rule.redacted(text)
        if redacted is not text:
            self.changed += 1
            self.tree.write(message, field, redacted)
