"""Reading what the index of a day keeps of traces."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hub.index import files
from hub.index.traces import FLAG_CHILD, FLAG_ERROR, PackedSpan
from hub.query.trace_index import BUCKET_NS, Mark, MarkKind, Seen, TracePart
from hub.query.trace_spans import LightSpan
from shared.errors import BadInput

WORDS_MAX = 50_000  # Texts remembered by one reader: some MB at most.

_decoder = msgspec.msgpack.Decoder(list[PackedSpan])

_NEWEST = (
    "SELECT start_ns, last_ns, end_ns, trace, node FROM part"
    " WHERE start_ns < ? AND start_ns >= ? AND arrival <= ? ORDER BY start_ns DESC"
)
_NEWEST_MARKED = (
    "SELECT mark.start_ns, last_ns, end_ns, trace, node FROM mark JOIN part ON part.id = mark.part"
    " WHERE mark.kind = ? AND mark.word = ? AND mark.start_ns < ? AND mark.start_ns >= ?"
    " AND arrival <= ? ORDER BY mark.start_ns DESC"
)
_PARTS = "SELECT arrival, node, start_ns, spans FROM part WHERE trace = ? AND arrival <= ?"
_BETWEEN = (
    "SELECT arrival, node, start_ns, spans, trace FROM part"
    " WHERE start_ns >= ? AND start_ns < ? AND arrival <= ?"
)
_COUNTS = (
    "SELECT word, node, sum(spans) FROM census"
    " WHERE kind = ? AND bucket >= ? AND bucket < ? AND arrival <= ? GROUP BY word, node"
)


class TraceIndex:
    """The index of one day over a connection of its own; every call may raise BadInput.

    It answers for the chunks that were indexed when it was opened, however many are added since.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._words: dict[int, str] = {}
        try:
            self.through = files.through(connection)
            self.opaque = files.opaque(connection)
        except sqlite3.Error as error:
            raise _unreadable(error) from error
        self.first_ns = self._edge("ASC", 1)
        self.last_ns = self._edge("DESC", 0)

    def covers(self, arrival: int) -> bool:
        """Whether all spans of this chunk of the day are known here."""
        return arrival <= self.through and arrival not in self.opaque

    def arrivals_of(self, trace_id: bytes) -> set[int]:
        """The chunks that hold spans of a trace."""
        sql = "SELECT DISTINCT arrival FROM part WHERE trace = ? AND arrival <= ?"
        return {row[0] for row in self._rows(sql, trace_id, self.through)}

    def parts_of(self, trace_id: bytes) -> Sequence[TracePart]:
        """All that is known of a trace."""
        return [
            TracePart(arrival, self._word(node), self._unpack(trace_id, start_ns, packed))
            for arrival, node, start_ns, packed in self._rows(_PARTS, trace_id, self.through)
        ]

    def newest(self, before_ns: int, from_ns: int, mark: Mark | None) -> Iterator[Seen]:
        """The parts that begin in [from_ns, before_ns) and have the mark, latest start first,
        lazily."""
        span = (before_ns, from_ns, self.through)
        if mark is None:
            rows = self._rows(_NEWEST, *span)
        else:
            rows = self._rows(_NEWEST_MARKED, int(mark.kind), self._number(mark), *span)
        for start_ns, last_ns, end_ns, trace_id, node in rows:
            yield Seen(start_ns, last_ns, end_ns, trace_id, self._word(node))

    def parts_between(self, from_ns: int, before_ns: int) -> Iterator[TracePart]:
        """The parts that begin in [from_ns, before_ns), lazily."""
        rows = self._rows(_BETWEEN, from_ns, before_ns, self.through)
        for arrival, node, start_ns, packed, trace_id in rows:
            spans = self._unpack(trace_id, start_ns, packed)
            yield TracePart(arrival, self._word(node), spans)

    def counts(
        self, kind: MarkKind, from_ns: int, before_ns: int
    ) -> Iterator[tuple[str, str, int]]:
        """Each service or name with a node and how many of its spans begin in [from_ns, before_ns),
        which are multiples of BUCKET_NS."""
        buckets = (from_ns // BUCKET_NS, before_ns // BUCKET_NS)
        for word, node, spans in self._rows(_COUNTS, int(kind), *buckets, self.through):
            yield self._word(word), self._word(node), spans

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _number(self, mark: Mark) -> int:
        """The number of the mark's text; 0 for an error, and for a text that is nowhere."""
        if mark.kind is MarkKind.ERROR:
            return 0
        return int(self._one("SELECT id FROM word WHERE text = ?", mark.text) or 0)

    def _word(self, number: int) -> str:
        text = self._words.get(number)
        if text is None:
            text = self._one("SELECT text FROM word WHERE id = ?", number)
            if text is None:
                raise BadInput("the index of traces is damaged: it lacks a word")
            if len(self._words) < WORDS_MAX:
                self._words[number] = text
        return text

    def _unpack(self, trace_id: bytes, part_ns: int, packed: bytes) -> list[LightSpan]:
        try:
            spans = _decoder.decode(packed)
        except msgspec.MsgspecError as error:
            raise BadInput(f"the index of traces is damaged: {error}") from error
        if not spans:
            raise BadInput("the index of traces is damaged: a part is empty")
        word = self._word
        return [
            (
                trace_id,
                part_ns + after_ns,
                part_ns + after_ns + duration_ns,
                word(name),
                word(service),
                bool(flags & FLAG_ERROR),
                bool(flags & FLAG_CHILD),
            )
            for after_ns, duration_ns, name, service, flags in spans
        ]

    def _edge(self, order: str, otherwise: int) -> int:
        """The earliest or the latest start of a part."""
        sql = f"SELECT start_ns FROM part ORDER BY start_ns {order} LIMIT 1"  # noqa: S608  # Ours.
        found = self._one(sql)
        return otherwise if found is None else int(found)

    def _one(self, sql: str, *values: object) -> Any:
        row = next(self._rows(sql, *values), None)
        return None if row is None else row[0]

    def _rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _unreadable(error) from error


def _unreadable(error: sqlite3.Error) -> BadInput:
    return BadInput(f"the index of traces cannot be read: {error}")
