"""The query methods of a hub's RPC: check the parameters, scan off the event loop, answer.

Results are JSON-safe and lack only `coverage`, which needs the registry and is added by the caller.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from hub.query.logs import read_log_query, search_logs
from hub.query.metric_names import list_metric_names, read_metric_names_query
from hub.query.metrics import query_metric, read_metric_query
from hub.query.scan import ChunkReader
from hub.query.trace import get_trace, read_trace_get_query
from hub.query.traces import read_trace_query, search_traces
from shared.runtime import Runtime

Answer = dict[str, Any]
OpenReader = Callable[[], ChunkReader]
Method = Callable[[Runtime, OpenReader, dict[str, Any]], Awaitable[Answer]]
Query = TypeVar("Query")


async def log_query(runtime: Runtime, open_reader: OpenReader, params: dict[str, Any]) -> Answer:
    """One page of log records; raises RpcError invalid_params or quota."""
    return await _ask(runtime, open_reader, search_logs, read_log_query(params, runtime.wall_ns()))


async def metric_query(runtime: Runtime, open_reader: OpenReader, params: dict[str, Any]) -> Answer:
    """The series of a metric; raises RpcError invalid_params, not_supported or quota."""
    query = read_metric_query(params, runtime.wall_ns())
    return await _ask(runtime, open_reader, query_metric, query)


async def metric_names(runtime: Runtime, open_reader: OpenReader, params: dict[str, Any]) -> Answer:
    """The metrics of a time range; raises RpcError invalid_params."""
    query = read_metric_names_query(params, runtime.wall_ns())
    return await _ask(runtime, open_reader, list_metric_names, query)


async def trace_search(runtime: Runtime, open_reader: OpenReader, params: dict[str, Any]) -> Answer:
    """One page of traces; raises RpcError invalid_params or quota."""
    query = read_trace_query(params, runtime.wall_ns())
    return await _ask(runtime, open_reader, search_traces, query)


async def trace_get(runtime: Runtime, open_reader: OpenReader, params: dict[str, Any]) -> Answer:
    """All spans of one trace; raises RpcError invalid_params, not_found or quota."""
    query = read_trace_get_query(params, runtime.wall_ns())
    return await _ask(runtime, open_reader, get_trace, query)


METHODS: Mapping[str, Method] = {
    "log.query": log_query,
    "metric.query": metric_query,
    "metric.names": metric_names,
    "trace.search": trace_search,
    "trace.get": trace_get,
}


async def _ask(
    runtime: Runtime,
    open_reader: OpenReader,
    search: Callable[[ChunkReader, Query], Answer],
    query: Query,
) -> Answer:
    def scan() -> Answer:
        reader = open_reader()
        try:
            return search(reader, query)
        finally:
            reader.close()

    answer: Answer = await runtime.offload(scan)
    return answer
