"""Reading all wanted records of a range in bounded time: newest chunks first, for answers that count.

What a scan cannot finish it leaves out at the old end of the range, and says from where on its
counts are whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.query.log_chunk import dated_entries, is_candidate
from hub.query.log_filter import LogFilter
from hub.query.scan import ChunkReader, Held, Limits, MayHold, Tally
from hub.query.times import format_time
from shared.errors import BadInput
from shared.otlp_log_entries import LogEntry
from shared.records import MIB, Signal

COUNT_LIMITS = Limits(chunks_max=16_384, bytes_max=256 * MIB, rows_max=400_000)
"""A few seconds of one core: counting is asked for by people who wait."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """Which records an answer is about. Times are Unix nanoseconds, half-open."""

    start_ns: int
    end_ns: int
    signal: Signal
    nodes: frozenset[str] | None
    wanted: LogFilter


class Accepted(msgspec.Struct, frozen=True):
    """A wanted record, with its chunk and its time. A struct, because there are many."""

    held: Held
    time_ns: int
    entry: LogEntry


class LogScan:
    """What is read for one answer, in one or several passes."""

    def __init__(self, reader: ChunkReader, limits: Limits = COUNT_LIMITS) -> None:
        self.tally = Tally(limits)
        self._reader = reader
        self._whole_from_ns = 0

    def records(self, asked: LogRange, may_hold: MayHold | None = None) -> Iterator[Accepted]:
        """The wanted records in no exact order; ends early once the limits are spent."""
        found = self._reader.find(
            signals={asked.signal},
            nodes=asked.nodes,
            start_ns=asked.start_ns,
            end_ns=asked.end_ns,
            newest_first=True,
            may_hold=may_hold,
        )
        for held in found:
            if self.tally.is_spent:
                # This chunk and all after it may have records up to here.
                self._whole_from_ns = max(self._whole_from_ns, held.header.time_max_ns + 1)
                return
            if is_candidate(held, asked.wanted):
                yield from self._chunk(held, asked)

    def to_wire(self) -> dict[str, Any]:
        """`scanned` of an answer; `from` is there when counts are whole only from then on."""
        told = {**self.tally.to_wire(), "complete": self._whole_from_ns == 0}
        return {**told, "from": format_time(self._whole_from_ns)} if self._whole_from_ns else told

    def _chunk(self, held: Held, asked: LogRange) -> Iterator[Accepted]:
        accepts = asked.wanted.accepts
        try:
            for time_ns, entry in dated_entries(self._reader, held, asked.wanted, self.tally):
                if asked.start_ns <= time_ns < asked.end_ns and accepts(entry):
                    yield Accepted(held, time_ns, entry)
        except BadInput:
            self.tally.unreadable += 1  # As for pages: the answer says so, and tells the rest.
