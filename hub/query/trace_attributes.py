"""Which traces of a chunk have a span with the wanted attributes."""

import json
import re
from collections.abc import Mapping
from typing import Any

from hub.query.match import attributes_match
from hub.query.probe import Probe
from hub.query.scan import clamp_time
from hub.query.trace_spans import id_bytes, resource_of
from shared.otlp_body import open_body
from shared.otlp_values import attributes_of, dialect_of, event_time
from shared.records import ChunkHeader, Encoding, Signal

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def traces_with(
    wanted: Mapping[str, Any],
    header: ChunkHeader,
    encoding: Encoding,
    body: bytes,
    start_ns: int,
    end_ns: int,
) -> set[bytes]:
    """The traces with such a span that begins in [start_ns, end_ns); raises BadInput."""
    if not _probe(wanted).may_hold(encoding, body):
        return set()
    dialect = dialect_of(encoding)
    found: set[bytes] = set()
    for request in open_body(Signal.TRACES, encoding, body):
        for held in request.resource_spans or ():
            resource = resource_of(dialect, held.resource)
            for span in (s for scoped in held.scope_spans or () for s in scoped.spans or ()):
                own = attributes_of(dialect, span.attributes)
                time_ns = clamp_time(header, event_time(span.start_time_unix_nano))
                if start_ns <= time_ns < end_ns and attributes_match(wanted, own, resource):
                    found.add(id_bytes(encoding, span.trace_id))
    return found


def _probe(wanted: Mapping[str, Any]) -> Probe:
    """The keys, and the values that can only be texts: a number is not written as text in a body."""
    values = [value for value in wanted.values() if isinstance(value, str) and _is_text(value)]
    return Probe(texts=(*wanted, *values))


def _is_text(value: str) -> bool:
    if len(value) % 4 == 0 and _BASE64.fullmatch(value):
        return False  # It may be how bytes are shown.
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return True
    return False
