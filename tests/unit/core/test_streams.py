"""Streams on a link: bytes both ways, a window for each, and an end that both sides hear of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hubs import HubView
from edge.link import Link
from hub.links import Links, LinkSession
from shared import streams
from shared.errors import BadInput, RpcError, Unreachable
from shared.runtime import Duplex, Runtime
from shared.stream_end import STREAMS_MAX, StreamEnd
from shared.streams import WINDOW_BYTES, Frame, FrameKind
from tests.unit.core.test_calls import pipe

END = b"\0"


class Machine:
    """What a stream leads to: it echoes, and tells what was done to it."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params, self.typed, self.sizes = params, b"", list[tuple[int, int]]()
        self.shown: asyncio.Queue[bytes] = asyncio.Queue()
        self.is_closed = asyncio.Event()
        self.resized = asyncio.Event()

    async def read(self) -> bytes:
        data = await self.shown.get()
        return b"" if data == END else data

    async def write(self, data: bytes) -> None:
        self.typed += data
        self.shown.put_nowait(data)

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))
        self.resized.set()

    async def close(self) -> None:
        self.is_closed.set()
        self.shown.put_nowait(END)


class World:
    """A hub's session and an edge's link over a pipe."""

    def __init__(self, runtime: Runtime) -> None:
        self.hub_end, self.edge_end = pipe()
        self.links, self.session = Links(), LinkSession("edge-1", self.hub_end)
        self.machines: list[Machine] = []

        async def dial(url: str, headers: dict[str, str]) -> Duplex:
            return self.edge_end

        world = Runtime(runtime.wall_ns, runtime.rng, runtime.http, dial)
        openers = {"console": self.open_machine, "refuse": self.refuse}
        self.link = Link(HubView("http://hub"), world, {}, self.answer, openers)

    async def open_machine(self, params: dict[str, Any]) -> Machine:
        self.machines.append(Machine(params))
        return self.machines[-1]

    async def refuse(self, params: dict[str, Any]) -> Machine:
        raise RpcError("invalid_state", "the machine does not run")

    async def answer(self, method: str, params: dict[str, Any]) -> Any:
        return {"method": method}


@pytest.fixture
async def world(runtime: Runtime) -> AsyncIterator[World]:
    made = World(runtime)
    tasks = [
        asyncio.create_task(made.links.serve(made.session)),
        asyncio.create_task(made.link.run()),
    ]
    await asyncio.sleep(0)
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def read_exactly(end: StreamEnd, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await end.read()
        assert piece, end.why
        data += piece
    return data


async def test_bytes_go_both_ways_beside_calls(world: World) -> None:
    async with world.session.open("console", {"vm": "box"}, 5.0) as end:
        await end.write(b"hello")
        assert await world.session.call("status", {}, 5.0) == {"method": "status"}
        assert await read_exactly(end, 5) == b"hello"
    assert world.machines[0].params == {"vm": "box"}


async def test_a_stream_that_the_hub_closes_lets_go_of_the_machine(world: World) -> None:
    async with world.session.open("console", {}, 5.0):
        pass
    await world.machines[0].is_closed.wait()


async def test_the_end_of_the_machine_is_the_end_of_the_stream(world: World) -> None:
    async with world.session.open("console", {}, 5.0) as end:
        world.machines[0].shown.put_nowait(b"last words")
        world.machines[0].shown.put_nowait(END)
        assert await read_exactly(end, 10) == b"last words"
        assert await end.read() == b""
        assert end.why == ""
        with pytest.raises(Unreachable):
            await end.write(b"anybody?")


async def test_what_the_edge_refuses_opens_nothing(world: World) -> None:
    with pytest.raises(RpcError, match="does not run"):
        async with world.session.open("refuse", {}, 5.0):
            pytest.fail("it must not open")
    with pytest.raises(RpcError, match="no stream is called"):
        async with world.session.open("nonsense", {}, 5.0):
            pytest.fail("it must not open")


async def test_a_reader_that_rests_stops_its_own_stream_and_no_call(world: World) -> None:
    """A machine floods the console; nobody looks; memory and everybody else stay as they are."""
    async with world.session.open("console", {}, 5.0) as slow:
        machine = world.machines[0]
        for _ in range(100):
            machine.shown.put_nowait(b"x" * 64 * 1024)
        async with world.session.open("console", {}, 5.0) as quick:
            await quick.write(b"still here")
            assert await read_exactly(quick, 10) == b"still here"
        assert machine.shown.qsize() >= 100 - 1 - WINDOW_BYTES // (64 * 1024)
        assert len(await read_exactly(slow, 100 * 64 * 1024)) == 100 * 64 * 1024


async def test_the_size_of_the_window_reaches_the_machine(world: World) -> None:
    async with world.session.open("console", {}, 5.0) as end:
        await end.control({"resize": [80, 24]})
        await world.machines[0].resized.wait()
        assert world.machines[0].sizes == [(80, 24)]
        await end.control({"of a later version": True})
        await end.control({"resize": [0, -1]})
        assert await end.read() == b""
        assert "resize" in end.why


async def test_a_broken_link_ends_streams_on_both_sides(world: World) -> None:
    async with world.session.open("console", {}, 5.0) as end:
        await world.edge_end.close()
        assert await end.read() == b""
        assert end.why == "the link to edge-1 broke"
        await world.machines[0].is_closed.wait()


async def test_a_link_carries_so_many_streams_and_says_so(world: World) -> None:
    ends = [world.session.open("console", {}, 5.0) for _ in range(STREAMS_MAX)]
    for end in ends:
        await end.__aenter__()
    with pytest.raises(RpcError) as caught:
        async with world.session.open("console", {}, 5.0):
            pytest.fail("it must not open")
    assert caught.value.kind == "busy"
    for end in ends:
        await end.__aexit__(None, None, None)
    for machine in world.machines:
        await machine.is_closed.wait()
    for _ in range(3):  # The edge reads the last word of each, and lets go of it.
        await asyncio.sleep(0)
    async with world.session.open("console", {}, 5.0) as again:
        await again.write(b"room again")
        assert await read_exactly(again, 10) == b"room again"


async def test_a_side_that_ignores_the_window_ends_its_stream() -> None:
    sent: list[bytes] = []

    async def send(message: bytes) -> None:
        sent.append(message)

    end = StreamEnd(7, send)
    for _ in range(WINDOW_BYTES // 65_536):
        end.take(Frame(FrameKind.DATA, 7, b"x" * 65_536))
    with pytest.raises(BadInput, match="more bytes than there was room"):
        end.take(Frame(FrameKind.DATA, 7, b"x"))
    with pytest.raises(BadInput, match="more room than it has"):
        end.take(streams.credit(7, 1))


async def test_a_writer_waits_for_room_and_goes_on_with_it() -> None:
    sent: list[bytes] = []

    async def send(message: bytes) -> None:
        sent.append(message)

    end = StreamEnd(7, send)
    writing = asyncio.create_task(end.write(b"x" * (WINDOW_BYTES + 10)))
    while sum(len(message) - 5 for message in sent) < WINDOW_BYTES:
        await asyncio.sleep(0)
    assert not writing.done()
    end.take(streams.credit(7, 100))
    await writing
    assert sum(len(message) - 5 for message in sent) == WINDOW_BYTES + 10


frames = st.builds(
    Frame, st.sampled_from(FrameKind), st.integers(0, 2**32 - 1), st.binary(max_size=200)
)


@given(frames)
def test_frames_come_back_as_they_were_and_are_no_calls(frame: Frame) -> None:
    message = streams.write(frame)
    assert streams.is_frame(message)
    assert not streams.is_frame(b'{"jsonrpc":"2.0"}')
    assert streams.read(message) == frame


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_bad_input(message: bytes) -> None:
    async def nobody(message: bytes) -> None:
        raise Unreachable("pipe", "closed", sent=False)

    try:
        StreamEnd(1, nobody).take(streams.read(message))
    except BadInput:
        return
