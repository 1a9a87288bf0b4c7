"""What happened in a simulation: an event after the other, as a running digest, and in numbers."""

import hashlib
import logging
from collections import Counter, deque
from typing import Any

from tests.sim.loop import START_SECONDS, real_now

LINES_KEPT = 60
FAILURES_MAX = 20


class Trace:
    """Collects events and failures; two runs are the same when their digests are."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.last: deque[str] = deque(maxlen=LINES_KEPT)
        self._digest = hashlib.sha256()

    def note(self, kind: str, *details: object) -> None:
        """Something happened now."""
        seconds = real_now() - START_SECONDS
        line = f"{seconds:10.4f} {kind} {' '.join(map(str, details))}"
        self.counts[kind] += 1
        self.last.append(line)
        self._digest.update(line.encode() + b"\n")

    def result(self, content: bytes) -> None:
        """Part of the outcome, for the digest."""
        self._digest.update(content)

    def fail(self, sentence: str) -> None:
        """A law is broken."""
        if len(self.failures) < FAILURES_MAX and sentence not in self.failures:
            self.failures.append(sentence)

    @property
    def digest(self) -> str:
        """The name of this course of events."""
        return self._digest.hexdigest()


class ErrorLog(logging.Handler):
    """Takes every line of level ERROR for a failure: in bad weather processes only warn."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.ERROR)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Note the line, with the error behind it."""
        error: Any = record.exc_info[1] if record.exc_info else ""
        self._trace.fail(f"logged: {record.getMessage()} {error!r}")
