"""Host metrics: a look becomes OTLP by pure rules, and the real machine can be looked at."""

import asyncio
from dataclasses import replace

import pytest

from edge.receive.host import HostMetrics
from edge.receive.host_metrics import cpu_shares, metrics_part
from edge.receive.host_sample import (
    DiskSample,
    FilesystemSample,
    NetworkSample,
    Sample,
    take_sample,
)
from shared.otlp import read_part
from shared.otlp_points import MetricPoint
from shared.otlp_rows import metric_points
from shared.records import Part, Signal
from tests.unit.receive.sinks import ListSink, runtime

S = 1_000_000_000

SAMPLE = Sample(
    time_ns=1_000 * S,
    boot_ns=400 * S,
    cpu_seconds={"user": 30.0, "system": 10.0, "idle": 960.0},
    cpus=4,
    load=(0.5, 0.25, 0.125),
    memory_bytes={"used": 600, "free": 300, "cached": 80, "buffers": 20},
    memory_total_bytes=1000,
    swap_bytes={"used": 5, "free": 15},
    disks=(DiskSample("sda", 10, 20, 3, 4),),
    networks=(NetworkSample("eth0", 1, 2, 3, 4, 5, 6, 7, 8),),
    filesystems=(FilesystemSample("/dev/sda1", "/", "ext4", 75, 25),),
    processes=42,
)
LATER = replace(
    SAMPLE, time_ns=1_010 * S, cpu_seconds={"user": 33.0, "system": 11.0, "idle": 956.0}
)


def points(part: Part) -> list[MetricPoint]:
    return list(metric_points(part.encoding, part.body))


def by_series(part: Part) -> dict[tuple[str, tuple[str, ...]], MetricPoint]:
    return {(p.name, tuple(map(str, p.attributes.values()))): p for p in points(part)}


def test_a_look_is_valid_otlp_that_counts_its_own_points() -> None:
    part = metrics_part(LATER, SAMPLE, {"headwater.node": "edge-1"})
    assert read_part(Signal.METRICS, "application/x-protobuf", part.body) == part
    assert {p.resource["headwater.node"] for p in points(part)} == {"edge-1"}
    assert {p.time_ns for p in points(part)} == {1_010 * S}


@pytest.mark.parametrize(
    ("name", "attributes", "value", "unit", "kind", "monotonic"),
    [
        ("system.cpu.time", ("user",), 33.0, "s", "sum", True),
        ("system.cpu.logical.count", (), 4, "{cpu}", "sum", False),
        ("system.cpu.load_average.1m", (), 0.5, "{thread}", "gauge", False),
        ("system.cpu.load_average.15m", (), 0.125, "{thread}", "gauge", False),
        ("system.memory.usage", ("used",), 600, "By", "sum", False),
        ("system.memory.utilization", ("cached",), 0.08, "1", "gauge", False),
        ("system.memory.limit", (), 1000, "By", "sum", False),
        ("system.paging.usage", ("free",), 15, "By", "sum", False),
        ("system.disk.io", ("sda", "write"), 20, "By", "sum", True),
        ("system.disk.operations", ("sda", "read"), 3, "{operation}", "sum", True),
        ("system.network.io", ("eth0", "receive"), 1, "By", "sum", True),
        ("system.network.packets", ("eth0", "transmit"), 4, "{packet}", "sum", True),
        ("system.network.errors", ("eth0", "receive"), 5, "{error}", "sum", True),
        ("system.network.dropped", ("eth0", "transmit"), 8, "{packet}", "sum", True),
        ("system.filesystem.usage", ("/dev/sda1", "/", "ext4", "used"), 75, "By", "sum", False),
        ("system.filesystem.utilization", ("/dev/sda1", "/", "ext4"), 0.75, "1", "gauge", False),
        ("system.uptime", (), 610.0, "s", "gauge", False),
        ("system.process.count", (), 42, "{process}", "sum", False),
    ],
)
def test_every_metric_has_its_conventional_name_unit_and_kind(
    name: str, attributes: tuple[str, ...], value: float, unit: str, kind: str, monotonic: bool
) -> None:
    point = by_series(metrics_part(LATER, SAMPLE, {}))[name, attributes]
    assert (point.value, point.unit, point.kind) == (value, unit, kind)
    assert point.monotonic is monotonic
    assert point.temporality == (2 if kind == "sum" else 0)
    assert point.start_ns == 400 * S


def test_cpu_shares_are_those_of_the_time_between_two_looks() -> None:
    assert cpu_shares(LATER, None) == {}
    before = replace(SAMPLE, cpu_seconds={"user": 30.0, "system": 10.0, "idle": 950.0})
    assert cpu_shares(LATER, before) == {"user": 0.3, "system": 0.1, "idle": 0.6}


def test_cpu_time_that_the_kernel_takes_back_counts_as_none() -> None:
    shares = cpu_shares(LATER, SAMPLE)
    assert shares == {"user": 0.75, "system": 0.25, "idle": 0.0}


def test_the_same_moment_twice_has_no_shares() -> None:
    assert cpu_shares(SAMPLE, SAMPLE) == {}


def test_what_a_machine_does_not_tell_is_left_out() -> None:
    bare = Sample(1_000 * S, 0, {}, 1, None, {}, 0, {}, (), (), (), 0)
    assert {point.name for point in points(metrics_part(bare, None, {}))} == {
        "system.cpu.logical.count"
    }


def test_this_machine_can_be_looked_at() -> None:
    sample = take_sample(5)
    assert sample.time_ns == 5
    assert sample.cpu_seconds["idle"] > 0
    assert sum(sample.memory_bytes.values()) == sample.memory_total_bytes > 0
    assert any(seen.mountpoint == "/" for seen in sample.filesystems)
    assert len({seen.device for seen in sample.filesystems}) == len(sample.filesystems)


async def test_real_metrics_arrive_at_the_chosen_pace() -> None:
    sink = ListSink()
    metrics = HostMetrics(runtime(), sink, "edge-1", interval_seconds=0.05)
    task = asyncio.create_task(metrics.run())
    async with asyncio.timeout(60):
        while len(sink.parts) < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    names = [{point.name for point in points(part)} for part in sink.parts]
    assert "system.cpu.utilization" not in names[0]
    assert {"system.cpu.utilization", "system.memory.usage"} <= names[2]
    row = points(sink.parts[0])[0]
    assert row.resource["service.name"] == "headwater-edge"
    assert row.resource["headwater.node"] == "edge-1"
    assert row.resource["host.name"]


async def test_a_look_for_which_there_is_no_room_is_left_out() -> None:
    sink = ListSink(refusals=1)
    metrics = HostMetrics(runtime(threads=False), sink, "edge-1", look=lambda now: SAMPLE)
    assert not await metrics.take()
    assert await metrics.take()
    assert len(sink.parts) == 1
