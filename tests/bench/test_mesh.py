"""The benchmark of the mesh: it runs real processes and prints one flat JSON object, and nothing else."""

import os
import subprocess
import sys

import orjson
import pytest

from shared.beat import read_beat
from shared.benchmarks.mesh_beats import Composer, beat_of

FIGURES = {
    "change_visible_p99_ms",
    "route_around_p99_ms",
    "declared_dead_max_s",
    "heal_s",
    "dead_node_reported_s",
    "gossip_bytes_per_s_pair",
    "heartbeats_per_s",
    "heartbeat_cpu_us",
    "restart_100k_s",
    "rss_mb_100k",
    "resync_100k_s",
}

QUICKLY = {"HEADWATER_HEARTBEAT_SECONDS_MIN": "1"}
"""Hubs that ask for beats each second believe soon that a node is dead."""


def run(*words: str) -> dict[str, float]:
    """What the benchmark prints."""
    command = [sys.executable, "-m", "shared.main", "bench", "mesh", *words]
    done = subprocess.run(command, capture_output=True, timeout=280, env={**os.environ, **QUICKLY})
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    figures: dict[str, float] = orjson.loads(done.stdout)
    assert all(isinstance(value, int | float | str) for value in figures.values())
    return figures


@pytest.mark.timeout(300)
def test_the_mesh_benchmark_prints_one_flat_object_on_stdout() -> None:
    figures = run("--seconds", "0.2", "--nodes", "50")
    assert figures.keys() >= FIGURES
    assert all(figures[name] > 0 for name in FIGURES)
    assert figures["false_deaths"] == 0
    assert figures["heartbeats_refused"] == 0
    assert figures["heartbeat_interval_s"] < 5.0
    assert figures["nodes_large"] == 500


def test_the_curve_has_a_cost_for_each_size_of_the_fleet() -> None:
    figures = run("--part", "curve", "--nodes", "100")
    for nodes in (10, 100, 1000):
        assert figures[f"change_cpu_us_{nodes}"] > 0
        assert figures[f"change_bytes_{nodes}"] > 0
        assert figures[f"change_agreed_s_{nodes}"] > 0


def test_a_simulated_beat_is_what_an_edge_would_have_written() -> None:
    request = Composer("the-key", 3).request(42, 1_000_007, 1_790_000_000_123)
    head, body = request.split(b"\r\n\r\n", 1)
    assert read_beat(body) == beat_of(42, 1_000_007, 3, 1_790_000_000_123)
    assert f"Content-Length: {len(body)}".encode() in head.splitlines()
    assert b"X-Headwater-Node: node-000042" in head.splitlines()
    assert b"X-Headwater-Mark: 000000000000002a:0" in head.splitlines()
