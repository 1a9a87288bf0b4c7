"""The one place that knows the websockets client: dialling a hub and passing messages both ways."""

import contextlib

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.errors import Refused, Unreachable
from shared.http import check_port
from shared.runtime import Duplex
from shared.serve import PING_SECONDS, PONG_SECONDS_MAX, WS_MESSAGE_BYTES_MAX

OPEN_SECONDS_MAX = 5.0


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


async def dial(url: str, headers: dict[str, str]) -> Duplex:
    """Open a WebSocket to an http(s) URL; raises Unreachable, or Refused when the hub says no."""
    target = "ws" + url.removeprefix("http")
    try:
        check_port(url)
        connection = await connect(
            target,
            additional_headers=headers,
            open_timeout=OPEN_SECONDS_MAX,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS_MAX,
            close_timeout=1.0,
            max_size=WS_MESSAGE_BYTES_MAX,
            compression=None,
            proxy=None,
        )
    except InvalidHandshake as error:
        raise Refused(f"{url} refuses the link: {error}") from error
    # ConnectionClosed: the hub died in the middle of the handshake. ValueError: hubs name each other,
    # rightly or wrongly, and not every text is an address.
    except (OSError, TimeoutError, InvalidURI, ConnectionClosed, ValueError) as error:
        raise Unreachable(url, str(error) or type(error).__name__, sent=False) from error
    return WebSocketDuplex(connection, url)
