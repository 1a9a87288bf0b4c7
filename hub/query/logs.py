"""log.query: the records of a time range in exact order, a page at a time.

Rows are ordered by (time, node, epoch, seq, index), the same on every hub. Chunks are walked from
the end of the range that the page starts at; a row leaves only when no unread chunk can hold one
that comes before it. So pages have neither hole nor repeat over the chunks that a hub holds. A
chunk that arrives between two pages is seen if it lies in the part still to come, and otherwise by
the next question.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.query.cursor import VERSION, Cursor, digest, read_cursor, write_cursor
from hub.query.match import (
    attributes_match,
    has_text,
    parse_severity,
    severity_name,
    severity_number,
)
from hub.query.params import LogParams, read_params, read_range
from hub.query.probe import Probe, fold
from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally, clamp_time, open_chunk
from hub.query.shortlist import Key, Shortlist
from hub.query.times import format_time
from shared.errors import BadInput
from shared.otlp_rows import LogRow, log_rows, resource_value
from shared.records import Signal

_KIND = "log"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which records are wanted, apart from when."""

    severity_min: int = 0
    text: str = ""
    service: str | None = None
    trace_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def probe(self) -> Probe:
        """What the body of a chunk with a hit must contain."""
        texts = [self.text, self.service or "", *self.attributes]
        return Probe(
            tuple(text for text in texts if text), (self.trace_id,) if self.trace_id else ()
        )

    def accepts(self, row: LogRow) -> bool:
        """Whether the record is wanted. Text is looked for in the body, the event name and the
        values of attributes, but not in numbers."""
        if self.severity_min > severity_number(row.severity_number, row.severity_text):
            return False
        if self.trace_id is not None and row.trace_id != self.trace_id:
            return False
        if self.service is not None and row.resource.get("service.name") != self.service:
            return False
        if not attributes_match(self.attributes, row.attributes, row.resource):
            return False
        return not self.text or has_text(
            fold(self.text), (row.body, row.event_name, row.attributes)
        )


@dataclass(frozen=True, slots=True)
class LogQuery:
    """One page of a question. `after` is the position that the page begins behind."""

    start_ns: int
    end_ns: int
    signal: Signal
    nodes: frozenset[str] | None
    wanted: LogFilter
    limit: int
    newest_first: bool
    after: Key
    question: int


@dataclass(frozen=True, slots=True)
class Found:
    """A record with where it came from."""

    held: Held
    time_ns: int
    row: LogRow


def read_log_query(params: dict[str, Any], now_ns: int) -> LogQuery:
    """Check the parameters of a page; raises RpcError invalid_params."""
    asked = read_params(params, LogParams)
    start_ns, end_ns = read_range(asked, now_ns)
    newest_first = asked.order == "newest"
    question = digest(msgspec.structs.replace(asked, cursor=None, limit=1))
    after: Key = (end_ns if newest_first else start_ns, "", "", 0, 0)
    if asked.cursor is not None:
        cursor = read_cursor(asked.cursor, _KIND, question)
        start_ns, end_ns, after = cursor.start_ns, cursor.end_ns, cursor.position
    wanted = LogFilter(
        0 if asked.severity is None else parse_severity(asked.severity),
        asked.text or "",
        asked.service,
        asked.trace_id.lower() if asked.trace_id else None,
        asked.attributes,
    )
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    signal = Signal(asked.signal)
    return LogQuery(
        start_ns, end_ns, signal, nodes, wanted, asked.limit, newest_first, after, question
    )


def search_logs(
    reader: ChunkReader, query: LogQuery, limits: Limits = PAGE_LIMITS
) -> dict[str, Any]:
    """One page of records; it may be short or empty and still have a cursor, once `limits` are
    spent.

    Raises RpcError quota when more chunks overlap one instant than a page may read.
    """
    tally = Tally(limits)
    found: Shortlist[Found] = Shortlist(query.limit, query.newest_first)
    rows, goes_on_at = _walk(reader, query, tally, found)
    return {
        "items": [_item(row) for row in rows],
        "cursor": _cursor(query, goes_on_at) if goes_on_at is not None else None,
        "scanned": tally.to_wire(),
    }


def _walk(
    reader: ChunkReader, query: LogQuery, tally: Tally, found: Shortlist[Found]
) -> tuple[list[Found], Key | None]:
    """The rows of the page and the position that the next one begins behind."""
    probe = query.wanted.probe()
    for held in _chunks(reader, query):
        edge_ns = held.header.time_max_ns if query.newest_first else held.header.time_min_ns
        horizon: Key = (edge_ns + 1 if query.newest_first else edge_ns, "", "", 0, 0)
        if found.is_settled(horizon):
            return found.rows(), found.last_key
        if tally.is_spent and _is_past(horizon, query.after, query.newest_first):
            return found.rows_before(horizon), horizon
        try:
            _read_chunk(reader, held, query, probe, tally, found)
        except BadInput:
            tally.unreadable += 1  # One damaged chunk must not hide the others; the answer says so.
    return found.rows(), found.last_key if found.has_dropped else None


def _chunks(reader: ChunkReader, query: LogQuery) -> Iterator[Held]:
    start_ns, end_ns = query.start_ns, query.end_ns
    if query.newest_first:
        end_ns = min(end_ns, query.after[0] + 1)
    else:
        start_ns = max(start_ns, query.after[0])
    return reader.find(
        signals={query.signal},
        nodes=query.nodes,
        start_ns=start_ns,
        end_ns=end_ns,
        newest_first=query.newest_first,
    )


def _read_chunk(
    reader: ChunkReader,
    held: Held,
    query: LogQuery,
    probe: Probe,
    tally: Tally,
    found: Shortlist[Found],
) -> None:
    encoding, body = open_chunk(reader, held, tally)
    if not probe.may_hold(encoding, body):
        return
    header = held.header
    tally.rows += header.records
    for row in log_rows(encoding, body):
        time_ns = clamp_time(header, row.time_ns)
        key = (time_ns, header.origin, header.epoch, header.seq, row.index)
        if not query.start_ns <= time_ns < query.end_ns:
            continue
        if not _is_past(key, query.after, query.newest_first):
            continue
        if found.has_dropped and not found.wants(key):
            continue  # It could only tell that there is more, and that is known.
        if query.wanted.accepts(row):
            found.add(key, Found(held, time_ns, row))


def _is_past(key: Key, other: Key, newest_first: bool) -> bool:
    """Whether `key` comes after `other` in the direction of reading."""
    return key < other if newest_first else key > other


def _cursor(query: LogQuery, position: Key) -> str:
    return write_cursor(
        Cursor(VERSION, _KIND, query.question, query.start_ns, query.end_ns, position)
    )


def _item(found: Found) -> dict[str, Any]:
    row, header = found.row, found.held.header
    number = severity_number(row.severity_number, row.severity_text)
    return {
        "time": format_time(found.time_ns),
        "node": header.origin,
        "severity": severity_name(number, row.severity_text),
        "severity_number": number,
        "body": row.body,
        "service": resource_value(row.resource, "service.name"),
        "attributes": row.attributes,
        "resource": row.resource,
        "scope": row.scope,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "event_name": row.event_name,
        "epoch": header.epoch,
        "seq": header.seq,
        "index": row.index,
        "received": format_time(found.held.received_ms * 1_000_000),
    }
