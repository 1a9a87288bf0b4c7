"""Log records and events as answers show them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.query.log_chunk import is_backfilled
from hub.query.match import severity_name, severity_number
from hub.query.scan import Held
from hub.query.times import NS_PER_S, format_time
from shared.otlp_rows import LogRow, resource_value

GAP_EVENT = "buffer.gap"
"""The name of the event that declares a loss."""

_GAP_FIELDS = ("reason", "signal", "first_seq", "last_seq", "chunks", "records", "bytes")


@dataclass(frozen=True, slots=True)
class Found:
    """A record with where it came from."""

    held: Held
    time_ns: int
    row: LogRow


def log_item(found: Found) -> dict[str, Any]:
    """A record as JSON. `delay_s` is from its own time until the first hub had it; it is below zero
    when the clock of the sender is ahead. `backfilled` tells that its edge could not send at once."""
    row, header = found.row, found.held.header
    number = severity_number(row.severity_number, row.severity_text)
    received_ns = found.held.received_ms * 1_000_000
    return {
        "time": format_time(found.time_ns),
        "node": header.origin,
        "severity": severity_name(number, row.severity_text),
        "severity_number": number,
        "body": row.body,
        "service": resource_value(row.resource, "service.name"),
        "attributes": row.attributes,
        "resource": row.resource,
        "scope": row.scope,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "event_name": row.event_name,
        "epoch": header.epoch,
        "seq": header.seq,
        "index": row.index,
        "received": format_time(received_ns),
        "delay_s": round((received_ns - found.time_ns) / NS_PER_S, 3),
        "backfilled": is_backfilled(found.held),
    }


def event_item(found: Found) -> dict[str, Any]:
    """The same for an event, with its `type`, and what is lost where it declares a loss."""
    item = {"type": found.row.event_name, **log_item(found)}
    return {**item, "gap": _gap(found.row.attributes)} if item["type"] == GAP_EVENT else item


def _gap(attributes: Mapping[str, Any]) -> dict[str, Any]:
    named = {field: attributes.get(f"headwater.gap.{field}") for field in _GAP_FIELDS}
    return {field: value for field, value in named.items() if value is not None}
