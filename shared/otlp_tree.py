"""Decoded OTLP bodies that can be changed and written again, the same way in both encodings.

Fields have their protobuf names. What is not known is kept: protobuf messages remember unknown
fields, and JSON is held as plain objects, of which only what has the expected shape is looked at.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import orjson

from shared.errors import BadInput
from shared.otlp import JSON_TYPE, PROTO_TYPE, read_part
from shared.otlp_body import read_proto
from shared.otlp_values import METRIC_KINDS
from shared.otlp_weight import check_json
from shared.records import Encoding, Part, Signal

NESTS = {
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.EVENTS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
}
"""The lists that hold each other, from the outside in."""

Holder = tuple[Any, str]
"""A message, and its field that is a list of records."""


class Tree(Protocol):
    """How to read and change the objects of one encoding."""

    def open(self, signal: Signal, body: bytes) -> Any:
        """The one request that a stored, decompressed body amounts to; raises BadInput."""
        ...

    def seal(self, signal: Signal, request: Any) -> Part:
        """The request as a part, counted and dated anew; raises BadInput."""
        ...

    def many(self, message: Any, field: str) -> Sequence[Any]:
        """The messages in a list, none when it is absent."""
        ...

    def keep(self, message: Any, field: str, kept: Sequence[Any]) -> None:
        """Replace a list by these of its messages."""
        ...

    def one(self, message: Any, field: str) -> Any | None:
        """A message in a field, None when it is absent."""
        ...

    def text(self, message: Any, field: str) -> str | None:
        """A text, None when it is absent, or when another field of its oneof is set."""
        ...

    def write(self, message: Any, field: str, text: str) -> None:
        """Replace a text."""
        ...

    def scalar(self, value: Any) -> str | int | float | bool | None:
        """What an AnyValue holds, None when it holds bytes, a list, a map or nothing."""
        ...

    def number(self, message: Any, field: str) -> int:
        """An integer, 0 when it is absent."""
        ...

    def id_bytes(self, message: Any, field: str) -> bytes:
        """A trace or span id, empty when it is absent or all zeros."""
        ...


class ProtoTree:
    """Protobuf messages."""

    def open(self, signal: Signal, body: bytes) -> Any:
        return read_proto(signal, body)

    def seal(self, signal: Signal, request: Any) -> Part:
        return read_part(signal, PROTO_TYPE, request.SerializeToString())

    def many(self, message: Any, field: str) -> Sequence[Any]:
        found: Sequence[Any] = getattr(message, field)
        return found

    def keep(self, message: Any, field: str, kept: Sequence[Any]) -> None:
        held = getattr(message, field)
        del held[:]
        held.extend(kept)

    def one(self, message: Any, field: str) -> Any | None:
        return getattr(message, field) if message.HasField(field) else None

    def text(self, message: Any, field: str) -> str | None:
        text: str = getattr(message, field)
        return text or None  # Of a oneof, what is not set reads as empty.

    def write(self, message: Any, field: str, text: str) -> None:
        setattr(message, field, text)

    def scalar(self, value: Any) -> str | int | float | bool | None:
        kind = value.WhichOneof("value")
        scalar: str | int | float | bool | None = getattr(value, kind) if kind in _SCALARS else None
        return scalar

    def number(self, message: Any, field: str) -> int:
        number: int = getattr(message, field)
        return number

    def id_bytes(self, message: Any, field: str) -> bytes:
        value: bytes = getattr(message, field)
        return value if value.strip(b"\0") else b""


class JsonTree:
    """Plain objects. Several requests become one, which is all that their order ever meant."""

    def open(self, signal: Signal, body: bytes) -> Any:
        check_json(body)
        try:
            requests = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"the body is not JSON: {error}") from error
        if not isinstance(requests, list):
            raise BadInput("the body is not a list of OTLP/JSON requests")
        outermost = NESTS[signal][0]
        return {
            _camel(outermost): [held for each in requests for held in self.many(each, outermost)]
        }

    def seal(self, signal: Signal, request: Any) -> Part:
        return read_part(signal, JSON_TYPE, orjson.dumps(request))

    def many(self, message: Any, field: str) -> Sequence[Any]:
        found = message.get(_camel(field)) if isinstance(message, dict) else None
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def keep(self, message: Any, field: str, kept: Sequence[Any]) -> None:
        message[_camel(field)] = list(kept)

    def one(self, message: Any, field: str) -> Any | None:
        found = message.get(_camel(field))
        return found if isinstance(found, dict) else None

    def text(self, message: Any, field: str) -> str | None:
        found = message.get(_camel(field))
        return found if isinstance(found, str) else None

    def write(self, message: Any, field: str, text: str) -> None:
        message[_camel(field)] = text

    def scalar(self, value: Any) -> str | int | float | bool | None:
        for kind, type_of in _SCALARS.items():
            found = value.get(_camel(kind))
            if found is not None:
                scalar: str | int | float | bool | None = _as(type_of, found)
                return scalar
        return None

    def number(self, message: Any, field: str) -> int:
        return _as(int, message.get(_camel(field)) or 0) or 0

    def id_bytes(self, message: Any, field: str) -> bytes:
        text = self.text(message, field) or ""
        try:
            return bytes.fromhex(text) if text.strip("0") else b""
        except ValueError as error:
            raise BadInput(f"{_camel(field)} {text[:40]!r} is not in hex") from error


_SCALARS: dict[str, type] = {
    "string_value": str,
    "int_value": int,
    "bool_value": bool,
    "double_value": float,
}

TREES: dict[Encoding, Tree] = {Encoding.PROTO: ProtoTree(), Encoding.JSON: JsonTree()}


def record_lists(tree: Tree, signal: Signal, request: Any) -> Iterator[Holder]:
    """Where the records are: log records, spans, or the points of a metric; in order."""
    resources, scopes, records = NESTS[signal]
    for resource in tree.many(request, resources):
        for scope in tree.many(resource, scopes):
            if signal is not Signal.METRICS:
                yield scope, records
                continue
            for metric in tree.many(scope, records):
                yield from points_of(tree, metric)


def points_of(tree: Tree, metric: Any) -> Iterator[Holder]:
    """Where the points of a metric are; nowhere when it has no data."""
    for kind in METRIC_KINDS:
        data = tree.one(metric, kind)
        if data is not None:
            yield data, "data_points"
            return


def prune(tree: Tree, signal: Signal, request: Any) -> None:
    """Take away the resources, scopes and metrics that hold no records any more."""
    resources, scopes, records = NESTS[signal]
    for resource in tree.many(request, resources):
        for scope in tree.many(resource, scopes):
            if signal is Signal.METRICS:
                metrics = tree.many(scope, records)
                _keep(tree, scope, records, [each for each in metrics if _has_points(tree, each)])
        found = tree.many(resource, scopes)
        _keep(tree, resource, scopes, [each for each in found if tree.many(each, records)])
    held = tree.many(request, resources)
    _keep(tree, request, resources, [each for each in held if tree.many(each, scopes)])


def _keep(tree: Tree, message: Any, field: str, kept: Sequence[Any]) -> None:
    if len(kept) < len(tree.many(message, field)):  # Protobuf would copy what it keeps.
        tree.keep(message, field, kept)


def _has_points(tree: Tree, metric: Any) -> bool:
    return any(tree.many(data, field) for data, field in points_of(tree, metric))


@cache
def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _as(wanted: type, found: Any) -> Any:
    """A scalar of JSON as this type, None when it is not one: 64-bit integers come as text."""
    if wanted is bool:
        return str(found).lower() in ("true", "1")
    try:
        return wanted(found) if isinstance(found, str | int | float) else None
    except (ValueError, OverflowError):
        return None
