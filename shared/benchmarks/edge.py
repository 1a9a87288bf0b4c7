"""The edge benchmark: what it takes in and lets out, what it costs, and how it is with a backlog."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.benchmarks.bodies import log_body
from shared.benchmarks.ingest import load_and_settle
from shared.benchmarks.stage import (
    Figures,
    Stage,
    call,
    raw_commit_bytes_per_s,
    run_load,
    staged,
    wait_until,
)
from shared.records import MIB

PACE_RECORDS_PER_S = 100_000
PACE_RECORDS = 100
PACE_CONNECTIONS = 16
SINGLE_CONNECTIONS = 64
POLL_SECONDS = 0.02


def measure(seconds: float, tell: Callable[[str], None]) -> Figures:
    """Run all loads on one hub and one edge; returns one flat object of figures."""
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as folder:
        tell("starting a hub and an edge")
        with staged(Path(folder)) as stage:
            figures = _take_in(stage, seconds, tell)
            figures |= _keep_pace(stage, seconds, tell)
            figures |= _hold_and_drain(stage, seconds, tell)
        tell("raw SQLite commits of the same size, synchronous FULL")
        limit = raw_commit_bytes_per_s(Path(folder), log_body(1000, 0, time.time_ns()))
    acked_bytes_per_s = float(figures.pop("acked_bytes_per_s"))
    return {
        **figures,
        "sqlite_synchronous": "FULL",
        "raw_sqlite_full_bytes_per_s": round(limit),
        "ratio_to_sqlite_full": round(acked_bytes_per_s / limit, 3),
    }


def _take_in(stage: Stage, seconds: float, tell: Callable[[str], None]) -> Figures:
    tell(f"1000 records per request, 8 connections, {seconds:g} s")
    large = load_and_settle(stage, 8, 1000, seconds)
    tell(f"50 records per request, 32 connections, {seconds:g} s")
    small = load_and_settle(stage, 32, 50, seconds)
    tell(f"1 record per request, {SINGLE_CONNECTIONS} connections, {seconds:g} s")
    single = load_and_settle(stage, SINGLE_CONNECTIONS, 1, seconds)
    return {
        "acked_records_per_s_1000": round(large["acked_records_per_s"]),
        "acked_records_per_s_50": round(small["acked_records_per_s"]),
        "single_record_requests_per_s": round(single["requests_per_s"]),
        "edge_cpu_s_per_million": round(large["edge_cpu_s_per_million"], 3),
        "edge_cpu_s_per_million_50": round(small["edge_cpu_s_per_million"], 3),
        "hub_cpu_s_per_million": round(large["hub_cpu_s_per_million"], 3),
        "refused_requests": large["refused"] + small["refused"] + single["refused"],
        "acked_bytes_per_s": large["acked_bytes_per_s"],
    }


def _keep_pace(stage: Stage, seconds: float, tell: Callable[[str], None]) -> Figures:
    """An open loop: requests leave at their time, whether or not the last one was answered."""
    tell(f"open loop of {PACE_RECORDS_PER_S} records/s, {seconds:g} s")
    pace = PACE_RECORDS_PER_S / PACE_RECORDS
    load = run_load(stage.otlp_port, PACE_CONNECTIONS, PACE_RECORDS, seconds, pace, seconds=seconds)
    return {
        "open_loop_records_per_s": round(load["records"] / load["seconds"]),
        "ack_p50_ms": round(load["ack_p50_ms"], 2),
        "ack_p99_ms": round(load["ack_p99_ms"], 2),
    }


def _hold_and_drain(stage: Stage, seconds: float, tell: Callable[[str], None]) -> Figures:
    tell(f"a backlog of {seconds:g} s without a hub, a restart, and the drain")
    wait_until(lambda: _left(stage) == 0)
    delivered = stage.hub_records()
    stage.stop_hub()
    load = run_load(stage.otlp_port, 8, 1000, seconds, seconds=seconds)
    stage.stop_edge()
    restart_seconds = stage.start_edge()
    rss_mb = stage.edge.memory_info().rss / MIB if stage.edge else 0.0
    pushed, drain_seconds = _drain(stage, delivered + int(load["records"]))
    return {
        "backlog_records": load["records"],
        "restart_s_at_backlog": round(restart_seconds, 2),
        "rss_mb_at_backlog": round(rss_mb, 1),
        "drain_records_per_s": round(pushed / drain_seconds),
    }


def _drain(stage: Stage, expected: int) -> tuple[int, float]:
    """Let the edge push its backlog; the records, and the seconds from the first to the last."""
    stage.start_hub()
    before = stage.hub_records()
    while (now := stage.hub_records()) == before:
        time.sleep(POLL_SECONDS)
    began, first = time.monotonic(), now
    wait_until(lambda: stage.hub_records() >= expected, POLL_SECONDS)
    return stage.hub_records() - first, time.monotonic() - began


def _left(stage: Stage) -> int:
    return int(call(stage.hub_port, stage.token, "edge.buffer", node="edge-1")["chunks"])
