"""Spans of stored bodies, read only as far as a question needs them.

Building a whole `SpanRow` takes most of the time of reading a span, so lists of traces and the index
look at seven fields of each, and one trace's waterfall builds the rows of that trace alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.otlp_body import open_body
from shared.otlp_rows import SpanRow
from shared.otlp_rows import span_row as make_row
from shared.otlp_values import (
    Dialect,
    any_value,
    attributes_of,
    dialect_of,
    event_time,
    text_value,
)
from shared.records import ChunkHeader, Encoding, Signal

LightSpan = tuple[bytes, int, int, str, str, bool, bool]
"""(trace id, start_ns, end_ns, name, service, is an error, has a parent). The start is held inside
the range that the chunk's header declares, as `scan.clamp_time` does; the end is what the sender
gave."""

_STATUS_ERROR = 2
_SERVICE = "service.name"


def id_bytes(encoding: Encoding, value: Any) -> bytes:
    """An id as bytes, however the encoding writes it; empty when it is absent."""
    return _ID_BYTES[encoding](value)


def _json_id(text: str | None) -> bytes:
    return bytes.fromhex(text or "")


_ID_BYTES: Mapping[Encoding, Callable[[Any], bytes]] = {
    Encoding.PROTO: bytes,
    Encoding.JSON: _json_id,
}


def light_spans(header: ChunkHeader, encoding: Encoding, body: bytes) -> Iterator[LightSpan]:
    """The spans of a traces body that belong to a trace, in order; raises BadInput.

    Agrees with `otlp_rows.span_rows` in every field.
    """
    dialect = dialect_of(encoding)
    for request in open_body(Signal.TRACES, encoding, body):
        for held in request.resource_spans or ():
            service = _service_of(dialect, held.resource)
            for scoped in held.scope_spans or ():
                yield from _scope_spans(header, _ID_BYTES[encoding], service, scoped.spans or ())


def rows_of_trace(encoding: Encoding, body: bytes, trace_id: bytes) -> Iterator[SpanRow]:
    """The rows of one trace in a traces body, in order; raises BadInput.

    Equal to those of `otlp_rows.span_rows`, of which all others are left out before they are built.
    """
    dialect = dialect_of(encoding)
    wanted: Any = trace_id if encoding is Encoding.PROTO else trace_id.hex()
    first = 0
    for request in open_body(Signal.TRACES, encoding, body):
        for held in request.resource_spans or ():
            resource: dict[str, Any] | None = None
            for scoped in held.scope_spans or ():
                spans = scoped.spans or ()
                for index, span in enumerate(spans, first):
                    if _is_of(span.trace_id, wanted):
                        if resource is None:
                            resource = resource_of(dialect, held.resource)
                        scope = (scoped.scope.name or "") if scoped.scope else ""
                        yield make_row(dialect, index, resource, scope, span)
                first += len(spans)


def resource_of(dialect: Dialect, resource: Any) -> dict[str, Any]:
    """The attributes of a resource, which may be absent."""
    return attributes_of(dialect, resource.attributes) if resource else {}


def _is_of(own: Any, wanted: Any) -> bool:
    return own == wanted or (isinstance(own, str) and own.lower() == wanted)


def _service_of(dialect: Dialect, resource: Any) -> str:
    """Only the one attribute is read: senders may repeat a large resource for every span."""
    found = None
    for pair in (resource.attributes or ()) if resource else ():
        if pair.key == _SERVICE:
            found = any_value(dialect, pair.value)
    return text_value({_SERVICE: found}, _SERVICE)


def _scope_spans(
    header: ChunkHeader, to_bytes: Callable[[Any], bytes], service: str, spans: Any
) -> Iterator[LightSpan]:
    earliest_ns, latest_ns = header.time_min_ns, header.time_max_ns
    created_ns = header.created_ms * 1_000_000
    for span in spans:
        trace_id = to_bytes(span.trace_id)
        if not trace_id.strip(b"\0"):
            continue
        start_ns = span.start_time_unix_nano or created_ns
        # Not min and max, which would take a fifth of the whole walk.
        if start_ns < earliest_ns:
            start_ns = earliest_ns
        if start_ns > latest_ns:
            start_ns = latest_ns
        status = span.status
        yield (
            trace_id,
            start_ns,
            event_time(span.end_time_unix_nano),
            span.name or "",
            service,
            status is not None and status.code == _STATUS_ERROR,
            bool(to_bytes(span.parent_span_id).strip(b"\0")),
        )
