"""The chunks and records in a folder, one after the other, as many as are asked for.

Memory holds one chunk at a time, however large the buffer is.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge import chunk_rows
from edge.offline import UNREADABLE, Place, Survey, reading
from edge.offline_filter import Wanted, is_wanted, may_hold
from edge.segments import path_of
from shared.codec import decompress
from shared.errors import BadInput
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.ranges import NOTHING, Ranges
from shared.records import MIB, Chunk, Encoding, Signal

RAW_BYTES_MAX = 72 * MIB
"""The largest body that a chunk may have, once decompressed, and some room."""


@dataclass(slots=True)
class Account:
    """What came of a walk through the folder."""

    chunks: int = 0
    records: int = 0
    damaged: Ranges = NOTHING
    """Chunks that the books hold and no file does any more."""
    unreadable: list[str] = field(default_factory=list)
    """Chunks that are as they were written, and are no OTLP."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be left out."""
        return not self.damaged and not self.unreadable

    def leave_out(self, chunk: Chunk, error: Exception) -> None:
        """Note a chunk that nobody can read."""
        self.unreadable.append(f"chunk {chunk.header.seq} is left out: {error}")


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    seqs: Ranges | None
    """None for a file that no books tell of: whatever can be read in it and nowhere else."""
    elsewhere: Ranges = NOTHING


def chunks_of(
    surveyed: Survey, wanted: Wanted, account: Account, *, newest_first: bool = False
) -> Generator[Chunk, None, None]:
    """Sound chunks that may hold what is wanted, in the order of the log. Raises Unavailable."""
    held = list(_held(surveyed))
    for each in reversed(held) if newest_first else held:
        yield from _chunks_of_file(surveyed.place, each, wanted, account, newest_first)


def _held(surveyed: Survey) -> Iterator[_Held]:
    segments = surveyed.books.segments if surveyed.books else ()
    for segment in sorted(segments, key=lambda each: (each.first_ms, each.number)):
        if segment.live:
            yield _Held(segment.number, segment.live)
    for unread in reversed(surveyed.unread):
        yield _Held(unread.number, None, surveyed.books.seqs if surveyed.books else NOTHING)


def _chunks_of_file(
    place: Place, held: _Held, wanted: Wanted, account: Account, newest_first: bool
) -> Iterator[Chunk]:
    left = held.seqs or NOTHING
    try:
        with reading(place, path_of(place.buffer, held.number)) as connection:
            seqs = (
                chunk_rows.seqs_in(connection) - held.elsewhere if held.seqs is None else held.seqs
            )
            for seq in _in_order(seqs, newest_first):
                chunk = chunk_rows.sound_at(connection, seq)
                left -= Ranges(((seq, seq),))
                if chunk is None:
                    account.damaged = account.damaged.add(seq, seq)
                elif may_hold(chunk.header, wanted):
                    yield chunk
    except UNREADABLE as error:
        # Beside a running agent, a file goes when everything in it is safe on hubs.
        if place.agent_pid is None or not isinstance(error, FileNotFoundError):
            account.damaged |= left


def _in_order(seqs: Ranges, newest_first: bool) -> Iterator[int]:
    if not newest_first:
        return iter(seqs)
    return (seq for first, last in reversed(seqs.spans) for seq in range(last, first - 1, -1))


def records_of(
    chunks: Iterable[Chunk], wanted: Wanted, account: Account, *, newest_first: bool = False
) -> Iterator[dict[str, Any]]:
    """The wanted records of the chunks as JSON objects, each with its signal, node, epoch and seq."""
    for chunk in chunks:
        account.chunks += 1
        try:
            created_ns = chunk.header.created_ms * 1_000_000
            found = [row for row in _rows(chunk) if is_wanted(row, created_ns, wanted)]
        except (BadInput, ValueError) as error:
            account.leave_out(chunk, error)
            continue
        for row in reversed(found) if newest_first else found:
            account.records += 1
            yield {**_whence(chunk), **row}


def _whence(chunk: Chunk) -> dict[str, Any]:
    header = chunk.header
    return {
        "signal": header.signal,
        "node": header.origin,
        "epoch": header.epoch,
        "seq": header.seq,
    }


def _rows(chunk: Chunk) -> Iterator[dict[str, Any]]:
    encoding = Encoding(chunk.header.encoding)
    body = decompress(chunk.body, RAW_BYTES_MAX)
    rows: Iterator[Any]
    if chunk.header.signal == Signal.METRICS:
        rows = metric_points(encoding, body)
    elif chunk.header.signal == Signal.TRACES:
        rows = span_rows(encoding, body)
    else:
        rows = log_rows(encoding, body)
    for row in rows:
        yield msgspec.to_builtins(row)
