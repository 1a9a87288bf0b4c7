"""What a program has written and the edge has not confirmed: bounded, in memory, a lane per signal.

Lanes wait for themselves only: an edge that has no room for metrics still takes logs.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from edge.client_totals import Total, Totals
from shared.backoff import Backoff
from shared.records import KIB, MIB, Signal


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The bounds of a client."""

    records_max: int = 50_000  # Half a minute of a loud program, while its edge is updated.
    bytes_max: int = 16 * MIB  # What a program can spare for not being listened to.
    batch_records_max: int = 1_000  # A request of this size costs the edge one commit.
    batch_bytes_max: int = 512 * KIB  # Below what the edge reads beside its event loop.
    batch_seconds: float = 0.2  # Long enough to gather, short enough to look live.
    series_max: int = 2_000  # The default of the OpenTelemetry specification.
    reply_seconds_max: float = 10.0  # The edge answers after its disk, which may be slow.
    # A refused connection on the same machine costs next to nothing.
    backoff: Backoff = field(default_factory=lambda: Backoff(0.1, 2.0))


@dataclass(slots=True, eq=False)
class Batch:
    """Records that are sent together, the same bytes at each attempt."""

    signal: Signal
    frames: list[bytes]
    size_bytes: int
    attempts: int = 0
    body: bytes = b""


@dataclass(slots=True, eq=False)
class Lane:
    """The records of one signal, in their order."""

    waiting: deque[bytes | Total] = field(default_factory=deque)
    waiting_bytes: int = 0
    first_at: float = 0.0
    """When the first of those that wait came."""
    batch: Batch | None = None
    again_at: float = 0.0
    """When the batch may be sent again."""
    told_to_wait: bool = False
    """Whether the edge named that time."""
    entered: int = 0
    settled: int = 0
    """How many of the first that entered were stored or refused."""
    refused: int = 0
    hurry_to: int = 0
    """So many of the first that entered shall not wait for company."""

    @property
    def unsettled(self) -> int:
        """Records that may yet be stored."""
        return self.entered - self.settled

    def due_at(self, limits: ClientLimits) -> float:
        """When there is something to send; never is infinity."""
        if self.batch is not None:
            return self.again_at
        if not self.waiting:
            return math.inf
        is_due = self.is_full(limits) or self.settled < self.hurry_to
        return self.first_at + (0.0 if is_due else limits.batch_seconds)

    def is_full(self, limits: ClientLimits) -> bool:
        """Whether waiting longer would not make the next batch larger."""
        records = len(self.waiting)
        return records >= limits.batch_records_max or self.waiting_bytes >= limits.batch_bytes_max


def size_of(item: bytes | Total) -> int:
    """What an item counts against the bounds."""
    return item.size_bytes if isinstance(item, Total) else len(item)


class Outbox:
    """Takes from many threads, gives to one. Nothing in here waits but `next_batch` and `wait`."""

    def __init__(self, limits: ClientLimits, start_ns: int) -> None:
        self._limits = limits
        # Re-entrant, since a destructor that logs may run in the middle of anything.
        self._changed = threading.Condition(threading.RLock())
        self._lanes = {signal: Lane() for signal in Signal}
        self._totals = Totals(start_ns, limits.series_max, limits.bytes_max)
        self._bytes = 0
        self._dropped = 0
        self._closed = False

    @property
    def records(self) -> int:
        """How many records are here."""
        with self._changed:
            return sum(lane.unsettled for lane in self._lanes.values())

    @property
    def refused(self) -> int:
        """How many records the edge refused for good."""
        with self._changed:
            return sum(lane.refused for lane in self._lanes.values())

    @property
    def dropped(self) -> int:
        """How many records never got to the edge, nor will."""
        with self._changed:
            return self._dropped

    def drop(self, records: int = 1) -> None:
        """Count what is lost."""
        with self._changed:
            self._dropped += records

    def put(self, signal: Signal, frame: bytes) -> bool:
        """Queue a record; False when there was no room for it, and it was dropped."""
        with self._changed:
            is_full = self._bytes + len(frame) > self._limits.bytes_max
            if self._closed or is_full or self.records >= self._limits.records_max:
                self._dropped += 1
                return False
            self._enter(signal, frame)
            return True

    def count(self, key: bytes, increment: float, time_ns: int) -> bool:
        """Count on a `series_key`; False when that was dropped, since there are too many series.

        Of each series at most one point waits here. That bounds the points, so they need no room
        in the queue, and a full one loses no count.
        """
        with self._changed:
            total = None if self._closed else self._totals.find(key)
            if total is None:
                self._dropped += 1
                return False
            total.add(increment, time_ns)
            if not total.waits:
                total.waits = True
                self._enter(Signal.METRICS, total)
            return True

    def next_batch(self) -> Batch | None:
        """Wait for the next batch to send, again or for the first time; None after `close`."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due_at, signal = self._next_due()
                if due_at <= now:
                    return self._lanes[signal].batch or self._gather(signal)
                self._changed.wait(None if due_at == math.inf else due_at - now)
            return None

    def settle(self, batch: Batch, *, refused: bool) -> None:
        """The edge has these on its disk, or will never take them."""
        with self._changed:
            lane = self._lanes[batch.signal]
            lane.batch = None
            lane.settled += len(batch.frames)
            lane.refused += len(batch.frames) if refused else 0
            self._bytes -= batch.size_bytes
            self._changed.notify_all()

    def put_off(self, batch: Batch, seconds: float, *, told: bool) -> None:
        """Send this again after a while; `told` when the edge asked for it."""
        with self._changed:
            lane = self._lanes[batch.signal]
            batch.attempts += 1
            lane.again_at, lane.told_to_wait = time.monotonic() + seconds, told

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that is here now is stored; False when it is not, or some was refused."""
        with self._changed:
            refused = self.refused
            marks = [(lane, lane.entered) for lane in self._lanes.values()]
            for lane, mark in marks:
                lane.hurry_to = mark
                lane.again_at = lane.again_at if lane.told_to_wait else 0.0
            self._changed.notify_all()

            def is_settled() -> bool:
                return all(lane.settled >= mark for lane, mark in marks)

            self._changed.wait_for(lambda: self._closed or is_settled(), timeout_seconds)
            return is_settled() and self.refused == refused

    def close(self) -> int:
        """Take and give no more; how many records stay behind and are dropped with that."""
        with self._changed:
            left = 0 if self._closed else self.records
            self._closed = True
            self._dropped += left
            self._changed.notify_all()
            return left

    def _enter(self, signal: Signal, item: bytes | Total) -> None:
        lane = self._lanes[signal]
        if not lane.waiting:
            lane.first_at = time.monotonic()
        was_full, is_first = lane.is_full(self._limits), not lane.waiting
        lane.waiting.append(item)
        lane.entered += 1
        lane.waiting_bytes += size_of(item)
        self._bytes += size_of(item)
        if is_first or lane.is_full(self._limits) > was_full:  # Else nobody's plans change.
            self._changed.notify_all()

    def _next_due(self) -> tuple[float, Signal]:
        # Whoever was served has a later time than the others, so that a loud lane starves none.
        return min((lane.due_at(self._limits), signal) for signal, lane in self._lanes.items())

    def _gather(self, signal: Signal) -> Batch:
        lane, batch = self._lanes[signal], Batch(signal, [], 0)
        while lane.waiting and len(batch.frames) < self._limits.batch_records_max:
            size_bytes = size_of(lane.waiting[0])
            if batch.frames and batch.size_bytes + size_bytes > self._limits.batch_bytes_max:
                break
            item = lane.waiting.popleft()
            batch.size_bytes += size_bytes
            batch.frames.append(item if isinstance(item, bytes) else _take(item))
        lane.waiting_bytes -= batch.size_bytes
        lane.again_at, lane.told_to_wait = 0.0, False
        lane.first_at = time.monotonic()
        lane.batch = batch
        return batch


def _take(total: Total) -> bytes:
    total.waits = False
    return total.frame()
