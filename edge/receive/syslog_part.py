"""Syslog messages as OTLP log records, by the appendix of the OpenTelemetry log data model.

HOSTNAME and APP-NAME become the resource attributes host.name and service.name: queries group by
them, and one resource is written once for all its messages. Facility, PROCID, MSGID and the rest are
attributes `syslog.*` of the record. The keywords of RFC 5427 stand for the codes of facility and
severity. Where the message names no host, the sender's address does, as RFC 3164, 4.3.2, asks of
relays, and this machine's own name for what it sent itself.

Source: opentelemetry-specification, specification/logs/data-model-appendix.md, A and B.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from edge.receive.log_wire import ESCAPED
from edge.receive.syslog_message import FACILITIES, SEVERITIES, Message, parse_message
from edge.receive.syslog_time import Clock
from shared.address import is_loopback
from shared.otlp_make import key_values, resource_of, value_of
from shared.records import Encoding, Part, Signal
from shared.signals import Scalar

SCOPE = "headwater.syslog"

NOT_UNDERSTOOD = "headwater.syslog.not_understood"
"""What of a message could not be read, and is in its body as it came: message, timestamp (then in
STAMP) or structured_data."""

STAMP = "headwater.syslog.timestamp"
"""A time stamp that means no time."""

CUT = "headwater.syslog.cut"
"""True where the stream broke off, or passed a limit, within the message."""

SEVERITY_NUMBERS = (21, 19, 18, 17, 13, 10, 9, 5)
"""FATAL, ERROR3, ERROR2, ERROR, WARN, INFO2, INFO, DEBUG: appendix B, by the code of syslog."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came. `cut` is True when its end is missing."""

    raw: bytes
    peer: str
    received_ns: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What the receiver knows of all that it receives."""

    node_id: str
    host_name: str
    utc_offset_seconds: int
    transport: str


@dataclass(frozen=True, slots=True)
class Made:
    """A part, and how many of its messages had which form."""

    part: Part
    forms: Mapping[str, int]


def syslog_part(batch: Sequence[Received], origin: Origin) -> Made:
    """The messages as one part; there must be at least one. Those of one resource keep their order."""
    request = ExportLogsServiceRequest()
    scopes: dict[tuple[str, str], ScopeLogs] = {}
    times: list[int] = []
    forms: Counter[str] = Counter()
    for received in batch:
        message = parse_message(
            received.raw, Clock(received.received_ns, origin.utc_offset_seconds)
        )
        key = message.host or _host_of(received.peer, origin), message.app
        if key not in scopes:
            scopes[key] = _open_scope(request, key, origin)
        scopes[key].log_records.append(_record(message, received, origin.transport))
        times.append(message.time_ns or received.received_ns)
        forms[message.form] += 1
    body = request.SerializeToString()
    part = Part(Signal.LOGS, Encoding.PROTO, body, len(batch), min(times), max(times))
    return Made(part, forms)


def _host_of(peer: str, origin: Origin) -> str:
    return origin.host_name if is_loopback(peer) else peer


def _open_scope(
    request: ExportLogsServiceRequest, key: tuple[str, str], origin: Origin
) -> ScopeLogs:
    host, app = key
    resource = {"headwater.node": origin.node_id, "host.name": host, "service.name": app}
    present = {name: value for name, value in resource.items() if value}
    scoped = request.resource_logs.add(resource=resource_of(present)).scope_logs.add()
    scoped.scope.name = SCOPE
    return scoped


def _record(message: Message, received: Received, transport: str) -> LogRecord:
    return LogRecord(
        time_unix_nano=message.time_ns,
        observed_time_unix_nano=received.received_ns,
        severity_number=SEVERITY_NUMBERS[message.severity],  # type: ignore[arg-type]  # An open enum.
        severity_text=SEVERITIES[message.severity],
        body=AnyValue(string_value=message.body),
        attributes=[*key_values(_attributes(message, received, transport)), *_data(message)],
    )


def _attributes(message: Message, received: Received, transport: str) -> dict[str, Scalar]:
    attributes: dict[str, Scalar] = {
        "syslog.facility": FACILITIES[message.facility],
        "network.transport": transport,
        "network.peer.address": received.peer,
    }
    attributes.update((name, value) for name, value in _optional(message, received) if value)
    return attributes


def _optional(message: Message, received: Received) -> Iterator[tuple[str, Scalar]]:
    yield "syslog.version", message.version
    yield "syslog.procid", message.procid
    yield "syslog.msgid", message.msgid
    yield STAMP, message.stamp
    yield NOT_UNDERSTOOD, message.not_understood
    yield ESCAPED, message.escaped
    yield CUT, received.cut


def _data(message: Message) -> Iterable[KeyValue]:
    """Structured data as `syslog.structured_data.ID.NAME`; what is given twice becomes a list.

    The long prefix keeps an SD-ID such as "msgid" apart from the fields of the header.
    """
    values: dict[str, list[str]] = {}
    for element, name, value in message.data:
        key = ".".join(filter(None, ("syslog.structured_data", element, name)))
        values.setdefault(key, []).append(value)
    return [KeyValue(key=key, value=_one_or_list(held)) for key, held in values.items()]


def _one_or_list(values: Sequence[str]) -> AnyValue:
    if len(values) == 1:
        return value_of(values[0])
    return AnyValue(array_value=ArrayValue(values=[value_of(value) for value in values]))


def plain_address(host: str) -> str:
    """An address as people know it: an IPv4 one that came in by IPv6 loses its prefix."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
