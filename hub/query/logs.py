"""log.query and event.list: the records of a time range in exact order, a page at a time.

Rows are ordered by (time, node, epoch, seq, index), the same on every hub. Chunks are walked from
the end of the range that the page starts at; a row leaves only when no unread chunk can hold one
that comes before it. So pages have neither hole nor repeat over the chunks that a hub holds. A
chunk that arrives between two pages is seen if it lies in the part still to come, and otherwise by
the next question.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec

from hub.query.cursor import VERSION, Cursor, digest, read_cursor, write_cursor
from hub.query.log_chunk import Dated, LogIndex, dated_entries, is_candidate
from hub.query.log_filter import LogFilter
from hub.query.log_items import Found, event_item, log_item
from hub.query.log_params import (
    EventParams,
    LogParams,
    read_event_filter,
    read_filter,
    read_log_params,
)
from hub.query.params import read_range
from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally
from hub.query.shortlist import Key, Shortlist
from shared.errors import BadInput
from shared.otlp_log_entries import LogEntry
from shared.records import Signal

_KEY = itemgetter(0)
_LOG, _EVENT = "log", "event"

_ITEM = {_LOG: log_item, _EVENT: event_item}

_SORTED_MAX = 10_000
"""So many records of a chunk are put in order at once: what memory one chunk may take beside its
body."""


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
    kind: str
    question: int


def read_log_query(params: dict[str, Any], now_ns: int) -> LogQuery:
    """Check the parameters of a page; raises RpcError invalid_params."""
    asked = read_log_params(params, LogParams)
    return _query(asked, Signal(asked.signal), read_filter(asked), _LOG, now_ns)


def read_event_query(params: dict[str, Any], now_ns: int) -> LogQuery:
    """The same for a page of event.list."""
    asked = read_log_params(params, EventParams)
    return _query(asked, Signal.EVENTS, read_event_filter(asked), _EVENT, now_ns)


def _query(
    asked: LogParams | EventParams, signal: Signal, wanted: LogFilter, kind: str, now_ns: int
) -> LogQuery:
    start_ns, end_ns = read_range(asked, now_ns)
    newest_first = asked.order == "newest"
    question = digest(msgspec.structs.replace(asked, cursor=None, limit=1))
    after: Key = (end_ns if newest_first else start_ns, "", "", 0, 0)
    if asked.cursor is not None:
        cursor = read_cursor(asked.cursor, kind, question)
        start_ns, end_ns, after = cursor.start_ns, cursor.end_ns, cursor.position
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    return LogQuery(
        start_ns, end_ns, signal, nodes, wanted, asked.limit, newest_first, after, kind, question
    )


def search_logs(
    reader: ChunkReader,
    query: LogQuery,
    limits: Limits = PAGE_LIMITS,
    index: LogIndex | None = None,
) -> dict[str, Any]:
    """One page of records; it may be short or empty and still have a cursor, once `limits` are
    spent. `index` must be made for needs_of(query.wanted); answers are the same without it.

    Raises RpcError quota when more chunks overlap one instant than a page may read.
    """
    tally = Tally(limits)
    found: Shortlist[Found] = Shortlist(query.limit, query.newest_first)
    rows, goes_on_at = _walk(reader, query, tally, found, index)
    return {
        "items": [_ITEM[query.kind](row) for row in rows],
        "cursor": _cursor(query, goes_on_at) if goes_on_at is not None else None,
        "scanned": tally.to_wire(),
    }


def _walk(
    reader: ChunkReader,
    query: LogQuery,
    tally: Tally,
    found: Shortlist[Found],
    index: LogIndex | None,
) -> tuple[list[Found], Key | None]:
    """The rows of the page and the position that the next one begins behind."""
    for held in _chunks(reader, query, index):
        edge_ns = held.header.time_max_ns if query.newest_first else held.header.time_min_ns
        horizon: Key = (edge_ns + 1 if query.newest_first else edge_ns, "", "", 0, 0)
        if found.is_settled(horizon):
            return found.rows(), found.last_key
        if tally.is_spent and _is_past(horizon, query.after, query.newest_first):
            return found.rows_before(horizon), horizon
        try:
            _read_chunk(reader, held, query, tally, found)
        except BadInput:
            tally.unreadable += 1  # One damaged chunk must not hide the others; the answer says so.
    return found.rows(), found.last_key if found.has_dropped else None


def _chunks(reader: ChunkReader, query: LogQuery, index: LogIndex | None) -> Iterator[Held]:
    start_ns, end_ns = query.start_ns, query.end_ns
    if query.newest_first:
        end_ns = min(end_ns, query.after[0] + 1)
    else:
        start_ns = max(start_ns, query.after[0])
    found = reader.find(
        signals={query.signal},
        nodes=query.nodes,
        start_ns=start_ns,
        end_ns=end_ns,
        newest_first=query.newest_first,
        may_hold=None if index is None else index.may_hold,
    )
    return (held for held in found if is_candidate(held, query.wanted))


def _read_chunk(
    reader: ChunkReader, held: Held, query: LogQuery, tally: Tally, found: Shortlist[Found]
) -> None:
    """Add the rows of a chunk to the page. Rows that come first in the page are made first, and no
    more of them than the page can take."""
    placed = _placed(dated_entries(reader, held, query.wanted, tally), held, query)
    while some := sorted(islice(placed, _SORTED_MAX), key=_KEY, reverse=query.newest_first):
        added = 0
        for key, entry in some:
            if added > query.limit or (found.has_dropped and not found.wants(key)):
                break  # One more than the page takes tells that there is more.
            if query.wanted.accepts(entry):
                found.add(key, Found(held, key[0], entry.row()))
                added += 1


def _placed(dated: Iterable[Dated], held: Held, query: LogQuery) -> Iterator[tuple[Key, LogEntry]]:
    """The records that lie in the part of the range that is still to come, with their places."""
    header = held.header
    for time_ns, entry in dated:
        if not query.start_ns <= time_ns < query.end_ns:
            continue
        key = (time_ns, header.origin, header.epoch, header.seq, entry.index)
        if _is_past(key, query.after, query.newest_first):
            yield key, entry


def _is_past(key: Key, other: Key, newest_first: bool) -> bool:
    """Whether `key` comes after `other` in the direction of reading."""
    return key < other if newest_first else key > other


def _cursor(query: LogQuery, position: Key) -> str:
    return write_cursor(
        Cursor(VERSION, query.kind, query.question, query.start_ns, query.end_ns, position)
    )
