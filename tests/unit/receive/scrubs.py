"""Requests, parts and rules for the tests of scrubbing."""

from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from shared.otlp import read_part
from shared.otlp_make import key_values, resource_of
from shared.records import Encoding, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, to_json

MAIL = "write to jo@example.com"
CLEAN = "write to [redacted]"
EMAIL = {"name": "mail", "action": "redact", "patterns": ["email"]}
SECRET = {"name": "keys", "action": "remove", "keys": ["password"]}


def part_of(signal: Signal, encoding: Encoding, request: Message) -> Part:
    if encoding is Encoding.PROTO:
        return read_part(signal, PROTO, request.SerializeToString())
    return read_part(signal, JSON, to_json(request))


def drop(**conditions: Any) -> dict[str, Any]:
    return {"name": "d", "action": "drop", "signals": ["logs"], **conditions}


def logs(*records: LogRecord, **resource: str | int | bool) -> Message:
    held = ResourceLogs(
        resource=resource_of(resource),
        scope_logs=[
            ScopeLogs(
                scope=InstrumentationScope(name="s", attributes=key_values({"scoped": "yes"})),
                log_records=records,
            )
        ],
    )
    request = samples.logs()
    del request.resource_logs[:]
    request.resource_logs.append(held)
    return request


def record(text: str = "", severity: int = 0, **attributes: Any) -> LogRecord:
    return LogRecord(
        time_unix_nano=T0,
        body=AnyValue(string_value=text),
        severity_number=severity,  # type: ignore[arg-type]  # An open enum.
        attributes=key_values(attributes),
    )
