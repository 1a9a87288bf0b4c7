"""The benchmark of calls: it runs real processes and prints one flat JSON object, and nothing else."""

import os
import subprocess
import sys

import orjson
import pytest
from msgspec.structs import replace

from shared.beat import read_beat, write
from shared.benchmarks.calls_list import vm_of
from shared.benchmarks.mesh_beats import beat_of
from tests.unit.vm.needs import qemu

FIGURES = {
    "call_overhead_p50_ms",
    "call_overhead_p99_ms",
    "call_hub_p50_ms",
    "call_edge_p50_ms",
    "calls_per_s",
    "failover_s",
    "vm_list_first_page_ms",
    "sandbox_start_ms",
    "tiny_start_ms",
}


@qemu()
@pytest.mark.timeout(300)
def test_the_benchmark_of_calls_prints_one_flat_object_on_stdout() -> None:
    command = [sys.executable, "-m", "shared.main", "bench", "calls", "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, timeout=280, env={**os.environ})
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    figures = orjson.loads(done.stdout)
    assert figures.keys() >= FIGURES
    assert all(isinstance(figures[name], int | float) for name in FIGURES)
    assert all(figures[name] > 0 for name in FIGURES - {"call_overhead_p99_ms"})
    assert (figures["vms"], figures["calls_failed"]) == (10_000, 0)


def test_a_simulated_beat_with_machines_is_one_that_hubs_read() -> None:
    machines = [vm_of(7, number) for number in range(100)]
    beat = replace(beat_of(7, 1, 1, 1), vms=machines, vms_total=100)
    read = read_beat(write(beat))
    assert read == beat
    assert len({vm["id"] for vm in read.vms}) == 100
