"""The index of metric chunks: which series there are, their rollups, and which chunks name what.

Every resolution is kept by merging what a chunk adds into the rows that it touches, so late chunks
find their place. What cannot be merged exactly is marked there and read from finer rows or chunks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from hub.index.metric_ids import Cache, Connection, SeriesKey, name_set_id, series_id
from hub.index.metric_points import row_of, stream_start_ns
from hub.index.metric_rows import COLUMNS, TABLES, pack, table_of, unpack
from hub.index.rollup import (
    RESOLUTIONS_NS,
    Growth,
    Rollup,
    fold,
    growth_of,
    merge,
)
from hub.query.scan import clamp_time
from shared.errors import BadInput
from shared.otlp_body import open_body
from shared.otlp_points import MetricPoint, points_of
from shared.otlp_values import attributes_of, dialect_of
from shared.records import ChunkHeader, Encoding, Signal

_COUNT = 2 + COLUMNS.count(",")
_MARKS = ", ".join("?" * _COUNT)


Contributions = dict[SeriesKey, list[Rollup]]


@dataclass(slots=True)
class MetricIndexer:
    """Adds metric chunks to the index file of their day."""

    cache: Cache = field(default_factory=Cache)

    def tables(self) -> Sequence[str]:
        """The statements that make the tables."""
        return TABLES

    def add(self, connection: Connection, arrival: int, header: ChunkHeader, body: bytes) -> None:
        """Merge the chunk into the rows; raises BadInput before anything is written."""
        names: set[str] = set()
        found = _contributions(header, body, names)
        self.cache.check(connection)
        connection.execute(
            "INSERT INTO metric_chunk VALUES (?, ?)",
            (arrival, name_set_id(self.cache, connection, names)),
        )
        self.cache.arrival = arrival
        self._write(connection, found)

    def _write(self, connection: Connection, found: Contributions) -> None:
        pieces = [
            (series_id(self.cache, connection, key), growth_of(key[2], key[4], key[3]), rows)
            for key, rows in found.items()
        ]
        for width_ns in RESOLUTIONS_NS:
            written = [
                (series, *pack(row, width_ns))
                for series, growth, rows in pieces
                for row in self._merged(connection, width_ns, series, growth, rows)
            ]
            sql = f"INSERT OR REPLACE INTO {table_of(width_ns)} VALUES ({_MARKS})"  # noqa: S608  # Our name.
            connection.executemany(sql, written)

    def _merged(
        self,
        connection: Connection,
        width_ns: int,
        series: int,
        growth: Growth,
        rows: list[Rollup],
    ) -> Iterator[Rollup]:
        known, key = self.cache.rows, (width_ns, series)
        for bucket, more in _by_bucket(rows, width_ns, growth):
            newest = known.get(key) or _newest(connection, width_ns, series)
            newest_bucket = -1 if newest is None else newest.first_ns // width_ns
            held = newest if bucket == newest_bucket else None
            if bucket < newest_bucket:
                held = _stored(connection, width_ns, series, bucket)
            row = more if held is None else merge(held, more, growth)
            if bucket >= newest_bucket:
                known[key] = row
            yield row


def _contributions(header: ChunkHeader, body: bytes, names: set[str]) -> Contributions:
    """The rows that a chunk adds, in order of time; `names` gets every metric that it names."""
    found: Contributions = {}
    for resource, point in _points(header, body):
        names.add(point.name)
        row = row_of(clamp_time(header, point.time_ns), point)
        if row is not None:
            found.setdefault(_series_key(header.origin, resource, point), []).append(row)
    for rows in found.values():
        if len(rows) > 1:
            rows.sort(key=lambda row: row.first_ns)
    return found


def _points(header: ChunkHeader, body: bytes) -> Iterator[tuple[bytes, MetricPoint]]:
    try:
        encoding = Encoding(header.encoding)
    except ValueError as error:
        raise BadInput(f"encoding {header.encoding!r} is not known here") from error
    dialect = dialect_of(encoding)
    for request in open_body(Signal.METRICS, encoding, body):
        for held in request.resource_metrics or ():
            resource = attributes_of(dialect, held.resource.attributes) if held.resource else {}
            encoded = msgspec.json.encode(resource, order="sorted")
            for scoped in held.scope_metrics or ():
                for metric in scoped.metrics or ():
                    for point in points_of(dialect, metric, 0, resource, ""):
                        yield encoded, point


def _series_key(origin: str, resource: bytes, point: MetricPoint) -> SeriesKey:
    return (
        point.name,
        point.unit,
        point.kind,
        point.temporality,
        point.monotonic,
        origin,
        resource,
        stream_start_ns(point),
        msgspec.json.encode(point.attributes, order="sorted"),
    )


def _by_bucket(rows: list[Rollup], width_ns: int, growth: Growth) -> Iterator[tuple[int, Rollup]]:
    if len(rows) == 1:
        yield rows[0].first_ns // width_ns, rows[0]
        return
    buckets: dict[int, list[Rollup]] = {}
    for row in rows:
        buckets.setdefault(row.first_ns // width_ns, []).append(row)
    for bucket, held in buckets.items():
        folded = fold(held, growth)
        assert folded is not None
        yield bucket, folded


def _stored(connection: Connection, width_ns: int, series: int, bucket: int) -> Rollup | None:
    sql = f"SELECT {COLUMNS} FROM {table_of(width_ns)} WHERE series = ? AND bucket = ?"  # noqa: S608
    values = connection.execute(sql, (series, bucket)).fetchone()
    return None if values is None else unpack(values, width_ns)


def _newest(connection: Connection, width_ns: int, series: int) -> Rollup | None:
    sql = f"SELECT {COLUMNS} FROM {table_of(width_ns)} WHERE series = ?"  # noqa: S608
    values = connection.execute(f"{sql} ORDER BY bucket DESC LIMIT 1", (series,)).fetchone()
    return None if values is None else unpack(values, width_ns)
