"""The one place that knows the websockets client: dialling a hub and passing messages both ways."""

import contextlib

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.errors import Refused, Unreachable
from shared.http import check_port
from shared.runtime import Duplex
from shared.serve import PING_SECONDS, PONG_SECONDS_MAX, WS_MESSAGE_BYTES_MAX

OPEN_SECONDS_MAX = 5.0
QUEUE_MAX = 16
"""Messages that were not read yet; beyond that the other side is held back."""


class WebSocketDuplex:
    """A dialled WebSocket as a message stream."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self._connection = connection
        self._url = url

    async def send(self, message: bytes) -> None:
        """Send one message; raises Unreachable."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise Unreachable(self._url, "the link is closed", sent=True) from error

    async def receive(self) -> bytes:
        """The next message; raises Unreachable."""
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise Unreachable(self._url, "the link is closed", sent=True) from error
        return message.encode() if isinstance(message, str) else message

    async def close(self) -> None:
        """Close the link, without waiting long for the other side to agree."""
        with contextlib.suppress(ConnectionClosed):
            await self._connection.close()


class Messages:
    """A dialled WebSocket that tells texts from bytes; its verbs raise Unreachable once it is gone."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self._connection = connection
        self._url = url

    async def send(self, message: bytes | str) -> None:
        """Send one message."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise Unreachable(self._url, "the hub is gone", sent=True) from error

    async def receive(self) -> bytes | str:
        """The next message."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise Unreachable(self._url, "the hub is gone", sent=True) from error

    async def close(self) -> None:
        """Close it, without waiting long for the other side to agree."""
        await self._connection.close()


async def dial(url: str, headers: dict[str, str]) -> Duplex:
    """Open a WebSocket to an http(s) URL; raises Unreachable, or Refused when the hub says no."""
    return WebSocketDuplex(await _connect(url, headers), url)


async def dial_messages(url: str, headers: dict[str, str]) -> Messages:
    """As `dial`, where texts and bytes mean different things."""
    # Who sends here paces itself; pings are answered however slow the reader is.
    return Messages(await _connect(url, headers, queue_max=None), url)


async def _connect(
    url: str, headers: dict[str, str], queue_max: int | None = QUEUE_MAX
) -> ClientConnection:
    target = "ws" + url.removeprefix("http")
    try:
        check_port(url)
        return await connect(
            target,
            additional_headers=headers,
            open_timeout=OPEN_SECONDS_MAX,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS_MAX,
            close_timeout=1.0,
            max_size=WS_MESSAGE_BYTES_MAX,
            max_queue=queue_max,
            compression=None,
            proxy=None,
        )
    except InvalidHandshake as error:
        raise Refused(f"{url} refuses the link: {error}") from error
    # ConnectionClosed: the hub died in the middle of the handshake. ValueError: hubs name each other,
    # rightly or wrongly, and not every text is an address.
    except (OSError, TimeoutError, InvalidURI, ConnectionClosed, ValueError) as error:
        raise Unreachable(url, str(error) or type(error).__name__, sent=False) from error
