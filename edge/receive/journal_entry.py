"""One entry of the systemd journal as a log record of OpenTelemetry.

An entry is a JSON object of named fields. A value is a text, null when it was left out as too
large, a list of byte numbers when it is not printable UTF-8, or a list of such values when the
field was given several times. Sources: https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format,
systemd.journal-fields(7), and appendix B of the OpenTelemetry log data model for the severities.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge.receive.journal_lines import Line
from shared.errors import BadInput
from shared.otlp_make import key_values, value_of
from shared.otlp_values import TIME_NS_MAX
from shared.records import KIB, Encoding, Part, Signal
from shared.signals import SEVERITIES

SCOPE = "headwater.journal"

MESSAGE_BYTES_MAX = 128 * KIB  # As for the lines of files: longer ones are dumps, not messages.
FIELD_BYTES_MAX = 8 * KIB
FIELDS_MAX = 64  # The journal itself adds about twenty.
VALUES_MAX = 16
NAME_CHARACTERS_MAX = 64  # The journal's own bound.

CUT = "headwater.journal.cut"
"""True where a value was longer, or fields were more, than is kept."""

LEFT_OUT = "headwater.journal.left_out"
"""True where a record stands for an entry that could not be kept; the body tells why."""

_NAMES: Mapping[str, str] = {
    "CODE_FILE": "code.file.path",
    "CODE_FUNC": "code.function.name",
    "CODE_LINE": "code.line.number",
    "CONTAINER_ID_FULL": "container.id",
    "CONTAINER_NAME": "container.name",
    "IMAGE_NAME": "container.image.name",
    "SYSLOG_FACILITY": "syslog.facility",
    "SYSLOG_IDENTIFIER": "syslog.appname",
    "SYSLOG_PID": "syslog.procid",
    "TID": "thread.id",
    "_CMDLINE": "process.command_line",
    "_EXE": "process.executable.path",
    "_HOSTNAME": "host.name",
    "_MACHINE_ID": "host.id",
    "_PID": "process.pid",
    "_SYSTEMD_UNIT": "systemd.unit",
    "_UID": "process.user.id",
}
"""Conventional names; every other field is called journal.NAME."""

_WHOLE_NUMBERS = frozenset(
    {"code.line.number", "syslog.facility", "thread.id", "process.pid", "process.user.id"}
)

_UNKEPT = frozenset({"MESSAGE", "PRIORITY"})
"""They have places of their own in a log record, as has the time."""

_ADDRESS = "__"
"""What the names of the journal's own book-keeping begin with."""

_SEVERITIES = (
    ("emerg", SEVERITIES["fatal"]),
    ("alert", SEVERITIES["error"] + 2),
    ("crit", SEVERITIES["error"] + 1),
    ("err", SEVERITIES["error"]),
    ("warning", SEVERITIES["warn"]),
    ("notice", SEVERITIES["info"] + 1),
    ("info", SEVERITIES["info"]),
    ("debug", SEVERITIES["debug"]),
)

_CURSOR = re.compile(r"[!-~]{1,512}")
_CURSOR_IN_HEAD = re.compile(rb'"__CURSOR"\s*:\s*"([!#-\[\]-~]{1,512})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and the place after it; None when the place of an entry left out is not known."""

    cursor: str | None
    record: LogRecord


def is_cursor(text: str) -> bool:
    """Whether the text can be a cursor: printable, without spaces, and bounded."""
    return bool(_CURSOR.fullmatch(text))


def read_entry(line: bytes, observed_ns: int) -> Entry:
    """Read one line of journalctl's JSON; raises BadInput."""
    fields = _fields(line)
    cursor = fields.get("__CURSOR")
    if not isinstance(cursor, str) or not is_cursor(cursor):
        raise BadInput("a journal entry has no cursor")
    record = LogRecord(
        time_unix_nano=_time_ns(fields.get("__REALTIME_TIMESTAMP")),
        observed_time_unix_nano=observed_ns,
    )
    _set_severity(record, fields.get("PRIORITY"))
    message, is_cut = _value(fields.get("MESSAGE"), MESSAGE_BYTES_MAX)
    if message is not None:
        record.body.CopyFrom(message)
    is_cut = is_cut or ("MESSAGE" in fields and message is None)
    kept = [name for name in fields if name not in _UNKEPT and not name.startswith(_ADDRESS)]
    # Those that the journal itself vouches for first: any program may invent a hundred others.
    kept.sort(key=lambda name: (name not in _NAMES, not name.startswith("_"), name))
    for name in kept[:FIELDS_MAX]:
        is_cut |= _add_field(record, name, fields[name])
    if is_cut or len(kept) > FIELDS_MAX:
        record.attributes.extend(key_values({CUT: True}))
    return Entry(cursor, record)


def left_out(line: Line, why: str, observed_ns: int) -> Entry:
    """A record that says that an entry was left out, and why."""
    found = _CURSOR_IN_HEAD.search(line.head)
    name, severity = _SEVERITIES[4]
    record = LogRecord(
        observed_time_unix_nano=observed_ns,
        severity_text=name,
        severity_number=severity,  # type: ignore[arg-type]  # An open enum.
        body=value_of(f"a journal entry of {line.size_bytes} bytes was left out: {why}"),
        attributes=key_values({LEFT_OUT: True}),
    )
    return Entry(found[1].decode() if found else None, record)


def entries_part(entries: Iterable[Entry], resource: Resource) -> Part:
    """Entries, at least one, as one part."""
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource)
    scoped = held.scope_logs.add()
    scoped.scope.name = SCOPE
    scoped.log_records.extend(entry.record for entry in entries)
    times = [
        record.time_unix_nano or record.observed_time_unix_nano for record in scoped.log_records
    ]
    body = request.SerializeToString()
    return Part(Signal.LOGS, Encoding.PROTO, body, len(times), min(times), max(times))


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"a journal entry is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadInput("a journal entry is not a JSON object")
    return fields


def _time_ns(written: Any) -> int:
    """Microseconds since 1970, written as a text; 0 when there are none."""
    number = _whole_number(written)
    return 0 if number is None else min(max(number, 0) * 1000, TIME_NS_MAX)


def _whole_number(written: Any) -> int | None:
    if not isinstance(written, str) or not re.fullmatch(r"-?[0-9]{1,18}", written):
        return None
    return int(written)


def _set_severity(record: LogRecord, priority: Any) -> None:
    number = _whole_number(priority)
    if number is not None and 0 <= number < len(_SEVERITIES):
        record.severity_text, severity = _SEVERITIES[number]
        record.severity_number = severity  # type: ignore[assignment]  # An open enum.


def _add_field(record: LogRecord, name: str, written: Any) -> bool:
    """Add one field as an attribute; whether it was cut."""
    if len(name) > NAME_CHARACTERS_MAX:
        return True
    key = _NAMES.get(name) or f"journal.{name}"
    number = _whole_number(written) if key in _WHOLE_NUMBERS else None
    value, is_cut = (
        (value_of(number), False) if number is not None else _value(written, FIELD_BYTES_MAX)
    )
    if value is not None:
        record.attributes.append(KeyValue(key=key, value=value))
    return is_cut or value is None


def _value(written: Any, bytes_max: int) -> tuple[AnyValue | None, bool]:
    """A value, None when there is none, and whether it was cut; raises BadInput."""
    if written is None:
        return None, False
    if not isinstance(written, list) or _is_bytes(written):
        text = _text(written)
        kept = _bounded(text, bytes_max)
        return value_of(kept), kept != text
    texts = [_text(value) for value in written[:VALUES_MAX]]
    some = [_bounded(text, bytes_max // VALUES_MAX) for text in texts]
    is_cut = some != texts or len(written) > VALUES_MAX or None in written
    return AnyValue(array_value=ArrayValue(values=map(value_of, some))), is_cut


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if _is_bytes(value):
        return bytes(value).decode("utf-8", "backslashreplace")
    raise BadInput("a journal entry has a value that is neither a text nor bytes")


def _is_bytes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 256 for item in value)


def _bounded(text: str, bytes_max: int) -> str:
    if len(text) <= bytes_max // 4:  # No character takes more than four bytes.
        return text
    return text.encode()[:bytes_max].decode("utf-8", "ignore")
