"""Stored log records that are decoded but not yet rows: cheap to test, dear only where one is wanted.

Making a row takes ten times longer than decoding its record. A query therefore looks at times and
severities here and makes rows of the few records that belong to its answer.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.otlp_body import open_body
from shared.otlp_rows import LogRow, log_row, origins
from shared.otlp_values import Dialect, dialect_of, event_time
from shared.records import Encoding, Signal


class LogOrigin(msgspec.Struct, frozen=True):
    """Where records come from: what is told once for many of them."""

    dialect: Dialect
    resource: dict[str, Any]
    scope: str


class LogEntry(msgspec.Struct):
    """One decoded record at its place in the body. It keeps what it was decoded from in memory."""

    index: int
    origin: LogOrigin
    record: Any
    made: LogRow | None = None

    @property
    def time_ns(self) -> int:
        """The record's own time, else when it was observed, else 0; Unix nanoseconds."""
        record = self.record
        return event_time(record.time_unix_nano or record.observed_time_unix_nano)

    @property
    def severity_number(self) -> int:
        """As the sender wrote it; 0 when absent."""
        return self.record.severity_number or 0

    @property
    def severity_text(self) -> str:
        """As the sender wrote it; "" when absent."""
        return self.record.severity_text or ""

    @property
    def trace_id(self) -> str:
        """Lower-case hex, or ""."""
        return self.origin.dialect.id_text(self.record.trace_id)

    def row(self) -> LogRow:
        """All of the record, made once; raises BadInput when its values are nested too deeply."""
        if self.made is None:
            origin = self.origin
            self.made = log_row(
                origin.dialect, self.index, origin.resource, origin.scope, self.record
            )
        return self.made


def log_entries(encoding: Encoding, body: bytes) -> Iterator[LogEntry]:
    """The records of a logs or events body, decompressed, in order; raises BadInput."""
    dialect = dialect_of(encoding)
    requests = open_body(Signal.LOGS, encoding, body)
    index = 0
    for resource, scope, held in origins(dialect, requests, "resource_logs", "scope_logs"):
        origin = LogOrigin(dialect, resource, scope)
        for record in held.log_records or ():
            yield LogEntry(index, origin, record)
            index += 1
