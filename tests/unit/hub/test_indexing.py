"""The process that makes the indexes is started again whenever it ends, and never outlives its hub."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import orjson
import psutil
import pytest

from hub import indexing as indexing_module
from hub.indexing import Indexing, IndexState
from hub.upkeep import Upkeep
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


def behind(indexing: Indexing, stock: HubStock) -> int | None:
    return indexing.state.behind_chunks(stock.store.head_arrival)


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
        assert behind(indexing, stock) is None
        await until(lambda: behind(indexing, stock) == 0)
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
        await until(lambda: behind(indexing, stock) == 0)
        (await until(lambda: process_of(indexing))).kill()
        await until(lambda: behind(indexing, stock) is None)
        await stock.put(2)
        await until(lambda: behind(indexing, stock) == 0)
        assert indexing.state.starts == 2
        assert indexing.state.chunks_done == 3


async def test_news_wake_it(stock: HubStock) -> None:
    """Before it would look by itself, which is too rarely for people who watch."""
    store = stock.store
    async with running(
        stock.folder, lambda made: made.tell(store.news, lambda: store.head_arrival)
    ) as indexing:
        await until(lambda: behind(indexing, stock) == 0)
        for count in (1, 2, 3):
            await stock.put(1)
            while indexing.state.chunks_done < count:
                await asyncio.sleep(0.01)


async def test_what_was_accepted_since_the_worker_looked_counts_as_behind(
    stock: HubStock,
) -> None:
    """From the moment on in which it was accepted, whatever the worker does meanwhile."""
    store = stock.store
    async with running(
        stock.folder, lambda made: made.tell(store.news, lambda: store.head_arrival)
    ) as indexing:
        await stock.put(2)
        await until(lambda: behind(indexing, stock) == 0)
        process = await until(lambda: process_of(indexing))
        process.suspend()
        await stock.put(2)
        await stock.put(1, 1)
        assert behind(indexing, stock) == 3
        process.resume()
        await until(lambda: behind(indexing, stock) == 0)
        assert (reached(stock.folder, key_of()), reached(stock.folder, key_of(1))) == (4, 5)


async def test_a_process_that_hangs_is_killed_at_the_end(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing_module, "STOP_SECONDS", 0.1)
    async with running(stock.folder) as indexing:
        await until(lambda: behind(indexing, stock) == 0)
        process = await until(lambda: process_of(indexing))
        process.send_signal(signal.SIGSTOP)
    assert not process.is_running()


async def test_a_store_that_cannot_be_read_is_tried_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At ever longer intervals."""
    async with running(tmp_path / "nowhere") as indexing:
        await until(lambda: len(indexing.rng.bounds) >= 2)
        assert indexing.state.behind_chunks(0) is None
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


def said(behind: int | None, seen: int, done: int = 0, error: str = "") -> bytes:
    line = {"behind_chunks": behind, "seen": seen, "done": done, "error": error}
    return orjson.dumps(line) + b"\n"


def test_a_line_of_the_process_is_taken_in_whole_or_not_at_all() -> None:
    state = IndexState()
    state.take(said(5, seen=9, done=2))
    for strange in (
        b"",
        b"Traceback\n",
        b"[]",
        b"{}",
        b'{"behind_chunks":1,"done":1,"error":""}',
        b'{"behind_chunks":1,"seen":null,"done":1,"error":""}',
        b'{"behind_chunks":"x","seen":1,"done":1,"error":""}',
        b'{"behind_chunks":1,"seen":1,"done":null,"error":""}',
    ):
        state.take(strange)
        assert state.to_wire(9) == {"behind_chunks": 5, "error": None}
    assert state.chunks_done == 2


@pytest.mark.parametrize(
    ("reported", "seen", "head", "behind"),
    [
        (0, 0, 0, 0),
        (0, 7, 7, 0),
        (0, 0, 1_000_000, 1_000_000),
        (2, 7, 10, 5),
        (-3, 7, 10, 0),  # It looked at 7, and then did 3 more that had come meanwhile.
        (-1, 7, 10, 2),
        (2, 10, 7, 2),  # It saw a commit before the store heard of it.
        (-1, 10, 7, 0),
    ],
)
def test_what_came_since_the_process_looked_counts_as_behind(
    reported: int, seen: int, head: int, behind: int
) -> None:
    state = IndexState()
    state.take(said(reported, seen))
    assert state.behind_chunks(head) == behind


def test_a_process_may_say_that_it_does_not_know() -> None:
    """Then what came since cannot be added to anything."""
    state = IndexState()
    state.take(said(5, seen=9))
    state.take(said(None, 0, error="the disk is full"))
    assert state.to_wire(20) == {"behind_chunks": None, "error": "the disk is full"}


async def test_answers_count_up_to_the_head_of_the_store(stock: HubStock) -> None:
    indexing = Indexing(stock.folder, IDENTITY, "info", AtOnce())
    mender: Any = SimpleNamespace(chunks_wanting=0)
    unused: Any = None
    upkeep = Upkeep(stock.store, unused, mender, unused, indexing, unused, scrubs=False)
    indexing.state.take(said(0, seen=0))
    await stock.put(3)
    assert upkeep.state.index == {"behind_chunks": 3, "error": None}
