"""The stream of changes: news at a bounded pace, signs of life, and an end at once when the hub stops."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from hub.web import stream
from hub.web.stream import Streams
from shared.errors import Unavailable
from tests.api.web_world import Web


class Reader:
    """A browser that follows the stream; it stops taking when `room` is cleared."""

    def __init__(self, web: Web) -> None:
        self.text = ""
        self.headers: dict[str, str] = {}
        self.room = asyncio.Event()
        self.room.set()
        self.ended = False
        self._left = asyncio.Event()
        self._heard = asyncio.Condition()
        self._streams = Streams(web.context)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        scope: Any = {"type": "http", "method": "GET", "path": "/stream", "headers": []}
        response = await self._streams.endpoint(Request(scope))
        await response(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.room.wait()
        async with self._heard:
            if message["type"] == "http.response.start":
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.text += message["body"].decode()
                self.ended = not message["more_body"]
            self._heard.notify_all()

    async def hears(self, what: Callable[[str], bool]) -> None:
        """Wait until the text so far is as wanted."""
        async with asyncio.timeout(60), self._heard:
            await self._heard.wait_for(lambda: what(self.text))

    async def leave(self) -> None:
        """Close the tab."""
        self._left.set()
        await asyncio.wait_for(self.task, 30)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long in a test."""
    monkeypatch.setattr(stream, "PAUSE_SECONDS", 0.05)


async def test_a_change_is_told_to_whoever_follows() -> None:
    web = Web()
    reader = Reader(web)
    web.news.put_nowait("nodes")
    await reader.hears(lambda text: "event: changed\ndata: nodes\n\n" in text)
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["cache-control"] == "no-store"
    assert "content-length" not in reader.headers
    assert reader.text.startswith("retry: ")
    await reader.leave()
    assert web.readers == 0, "nobody goes on collecting for a tab that is closed"


async def test_many_changes_are_told_together() -> None:
    web = Web()
    reader = Reader(web)
    for number in range(500):
        web.news.put_nowait(("nodes", "hubs", "vms")[number % 3])
    await reader.hears(lambda text: "data: hubs nodes vms\n\n" in text)
    await asyncio.sleep(0.2)
    assert reader.text.count("event: changed") <= 2
    await reader.leave()


async def test_a_name_cannot_break_out_of_its_line() -> None:
    web = Web()
    reader = Reader(web)
    web.news.put_nowait("a\n\nevent: bye\ndata: x")
    await reader.hears(lambda text: "event: changed" in text)
    assert "\nevent: bye" not in reader.text
    await reader.leave()


async def test_a_quiet_stream_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.02)
    reader = Reader(Web())
    await reader.hears(lambda text: text.count(": still here\n\n") >= 3)
    await reader.leave()


async def test_a_reader_that_takes_nothing_costs_no_more_than_some_names() -> None:
    web = Web()
    reader = Reader(web)
    await reader.hears(lambda text: text.startswith("retry"))
    reader.room.clear()
    for number in range(5000):
        web.news.put_nowait(f"name-{number}")
    async with asyncio.timeout(60):
        while not web.news.empty():
            await asyncio.sleep(0.01)
    reader.room.set()
    await reader.hears(lambda text: "event: changed" in text)
    for line in reader.text.splitlines():
        assert line.count("name-") <= stream.NAMES_MAX
    await reader.leave()


async def test_a_hub_that_stops_says_bye_and_ends_the_stream_at_once() -> None:
    web = Web()
    reader = Reader(web)
    await reader.hears(lambda text: text.startswith("retry"))
    web.stopping.set()
    await asyncio.wait_for(reader.task, 30)
    assert reader.text.endswith("event: bye\ndata: this hub stops\n\n")
    assert reader.ended
    assert web.readers == 0


async def test_a_reader_that_takes_nothing_does_not_hold_up_a_stop() -> None:
    web = Web()
    reader = Reader(web)
    await reader.hears(lambda text: text.startswith("retry"))
    reader.room.clear()
    web.news.put_nowait("nodes")
    await asyncio.sleep(0.2)
    web.stopping.set()
    await asyncio.wait_for(reader.task, 30)


async def test_a_reader_that_is_gone_while_we_speak_ends_the_stream_quietly() -> None:
    web = Web()

    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the reader is gone")

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    scope: Any = {"type": "http", "method": "GET", "path": "/stream", "headers": []}
    response = await Streams(web.context).endpoint(Request(scope))
    send: Callable[[Any], Awaitable[None]] = broken
    await asyncio.wait_for(response(scope, never, send), 2)
    assert web.readers == 0


async def test_there_is_room_for_so_many_readers_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)
    reader = Reader(Web())
    await reader.hears(lambda text: text.startswith("retry"))
    scope: Any = {"type": "http", "method": "GET", "path": "/stream", "headers": []}
    with pytest.raises(Unavailable):
        await reader._streams.endpoint(Request(scope))
    await reader.leave()
    await reader._streams.endpoint(Request(scope))
