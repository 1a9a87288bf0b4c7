"""Records of a hub about itself that wait to be written: bounded, and telling what it shed.

Threads may put, the event loop takes.
"""

import threading
from collections import deque
from collections.abc import Sequence

from hub.own_event import sound
from shared.otlp_make import Event

RECORDS_MAX = 2_000


class Outbox:
    """A queue with an end; when it is full the oldest record goes, and is counted."""

    def __init__(self, records_max: int = RECORDS_MAX) -> None:
        self._waiting: deque[Event] = deque()
        self._records_max = records_max
        self._lock = threading.Lock()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, record: Event) -> None:
        """Queue a record, made such that it can be written; never waits."""
        record = sound(record)
        with self._lock:
            self._waiting.append(record)
            self._shed()

    def take(self, records_max: int) -> list[Event]:
        """The oldest records, no longer queued."""
        with self._lock:
            count = min(records_max, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    def give_back(self, records: Sequence[Event]) -> None:
        """Queue again, in front, what could not be written."""
        with self._lock:
            self._waiting.extendleft(reversed(records))
            self._shed()

    def _shed(self) -> None:
        while len(self._waiting) > self._records_max:
            self._waiting.popleft()
            self.dropped += 1
