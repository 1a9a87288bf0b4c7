"""What the indexes lack is known at any moment, without counting it each time."""

import sqlite3
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.index import filling
from hub.index.files import remove_index
from hub.store import mend, retire
from shared.records import Signal
from tests.examples import examples
from tests.unit.index.fill_world import choose, fill_all, filler, index_of, truly_behind
from tests.unit.index.hub_stock import HubStock, hub_stock, key_of


async def put_logs(stock: HubStock, luck: int) -> None:
    await stock.put(luck % 3 + 1, luck % 2)


async def put_metrics(stock: HubStock, luck: int) -> None:
    await stock.put(1, luck % 2, Signal.METRICS)


async def lose_some(stock: HubStock, luck: int) -> None:
    """As after damage: their index goes, too."""
    key = key_of(luck % 2)

    def work(connection: sqlite3.Connection) -> None:
        promised = mend.promises(connection, key, 0, 100)
        if promised:
            mend.strike(connection, key, [promised[luck % len(promised)]], 0)

    await stock.store.files.database.write(work)
    mend.remove_index(stock.folder, key)


async def retain(stock: HubStock, luck: int) -> None:
    """Some chunks of a day go, or all, before its index does."""
    going = await choose(stock, key_of(luck % 2))
    await stock.store.files.database.write(
        lambda connection: retire.take_out(connection, going, luck % 4 + 1)
    )


async def delete_index(stock: HubStock, luck: int) -> None:
    remove_index(index_of(stock, key_of(luck % 2)))


EVENTS = (put_logs, put_logs, put_metrics, lose_some, retain, delete_index)
steps = st.lists(st.tuples(st.sampled_from([*EVENTS, None, None, None]), st.integers(0, 30)))


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
async def test_what_is_behind_is_always_what_counting_says(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Any, int]]
) -> None:
    """Though it is not counted anew for each bunch; and in the end nothing is."""
    async with hub_stock(tmp_path_factory.mktemp("hub")) as stock:
        with filler(stock) as made, pytest.MonkeyPatch.context() as patched:
            patched.setattr(filling, "BUNCH_CHUNKS_MAX", 2)
            for event, luck in drawn:
                if event is None:
                    made.fill_some(made.behind())
                else:
                    await event(stock, luck)
                assert made.behind() == truly_behind(stock.folder)
            fill_all(made)
            assert truly_behind(stock.folder) == []


async def test_a_day_is_counted_once_and_not_for_each_bunch(
    stock: HubStock, one_by_one: None
) -> None:
    """Counting a million chunks takes most of a second."""
    await stock.put(6)
    with filler(stock) as first:
        first.fill_some(first.behind())
    with filler(stock) as made:
        asked: list[str] = []
        made._hub.set_trace_callback(asked.append)
        while late := made.behind():
            made.fill_some(late)
            await stock.put(1) if stock.count < 9 else None
        assert len([sql for sql in asked if "count(*)" in sql]) == 1
