"""Dropping records: which of them the rules name."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.receive.scrub_rules import DropRule
from shared.otlp_tree import NESTS, Tree, points_of
from shared.otlp_values import VALUE_DEPTH_MAX
from shared.records import Signal
from shared.signals import Scalar

_LUCK_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Place:
    """A list of records, and what all of them share."""

    holder: Any
    field: str
    around: tuple[Any, ...]
    """Scope and resource, None where there is none: their attributes count as the record's own."""
    name: str
    """Of the metric; spans and events have names of their own."""


@dataclass(frozen=True, slots=True)
class Dropping:
    """Drops records of one encoding and signal; of several rules that fit, the first is counted."""

    tree: Tree
    signal: Signal
    rules: Sequence[DropRule]

    def drop(self, request: Any) -> Counter[str]:
        """Take the records away, and say how many by which rule. What held them stays, even empty."""
        dropped: Counter[str] = Counter()
        for place in self._places(request) if self.rules else ():
            held = self.tree.many(place.holder, place.field)
            verdicts = [self._rule_for(record, place) for record in held]
            names = [rule.name for rule in verdicts if rule]
            if names:
                dropped.update(names)
                pairs = zip(held, verdicts, strict=True)
                self.tree.keep(
                    place.holder, place.field, [each for each, rule in pairs if not rule]
                )
        return dropped

    def _places(self, request: Any) -> Iterator[_Place]:
        resources, scopes, records = NESTS[self.signal]
        for resource in self.tree.many(request, resources):
            for scoped in self.tree.many(resource, scopes):
                around = (self.tree.one(scoped, "scope"), self.tree.one(resource, "resource"))
                if self.signal is not Signal.METRICS:
                    yield _Place(scoped, records, around, "")
                    continue
                for metric in self.tree.many(scoped, records):
                    name = self.tree.text(metric, "name") or ""
                    for data, points in points_of(self.tree, metric):
                        yield _Place(data, points, around, name)

    def _rule_for(self, record: Any, place: _Place) -> DropRule | None:
        return next((rule for rule in self.rules if self._fits(rule, record, place)), None)

    def _fits(self, rule: DropRule, record: Any, place: _Place) -> bool:
        return (
            self._severity_fits(rule, record)
            and (not rule.name_matches or bool(rule.name_matches.search(self._name(record, place))))
            and self._body_fits(rule, record)
            and self._attribute_fits(rule, (record, *place.around))
            and (not rule.keep_ratio or luck(self._sample_key(record)) >= rule.keep_ratio)
        )

    def _severity_fits(self, rule: DropRule, record: Any) -> bool:
        if not rule.severity_below:
            return True
        return 0 < self.tree.number(record, "severity_number") < rule.severity_below

    def _name(self, record: Any, place: _Place) -> str:
        if self.signal is Signal.METRICS:
            return place.name
        field = "name" if self.signal is Signal.TRACES else "event_name"
        return self.tree.text(record, field) or ""

    def _body_fits(self, rule: DropRule, record: Any) -> bool:
        pattern = rule.body_matches
        return not pattern or any(pattern.search(text) for text in self._body_texts(record))

    def _body_texts(self, record: Any) -> Iterator[str]:
        body = self.tree.one(record, "body")
        return self._texts(body, 0) if body is not None else iter(())

    def _texts(self, value: Any, depth: int) -> Iterator[str]:
        """All texts in a value; what is nested deeper than anybody may is not looked at."""
        text = self.tree.text(value, "string_value")
        if text is not None:
            yield text
        array, pairs = self.tree.one(value, "array_value"), self.tree.one(value, "kvlist_value")
        inner = list(self.tree.many(array, "values")) if array is not None else []
        if pairs is not None:
            held = (self.tree.one(pair, "value") for pair in self.tree.many(pairs, "values"))
            inner += [each for each in held if each is not None]
        for each in inner if depth < VALUE_DEPTH_MAX else ():
            yield from self._texts(each, depth + 1)

    def _attribute_fits(self, rule: DropRule, messages: Sequence[Any]) -> bool:
        if not rule.attribute:
            return True
        value = self._attribute(rule.attribute, messages)
        if value is None:
            return False
        if rule.matches:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return bool(rule.matches.search(text))
        # True equals 1 in Python, and not to people.
        return value == rule.equals and isinstance(value, bool) == isinstance(rule.equals, bool)

    def _attribute(self, key: str, messages: Sequence[Any]) -> Scalar | None:
        """The value of an attribute in the first of the messages that has it."""
        for message in messages:
            for pair in self.tree.many(message, "attributes") if message is not None else ():
                value = self.tree.one(pair, "value")
                if value is not None and self.tree.text(pair, "key") == key:
                    return self.tree.scalar(value)
        return None

    def _sample_key(self, record: Any) -> bytes:
        trace_id = self.tree.id_bytes(record, "trace_id")
        if trace_id:
            return trace_id
        if self.signal is Signal.TRACES:
            return self.tree.id_bytes(record, "span_id")
        return "\n".join(self._body_texts(record)).encode("utf-8", "surrogatepass")


def luck(key: bytes) -> float:
    """A number from 0 to 1 that is the same for the same key on every machine."""
    digest = hashlib.blake2b(key, digest_size=_LUCK_BYTES, person=b"headwater.scrub").digest()
    return float(int.from_bytes(digest, "big") / 2 ** (8 * _LUCK_BYTES))
