"""Why nobody answered: the client tells a machine without a hub, a missing way and silence apart."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.errors import Unreachable
from shared.http import HttpxClient
from tests.ports import free_ports


@pytest.fixture
async def client() -> AsyncIterator[HttpxClient]:
    made = HttpxClient()
    yield made
    await made.close()


async def failure(client: HttpxClient, url: str, seconds: float = 5.0) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        await client.request("GET", url, timeout_seconds=seconds)
    return caught.value


async def test_a_machine_where_nobody_listens_refuses(client: HttpxClient) -> None:
    """By its address and by a name that has two of them."""
    (port,) = free_ports(1)
    for host in ("127.0.0.1", "localhost"):
        error = await failure(client, f"http://{host}:{port}/")
        assert (error.kind, error.sent) == ("refused", False)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:0/", "ftp://127.0.0.1/", "http://[::", "http://"]
)
async def test_what_is_no_address_never_leaves_this_machine(client: HttpxClient, url: str) -> None:
    error = await failure(client, url)
    assert (error.kind, error.sent) == ("unroutable", False)


async def test_a_name_that_nobody_knows_never_leaves_this_machine(
    client: HttpxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_knows(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    error = await failure(client, "http://hub-9.invalid:8470/")
    assert (error.kind, error.sent) == ("unroutable", False)


async def test_silence_and_a_broken_connection_are_a_loss(client: HttpxClient) -> None:
    """They may have arrived."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        assert (await failure(client, f"http://127.0.0.1:{port}/")).kind == "lost"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failure(client, f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.1)
        assert (error.kind, error.sent) == ("lost", True)


async def test_a_socket_that_is_closed_while_it_connects_is_a_loss(
    client: HttpxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries below stumble over it, and no loop of ours may end by that."""

    async def stumble(*_: object) -> httpx.Response:
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", stumble)
    error = await failure(client, "http://127.0.0.1:9/")
    assert (error.kind, error.sent) == ("lost", True)
