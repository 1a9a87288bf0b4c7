"""What queries see of indexes: which chunks to read, found in no time among millions."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.index.backlog import Behind
from hub.index.files import index_path
from hub.index.filling import Filler
from hub.index.lookup import Indexes
from hub.query.needs import Needs
from hub.query.picks import EVERYTHING, Picks, PicksByDay
from hub.replicate import SafeLedger
from hub.store import chunk_find
from hub.store.chunks import ChunkStore
from hub.store.days import DAY_MS, DayKey
from hub.store.files import StoreFiles, open_files
from hub.store.reader import StoreReader
from shared.records import Signal
from shared.runtime import system_runtime
from tests.examples import examples
from tests.law.answer_world import MEMORY, WAYS
from tests.law.drawing import chunk_of
from tests.unit.index.hub_stock import (
    DAYS,
    IDENTITY,
    NOON_MS,
    HubStock,
    hub_stock,
    key_of,
)

# ---- Finding chunks


@dataclass(frozen=True)
class Kept:
    """A chunk, as a plain list knows it."""

    arrival: int
    node: str
    signal: Signal
    day: int
    time_min_ns: int
    time_max_ns: int


drawn_chunks = st.lists(
    st.builds(
        lambda node, signal, day, start, length: (node, signal, day, start, start + length),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([Signal.LOGS, Signal.LOGS, Signal.TRACES]),
        st.integers(0, 2),
        st.integers(0, 20) | st.just(2**62),
        st.sampled_from([0, 0, 1, 5]),
    ),
    max_size=14,
)
drawn_picks = st.fixed_dictionaries(
    {
        day: st.builds(
            Picks, st.integers(0, 12), st.lists(st.integers(1, 14), max_size=3).map(tuple)
        )
        for day in range(3)
    }
)
questions = st.fixed_dictionaries(
    {
        "signals": st.sampled_from([[Signal.LOGS], [Signal.TRACES], [Signal.LOGS, Signal.TRACES]]),
        "nodes": st.none() | st.lists(st.sampled_from(["a", "b", "d"]), unique=True),
        "start_ns": st.integers(0, 12),
        "end_ns": st.integers(13, 30) | st.just(2**63 - 1),
        "newest_first": st.booleans(),
    }
)
FIRST_DAY = NOON_MS // DAY_MS


@contextmanager
def stored(drawn: list[Any]) -> Iterator[tuple[StoreFiles, list[Kept]]]:
    root = MEMORY if MEMORY.is_dir() else None
    with TemporaryDirectory(dir=root) as name, asyncio.Runner() as runner:
        files = open_files(Path(name), "OFF", threads=False)
        try:
            yield files, runner.run(_keep(files, drawn))
        finally:
            files.close()


async def _keep(files: StoreFiles, drawn: list[Any]) -> list[Kept]:
    store = ChunkStore(files, replace(system_runtime(), threads=False), SafeLedger(1))
    await store.open()
    kept = []
    for number, (node, signal, day, first_ns, last_ns) in enumerate(drawn):
        times = {"time_min_ns": first_ns, "time_max_ns": last_ns}
        chunk = chunk_of(2 * number + 1, origin=node, signal=signal, **times)
        await store.keep([chunk], "hub-2", [NOON_MS + day * DAY_MS])
        kept.append(Kept(store.head_arrival, node, signal, day, first_ns, last_ns))
    return kept


def expected(kept: list[Kept], asked: Mapping[str, Any], may_hold: Any) -> list[int]:
    found = [
        each
        for each in kept
        if each.signal in asked["signals"]
        and (asked["nodes"] is None or each.node in asked["nodes"])
        and each.time_min_ns < asked["end_ns"]
        and each.time_max_ns >= asked["start_ns"]
        and (may_hold is None or may_hold(each.arrival, NOON_MS + each.day * DAY_MS, each.signal))
    ]
    if asked["newest_first"]:
        return [each.arrival for each in sorted(found, key=lambda e: (-e.time_max_ns, e.arrival))]
    return [each.arrival for each in sorted(found, key=lambda e: (e.time_min_ns, e.arrival))]


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_chunks, drawn_picks, questions, st.sampled_from(list(WAYS)))
def test_chunks_are_found_in_order_however_many_there_are(
    drawn: list[Any], picks: dict[int, Picks], asked: dict[str, Any], way: str
) -> None:
    """By walking, by their numbers, or day by day; with odd times, for some nodes or for all."""
    by_day = PicksByDay(lambda day, signal: picks[day - FIRST_DAY])
    with stored(drawn) as (files, kept), patch.multiple(chunk_find, **WAYS[way]):
        reader = StoreReader(files.database, files.readers, lambda key, why: None)
        with closing(reader):
            for may_hold in (None, lambda *chunk: by_day(*chunk), by_day):
                found = [held.arrival for held in reader.find(**asked, may_hold=may_hold)]
                assert found == expected(kept, asked, may_hold)


async def test_old_days_are_not_looked_up_while_nobody_asks_for_them(tmp_path: Path) -> None:
    """Looking up a common word in a year of indexes would take longer than reading a page."""
    asked: list[int] = []

    def look_up(day: int, signal: Signal) -> Picks:
        asked.append(day - FIRST_DAY)
        return EVERYTHING

    async with hub_stock(tmp_path) as stock:
        for day in range(3):
            chunk = chunk_of(2 * day + 1, time_min_ns=day + 1, time_max_ns=day + 1)
            await stock.store.keep([chunk], "hub-2", [NOON_MS + day * DAY_MS])
        with closing(stock.store.reader()) as reader:
            found = reader.find(
                signals=[Signal.LOGS],
                nodes=None,
                start_ns=0,
                end_ns=9,
                may_hold=PicksByDay(look_up),
            )
            assert next(found).arrival == 3
            assert asked == [2]
            assert [held.arrival for held in found] == [2, 1]
            assert asked == [2, 1, 0]


async def test_few_chunks_are_found_without_a_look_at_the_others(tmp_path: Path) -> None:
    """A million rows of a table are not passed over."""
    async with hub_stock(tmp_path) as stock:
        await stock.put(400)
        with closing(stock.store.reader()) as reader:
            steps = 0

            def count() -> int:
                nonlocal steps
                steps += 1
                return 0

            reader._connection.set_progress_handler(count, 1)
            found = reader.find(
                signals=[Signal.LOGS],
                nodes=None,
                start_ns=0,
                end_ns=2**62,
                may_hold=PicksByDay(lambda day, signal: Picks(398, (7,))),
            )
            assert [held.arrival for held in found] == [7, 399, 400]
            reader._connection.set_progress_handler(None, 1)
            assert steps < 400


def test_picks_know_the_chunks_they_name_and_all_later_ones() -> None:
    assert [number in Picks(5, {2}) for number in (1, 2, 5, 6)] == [False, True, False, True]
    assert 1 in EVERYTHING
    assert "a chunk" not in EVERYTHING


# ---- Indexes


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))


def overwrite(path: Path) -> None:
    path.write_bytes(b"no index")


def remove(path: Path) -> None:
    path.unlink()


@contextmanager
def indexes(stock: HubStock, identity: str = IDENTITY) -> Iterator[Indexes]:
    with (
        closing(stock.store.reader()) as reader,
        Indexes(stock.folder, identity, reader) as opened,
    ):
        yield opened


def fill(stock: HubStock, key: DayKey) -> Path:
    with closing(Filler(stock.folder, IDENTITY)) as filler:
        while filler.fill_some([Behind(key, 1)]):
            pass
    return index_path(stock.folder, key.day, key.signal)


def held(stock: HubStock, may_hold: Any, day: int = 0) -> list[int]:
    """Which of the chunks of a day may hold something."""
    received_ms = NOON_MS + day * DAY_MS
    return [
        number
        for number in stock.arrivals[key_of(day)]
        if may_hold(number, received_ms, Signal.LOGS)
    ]


async def test_a_word_leads_to_its_chunks_and_to_those_that_came_later(tmp_path: Path) -> None:
    async with hub_stock(tmp_path) as stock:
        await stock.put(4)
        fill(stock, key_of())
        await stock.put(2)
        with indexes(stock) as opened:
            lookup = opened.logs(Needs(words=(b"w2",)))
            assert lookup is not None
            assert held(stock, lookup.may_hold) == [2, 5, 6]


async def test_a_question_that_needs_nothing_needs_no_index(tmp_path: Path) -> None:
    async with hub_stock(tmp_path) as stock:
        with indexes(stock) as opened:
            assert opened.logs(Needs()) is None


@pytest.mark.parametrize("harm", [spoil, overwrite, remove])
async def test_of_a_day_whose_index_cannot_be_read_every_chunk_may_hold_a_hit(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """The other days lose nothing by it."""
    async with hub_stock(tmp_path) as stock:
        for day in range(2):
            await stock.put(3, day)
            path = fill(stock, key_of(day))
        harm(path)
        with indexes(stock) as opened:
            lookup = opened.logs(Needs(words=(b"w2",)))
            assert lookup is not None
            assert held(stock, lookup.may_hold) == [2]
            assert held(stock, lookup.may_hold, 1) == [4, 5, 6]
            bins = opened.bins(Signal.LOGS, 0, 2**62)
            assert held(stock, bins.covers) == [1, 2, 3]
            assert held(stock, bins.covers, 1) == []
            assert held(stock, bins.uncovered) == []
            assert held(stock, bins.uncovered, 1) == [4, 5, 6]


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.TRACES])
@pytest.mark.parametrize("harm", [overwrite, remove])
async def test_metrics_and_traces_do_without_an_index_that_cannot_be_read(
    tmp_path: Path, signal: Signal, harm: Callable[[Path], None]
) -> None:
    async with hub_stock(tmp_path) as stock:
        for day in range(2):
            await stock.put(2, day, signal)
            path = fill(stock, key_of(day, signal))
        harm(path)
        with indexes(stock) as opened:
            if signal == Signal.METRICS:
                files = list(opened.metrics().files(0, 2**62))
                assert [DAYS[each.day - FIRST_DAY] for each in files] == [DAYS[0]]
                return
            traces = opened.traces()
            assert len(traces.days()) == 1
            rest = traces.rest(nodes=None, start_ns=0, end_ns=2**62)
            assert [each.arrival for each in rest] == [3, 4]
            assert [each.arrival for each in traces.chunks([1, 99])] == [1]


async def test_numbers_of_another_store_mean_nothing_here(tmp_path: Path) -> None:
    async with hub_stock(tmp_path) as stock:
        await stock.put(3)
        fill(stock, key_of())
        with indexes(stock, "another store") as opened:
            lookup = opened.logs(Needs(words=(b"w2",)))
            assert lookup is not None
            assert held(stock, lookup.may_hold) == [1, 2, 3]


async def test_indexes_are_closed_when_the_question_is_answered(tmp_path: Path) -> None:
    """An open one keeps its log of changes from being emptied, and its room when it is deleted."""
    async with hub_stock(tmp_path) as stock:
        await stock.put(3)
        await stock.put(3, signal=Signal.TRACES)
        fill(stock, key_of())
        fill(stock, key_of(0, Signal.TRACES))
        with indexes(stock) as opened:
            opened.bins(Signal.LOGS, 0, 2**62)
            opened.traces()
            assert _open_files(stock.folder / "index")
        assert not _open_files(stock.folder / "index")


def _open_files(folder: Path) -> list[str]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    names = [str(link.readlink()) for link in links if link.is_symlink()]
    return [name for name in names if name.startswith(str(folder))]
