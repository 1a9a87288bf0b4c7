"""The hub benchmark: what it takes in and passes on, how fast it finds things, and what it needs."""

import http.client
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psutil

from shared.benchmarks import history
from shared.benchmarks.ingest import load_and_settle
from shared.benchmarks.ship import Log, push_all
from shared.benchmarks.stage import (
    Figures,
    Stage,
    call,
    cpu_seconds,
    run_process,
    staged,
    wait_until,
)

LINES = 1_000_000
SPANS = 200_000
TURNS = 15
SHIPPERS = 2

Tell = Callable[[str], None]


def measure(seconds: float, tell: Tell, lines: int = LINES) -> Figures:
    """Run all loads and questions; returns one flat object of figures."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as folder:
        with staged(Path(folder) / "a") as stage:
            figures |= _accept(stage, seconds, tell)
            figures |= _end_to_end(stage, seconds, tell)
        shutil.rmtree(Path(folder) / "a")
        with staged(Path(folder) / "b") as stage:
            figures |= _replicate(stage, seconds, tell)
        shutil.rmtree(Path(folder) / "b")
        with staged(Path(folder) / "c", with_edge=False) as stage:
            figures |= _fill_and_index(stage, tell, lines)
            figures |= _ask(stage, tell, lines)
            figures["rss_mb"] = round(_rss_bytes(stage) / 1e6, 1)
    return {**figures, "sqlite_synchronous": "FULL"}


def _accept(stage: Stage, seconds: float, tell: Tell) -> Figures:
    """Ready-made batches of 16 chunks with 1000 records each, straight to the hub."""
    tell(f"ready-made batches to a hub, {SHIPPERS} nodes, {seconds:g} s")
    before = cpu_seconds(stage.hub)
    shipped = run_process(
        "shared.benchmarks.ship",
        *(stage.hub_port, stage.cluster_key, seconds, SHIPPERS),
        seconds=seconds,
    )
    used = cpu_seconds(stage.hub) - before
    return {
        "accept_records_per_s": round(shipped["records"] / shipped["seconds"]),
        "hub_cpu_s_per_million": round(used / (shipped["records"] / 1e6), 3),
        "accept_batch_p99_ms": round(shipped["batch_p99_ms"], 2),
    }


def _end_to_end(stage: Stage, seconds: float, tell: Tell) -> Figures:
    _wait_for_index(stage, tell)
    tell(f"load, edge and hub, 1000 records per request, {seconds:g} s")
    load = load_and_settle(stage, 8, 1000, seconds)
    cpu = load["edge_cpu_s_per_million"] + load["hub_cpu_s_per_million"]
    return {
        "end_to_end_records_per_s": round(load["durable_records_per_s"]),
        "end_to_end_cpu_s_per_million": round(cpu, 3),
    }


def _replicate(stage: Stage, seconds: float, tell: Tell) -> Figures:
    """The same load with a second hub that copies everything."""
    tell(f"the same with a second hub, {seconds:g} s")
    stage.start_peer()
    load = load_and_settle(stage, 8, 1000, seconds)
    assert stage.peer is not None
    wait_until(lambda: stage.hub_records(stage.peer_port) == stage.hub_records())
    lag = call(stage.peer_port, stage.token_of("peer"), "hub.status")["replication"]
    return {
        "replicated_records_per_s": round(load["durable_records_per_s"]),
        "replication_lag_p50_s": round(lag["lag_p50_ms"] / 1000, 3),
        "replication_lag_p99_s": round(lag["lag_p99_ms"] / 1000, 3),
    }


def _wait_for_index(stage: Stage, tell: Tell) -> None:
    tell("waiting until the index is there")
    wait_until(lambda: _behind(stage) == 0)


def _behind(stage: Stage) -> int | None:
    status = call(stage.hub_port, stage.token, "hub.status")
    behind: int | None = status["index"]["behind_chunks"]
    return behind


def _fill_and_index(stage: Stage, tell: Tell, lines: int) -> Figures:
    end_ns = time.time_ns()
    tell(f"storing {lines} log lines of {history.NODES} nodes")
    logs = [Log(f"node-{number}", f"{end_ns:x}") for number in range(history.NODES)]
    contents = list(history.log_contents(lines, end_ns))
    for number, log in enumerate(logs):
        push_all(stage.hub_port, stage.cluster_key, log, contents[number :: history.NODES])
    del contents
    stage.stop_hub()
    shutil.rmtree(stage.folder / "hub" / "index", ignore_errors=True)
    tell("indexing them from nothing")
    stage.start_hub()
    began = time.monotonic()
    wait_until(lambda: _behind(stage) == 0)
    took = time.monotonic() - began
    tell("storing traces and metrics, and indexing these")
    for node, more in (
        ("traced", history.trace_contents(min(SPANS, lines), end_ns)),
        ("host", history.metric_contents(min(50, lines // 5000), end_ns)),
    ):
        push_all(stage.hub_port, stage.cluster_key, Log(node, f"{end_ns:x}"), more)
    wait_until(lambda: _behind(stage) == 0)
    return {"index_records_per_s": round(lines / took)}


def _ask(stage: Stage, tell: Tell, lines: int) -> Figures:
    tell(f"questions, {TURNS} times each")
    day: Mapping[str, Any] = {"start": "-25h", "end": "now"}
    asked = Asked(stage.hub_port, stage.token)
    part = history.RARE_PART
    scan_ms = asked.median_ms("log.query", text=part, **day)
    return {
        "last_100_ms": asked.median_ms("log.query", nodes=["node-3"], limit=100),
        "rare_word_ms": asked.median_ms("log.query", words=[history.RARE_WORD], **day),
        "substring_ms": scan_ms,
        "scan_records_per_s": round(lines / (scan_ms / 1000)),
        "histogram_ms": asked.median_ms("log.histogram", bins=60, by="severity", **day),
        "trace_ms": asked.median_ms("trace.get", trace_id=history.trace_id_of(7).hex()),
        "metric_day_ms": asked.median_ms(
            "metric.query", name=history.CHARTED, start="-24h", end="now", step="1m"
        ),
    }


class Asked:
    """Asks a hub over one connection, and takes the time."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def median_ms(self, method: str, **params: Any) -> float:
        """The median of some answers; raises RuntimeError when one is an error or empty."""
        return round(median(self._once_ms(method, params) for _ in range(TURNS)), 2)

    def _once_ms(self, method: str, params: Mapping[str, Any]) -> float:
        message = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        began = time.perf_counter()
        self._connection.request("POST", "/rpc", message, self._headers)
        body = self._connection.getresponse().read()
        took = time.perf_counter() - began
        result = orjson.loads(body).get("result", {})
        if not any(result.get(key) for key in ("items", "bins", "series", "spans")):
            raise RuntimeError(f"{method} found nothing: {body[:300]!r}")
        return took * 1000


def _rss_bytes(stage: Stage) -> int:
    """The hub with its processes for indexing and questions."""
    if stage.hub is None:
        return 0
    family = [stage.hub, *stage.hub.children(recursive=True)]
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # A process for questions that was not needed any more.
            continue
    return total
