"""OTLP values as JSON values, the same whether they were written as protobuf or as JSON.

Doubles that JSON cannot write become the texts "NaN", "Infinity" and "-Infinity", bytes become
base64: both as in the JSON mapping of protobuf (https://protobuf.dev/programming-guides/json/).
"""

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from shared import otlp_json
from shared.errors import BadInput
from shared.records import Encoding

TIME_NS_MAX = 2**63 - 1
"""Times from the year 2262 on are taken as this: SQLite integers end here."""

VALUE_DEPTH_MAX = 64
"""Deeper than any protobuf value can be (its parser stops at 100 messages), and safe to walk."""

METRIC_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

_JSON_VALUE_KINDS = (
    "string_value",
    "int_value",
    "bool_value",
    "double_value",
    "array_value",
    "kvlist_value",
    "bytes_value",
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The few places where a decoded protobuf message and a decoded JSON object differ."""

    value_kind: Callable[[Any], str | None]
    """Which alternative of an AnyValue is set."""
    optional: Callable[[Any, str], Any]
    """A field that tells absent (None) from zero."""
    id_text: Callable[[Any], str]
    """A trace or span id as lower-case hex, or "" when it is absent or all zeros."""


def _json_value_kind(value: Any) -> str | None:
    return next((kind for kind in _JSON_VALUE_KINDS if getattr(value, kind) is not None), None)


def _proto_optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _proto_id_text(value: bytes) -> str:
    return value.hex() if value.strip(b"\0") else ""


def _json_id_text(value: str | None) -> str:
    return value.lower() if value and value.strip("0") else ""


_DIALECTS = {
    Encoding.PROTO: Dialect(methodcaller("WhichOneof", "value"), _proto_optional, _proto_id_text),
    Encoding.JSON: Dialect(_json_value_kind, getattr, _json_id_text),
}


def dialect_of(encoding: Encoding) -> Dialect:
    """How to read objects that were decoded from this encoding."""
    return _DIALECTS[Encoding(encoding)]


def event_time(value: int | None) -> int:
    """A time in Unix nanoseconds that fits every store; 0 when absent."""
    return min(value, TIME_NS_MAX) if value else 0


def json_number(value: float | None) -> float | str | None:
    """A number as JSON can carry it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def finite(value: float | None) -> float | None:
    """A measured number, or None where there is none to calculate with."""
    return value if value is not None and math.isfinite(value) else None


def any_value(dialect: Dialect, value: Any, depth: int = 0) -> Any:
    """An AnyValue as a JSON value; raises BadInput past VALUE_DEPTH_MAX."""
    kind = dialect.value_kind(value) if value is not None else None
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        return json_number(value.double_value)
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode("ascii")
    if depth >= VALUE_DEPTH_MAX:
        raise BadInput(f"attribute values are nested more than {VALUE_DEPTH_MAX} deep")
    if kind == "array_value":
        return [any_value(dialect, item, depth + 1) for item in value.array_value.values or ()]
    if kind == "kvlist_value":
        return attributes_of(dialect, value.kvlist_value.values, depth + 1)
    return None


def attributes_of(dialect: Dialect, pairs: Iterable[Any] | None, depth: int = 0) -> dict[str, Any]:
    """A list of key-values as a JSON object; of equal keys the last one counts."""
    return {pair.key or "": any_value(dialect, pair.value, depth) for pair in pairs or ()}


def metric_data(metric: Any) -> tuple[str, Any] | None:
    """The kind of a metric and the message that holds its points; None when it holds none."""
    if isinstance(metric, otlp_json.Metric):
        kind = next((kind for kind in METRIC_KINDS if getattr(metric, kind) is not None), None)
    else:
        kind = metric.WhichOneof("data")
    return None if kind is None else (kind, getattr(metric, kind))


def text_value(attributes: Mapping[str, Any], key: str) -> str:
    """An attribute as text; "" when it is absent."""
    value = attributes.get(key)
    return "" if value is None else value if isinstance(value, str) else str(value)
