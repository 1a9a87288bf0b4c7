"""The table of questions about stored data: parameters, rules, and which index helps.

Pure: what is stored comes in as a reader, and indexes if there are any. Answers are JSON-safe and lack
only `coverage`, which needs the registry and is added by the caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from hub.query.histogram import BinIndex, can_use_bins, count_logs, read_histogram_query
from hub.query.label_params import LabelParams, read_label_params
from hub.query.log_chunk import LogIndex
from hub.query.log_filter import needs_of
from hub.query.log_params import EventParams, HistogramParams, LogParams
from hub.query.log_values import list_label_values, read_label_query
from hub.query.logs import read_event_query, read_log_query, search_logs
from hub.query.metric_index import MetricIndexes
from hub.query.metric_names import list_metric_names, read_metric_names_query
from hub.query.metric_params import MetricNamesParams, MetricParams, SeriesListParams
from hub.query.metrics import query_metric, read_metric_query
from hub.query.needs import Needs
from hub.query.scan import ChunkReader
from hub.query.series_list import list_series, read_series_query
from hub.query.series_values import list_metric_label_values, read_metric_label_query
from hub.query.trace import get_trace, read_trace_get_query
from hub.query.trace_index import TraceIndexes
from hub.query.trace_labels import read_trace_label_query, trace_label_values
from hub.query.trace_params import TraceGetParams, TraceSearchParams
from hub.query.trace_summary import read_trace_query
from hub.query.traces import search_traces
from shared.records import Signal

Answer = dict[str, Any]
Params = dict[str, Any]

HOUR_SECONDS = 3600


class IndexSource(Protocol):
    """The indexes of a hub, for one question."""

    def logs(self, needs: Needs) -> LogIndex | None:
        """Which chunks may hold what a question about logs or events needs; None when all may."""
        ...

    def bins(self, signal: Signal, start_ns: int, end_ns: int) -> BinIndex:
        """Sums of logs or events by time."""
        ...

    def metrics(self) -> MetricIndexes: ...
    def traces(self) -> TraceIndexes: ...


Ask = Callable[[ChunkReader, IndexSource | None, Params, int], Answer]
"""Answers parameters at a wall time in nanoseconds; raises RpcError."""


@dataclass(frozen=True, slots=True)
class Question:
    """One method. Without `start` it looks back `back_seconds`, or over everything."""

    ask: Ask
    params: type[msgspec.Struct]
    summary: str
    back_seconds: int | None = None


def _log_query(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_log_query(params, now_ns)
    index = source.logs(needs_of(query.wanted)) if source else None
    return search_logs(reader, query, index=index)


def _event_list(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_event_query(params, now_ns)
    index = source.logs(needs_of(query.wanted)) if source else None
    return search_logs(reader, query, index=index)


def _log_histogram(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_histogram_query(params, now_ns)
    if source is None:
        return count_logs(reader, query)
    asked = query.asked
    bins = source.bins(asked.signal, asked.start_ns, asked.end_ns) if can_use_bins(query) else None
    return count_logs(reader, query, index=source.logs(needs_of(asked.wanted)), bins=bins)


def _metric_query(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_metric_query(params, now_ns)
    return query_metric(reader, query, index=source.metrics() if source else None)


def _metric_names(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_metric_names_query(params, now_ns)
    return list_metric_names(reader, query, index=source.metrics() if source else None)


def _series_list(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_series_query(params, now_ns)
    return list_series(reader, query, index=source.metrics() if source else None)


def _label_values(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    signal, rest = read_label_params(params)
    if signal == Signal.METRICS:
        metric_query = read_metric_label_query(rest, now_ns)
        index = source.metrics() if source else None
        return list_metric_label_values(reader, metric_query, index=index)
    if signal == Signal.TRACES:
        trace_query = read_trace_label_query(rest, now_ns)
        traces = source.traces() if source else None
        return trace_label_values(reader, trace_query, index=traces)
    query = read_label_query({**rest, "signal": str(signal)}, now_ns)
    logs = source.logs(needs_of(query.asked.wanted)) if source else None
    return list_label_values(reader, query, index=logs)


def _trace_search(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_trace_query(params, now_ns)
    return search_traces(reader, query, index=source.traces() if source else None)


def _trace_get(
    reader: ChunkReader, source: IndexSource | None, params: Params, now_ns: int
) -> Answer:
    query = read_trace_get_query(params, now_ns)
    return get_trace(reader, query, index=source.traces() if source else None)


QUESTIONS: Mapping[str, Question] = {
    "log.query": Question(_log_query, LogParams, "One page of log records."),
    "log.histogram": Question(
        _log_histogram,
        HistogramParams,
        "How many log records each step of a range has.",
        HOUR_SECONDS,
    ),
    "event.list": Question(_event_list, EventParams, "One page of events."),
    "metric.query": Question(
        _metric_query, MetricParams, "The series of a metric, in steps.", HOUR_SECONDS
    ),
    "metric.names": Question(
        _metric_names, MetricNamesParams, "The metrics of a time range.", HOUR_SECONDS
    ),
    "series.list": Question(
        _series_list,
        SeriesListParams,
        "The series of a time range, with their labels.",
        HOUR_SECONDS,
    ),
    "label.values": Question(
        _label_values, LabelParams, "The values of one label, with counts.", HOUR_SECONDS
    ),
    "trace.search": Question(_trace_search, TraceSearchParams, "One page of traces."),
    "trace.get": Question(_trace_get, TraceGetParams, "All spans of one trace."),
}


def answer(
    reader: ChunkReader, source: IndexSource | None, method: str, params: Params, now_ns: int
) -> Answer:
    """The answer to one question; raises RpcError."""
    return _with_left_out(QUESTIONS[method].ask(reader, source, params, now_ns), reader.left_out)


def _with_left_out(found: Answer, chunks: int) -> Answer:
    """Chunks that no rule got to see count as unreadable, as those do whose bodies are damaged."""
    if not chunks:
        return found
    scanned = found["scanned"]
    unreadable = scanned.get("unreadable_chunks", 0) + chunks
    return {**found, "scanned": {**scanned, "unreadable_chunks": unreadable}}
