"""A look at the machine as OTLP metrics, by the names of the OpenTelemetry semantic conventions.

Pure: the same samples give the same bytes. Source:
https://opentelemetry.io/docs/specs/semconv/system/system-metrics/. The number of the logical CPU is
left out (it is optional): a large machine would send a thousand series that say little more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    NumberDataPoint,
)

from edge.receive.host_sample import Sample
from shared.otlp_make import key_values, resource_of
from shared.records import Encoding, Part, Signal
from shared.signals import Scalar

SCOPE = "headwater.host"

Point = tuple[float, Mapping[str, Scalar]]
"""A value and the attributes of its series; integers stay integers."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of one look. `kind` is "gauge", "total" (only grows) or "amount" (may fall)."""

    name: str
    unit: str
    kind: str
    points: list[Point]


def metrics_part(sample: Sample, previous: Sample | None, resource: Mapping[str, Scalar]) -> Part:
    """One export request; shares of CPU time need a previous look and are absent without one."""
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add(resource=resource_of(resource))
    scoped = held.scope_metrics.add()
    scoped.scope.name = SCOPE
    found = [reading for reading in readings(sample, previous) if reading.points]
    scoped.metrics.extend(_metric(reading, sample) for reading in found)
    records = sum(len(reading.points) for reading in found)
    body = request.SerializeToString()
    return Part(Signal.METRICS, Encoding.PROTO, body, records, sample.time_ns, sample.time_ns)


def readings(sample: Sample, previous: Sample | None) -> list[Reading]:
    """Everything that one look tells."""
    return [
        *_cpu(sample, previous),
        *_memory(sample),
        *_disks(sample),
        *_networks(sample),
        *_filesystems(sample),
        *_system(sample),
    ]


def _metric(reading: Reading, sample: Sample) -> Metric:
    metric = Metric(name=reading.name, unit=reading.unit)
    points = [_point(value, attributes, sample) for value, attributes in reading.points]
    if reading.kind == "gauge":
        metric.gauge.data_points.extend(points)
        return metric
    metric.sum.data_points.extend(points)
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.is_monotonic = reading.kind == "total"
    return metric


def _point(value: float, attributes: Mapping[str, Scalar], sample: Sample) -> NumberDataPoint:
    point = NumberDataPoint(
        time_unix_nano=sample.time_ns,
        start_time_unix_nano=min(sample.boot_ns, sample.time_ns),
        attributes=key_values(attributes),
    )
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def _cpu(sample: Sample, previous: Sample | None) -> Iterable[Reading]:
    seconds = [(value, {"cpu.mode": mode}) for mode, value in sample.cpu_seconds.items()]
    shares = cpu_shares(sample, previous)
    yield Reading("system.cpu.time", "s", "total", list(seconds))
    yield Reading(
        "system.cpu.utilization",
        "1",
        "gauge",
        [(share, {"cpu.mode": mode}) for mode, share in shares.items()],
    )
    yield Reading("system.cpu.logical.count", "{cpu}", "amount", [(sample.cpus, {})])
    for minutes, load in zip(("1m", "5m", "15m"), sample.load or (), strict=False):
        yield Reading(f"system.cpu.load_average.{minutes}", "{thread}", "gauge", [(load, {})])


def cpu_shares(sample: Sample, previous: Sample | None) -> dict[str, float]:
    """The part of all CPU time since the previous look that went to each mode; they add up to 1."""
    if previous is None:
        return {}
    before = previous.cpu_seconds
    # The kernel now and then takes back a little idle or iowait time; less than nothing is nothing.
    spent = {
        mode: max(0.0, value - before.get(mode, 0.0)) for mode, value in sample.cpu_seconds.items()
    }
    whole = sum(spent.values())
    return {mode: value / whole for mode, value in spent.items()} if whole else {}


def _memory(sample: Sample) -> Iterable[Reading]:
    whole = sample.memory_total_bytes
    if not whole:
        return
    state = "system.memory.state"
    used = [(size, {state: name}) for name, size in sample.memory_bytes.items()]
    shares = [(size / whole, {state: name}) for name, size in sample.memory_bytes.items()]
    swap = [(size, {"system.paging.state": name}) for name, size in sample.swap_bytes.items()]
    yield Reading("system.memory.usage", "By", "amount", list(used))
    yield Reading("system.memory.utilization", "1", "gauge", list(shares))
    yield Reading("system.memory.limit", "By", "amount", [(whole, {})])
    yield Reading("system.paging.usage", "By", "amount", list(swap))


def _disks(sample: Sample) -> Iterable[Reading]:
    moved: list[Point] = []
    operations: list[Point] = []
    for disk in sample.disks:
        reading = {"system.device": disk.device, "disk.io.direction": "read"}
        writing = {"system.device": disk.device, "disk.io.direction": "write"}
        moved += [(disk.read_bytes, reading), (disk.write_bytes, writing)]
        operations += [(disk.reads, reading), (disk.writes, writing)]
    yield Reading("system.disk.io", "By", "total", moved)
    yield Reading("system.disk.operations", "{operation}", "total", operations)


def _networks(sample: Sample) -> Iterable[Reading]:
    moved: list[Point] = []
    packets: list[Point] = []
    errors: list[Point] = []
    drops: list[Point] = []
    for seen in sample.networks:
        into = {"network.interface.name": seen.interface, "network.io.direction": "receive"}
        out = {"network.interface.name": seen.interface, "network.io.direction": "transmit"}
        moved += [(seen.received_bytes, into), (seen.sent_bytes, out)]
        packets += [(seen.received_packets, into), (seen.sent_packets, out)]
        errors += [(seen.receive_errors, into), (seen.send_errors, out)]
        drops += [(seen.receive_drops, into), (seen.send_drops, out)]
    yield Reading("system.network.io", "By", "total", moved)
    yield Reading("system.network.packets", "{packet}", "total", packets)
    yield Reading("system.network.errors", "{error}", "total", errors)
    yield Reading("system.network.dropped", "{packet}", "total", drops)


def _filesystems(sample: Sample) -> Iterable[Reading]:
    usage: list[Point] = []
    shares: list[Point] = []
    for seen in sample.filesystems:
        place = {
            "system.device": seen.device,
            "system.filesystem.mountpoint": seen.mountpoint,
            "system.filesystem.type": seen.kind,
        }
        usage.append((seen.used_bytes, {**place, "system.filesystem.state": "used"}))
        usage.append((seen.free_bytes, {**place, "system.filesystem.state": "free"}))
        # Space that only root may fill counts as neither, as in df.
        whole = seen.used_bytes + seen.free_bytes
        shares.append((seen.used_bytes / whole if whole else 0.0, place))
    yield Reading("system.filesystem.usage", "By", "amount", usage)
    yield Reading("system.filesystem.utilization", "1", "gauge", shares)


def _system(sample: Sample) -> Iterable[Reading]:
    if sample.boot_ns:
        seconds = max(0.0, (sample.time_ns - sample.boot_ns) / 1e9)
        yield Reading("system.uptime", "s", "gauge", [(seconds, {})])
    if sample.processes:
        yield Reading("system.process.count", "{process}", "amount", [(sample.processes, {})])
