"""The ingest benchmark: load generator, edge and hub, each a process, on this machine."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.benchmarks.bodies import log_body
from shared.benchmarks.stage import (
    Figures,
    Stage,
    cpu_seconds,
    raw_commit_bytes_per_s,
    run_load,
    staged,
    wait_until,
)


def measure(seconds: float, tell: Callable[[str], None]) -> Figures:
    """Run both loads and the yardstick; returns one flat object of figures."""
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as folder:
        tell("starting a hub and an edge")
        with staged(Path(folder)) as stage:
            tell(f"1000 records per request, 8 connections, {seconds:g} s")
            large = load_and_settle(stage, 8, 1000, seconds)
            tell(f"50 records per request, 32 connections, {seconds:g} s")
            small = load_and_settle(stage, 32, 50, seconds)
        tell("raw SQLite commits of the same size, synchronous FULL")
        limit = raw_commit_bytes_per_s(Path(folder), log_body(1000, 0, time.time_ns()))
    return {
        "acked_records_per_s_1000": round(large["acked_records_per_s"]),
        "acked_records_per_s_50": round(small["acked_records_per_s"]),
        "durable_records_per_s": round(large["durable_records_per_s"]),
        "edge_cpu_s_per_million": round(large["edge_cpu_s_per_million"], 3),
        "hub_cpu_s_per_million": round(large["hub_cpu_s_per_million"], 3),
        "edge_cpu_s_per_million_50": round(small["edge_cpu_s_per_million"], 3),
        "refused_requests": large["refused"] + small["refused"],
        "sqlite_synchronous": "FULL",
        "raw_sqlite_full_bytes_per_s": round(limit),
        "ratio_to_sqlite_full": round(large["acked_bytes_per_s"] / limit, 3),
    }


def load_and_settle(
    stage: Stage, connections: int, records: int, seconds: float
) -> dict[str, float]:
    """Load the edge, wait until the hub has everything, and say what that took."""
    before = stage.hub_records()
    cpu_before = cpu_seconds(stage.edge), cpu_seconds(stage.hub)
    began = time.monotonic()
    load = run_load(stage.otlp_port, connections, records, seconds, seconds=seconds)
    wait_until(lambda: stage.hub_records() - before >= load["records"])
    durable_seconds = time.monotonic() - began
    millions = max(load["records"], 1) / 1e6
    return {
        "requests_per_s": load["requests"] / load["seconds"],
        "acked_records_per_s": load["records"] / load["seconds"],
        "acked_bytes_per_s": load["bytes"] / load["seconds"],
        "durable_records_per_s": load["records"] / durable_seconds,
        "edge_cpu_s_per_million": (cpu_seconds(stage.edge) - cpu_before[0]) / millions,
        "hub_cpu_s_per_million": (cpu_seconds(stage.hub) - cpu_before[1]) / millions,
        "refused": load["refused"],
    }
