"""The ids of series, resources and name sets in one index file, and what is remembered of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from hub.index.rollup import Rollup

CACHE_ENTRIES_MAX = 100_000
"""Ids and newest rows that are remembered, about 50 MB; then the cache begins anew."""


class Cursor(Protocol):
    """What comes back from a statement."""

    @property
    def lastrowid(self) -> int | None: ...
    def fetchone(self) -> Any: ...


class Connection(Protocol):
    """What the index needs of a database: an open transaction is the caller's."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Any: ...


SeriesKey = tuple[str, str, str, int, bool, str, bytes, int, bytes]
"""name, unit, kind, temporality, monotonic, origin, resource, start time and attributes."""


@dataclass(slots=True)
class Cache:
    """What is known of the file that is written, so that most rows need no look at it.

    It is right as long as nothing was rolled back and the file is the same: then the last chunk of
    the file is the last one that was added here.
    """

    connection: Connection | None = None
    arrival: int | None = None
    ids: dict[tuple[Any, ...], int] = field(default_factory=dict)
    rows: dict[tuple[int, int], Rollup] = field(default_factory=dict)
    """The newest row by resolution and series."""

    def check(self, connection: Connection) -> None:
        """Forget everything unless the file is as this cache knows it."""
        (newest,) = connection.execute("SELECT max(arrival) FROM metric_chunk").fetchone()
        is_known = connection is self.connection and newest == self.arrival
        if not is_known or len(self.ids) + len(self.rows) > CACHE_ENTRIES_MAX:
            self.ids.clear()
            self.rows.clear()
        self.connection, self.arrival = connection, newest


def series_id(cache: Cache, connection: Connection, key: SeriesKey) -> int:
    """The id of a series, which is made when there is none."""
    held = cache.ids.get(key)
    if held is not None:
        return held
    *metric, origin, resource, start_ns, attributes = key
    columns = {
        "metric": _row_id(cache, connection, "metric", dict(zip(_METRIC, metric, strict=True))),
        "origin": origin,
        "resource": _row_id(cache, connection, "resource", {"attributes": resource.decode()}),
        "start_ns": start_ns,
        "attributes": attributes.decode(),
    }
    made = cache.ids[key] = _find_or_add(connection, "series", columns)
    return made


_METRIC = ("name", "unit", "kind", "temporality", "monotonic")


def _row_id(cache: Cache, connection: Connection, table: str, columns: dict[str, Any]) -> int:
    key = (table, *columns.values())
    held = cache.ids.get(key)
    if held is None:
        held = cache.ids[key] = _find_or_add(connection, table, columns)
    return held


def _find_or_add(connection: Connection, table: str, columns: dict[str, Any]) -> int:
    """The id of the row with these values, which is made when there is none."""
    wanted = " AND ".join(f"{column} = ?" for column in columns)
    values = tuple(columns.values())
    found = connection.execute(f"SELECT id FROM {table} WHERE {wanted}", values).fetchone()  # noqa: S608
    if found is not None:
        return int(found[0])
    marks = ", ".join("?" * len(columns))
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
    return int(connection.execute(sql, values).lastrowid or 0)


def name_set_id(cache: Cache, connection: Connection, names: set[str]) -> int:
    """The id of a set of metric names, which is made when there is none."""
    ordered = sorted(names)
    digest = blake2b("\0".join(ordered).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    held = cache.ids.get(("name_set", digest))
    if held is None:
        held = cache.ids["name_set", digest] = _find_or_add(
            connection, "name_set", {"digest": digest}
        )
        sql = "INSERT OR IGNORE INTO name_in_set VALUES (?, ?)"
        connection.executemany(sql, [(name, held) for name in ordered])
    return held
