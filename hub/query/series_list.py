"""series.list: which series metrics have in a time range."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.query.metric_index import MetricIndexes
from hub.query.metric_params import SeriesListParams
from hub.query.params import read_params
from hub.query.scan import PAGE_LIMITS, ChunkReader, Limits
from hub.query.series_census import SeriesKey, SeriesQuery, series_query, take_census
from hub.query.times import format_time


def read_series_query(params: dict[str, Any], now_ns: int) -> SeriesQuery:
    """Check the parameters of series.list; raises RpcError invalid_params."""
    return series_query(read_params(params, SeriesListParams), now_ns, "")


def list_series(
    reader: ChunkReader,
    query: SeriesQuery,
    limits: Limits = PAGE_LIMITS,
    index: MetricIndexes | None = None,
) -> dict[str, Any]:
    """The series in order of name, node and attributes.

    `scanned.complete` tells whether these are all. `first` and `last` are exact to 10 seconds.
    """
    census = take_census(reader, query, limits, index)
    return census.answer(
        [_item(key, *edges_ns) for key, edges_ns in sorted(census.edges_ns.items())]
    )


_TEMPORALITIES: Mapping[int, str] = {1: "delta", 2: "cumulative"}


def _item(key: SeriesKey, first_ns: int, last_ns: int) -> dict[str, Any]:
    return {
        "name": key.name,
        "node": key.node,
        "attributes": msgspec.json.decode(key.labels),
        "kind": key.kind,
        "unit": key.unit,
        "temporality": _TEMPORALITIES.get(key.temporality),
        "monotonic": key.monotonic,
        "first": format_time(first_ns),
        "last": format_time(last_ns),
    }
