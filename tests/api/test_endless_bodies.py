"""Bodies that never end, or come too slowly, at a real socket: bounded, answered, and hung up on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from hub.peering.exchange_wire import MESSAGE_BYTES_MAX
from shared.serve import bind, server
from tests.api.conftest import CLUSTER_KEY, World
from tests.api.mesh_world import until

PIECE = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
PIECES_MAX = 4 * MESSAGE_BYTES_MAX // 0x10000
"""Far more than is taken, so that a hub which takes all of it is found out."""


@dataclass(frozen=True, slots=True)
class Served:
    """A hub at a port of this machine."""

    world: World
    port: int

    async def ask(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a request has begun."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {CLUSTER_KEY}\r\n"
            "x-headwater-hub: hub-9\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        await writer.drain()
        return reader, writer


@pytest.fixture
async def served(world: World) -> AsyncIterator[Served]:
    listener = bind("127.0.0.1", 0)
    web = server(world.app)
    serving = asyncio.create_task(web.serve([listener]))
    yield Served(world, listener.getsockname()[1])
    web.stop()
    await serving
    listener.close()


async def send_without_end(writer: asyncio.StreamWriter) -> int:
    """Pieces until the hub hangs up; returns how many went."""
    count = 0
    with contextlib.suppress(ConnectionError):
        while count < PIECES_MAX:
            writer.write(PIECE)
            await writer.drain()
            count += 1
    return count


@pytest.mark.parametrize("path", ["/peer/nodes", "/peer/views", "/peer/leaving", "/peer/probe"])
async def test_a_body_without_end_is_cut_at_the_bound_and_the_connection_closed(
    served: Served, path: str
) -> None:
    reader, writer = await served.ask(path)
    async with asyncio.timeout(60):
        sending = asyncio.create_task(send_without_end(writer))
        with contextlib.suppress(ConnectionError):  # What we sent in vain resets the connection.
            assert b" 413 " in await reader.readline()
        assert await sending < PIECES_MAX
    writer.close()
    assert served.world.counted("answers_413") == 1
    assert served.world.counted("peer_messages_refused") == 1
    await served.world.still_works()


async def test_a_body_that_does_not_come_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.peer_watch.BODY_SECONDS_MAX", 0.3)
    reader, writer = await served.ask("/peer/nodes")
    writer.write(b"1\r\nx\r\n")
    await writer.drain()
    async with asyncio.timeout(60):
        told = await reader.read()
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not come within" in told
    writer.close()
    assert served.world.counted("answers_408") == 1
    await served.world.still_works()


async def test_a_hub_that_dies_amid_its_body_is_not_refused(served: Served) -> None:
    """Nobody is told of bad words: what came was fine, and the rest of it never did."""
    _, writer = await served.ask("/peer/nodes")
    writer.write(b"1\r\nx\r\n")
    await writer.drain()
    writer.close()
    await until(lambda: served.world.counted("answers_400") == 1)
    assert served.world.counted("peer_messages_refused") == 0
    await served.world.still_works()


async def test_slow_bodies_of_many_hold_up_no_other(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty letters that never come whole, and between them the hub does its work."""
    monkeypatch.setattr("hub.peer_watch.BODY_SECONDS_MAX", 2.0)
    waiting = [await served.ask("/peer/nodes") for _ in range(50)]
    await served.world.still_works()
    async with asyncio.timeout(60):
        told = await asyncio.gather(*(reader.read() for reader, _ in waiting))
    assert all(each.startswith(b"HTTP/1.1 408 ") for each in told)
    for _, writer in waiting:
        writer.close()
