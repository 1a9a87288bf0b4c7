"""What the index of a day keeps of traces: which chunks hold a trace, and what lists show of it.

The spans of one trace in one chunk lie together in a row, a `part`, as long as they begin in the same
BUCKET_NS; so a trace is found by its id, a time range is walked along the starts of the parts, and
no part reaches over more than one bucket. A `mark` leads from a service, a name of a span, or
"has an error" to the parts that have it, by time. `census` counts the spans of each service and name
by chunk and bucket. Texts are numbers into `word`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hub.query.trace_index import BUCKET_NS, MarkKind
from hub.query.trace_spans import LightSpan, light_spans
from shared.errors import BadInput
from shared.records import ChunkHeader, Encoding

WORD_CHARS_MAX = 4096
"""A chunk with a longer name stays out of the index, and is read instead."""

TRACE_ID_BYTES_MAX = 64
"""The same for ids, which have 16 bytes as a rule that nobody enforces on protobuf."""

TABLES = (
    "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE part (id INTEGER PRIMARY KEY, arrival INTEGER NOT NULL, trace BLOB NOT NULL,"
    " node INTEGER NOT NULL, start_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,"
    " end_ns INTEGER NOT NULL, spans BLOB NOT NULL)",
    "CREATE INDEX part_by_trace ON part (trace)",
    "CREATE INDEX part_by_start ON part (start_ns)",
    "CREATE TABLE mark (kind INTEGER, word INTEGER, start_ns INTEGER, part INTEGER,"
    " PRIMARY KEY (kind, word, start_ns, part)) WITHOUT ROWID",
    "CREATE TABLE census (kind INTEGER, bucket INTEGER, word INTEGER, arrival INTEGER,"
    " node INTEGER, spans INTEGER,"
    " PRIMARY KEY (kind, bucket, word, arrival)) WITHOUT ROWID",
)

PackedSpan = tuple[int, int, int, int, int]
"""(start after the start of the part, end after the start of the span, name, service, flags)."""

Row = tuple[int, int, int, int]
"""A mark: its kind, its word, when its part begins, and which part that is."""

FLAG_ERROR, FLAG_CHILD = 1, 2
ERROR, SERVICE, NAME = int(MarkKind.ERROR), int(MarkKind.SERVICE), int(MarkKind.NAME)

_encoder = msgspec.msgpack.Encoder()


class TraceIndexer:
    """Adds chunks of traces to the index of their day."""

    def tables(self) -> Sequence[str]:
        """The statements that make the tables."""
        return TABLES

    def add(self, connection: Any, arrival: int, header: ChunkHeader, body: bytes) -> None:
        """Note what a chunk holds; raises BadInput, also when some of it is written."""
        try:
            encoding = Encoding(header.encoding)
        except ValueError as error:
            raise BadInput(f"encoding {header.encoding!r} is not known here") from error
        words = _Words(connection)
        node = words[header.origin]
        parts: list[tuple[Any, ...]] = []
        marks: list[Row] = []
        (number,) = connection.execute("SELECT coalesce(max(id), 0) FROM part").fetchone()
        census: Counter[tuple[int, int, int]] = Counter()
        for (trace_id, bucket), spans in _group(light_spans(header, encoding, body), words).items():
            number += 1
            part = _part(spans)
            parts.append((number, arrival, trace_id, node, *part))
            marks += _marks(spans, part[0], number)
            census.update([(NAME, bucket, span[2]) for span in spans])
            census.update([(SERVICE, bucket, span[3]) for span in spans])
        connection.executemany("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)", parts)
        connection.executemany("INSERT INTO mark VALUES (?, ?, ?, ?)", marks)
        connection.executemany(
            "INSERT INTO census VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, arrival, node, spans) for key, spans in census.items()],
        )


class _Words(dict[str, int]):
    """The number of each text. Nothing is remembered from chunk to chunk: a transaction that is
    rolled back would take the numbers along."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, text: str) -> int:
        if len(text) > WORD_CHARS_MAX:
            raise BadInput(f"a name has more than {WORD_CHARS_MAX} characters")
        execute = self._connection.execute
        row = execute("SELECT id FROM word WHERE text = ?", (text,)).fetchone()
        number = row[0] if row else execute("INSERT INTO word (text) VALUES (?)", (text,)).lastrowid
        self[text] = number
        return int(number)


Groups = dict[tuple[bytes, int], list[PackedSpan]]
"""The spans of each trace and bucket, still with their starts."""


def _group(spans: Iterator[LightSpan], words: dict[str, int]) -> Groups:
    groups: Groups = {}
    for trace_id, start_ns, end_ns, name, service, is_error, has_parent in spans:
        flags = is_error * FLAG_ERROR + has_parent * FLAG_CHILD
        span = (start_ns, end_ns - start_ns, words[name], words[service], flags)
        key = (trace_id, start_ns // BUCKET_NS)
        group = groups.get(key)
        if group is not None:
            group.append(span)
        elif len(trace_id) <= TRACE_ID_BYTES_MAX:
            groups[key] = [span]
        else:
            raise BadInput(f"a trace id has more than {TRACE_ID_BYTES_MAX} bytes")
    return groups


def _part(spans: list[PackedSpan]) -> tuple[int, int, int, bytes]:
    """The first and the last start, the last end, and the spans as they are stored."""
    starts_ns = [span[0] for span in spans]
    start_ns = min(starts_ns)
    packed = [
        (own_ns - start_ns, duration_ns, name, service, flags)
        for own_ns, duration_ns, name, service, flags in spans
    ]
    end_ns = max([span[0] + span[1] for span in spans])
    return start_ns, max(starts_ns), end_ns, _encoder.encode(packed)


def _marks(spans: list[PackedSpan], start_ns: int, part: int) -> list[Row]:
    marks = [(NAME, name, start_ns, part) for name in {span[2] for span in spans}]
    marks += [(SERVICE, service, start_ns, part) for service in {span[3] for span in spans}]
    if any([span[4] & FLAG_ERROR for span in spans]):  # noqa: C419  # Twice as fast as without [].
        marks.append((ERROR, 0, start_ns, part))
    return marks
