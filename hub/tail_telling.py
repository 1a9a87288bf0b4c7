"""How one chunk is told to a reader of a live tail: in messages of bounded size, in a fixed order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from hub.query.log_chunk import Dated, dated_entries, is_candidate
from hub.query.log_filter import LogFilter
from hub.query.log_items import Found, log_item
from hub.query.scan import ChunkReader, Held, Tally
from hub.tail_query import TailQuery
from shared.ranges import of_spans
from shared.records import KIB, ChunkHeader, Gap

ROWS_MAX = 500
ROWS_BYTES_MAX = 256 * KIB  # A message holds no more than this, or a single row.
ROWS_WITHOUT_A_BREATH = 5_000  # Some 30 ms of reading.


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a tail: the name of the event, and JSON values."""

    event: str
    data: dict[str, Any]


def tell_chunk(
    held: Held, reader: Callable[[], ChunkReader], query: TailQuery, place: int, tally: Tally
) -> Iterator[Message | None]:
    """The messages for a chunk from a place on, lazily; None now and then while none is found.

    The last `rows` message says that it is the last; a chunk may as well end without one. Raises
    BadInput when the chunk cannot be read.
    """
    header = held.header
    gaps = [gap for gap in header.gaps if query.concerns(gap)]
    if gaps and place == 0:
        yield _gap_message(header, gaps)
    if header.signal == query.signal and is_candidate(held, query.wanted):
        entries = dated_entries(reader(), held, query.wanted, tally)
        yield from _tell_rows(held, entries, query.wanted, place)


def _tell_rows(
    held: Held, entries: Iterator[Dated], wanted: LogFilter, place: int
) -> Iterator[Message | None]:
    page = _Page(held.header)
    for number, (time_ns, entry) in enumerate(entries, 1):
        if number % ROWS_WITHOUT_A_BREATH == 0:
            yield None
        if entry.index + 1 < place or not wanted.accepts(entry):
            continue
        if page.is_full:
            yield page.take(entry.index + 1, last=False)
        page.add(orjson.dumps(log_item(Found(held, time_ns, entry.row())), default=str))
    if page.rows:
        yield page.take(held.header.records + 1, last=True)


@dataclass(slots=True)
class _Page:
    """Rows for the next message."""

    header: ChunkHeader
    rows: list[orjson.Fragment] = field(default_factory=list)
    size_bytes: int = 0
    part: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= ROWS_MAX or self.size_bytes >= ROWS_BYTES_MAX

    def add(self, row: bytes) -> None:
        self.rows.append(orjson.Fragment(row))
        self.size_bytes += len(row)

    def take(self, place: int, *, last: bool) -> Message:
        rows, self.rows, self.size_bytes = self.rows, [], 0
        data = {**_name(self.header), "part": self.part, "next": place, "last": last, "rows": rows}
        self.part += 1
        return Message("rows", data)


def _gap_message(header: ChunkHeader, gaps: list[Gap]) -> Message:
    told = [
        {
            "signal": gap.signal,
            "reason": gap.reason,
            "ranges": of_spans(gap.ranges).to_wire(),
            "chunks": gap.chunks,
            "records": gap.records,
            "since_ms": gap.since_ms,
            "until_ms": gap.until_ms,
        }
        for gap in gaps
    ]
    return Message("gap", {**_name(header), "next": 1, "last": False, "gaps": told})


def _name(header: ChunkHeader) -> dict[str, Any]:
    return {"origin": header.origin, "epoch": header.epoch, "seq": header.seq}
