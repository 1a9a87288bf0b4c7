"""The RPC methods: off the loop, JSON-safe, and the reader is always closed."""

import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest

from hub.query.methods import METHODS
from shared.errors import RpcError
from shared.records import Signal
from shared.runtime import Runtime, system_runtime
from tests.unit.query.stock import (
    NOW_NS,
    ListReader,
    S,
    gauge,
    log,
    logs,
    metrics,
    span,
    spans,
)  # fmt: skip


@pytest.fixture
def runtime() -> Runtime:
    return replace(system_runtime(), wall_ns=lambda: NOW_NS)


@pytest.fixture
def reader() -> ListReader:
    made = ListReader()
    made.put(Signal.LOGS, logs([log(NOW_NS - 5 * S, "hello")]))
    made.put(Signal.METRICS, metrics([gauge("m", [(9_990, 1.5)])]))
    made.put(Signal.TRACES, spans([span(1, 1, 0, 9_990)]))
    return made


@pytest.mark.parametrize(
    ("method", "params", "keys"),
    [
        ("log.query", {"start": "-1m"}, {"items", "cursor", "scanned"}),
        (
            "metric.query",
            {"name": "m"},
            {"name", "unit", "kind", "aggregation", "step_s", "series", "scanned"},
        ),
        ("metric.names", {}, {"items", "scanned"}),
        ("trace.search", {"start": "-1h"}, {"items", "cursor", "scanned"}),
        (
            "trace.get",
            {"trace_id": f"{1:032x}"},
            {"trace_id", "start", "duration_ms", "spans", "scanned"},
        ),
    ],
)
async def test_every_method_answers_in_json(
    runtime: Runtime, reader: ListReader, method: str, params: dict[str, Any], keys: set[str]
) -> None:
    answer = await METHODS[method](runtime, lambda: reader, params)
    assert set(answer) == keys
    assert answer.get("items") or answer.get("series") or answer.get("spans")
    assert orjson.loads(orjson.dumps(answer)) == answer
    assert reader.closed


async def test_the_scan_runs_off_the_event_loop(runtime: Runtime, reader: ListReader) -> None:
    threads: list[int] = []

    def open_reader() -> ListReader:
        threads.append(threading.get_ident())
        return reader

    await METHODS["log.query"](runtime, open_reader, {})
    await METHODS["log.query"](replace(runtime, threads=False), open_reader, {})
    assert threads[0] != threading.get_ident()
    assert threads[1] == threading.get_ident()


async def test_the_reader_is_closed_when_a_query_is_refused(
    runtime: Runtime, reader: ListReader
) -> None:
    with pytest.raises(RpcError, match="has no rate"):
        await METHODS["metric.query"](runtime, lambda: reader, {"name": "m", "aggregation": "rate"})
    assert reader.closed


async def test_nothing_is_opened_for_wrong_parameters(runtime: Runtime) -> None:
    def open_reader() -> ListReader:
        raise AssertionError("must not be opened")

    for method in METHODS.values():
        with pytest.raises(RpcError, match=r"^lmit: "):
            await method(runtime, open_reader, {"lmit": 5})
