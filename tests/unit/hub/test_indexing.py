"""The process that makes the indexes is started again whenever it ends, and never outlives its hub."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from hub import indexing as indexing_module
from hub.indexing import Indexing, IndexState
from tests.unit.index.hub_stock import IDENTITY, HubStock, hub_stock, key_of, reached


class AtOnce(Random):
    """Waits for nothing, and remembers how long it might have been."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append(b)
        return 0.0


@pytest.fixture
async def stock(tmp_path: Path) -> AsyncIterator[HubStock]:
    async with hub_stock(tmp_path) as made:
        yield made


@asynccontextmanager
async def running(folder: Path, *more: Callable[[Indexing], Awaitable[None]]) -> Any:
    made = Indexing(folder, IDENTITY, "info", AtOnce())
    tasks = [asyncio.ensure_future(made.run()), *(asyncio.ensure_future(one(made)) for one in more)]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> Any:
    while not (met := condition()):
        await asyncio.sleep(0.01)
    return met


def process_of(indexing: Indexing) -> psutil.Process | None:
    return psutil.Process(indexing._process.pid) if indexing._process is not None else None


# ---- A real process


async def test_it_indexes_what_is_there_and_leaves_no_process_behind(stock: HubStock) -> None:
    await stock.put(3)
    async with running(stock.folder) as indexing:
        assert indexing.state.behind_chunks is None
        await until(lambda: indexing.state.behind_chunks == 0)
        assert (indexing.state.chunks_done, indexing.state.starts) == (3, 1)
        process = await until(lambda: process_of(indexing))
    assert reached(stock.folder, key_of()) == 3
    assert not process.is_running()
    assert not [child for child in psutil.Process().children() if child.pid == process.pid]


async def test_another_is_started_when_it_is_killed_and_meanwhile_nobody_knows(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock.put(1)
    async with running(stock.folder) as indexing:
        await until(lambda: indexing.state.behind_chunks == 0)
        (await until(lambda: process_of(indexing))).kill()
        await until(lambda: indexing.state.behind_chunks is None)
        await stock.put(2)
        await until(lambda: indexing.state.behind_chunks == 0)
        assert indexing.state.starts == 2
        assert indexing.state.chunks_done == 3


async def test_news_wake_it(stock: HubStock) -> None:
    """Before it would look by itself, which is too rarely for people who watch."""
    store = stock.store
    async with running(
        stock.folder, lambda made: made.tell(store.news, lambda: store.head_arrival)
    ) as indexing:
        await until(lambda: indexing.state.behind_chunks == 0)
        for count in (1, 2, 3):
            await stock.put(1)
            while indexing.state.chunks_done < count:
                await asyncio.sleep(0.01)


async def test_a_process_that_hangs_is_killed_at_the_end(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing_module, "STOP_SECONDS", 0.1)
    async with running(stock.folder) as indexing:
        await until(lambda: indexing.state.behind_chunks == 0)
        process = await until(lambda: process_of(indexing))
        process.send_signal(signal.SIGSTOP)
    assert not process.is_running()


async def test_a_store_that_cannot_be_read_is_tried_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At ever longer intervals."""
    async with running(tmp_path / "nowhere") as indexing:
        await until(lambda: len(indexing.rng.bounds) >= 2)
        assert indexing.state.behind_chunks is None
        assert indexing.rng.bounds[:2] == [1.0, 2.0]
    assert "the indexing process ended with 1" in caplog.text


# ---- Without a process


async def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError("too many processes")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    async with running(tmp_path) as indexing:
        await until(lambda: len(indexing.rng.bounds) > 8)
    assert indexing.rng.bounds[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


class Told:
    """The input of a process that reads when it likes."""

    def __init__(self) -> None:
        self.words = 0
        self.waiting = 0
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: self.waiting)

    def write(self, word: bytes) -> None:
        self.words += 1


async def test_one_word_that_waits_is_as_good_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a process that hangs fills no memory; and nothing is told while nothing comes."""
    monkeypatch.setattr(indexing_module, "WORD_SECONDS", 0.0)
    made, told, bell = Indexing(tmp_path, IDENTITY, "info", AtOnce()), Told(), asyncio.Event()
    made._process = SimpleNamespace(stdin=told)  # type: ignore[assignment]
    head = 0

    async def news() -> None:
        bell.clear()
        await bell.wait()

    async def come() -> None:
        nonlocal head
        head += 1
        bell.set()
        for _ in range(10):
            await asyncio.sleep(0)

    telling = asyncio.ensure_future(made.tell(news, lambda: head))
    for _ in range(10):
        await asyncio.sleep(0)
    assert told.words == 0
    await come()
    assert told.words == 1
    told.waiting = 1
    for _ in range(5):
        await come()
    assert told.words == 1
    told.waiting = 0
    await come()
    assert told.words == 2
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


def test_a_line_of_the_process_is_taken_in_whole_or_not_at_all() -> None:
    state = IndexState()
    state.take(b'{"behind_chunks":5,"behind_records":50,"done":2,"error":""}\n')
    known = {"behind_chunks": 5, "behind_records": 50, "error": None}
    assert state.to_wire() == known
    for strange in (
        b"",
        b"Traceback\n",
        b"[]",
        b"{}",
        b'{"behind_chunks":1,"behind_records":"x","done":1,"error":""}',
        b'{"behind_chunks":1,"behind_records":1,"done":null,"error":""}',
    ):
        state.take(strange)
        assert state.to_wire() == known
    assert state.chunks_done == 2


def test_a_process_may_say_that_it_does_not_know() -> None:
    state = IndexState(behind_chunks=5, behind_records=50)
    state.take(b'{"behind_chunks":null,"behind_records":null,"done":0,"error":"the disk is full"}')
    assert state.to_wire() == {
        "behind_chunks": None,
        "behind_records": None,
        "error": "the disk is full",
    }
