"""The kinds of telemetry and the severities, by the names that operators write in settings.

Only the standard library is needed here, since settings are checked before anything is installed.
"""

from collections.abc import Mapping
from enum import StrEnum

Scalar = str | int | float | bool

SEVERITIES: Mapping[str, int] = {
    "trace": 1,
    "debug": 5,
    "info": 9,
    "warn": 13,
    "error": 17,
    "fatal": 21,
}
"""The lowest number of each range of the OpenTelemetry log data model."""


class Signal(StrEnum):
    """What kind of telemetry a chunk holds. Events are OTLP log records that carry an event name."""

    LOGS = "logs"
    METRICS = "metrics"
    TRACES = "traces"
    EVENTS = "events"
