"""Making OTLP of our own: resources and attributes, and log records for events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from shared.records import Encoding, Part, Signal
from shared.signals import SEVERITIES, Scalar


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a time, with a name such as "vm.started"."""

    time_ns: int
    name: str
    severity: str
    text: str
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


def value_of(value: Scalar) -> AnyValue:
    """An AnyValue that holds a text, a truth value, an integer of 64 bits or a double."""
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):  # Before int: True is an int too.
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value)


def key_values(attributes: Mapping[str, Scalar]) -> list[KeyValue]:
    """Attributes as OTLP writes them, in the order of the mapping."""
    return [KeyValue(key=key, value=value_of(value)) for key, value in attributes.items()]


def resource_of(attributes: Mapping[str, Scalar]) -> Resource:
    """A resource with these attributes."""
    return Resource(attributes=key_values(attributes))


def event_part(resource: Mapping[str, Scalar], scope: str, events: Iterable[Event]) -> Part:
    """Events as one part of the events signal; there must be at least one."""
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource_of(resource))
    scoped = held.scope_logs.add()
    scoped.scope.name = scope
    scoped.log_records.extend(_event_record(event) for event in events)
    times = [record.time_unix_nano for record in scoped.log_records]
    body = request.SerializeToString()
    return Part(Signal.EVENTS, Encoding.PROTO, body, len(times), min(times), max(times))


def _event_record(event: Event) -> LogRecord:
    return LogRecord(
        time_unix_nano=event.time_ns,
        observed_time_unix_nano=event.time_ns,
        severity_number=SEVERITIES[event.severity],  # type: ignore[arg-type]  # An open enum.
        severity_text=event.severity.upper(),
        body=value_of(event.text),
        attributes=key_values(event.attributes),
        event_name=event.name,
    )
