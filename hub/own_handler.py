"""The logging module of a hub as a source of its own log.

Secrets are blotted out by the formatter of the log lines on standard error, so that nothing comes to
the fleet that is not shown to the operator either.
"""

import logging
import threading
from collections.abc import Collection
from typing import Any

import orjson

from hub.own_event import VALUE_LENGTH_MAX
from hub.own_outbox import Outbox
from shared.log import JsonLines
from shared.otlp_make import Event

OWN_MODULES = ("hub.own_", "shared.receive")
"""What these say is about the writing of records: it would give rise to the next one."""

OUR_PACKAGES = ("hub.", "shared.", "headwater")

_ORDINARY = frozenset({"time", "level", "logger", "message", "exception"})
_SEVERITIES = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"), (10, "debug"))


class OwnHandler(logging.Handler):
    """Puts warnings of everybody, and what our own packages say at info, into an outbox."""

    def __init__(self, outbox: Outbox, secrets: Collection[str] = ()) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(JsonLines(secrets))
        self.failed = 0
        self._outbox = outbox
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; never raises, waits or calls itself."""
        if not is_wanted(record) or getattr(self._inside, "busy", False):
            return
        self._inside.busy = True  # The text of an argument may be made by code that logs.
        try:
            self._outbox.put(line_of(record, self.format(record)))
        except Exception:  # An argument may raise whatever it likes when it is made a text.
            self.failed += 1
        finally:
            self._inside.busy = False


def is_wanted(record: logging.LogRecord) -> bool:
    """Whether the record belongs into the log of the hub."""
    if record.name.startswith(OWN_MODULES):
        return False
    return record.levelno >= logging.WARNING or record.name.startswith(OUR_PACKAGES)


def line_of(record: logging.LogRecord, formatted: str) -> Event:
    """A log line as an event without a name, from the JSON that the formatter made of it."""
    line: dict[str, Any] = orjson.loads(formatted)
    severity = next((name for level, name in _SEVERITIES if record.levelno >= level), "trace")
    attributes = {"logger.name": line["logger"]}
    if "exception" in line:  # The newest calls stand at the end.
        attributes["exception.stacktrace"] = line["exception"][-VALUE_LENGTH_MAX:]
    attributes |= {name: value for name, value in line.items() if name not in _ORDINARY}
    return Event(int(record.created * 1e9), "", severity, line["message"], attributes)
