"""What the world is told of machines, as records: operations as events, use as metrics.

Pure: the same operation gives the same event, however often and late it is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    NumberDataPoint,
)

from edge.vm.model import Operation, OpState, Vm, VmEvent
from shared.otlp_make import key_values, resource_of
from shared.records import Encoding, Part, Signal
from shared.signals import Scalar

SCOPE = "headwater.vm"
OPERATION_EVENT = "vm.operation"
NS_PER_MS = 1_000_000
TEXT_MAX = 2000  # A hypervisor's last words can be long; the ledger has them whole.

Use = Mapping[str, float | int | None]
"""What a machine uses, by the names of `edge.vm.driver.Sample`; None: not known."""

SERIES: tuple[tuple[str, str, str, bool, str], ...] = (
    # field ................ metric ............. unit . grows  direction
    ("cpu_seconds", "vm.cpu.time", "s", True, ""),
    ("memory_bytes", "vm.memory.usage", "By", False, ""),
    ("processes", "vm.process.count", "{process}", False, ""),
    ("disk_read_bytes", "vm.disk.io", "By", True, "read"),
    ("disk_written_bytes", "vm.disk.io", "By", True, "write"),
    ("net_received_bytes", "vm.network.io", "By", True, "receive"),
    ("net_sent_bytes", "vm.network.io", "By", True, "transmit"),
)


def operation_event(operation: Operation, *, is_end: bool) -> VmEvent:
    """The event of an operation's begin, or of its end. `event.id` is the same each time it is made."""
    state = operation.state if is_end else OpState.RUNNING
    at_ms = operation.updated_ms if is_end else operation.created_ms
    error = operation.error if is_end else None
    attributes: dict[str, Any] = {
        "event.id": f"{operation.id}.{'end' if is_end else 'begin'}",
        "op.id": operation.id,
        "op.request_id": operation.request_id,
        "op.method": operation.method,
        "op.state": state.value,
        "op.by": operation.requested_by,
        "op.via_hub": operation.via_hub,
        "op.error": error.kind if error else "",
        "op.created_ms": operation.created_ms,
        "op.changed": is_end and operation.changed,
    }
    if error is not None:
        attributes["op.message"] = error.message[:TEXT_MAX]
        data = msgspec.json.encode(error.data).decode()
        if error.data and len(data) <= TEXT_MAX:
            attributes["op.error_data"] = data
    severity = "ERROR" if state is OpState.FAILED else "INFO"
    vm_id, vm_name = operation.vm_id, operation.vm_name
    text = operation_text(operation, state)
    return VmEvent(at_ms * NS_PER_MS, vm_id, vm_name, OPERATION_EVENT, severity, text, attributes)


def operation_text(operation: Operation, state: OpState) -> str:
    """One line for people."""
    by = f" by {operation.requested_by}" if operation.requested_by else ""
    via = f" through {operation.via_hub}" if operation.via_hub else ""
    who = f"{operation.method} of {operation.vm_name}{by}{via}"
    if state is OpState.RUNNING:
        return f"{who}: begun"
    if state is OpState.FAILED and operation.error is not None:
        return f"{who}: failed: {operation.error.message[:TEXT_MAX]}"
    if state is OpState.CANCELLED:
        return f"{who}: cancelled, {operation.stage}"
    return f"{who}: {'done' if operation.changed else 'nothing to do'}"


def stats_part(
    used: Sequence[tuple[Vm, Use]], resource: Mapping[str, Scalar], time_ns: int
) -> Part | None:
    """One look at what machines use; None when nothing is known of any."""
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add(resource=resource_of(resource))
    scoped = held.scope_metrics.add()
    scoped.scope.name = SCOPE
    metrics: dict[str, Metric] = {}
    count = 0
    for name, unit, is_sum, point in _points(used, time_ns):
        metric = metrics.setdefault(name, Metric(name=name, unit=unit))
        (metric.sum if is_sum else metric.gauge).data_points.append(point)
        if is_sum:
            metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.is_monotonic = True
        count += 1
    scoped.metrics.extend(metrics.values())
    if not count:
        return None
    body = request.SerializeToString()
    return Part(Signal.METRICS, Encoding.PROTO, body, count, time_ns, time_ns)


def _points(
    used: Sequence[tuple[Vm, Use]], time_ns: int
) -> Iterator[tuple[str, str, bool, NumberDataPoint]]:
    for vm, use in used:
        for field, name, unit, is_sum, direction in SERIES:
            value = use.get(field)
            if value is not None:
                yield name, unit, is_sum, _point(vm, direction, value, time_ns)


def _point(vm: Vm, direction: str, value: float, time_ns: int) -> NumberDataPoint:
    attributes = {"vm.id": vm.id, "vm.name": vm.name}
    if direction:
        attributes["direction"] = direction
    # Sums begin anew with each start of the machine.
    start_ns = (vm.started_ms or vm.created_ms) * NS_PER_MS
    point = NumberDataPoint(
        time_unix_nano=time_ns,
        start_time_unix_nano=min(start_ns, time_ns),
        attributes=key_values(attributes),
    )
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point
