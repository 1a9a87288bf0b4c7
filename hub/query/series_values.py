"""label.values of metrics: how the series of a time range differ."""

from collections.abc import Iterator
from typing import Any

import msgspec

from hub.query.metric_groups import NODE
from hub.query.metric_index import MetricIndexes
from hub.query.metric_params import LabelValuesParams
from hub.query.metric_selector import label_text
from hub.query.params import read_params
from hub.query.scan import PAGE_LIMITS, ChunkReader, Limits
from hub.query.series_census import SeriesKey, SeriesQuery, series_query, take_census


def read_metric_label_query(params: dict[str, Any], now_ns: int) -> SeriesQuery:
    """Check the parameters of label.values; raises RpcError invalid_params."""
    asked = read_params(params, LabelValuesParams)
    return series_query(asked, now_ns, asked.label)


def list_metric_label_values(
    reader: ChunkReader,
    query: SeriesQuery,
    limits: Limits = PAGE_LIMITS,
    index: MetricIndexes | None = None,
) -> dict[str, Any]:
    """The values of the label as text, in order, with how many series have each."""
    census = take_census(reader, query, limits, index)
    counts: dict[str, int] = {}
    for key in census.edges_ns:
        for value in _label(key, query.label):
            counts[value] = counts.get(value, 0) + 1
    items = [{"value": value, "series": count} for value, count in sorted(counts.items())]
    return census.answer(items)


def _label(key: SeriesKey, label: str) -> Iterator[str]:
    attributes = msgspec.json.decode(key.labels)
    if label in attributes:
        yield label_text(attributes[label])
    elif label == NODE:
        yield key.node
