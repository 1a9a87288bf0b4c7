"""The benchmark of hubs: it runs real processes and prints one flat JSON object, and nothing else."""

import subprocess
import sys

import orjson
import pytest

FIGURES = {
    "accept_records_per_s",
    "hub_cpu_s_per_million",
    "end_to_end_records_per_s",
    "end_to_end_cpu_s_per_million",
    "replication_lag_p99_s",
    "last_100_ms",
    "rare_word_ms",
    "substring_ms",
    "histogram_ms",
    "scan_records_per_s",
    "trace_ms",
    "metric_day_ms",
    "index_records_per_s",
    "rss_mb",
}


@pytest.mark.timeout(300)
def test_the_hub_benchmark_prints_one_flat_object_on_stdout() -> None:
    words = ["bench", "hub", "--seconds", "0.3", "--lines", "100000"]
    command = [sys.executable, "-m", "shared.main", *words]
    done = subprocess.run(command, capture_output=True, check=True, timeout=280)
    figures = orjson.loads(done.stdout)
    assert figures.keys() >= FIGURES
    assert all(isinstance(value, int | float | str) for value in figures.values())
    assert all(figures[name] > 0 for name in FIGURES)
