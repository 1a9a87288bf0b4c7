"""Servers on loopback that checks talk to: they answer with given bytes, wait, or never end."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that reads the head of each request and lets `answer` write; gives its port."""
    open_now: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await answer(await reader.readuntil(b"\r\n\r\n"), writer)
        finally:
            open_now.discard(task)
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        waiting = list(open_now)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def saying(status: int = 200, body: bytes = b"hello", headers: str = "") -> Answer:
    """Always this answer."""

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        size = f"content-length: {len(body)}\r\n"
        writer.write(f"HTTP/1.1 {status} So\r\n{size}{headers}\r\n".encode())
        writer.write(b"" if head.startswith(b"HEAD") else body)
        await writer.drain()

    return answer


async def silent(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.Event().wait()


async def endless(head: bytes, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, as fast as the other side reads."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def dripping(head: bytes, writer: asyncio.StreamWriter) -> None:
    """An answer of one byte now and then, so that no pause is ever long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def many_headers(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Headers without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def no_http(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Something else speaks on this port."""
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


def tls_of(folder: Path, pem: str) -> ssl.SSLContext:
    """A server's side of TLS with a certificate and its key."""
    file = folder / "server.pem"
    file.write_text(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
