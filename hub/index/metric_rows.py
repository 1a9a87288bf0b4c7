"""The tables of the metric index, and how a rollup lies in one row of them."""

from collections.abc import Sequence
from math import nan
from typing import Any

from hub.index.rollup import NS_PER_S, RESOLUTIONS_NS, Rollup

TABLES = (
    # A metric with another unit or kind is another metric; so is a counter that began again
    # another series, because its readings cannot be compared with those before.
    "CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT, unit TEXT, kind TEXT,"
    " temporality INTEGER, monotonic INTEGER, UNIQUE (name, unit, kind, temporality, monotonic))",
    "CREATE TABLE resource (id INTEGER PRIMARY KEY, attributes TEXT UNIQUE)",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, metric INTEGER, origin TEXT, resource INTEGER,"
    " start_ns INTEGER, attributes TEXT,"
    " UNIQUE (metric, origin, resource, start_ns, attributes))",
    # Chunks of one node name the same metrics again and again: a chunk has one row, not hundreds.
    "CREATE TABLE name_set (id INTEGER PRIMARY KEY, digest BLOB UNIQUE)",
    "CREATE TABLE name_in_set (name TEXT, name_set INTEGER, PRIMARY KEY (name, name_set))"
    " WITHOUT ROWID",
    "CREATE TABLE metric_chunk (arrival INTEGER PRIMARY KEY, name_set INTEGER)",
    "CREATE INDEX metric_chunk_by_set ON metric_chunk (name_set)",
    *(
        f"CREATE TABLE rollup_{width_ns // NS_PER_S} (series INTEGER, bucket INTEGER, readings,"
        " last_ns, last, last_amount, since_ns, first_ns, total, low, high, first, rise,"
        " first_amount, rise_amount, inexact, PRIMARY KEY (series, bucket)) WITHOUT ROWID"
        for width_ns in RESOLUTIONS_NS
    ),
)

COLUMNS = (
    "bucket, readings, last_ns, last, last_amount, since_ns, first_ns, total, low, high, first,"
    " rise, first_amount, rise_amount, inexact"
)
"""A rollup, in this order. Times are counted from the start of the bucket; what a row of one reading
does not need is NULL, and takes no room."""

Value = float | None


def table_of(width_ns: int) -> str:
    """The table of one resolution."""
    return f"rollup_{width_ns // NS_PER_S}"


def pack(row: Rollup, width_ns: int) -> tuple[Value, ...]:
    """The values of COLUMNS. A sum that is not a number becomes NULL in the file by itself."""
    bucket = row.first_ns // width_ns
    start_ns = bucket * width_ns
    since_ns = row.since_ns or None
    head = bucket, row.readings, row.last_ns - start_ns, row.last
    if row.readings == 1:
        return *head, row.last_amount or None, since_ns, *_NOTHING
    return (
        *head,
        row.last_amount,
        since_ns,
        row.first_ns - start_ns,
        row.total,
        row.low,
        row.high,
        row.first,
        row.rise,
        row.first_amount,
        row.rise_amount,
        None if row.exact else 1,
    )


def unpack(values: Sequence[Any], width_ns: int) -> Rollup:
    """The rollup in the values of COLUMNS; raises TypeError when they are not what pack makes."""
    bucket, readings, last_ns, last, last_amount, since_ns, first_ns = values[:7]
    start_ns = bucket * width_ns
    if readings == 1:
        amount = last_amount or 0.0
        time_ns = start_ns + last_ns
        return Rollup(
            time_ns,
            time_ns,
            1,
            float(last),
            last,
            last,
            last,
            last,
            0.0,
            amount,
            amount,
            0.0,
            since_ns or 0,
        )
    total, low, high, first, rise, first_amount, rise_amount, inexact = values[7:]
    return Rollup(
        start_ns + first_ns,
        start_ns + last_ns,
        readings,
        _known(total),
        low,
        high,
        first,
        last,
        _known(rise),
        first_amount,
        _known(last_amount),
        _known(rise_amount),
        since_ns or 0,
        inexact is None,
    )


_NOTHING = (None,) * 9


def _known(value: Value) -> float:
    return nan if value is None else value
