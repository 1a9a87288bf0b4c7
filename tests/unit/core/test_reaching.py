"""Reaching others: whatever stands at the other end, the failure is one that loops survive."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from shared.errors import HeadwaterError, TooLarge, Unreachable
from shared.http import HttpxClient
from shared.link import dial

NO_ADDRESSES = [
    *("", "hub", "http://", "http://[", "http://..", "http://a b", "ftp://hub"),
    *("http://127.0.0.1:99999", "http://127.0.0.1:-1", "http://127.0.0.1:0", "http://xn--/"),
    *("http://" + "a" * 70 + ".example", "http://\0", "http://hub\n"),
]


@pytest.fixture
async def client() -> AsyncIterator[HttpxClient]:
    client = HttpxClient()
    yield client
    await client.close()


@pytest.mark.parametrize("url", NO_ADDRESSES)
async def test_what_is_no_address_cannot_be_reached(client: HttpxClient, url: str) -> None:
    """Hubs tell each other and edges where hubs are, rightly or wrongly."""
    with pytest.raises(Unreachable) as refusal:
        await client.request("POST", f"{url}/edge/heartbeat", timeout_seconds=5)
    assert refusal.value.sent is False
    with pytest.raises(Unreachable):
        await dial(f"{url}/edge/link", {})


GREETINGS = {
    "says nothing": b"",
    "says something else": b"220 mail.example ESMTP\r\n",
    "stops in the middle": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
    "does not know the way": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "accepts and goes": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
}


async def serve(greeting: bytes, *, reset: bool) -> asyncio.Server:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        await writer.drain()
        if reset:
            linger = b"\1\0\0\0\0\0\0\0"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.close()

    return await asyncio.start_server(meet, "127.0.0.1", 0)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("name", GREETINGS)
async def test_a_hub_that_dies_in_the_middle_is_bad_weather(
    client: HttpxClient, name: str, reset: bool
) -> None:
    server = await serve(GREETINGS[name], reset=reset)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(HeadwaterError):
            await dial(f"{url}/edge/link", {})
        if name != "does not know the way":
            with pytest.raises(Unreachable) as refusal:
                await client.request("POST", url, timeout_seconds=5)
            assert refusal.value.sent is True


async def test_nobody_listens(client: HttpxClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Unreachable) as refusal:
            await client.request("POST", url, timeout_seconds=5)
        assert refusal.value.sent is False
        with pytest.raises(Unreachable):
            await dial(url, {})


async def test_an_answer_without_end_is_cut(client: HttpxClient) -> None:
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000
    server = await serve(body, reset=False)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(TooLarge):
            await client.request("GET", url, timeout_seconds=5, reply_bytes_max=1000)


async def test_a_silent_hub_is_not_waited_for_longer_than_asked(client: HttpxClient) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable) as refusal:
            await client.request("GET", url, timeout_seconds=0.2)
        assert refusal.value.sent is True
