"""The one place that knows httpx: a keep-alive HTTP/1.1 client whose errors are ours."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from shared.errors import Silence, TooLarge, Unreachable
from shared.unix_socket import short_path

CONNECT_SECONDS_MAX = 3.0  # A hub on the far side of a bad link still answers a SYN within this.

# A request that is cancelled leaks its slot in httpcore's pool, so the pool must have no bound.
_UNBOUNDED = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def _transport(unix_socket: str | None, *, verify: bool) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=verify, uds=unix_socket, limits=_UNBOUNDED, retries=0, trust_env=False
    )


class _Tls(httpx.AsyncBaseTransport):
    """Connections that verify who answers. Reading whom this machine trusts takes twenty milliseconds,
    so it waits for the first address that needs it."""

    def __init__(self, unix_socket: str | None) -> None:
        self._unix_socket = unix_socket
        self._made: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if self._made is None:
            self._made = _transport(self._unix_socket, verify=True)
        return await self._made.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._made is not None:
            await self._made.aclose()


class HttpxClient:
    """Sends requests; raises Unreachable when no whole answer came back, TooLarge when it is too big."""

    def __init__(self, *, unix_socket: str | None = None) -> None:
        self._held = contextlib.ExitStack()
        if unix_socket is not None:
            unix_socket = self._held.enter_context(short_path(Path(unix_socket)))
        self._client = httpx.AsyncClient(
            transport=_transport(unix_socket, verify=False),
            mounts={"https://": _Tls(unix_socket)},
            trust_env=False,
            follow_redirects=False,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 64 * 1024 * 1024,
    ) -> Reply:
        """One request, one answer, in at most `timeout_seconds` all told."""
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS_MAX, timeout_seconds))
        try:
            check_port(url)
            async with asyncio.timeout(timeout_seconds):
                async with self._client.stream(
                    method, url, content=body, headers=headers, timeout=timeout
                ) as answer:
                    return await _read(answer, reply_bytes_max)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            reason, kind = str(error) or type(error).__name__, _kind_of(error)
            raise Unreachable(url, reason, sent=False, kind=kind) from error
        except (httpx.InvalidURL, ValueError) as error:  # Hubs name each other, rightly or wrongly.
            reason = f"not an address: {error}"
            raise Unreachable(url, reason, sent=False, kind="unroutable") from error
        # An AttributeError: anyio asks a socket for its peer that was closed while it connected.
        except (httpx.HTTPError, TimeoutError, AttributeError) as error:
            raise Unreachable(url, str(error) or type(error).__name__, sent=True) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        self._held.close()


# What keeps a request on this machine: no way to any network, or no socket left to send it with.
_UNROUTABLE = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.ENFILE,
    }
)


def _kind_of(error: BaseException) -> Silence:
    """Why no connection was made. Where a name has several addresses, one that refuses decides."""
    causes = [each for each in _causes(error) if isinstance(each, OSError)]
    if any(isinstance(each, ConnectionRefusedError) for each in causes):
        return "refused"
    if any(isinstance(each, socket.gaierror) or each.errno in _UNROUTABLE for each in causes):
        return "unroutable"
    return "unroutable" if isinstance(error, httpx.UnsupportedProtocol) else "lost"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _causes(each)
        error = error.__cause__ or error.__context__


def check_port(url: str) -> None:
    """Raise ValueError for a port that no socket takes: further down it raises what nobody expects."""
    if urlsplit(url).port == 0:
        raise ValueError("port 0 cannot be reached")


async def _read(answer: httpx.Response, limit_bytes: int) -> Reply:
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge("the answer", limit_bytes)
        pieces.append(piece)
    return Reply(
        answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, b"".join(pieces)
    )
