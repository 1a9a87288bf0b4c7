"""The benchmark itself: it runs real processes and prints one flat JSON object, and nothing else."""

import subprocess
import sys

import orjson

from shared.benchmarks.bodies import log_body
from shared.otlp import read_part
from shared.records import Signal

FIGURES = {
    "acked_records_per_s_1000",
    "acked_records_per_s_50",
    "durable_records_per_s",
    "edge_cpu_s_per_million",
    "hub_cpu_s_per_million",
    "sqlite_synchronous",
    "ratio_to_sqlite_full",
}


def test_the_ingest_benchmark_prints_one_flat_object_on_stdout() -> None:
    command = [sys.executable, "-m", "shared.main", "bench", "ingest", "--seconds", "0.3"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=90)
    figures = orjson.loads(done.stdout)
    assert figures.keys() >= FIGURES
    assert all(isinstance(value, int | float | str) for value in figures.values())
    assert figures["acked_records_per_s_1000"] > 0
    assert figures["refused_requests"] == 0
    assert figures["sqlite_synchronous"] == "FULL"


def test_the_load_is_valid_telemetry_of_the_stated_size() -> None:
    body = log_body(1000, 0, 1_700_000_000_000_000_000)
    part = read_part(Signal.LOGS, "application/x-protobuf", body)
    assert part.records == 1000
    assert 150 < len(body) / part.records < 250
