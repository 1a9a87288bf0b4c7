"""The metric index: what it writes, late chunks, chunks that are undone, and bodies that are junk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.index.files import open_for_write, set_through
from hub.index.metric_reader import MetricDay
from hub.index.metrics import MetricIndexer
from hub.index.rollup import RESOLUTIONS_NS, Growth, Rollup, fold, reading
from shared.errors import BadInput
from shared.records import Encoding, Signal
from tests.unit.query.stock import HeldChunk, ListReader, at, counter, gauge, histogram, metrics

DAY_END_NS = 2**62


@contextmanager
def empty() -> Iterator[tuple[sqlite3.Connection, MetricIndexer]]:
    indexer = MetricIndexer()
    with (
        TemporaryDirectory() as folder,
        closing(open_for_write(Path(folder) / "m.db", indexer.tables(), "a hub")) as connection,
    ):
        set_through(connection, 1000)
        yield connection, indexer


def add(connection: sqlite3.Connection, indexer: MetricIndexer, *chunks: HeldChunk) -> None:
    for held in chunks:
        indexer.add(connection, held.arrival, held.header, held.body)


def rows(connection: sqlite3.Connection, width_ns: int) -> list[Rollup]:
    """All rows of the only series."""
    day = MetricDay(connection, 0)
    try:
        (series,) = day.series("m", None, 0, DAY_END_NS)
        return list(day.rollups(series.id, width_ns, 0, DAY_END_NS))
    finally:
        connection.execute("COMMIT")


def chunk_of(*all_metrics: Any, encoding: str = "proto") -> list[HeldChunk]:
    reader = ListReader()
    for metric in all_metrics:
        reader.put(Signal.METRICS, metrics([metric], {"service.name": "s"}), encoding=encoding)
    return reader.chunks


@pytest.mark.parametrize("width_ns", RESOLUTIONS_NS)
@pytest.mark.parametrize("seed", range(5))
def test_each_resolution_has_what_folding_all_readings_gives(width_ns: int, seed: int) -> None:
    """Late chunks included: they find their bucket, whichever is the newest."""
    luck = Random(seed)
    readings = [(second, luck.randint(0, 100)) for second in range(0, 8000, luck.choice([4, 11]))]
    pieces = [readings[start : start + 7] for start in range(0, len(readings), 7)]
    luck.shuffle(pieces)
    chunks = chunk_of(*(gauge("m", piece) for piece in pieces))
    with empty() as (connection, indexer):
        add(connection, indexer, *chunks)
        found = rows(connection, width_ns)
    buckets: dict[int, list[Rollup]] = {}
    for second, value in readings:
        buckets.setdefault(at(second) // width_ns, []).append(reading(at(second), value))
    assert found == [fold(held, Growth.NONE) for _, held in sorted(buckets.items())]


def test_counters_in_order_are_exact_at_every_resolution() -> None:
    readings = [(second, second * 3 % 700, -5.0) for second in range(0, 4000, 9)]
    chunks = chunk_of(*(counter("m", [one]) for one in readings))
    with empty() as (connection, indexer):
        add(connection, indexer, *chunks)
        for width_ns in RESOLUTIONS_NS:
            found = rows(connection, width_ns)
            assert all(row.exact for row in found)
            assert sum(row.readings for row in found) == len(readings)


def test_only_the_bucket_that_a_late_reading_falls_into_is_inexact() -> None:
    chunks = chunk_of(
        counter("m", [(0, 1), (8, 2), (30, 5)]), counter("m", [(40, 7)]), counter("m", [(4, 1)])
    )
    with empty() as (connection, indexer):
        add(connection, indexer, *chunks)
        hour, minute, finest = (rows(connection, width_ns) for width_ns in RESOLUTIONS_NS)
    assert [row.exact for row in hour] == [False]
    assert [row.exact for row in minute] == [False, True]
    assert [row.exact for row in finest] == [False, True, True]
    assert [row.readings for row in hour] == [5]


def test_a_histogram_keeps_count_and_sum() -> None:
    (held,) = chunk_of(histogram("m", [(1, 10, 2.5, 0), (5, 14, 4.0, 0)]))
    with empty() as (connection, indexer):
        add(connection, indexer, held)
        (row,) = rows(connection, RESOLUTIONS_NS[-1])
    assert (row.first, row.last, row.rise) == (10, 14, 4)
    assert (row.first_amount, row.last_amount, row.rise_amount) == (2.5, 4.0, 1.5)


def test_what_was_rolled_back_is_not_remembered() -> None:
    """A bunch of chunks is undone, and comes again: to the file it is the first time."""
    first, second, third = chunk_of(
        gauge("m", [(1, 1)]), gauge("m", [(2, 5)], cpu=1), gauge("m", [(3, 7)], cpu=1)
    )
    with empty() as (connection, indexer), empty() as (other, fresh):
        add(connection, indexer, first)
        connection.execute("BEGIN")
        add(connection, indexer, second, third)
        connection.execute("ROLLBACK")
        add(connection, indexer, second, third)
        add(other, fresh, first, second, third)
        assert list(connection.iterdump()) == list(other.iterdump())


def test_one_indexer_serves_many_files() -> None:
    first, second = chunk_of(gauge("m", [(1, 1)]), gauge("m", [(2, 5)]))
    with empty() as (connection, indexer), empty() as (other, _):
        add(connection, indexer, first)
        add(other, indexer, first)
        add(connection, indexer, second)
        assert [row.readings for row in rows(connection, RESOLUTIONS_NS[0])] == [2]
        assert [row.readings for row in rows(other, RESOLUTIONS_NS[0])] == [1]


def test_a_forgetful_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunk_of(*(counter("m", [(second, second)]) for second in range(0, 100, 3)))
    with empty() as (connection, indexer), empty() as (other, fresh):
        add(connection, indexer, *chunks)
        monkeypatch.setattr("hub.index.metric_ids.CACHE_ENTRIES_MAX", 0)
        add(other, fresh, *chunks)
        assert list(connection.iterdump()) == list(other.iterdump())


def test_candidates_are_the_chunks_that_name_the_metric() -> None:
    reader = ListReader()
    for names in (["a", "b"], ["b"], ["a", "b"], ["c"]):
        reader.put(Signal.METRICS, metrics([gauge(name, [(1, 1)]) for name in names]))
    with empty() as (connection, indexer):
        add(connection, indexer, *reader.chunks)
        day = MetricDay(connection, 0)
        assert [day.candidates(name) for name in "abcd"] == [{1, 3}, {1, 2, 3}, {4}, set()]


def test_both_encodings_give_the_same_rows() -> None:
    metric = counter("m", [(1, 3.5, 0), (12, 4, 0)], cpu=1)
    with empty() as (connection, indexer), empty() as (other, fresh):
        add(connection, indexer, *chunk_of(metric))
        add(other, fresh, *chunk_of(metric, encoding="json"))
        assert list(connection.iterdump()) == list(other.iterdump())


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(Encoding))
def test_junk_is_bad_input_and_leaves_nothing(body: bytes, encoding: Encoding) -> None:
    held = ListReader().put_body(Signal.METRICS, body, encoding)
    with empty() as (connection, indexer):
        before = connection.total_changes
        try:
            add(connection, indexer, held)
        except BadInput:
            assert connection.total_changes == before


def test_an_unknown_encoding_is_bad_input() -> None:
    (held,) = chunk_of(gauge("m", [(1, 1)]))
    header = msgspec.structs.replace(held.header, encoding="cbor")
    with empty() as (connection, indexer), pytest.raises(BadInput, match="cbor"):
        indexer.add(connection, 1, header, held.body)


def test_a_damaged_row_is_bad_input() -> None:
    with empty() as (connection, indexer):
        add(connection, indexer, *chunk_of(gauge("m", [(1, 1)])))
        connection.execute("UPDATE rollup_10 SET last_ns = NULL")
        connection.execute("UPDATE series SET attributes = '{'")
        day = MetricDay(connection, 0)
        with pytest.raises(BadInput):
            day.rollups(1, RESOLUTIONS_NS[-1], 0, DAY_END_NS)
        with pytest.raises(BadInput):
            list(day.series("m", None, 0, DAY_END_NS))
