"""label.values: which values a label of logs or events has in a range, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.query.log_census import Census, group_by
from hub.query.log_chunk import LogIndex
from hub.query.log_params import LabelValuesParams, read_filter, read_log_params
from hub.query.log_scan import COUNT_LIMITS, LogRange, LogScan
from hub.query.params import read_range
from hub.query.scan import ChunkReader, Limits
from hub.query.times import NS_PER_S
from shared.records import Signal

DEFAULT_RANGE_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class LabelQuery:
    """A label and the records to look for its values in."""

    asked: LogRange
    label: str
    limit: int


def read_label_query(params: Mapping[str, Any], now_ns: int) -> LabelQuery:
    """Check the parameters; the range is the last hour by default. Raises RpcError invalid_params."""
    asked = read_log_params(dict(params), LabelValuesParams)
    start_ns, end_ns = read_range(asked, now_ns, max(0, now_ns - DEFAULT_RANGE_NS), now_ns)
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    where = LogRange(start_ns, end_ns, Signal(asked.signal), nodes, read_filter(asked))
    return LabelQuery(where, asked.label, asked.limit)


def list_label_values(
    reader: ChunkReader,
    query: LabelQuery,
    limits: Limits = COUNT_LIMITS,
    index: LogIndex | None = None,
) -> dict[str, Any]:
    """The most frequent values first, with how many records have each; `more` tells how many values
    did not fit. A record without the label, or with an empty one, has no value.

    `index` must be made for needs_of(query.asked.wanted). Raises RpcError quota.
    """
    scan, census, group = LogScan(reader, limits), Census(), group_by(query.label)
    for accepted in scan.records(query.asked, None if index is None else index.may_hold):
        if value := group(accepted):
            census.add(0, value)
    totals = census.totals()
    return {
        "label": query.label,
        "items": [{"value": value, "records": records} for value, records in totals[: query.limit]],
        "more": max(0, len(totals) - query.limit),
        "scanned": scan.to_wire(),
    }
