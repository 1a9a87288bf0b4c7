"""Reading the metric index of one day."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hub.index.files import opaque, through
from hub.index.metric_rows import COLUMNS, table_of, unpack
from hub.index.rollup import RESOLUTIONS_NS, Rollup
from hub.query.metric_index import IndexedSeries
from shared.errors import BadInput

_SERIES = (
    "SELECT series.id, name, unit, kind, temporality, monotonic, origin, start_ns,"
    " series.attributes, resource.attributes FROM metric"
    " JOIN series ON series.metric = metric.id JOIN resource ON resource.id = series.resource"
)
_NAMES = (
    "SELECT DISTINCT name, unit, kind, origin FROM metric JOIN series ON series.metric = metric.id"
)
_SEEN = (
    f" WHERE EXISTS (SELECT 1 FROM {table_of(RESOLUTIONS_NS[0])}"  # noqa: S608  # Our name.
    " AS row WHERE row.series = series.id AND bucket BETWEEN ? AND ?)"
)
_CANDIDATES = "SELECT arrival FROM name_in_set JOIN metric_chunk USING (name_set) WHERE name = ?"


class MetricDay:
    """The index of one day file, as it was when this was made; every call may raise BadInput.

    It reads in one transaction, so that no chunk is known by its rows and unknown by its number.
    """

    def __init__(self, connection: sqlite3.Connection, day: int) -> None:
        """`day` counts from 1970; the connection is its own, and closed by `close`."""
        self.day = day
        self._connection = connection
        try:
            connection.execute("BEGIN")
            self.through, self.opaque = through(connection), opaque(connection)
        except sqlite3.Error as error:
            raise _unreadable(error) from error

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def covers(self, arrival: int) -> bool:
        """Whether all that this chunk of the day tells is in the index."""
        return arrival <= self.through and arrival not in self.opaque

    def candidates(self, name: str) -> set[int]:
        """The covered chunks that name the metric."""
        return {row[0] for row in self._rows(_CANDIDATES, (name,))}

    def series(
        self, name: str | None, nodes: frozenset[str] | None, start_ns: int, end_ns: int
    ) -> Iterator[IndexedSeries]:
        """The series of a metric, or of all, that have readings in an hour which the range meets."""
        named = "" if name is None else " AND name = ?"
        values = () if name is None else (name,)
        for row in self._rows(_SERIES + _SEEN + named, (*_hours(start_ns, end_ns), *values)):
            if nodes is None or row[6] in nodes:
                yield _series_of(row)

    def names(
        self, nodes: frozenset[str] | None, start_ns: int, end_ns: int
    ) -> Iterator[tuple[str, str, str, str]]:
        """Name, unit, kind and node of all metrics with readings in such an hour."""
        sql = f"{_NAMES}{_SEEN} ORDER BY metric.id"
        for name, unit, kind, node in self._rows(sql, _hours(start_ns, end_ns)):
            if nodes is None or node in nodes:
                yield name, unit, kind, node

    def rollups(
        self, series_id: int, width_ns: int, start_ns: int, end_ns: int
    ) -> Sequence[Rollup]:
        """The rows of the buckets that meet [start_ns, end_ns), in order of time."""
        sql = (
            f"SELECT {COLUMNS} FROM {table_of(width_ns)}"  # noqa: S608  # Our names.
            " WHERE series = ? AND bucket BETWEEN ? AND ? ORDER BY bucket"
        )
        rows = self._rows(sql, (series_id, start_ns // width_ns, (end_ns - 1) // width_ns))
        return _unpacked(rows, width_ns)

    def _rows(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _unreadable(error) from error


def _hours(start_ns: int, end_ns: int) -> tuple[int, int]:
    width_ns = RESOLUTIONS_NS[0]
    return start_ns // width_ns, (end_ns - 1) // width_ns


def _unpacked(rows: Iterator[Any], width_ns: int) -> Sequence[Rollup]:
    try:
        return [unpack(row, width_ns) for row in rows]
    except (TypeError, ValueError) as error:
        raise _unreadable(error) from error


def _series_of(row: Sequence[Any]) -> IndexedSeries:
    *plain, attributes, resource = row
    series_id, name, unit, kind, temporality, monotonic, node, start_ns = plain
    try:
        own, others = msgspec.json.decode(attributes), msgspec.json.decode(resource)
    except msgspec.DecodeError as error:
        raise _unreadable(error) from error
    return IndexedSeries(
        series_id, name, unit, kind, temporality, bool(monotonic), node, start_ns, own, others
    )


def _unreadable(error: Exception) -> BadInput:
    return BadInput(f"the index of metrics cannot be read: {error}")
