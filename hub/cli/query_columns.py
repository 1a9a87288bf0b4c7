"""The columns and rows of tables and CSV for answers about stored data."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hub.cli.output import Column, milliseconds, moment

LOG_COLUMNS = (
    Column("TIME", "time", moment),
    Column("NODE", "node"),
    Column("SEVERITY", "severity"),
    Column("SERVICE", "service"),
    Column("BODY", "body"),
)
EVENT_COLUMNS = (*LOG_COLUMNS[:2], Column("EVENT", "event_name"), *LOG_COLUMNS[2:])
BIN_COLUMNS = (
    Column("TIME", "time", moment),
    Column("RECORDS", "records"),
    Column("COUNTS", "counts"),
)
NAME_COLUMNS = (
    Column("NAME", "name"),
    Column("UNIT", "unit"),
    Column("KIND", "kind"),
    Column("NODES", "nodes"),
)
POINT_COLUMNS = (
    Column("TIME", "time", moment),
    Column("NODE", "node"),
    Column("VALUE", "value"),
    Column("ATTRIBUTES", "attributes"),
)
SERIES_COLUMNS = (
    Column("NAME", "name"),
    Column("NODE", "node"),
    Column("KIND", "kind"),
    Column("UNIT", "unit"),
    Column("FIRST", "first", moment),
    Column("LAST", "last", moment),
    Column("ATTRIBUTES", "attributes"),
)
TRACE_COLUMNS = (
    Column("START", "start", moment),
    Column("TRACE", "trace_id"),
    Column("MS", "duration_ms", milliseconds),
    Column("SPANS", "spans"),
    Column("ERRORS", "errors"),
    Column("NODES", "nodes"),
    Column("SERVICE", "service"),
    Column("NAME", "root_name"),
)
SPAN_COLUMNS = (
    Column("AFTER MS", "offset_ms", milliseconds),
    Column("MS", "duration_ms", milliseconds),
    Column("STATUS", "status"),
    Column("NODE", "node"),
    Column("SERVICE", "service"),
    Column("NAME", "indented"),
)


def point_rows(series: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The points of one series of a metric.query, each with its place in time."""
    points = series["points"]
    measured = [index for index, (_, value) in enumerate(points) if value is not None]
    # Gaps are shown, but not the time before the first measurement and after the last.
    for seconds, value in points[measured[0] : measured[-1] + 1] if measured else ():
        time = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
        held = {"node": series["node"], "attributes": series["attributes"]}
        yield {"time": time, "value": value, **held}
