"""A console shown by its log: each byte once, in order, and what the log dropped is told of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge.vm.console_log import ConsolePage
from edge.vm.following import Beginning, Following
from shared.errors import RpcError
from shared.streams import PAYLOAD_BYTES_MAX


class Live:
    """One way to the console, which only says that there is news."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[bytes] = asyncio.Queue()
        self.typed = b""

    async def read(self) -> bytes:
        return await self.news.get()

    async def write(self, data: bytes) -> None:
        self.typed += data

    async def resize(self, columns: int, rows: int) -> None:
        """Not looked at here."""

    async def close(self) -> None:
        self.news.put_nowait(b"")


class Machine:
    """A console with a log that holds so many bytes."""

    def __init__(self, held_max: int = 1 << 20) -> None:
        self.said, self.held_max, self.runs = b"", held_max, True
        self.lives: list[Live] = []
        self.words: list[dict[str, Any]] = []

    async def dial(self) -> Live:
        if not self.runs:
            raise RpcError("invalid_state", "the sandbox does not run")
        self.lives.append(Live())
        return self.lives[-1]

    async def log(self, offset: int | None, limit: int) -> ConsolePage:
        first, size = max(0, len(self.said) - self.held_max), len(self.said)
        begin = max(first, size - limit if offset is None else min(offset, size))
        return ConsolePage(begin, first, size, self.said[begin : begin + limit])

    def say(self, data: bytes) -> None:
        self.said += data
        self.lives[-1].news.put_nowait(data)

    async def tell(self, word: dict[str, Any]) -> None:
        self.words.append(word)


@asynccontextmanager
async def following(machine: Machine, beginning: Beginning) -> AsyncIterator[Following]:
    viewer = Following(machine.dial, machine.log)
    viewer.tell = machine.tell
    await viewer.open(beginning)
    try:
        yield viewer
    finally:
        await viewer.close()


async def shown(viewer: Following, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await viewer.read()
    return data


async def test_it_begins_with_the_end_of_the_log_and_goes_on() -> None:
    machine = Machine()
    machine.said = b"old and older"
    async with following(machine, Beginning(tail_bytes=5)) as viewer:
        assert await shown(viewer, 5) == b"older"
        machine.say(b"new")
        assert await shown(viewer, 3) == b"new"
    assert machine.words == [{"at": 8}]


async def test_who_comes_back_with_an_offset_misses_nothing_and_sees_nothing_twice() -> None:
    machine = Machine()
    machine.said = b"0123456789"
    async with following(machine, Beginning(since=4)) as viewer:
        assert await shown(viewer, 6) == b"456789"
    assert machine.words == [{"at": 4}]


async def test_an_offset_of_a_log_that_is_gone_shows_the_new_one_from_its_beginning() -> None:
    machine = Machine()
    machine.said = b"new"
    async with following(machine, Beginning(since=4000)) as viewer:
        assert await shown(viewer, 3) == b"new"
    assert machine.words == [{"at": 0}]


async def test_what_the_log_dropped_is_told_of_and_counted() -> None:
    machine = Machine(held_max=100)
    async with following(machine, Beginning()) as viewer:
        machine.say(b"a" * 50)
        assert await shown(viewer, 50) == b"a" * 50
        machine.say(b"b" * 1000)
        assert await shown(viewer, 100) == b"b" * 100
    assert machine.words == [{"at": 0}, {"lost": 900, "at": 950}]


async def test_a_flood_is_read_in_pages_only_when_somebody_takes_them() -> None:
    machine = Machine()
    async with following(machine, Beginning()) as viewer:
        machine.say(b"x" * (10 * PAYLOAD_BYTES_MAX))
        assert len(await viewer.read()) == PAYLOAD_BYTES_MAX


async def test_news_that_is_heard_before_it_is_in_the_log_is_shown_soon() -> None:
    machine = Machine()
    async with following(machine, Beginning()) as viewer:
        machine.lives[-1].news.put_nowait(b"late")
        reading = asyncio.create_task(viewer.read())
        await asyncio.sleep(0.03)
        machine.said += b"late"
        assert await reading == b"late"


async def test_a_viewer_that_was_cut_off_comes_again_by_itself() -> None:
    machine = Machine()
    async with following(machine, Beginning()) as viewer:
        machine.said += b"unseen"
        machine.lives[-1].news.put_nowait(b"")
        assert await shown(viewer, 6) == b"unseen"
        while len(machine.lives) < 2:
            await asyncio.sleep(0.01)
        await viewer.write(b"typed")
    assert machine.lives[1].typed == b"typed"


async def test_the_end_of_the_machine_ends_it_after_the_last_words() -> None:
    machine = Machine()
    async with following(machine, Beginning()) as viewer:
        machine.runs = False
        machine.say(b"last words")
        machine.lives[-1].news.put_nowait(b"")
        assert await shown(viewer, 10) == b"last words"
        assert await viewer.read() == b""
    assert machine.words[-1] == {"ended": "the sandbox does not run"}


async def test_there_is_none_for_a_machine_that_does_not_run() -> None:
    machine = Machine()
    machine.runs = False
    with pytest.raises(RpcError, match="does not run"):
        await Following(machine.dial, machine.log).open(Beginning())
