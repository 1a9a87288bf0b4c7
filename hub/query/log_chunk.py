"""The wanted records of one chunk: prefilter on the bytes, then decode as few as can be."""

from collections.abc import Iterator
from typing import Protocol

from hub.query.log_filter import LogFilter
from hub.query.log_sieve import LogSieve, can_sift
from hub.query.probe import Haystack
from hub.query.scan import ChunkReader, Held, Tally, clamp_time, open_chunk
from shared.otlp_log_entries import LogEntry, log_entries
from shared.otlp_log_wire import sift_logs
from shared.records import ChunkHeader, Encoding, Signal

BACKFILL_MS = 60_000
"""Chunks that took longer than this from their edge to the first hub come out of a backlog."""

_ENTRIES_PER_ROW = 4
"""So many records are decoded and looked at in the time of making one row."""

Dated = tuple[int, LogEntry]
"""A record and its time in the order of answers, in Unix nanoseconds."""


class LogIndex(Protocol):
    """What is known of chunks without reading them, for one question (see needs_of)."""

    def may_hold(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        """No only for chunks that surely have no hit."""
        ...


def is_backfilled(held: Held) -> bool:
    """Whether the chunk came to the first hub long after its edge had made it."""
    return held.received_ms - held.header.created_ms > BACKFILL_MS


def is_candidate(held: Held, wanted: LogFilter) -> bool:
    """Whether the header alone does not rule the chunk out."""
    return wanted.backfilled is None or wanted.backfilled is is_backfilled(held)


def dated_entries(
    reader: ChunkReader, held: Held, wanted: LogFilter, tally: Tally
) -> Iterator[Dated]:
    """The records that may be wanted, in their order; the filter still has to accept them.

    Raises BadInput when the chunk is damaged, at whatever record that shows, or RpcError quota.
    """
    encoding, body = open_chunk(reader, held, tally)
    haystack = Haystack(body)
    if not wanted.probe.may_hold_in(encoding, haystack):
        return
    header = held.header
    low_ns, high_ns = header.time_min_ns, header.time_max_ns
    for entry in _entries(encoding, haystack, header, wanted, tally):
        time_ns = entry.time_ns
        if not time_ns or not low_ns <= time_ns <= high_ns:  # The call costs more than the test.
            time_ns = clamp_time(header, time_ns)
        yield time_ns, entry


def _entries(
    encoding: Encoding, haystack: Haystack, header: ChunkHeader, wanted: LogFilter, tally: Tally
) -> Iterator[LogEntry]:
    if encoding is Encoding.PROTO and can_sift(wanted):
        for entry in sift_logs(haystack.raw, LogSieve(wanted, haystack)):
            tally.rows += 1
            yield entry
        return
    tally.rows += header.records // (1 if wanted.reads_rows else _ENTRIES_PER_ROW)
    yield from log_entries(encoding, haystack.raw)
