"""The benchmark of the edge runs real processes; its load generator counts only whole answers."""

import subprocess
import sys

import orjson
import pytest

from shared.benchmarks.load import answered_status

FIGURES = {
    "acked_records_per_s_1000",
    "acked_records_per_s_50",
    "edge_cpu_s_per_million",
    "drain_records_per_s",
    "single_record_requests_per_s",
    "ack_p50_ms",
    "ack_p99_ms",
    "restart_s_at_backlog",
    "rss_mb_at_backlog",
    "ratio_to_sqlite_full",
}


def test_the_edge_benchmark_prints_one_flat_object_on_stdout() -> None:
    command = [sys.executable, "-m", "shared.main", "bench", "edge", "--seconds", "0.5"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    figures = orjson.loads(done.stdout)
    assert figures.keys() >= FIGURES
    assert all(isinstance(value, int | float | str) for value in figures.values())
    assert all(figures[name] > 0 for name in FIGURES)
    assert figures["refused_requests"] == 0


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 3\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", None),
        (HEAD, None),
        (HEAD + b"\r\nab", None),
        (HEAD + b"\r\nabc", 200),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", 204),
    ],
)
def test_an_answer_counts_once_it_is_whole(data: bytes, status: int | None) -> None:
    assert answered_status(data) == status
