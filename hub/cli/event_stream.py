"""Reads a stream of server-sent events from a hub; errors are ours.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as hubs use it: one
`event:` and one `data:` line of JSON in each message, lines end with a line feed.
"""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from hub.cli.client import Door
from shared.errors import BadInput, Refused, Unreachable
from shared.http import CONNECT_SECONDS_MAX, check_port
from shared.records import KIB, MIB

SILENCE_SECONDS_MAX = 40.0  # A hub gives a sign of life each 15 s.
MESSAGE_BYTES_MAX = 72 * MIB  # One row can be as large as a chunk.
PROBLEM_BYTES_MAX = 64 * KIB

Event = tuple[str, dict[str, Any]]


async def events(door: Door, path: str, body: bytes) -> AsyncGenerator[Event, None]:
    """The events that a hub answers a POST with, until it ends the stream.

    Raises Unreachable when the connection fails, goes silent or carries something else, Refused for
    a wrong token, and BadInput for a question that the hub does not take.
    """
    headers = {"authorization": f"Bearer {door.token}", "content-type": "application/json"}
    timeout = httpx.Timeout(SILENCE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    url = door.url + path
    try:
        check_port(url)
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            await _check(door, answer)
            messages = Messages()
            async for piece in answer.aiter_bytes():
                for event in messages.feed(piece):
                    yield event
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise Unreachable(url, str(error) or type(error).__name__, sent=False) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unreachable(url, str(error) or type(error).__name__, sent=True) from error


async def _check(door: Door, answer: httpx.Response) -> None:
    if answer.status_code == 200:
        return
    problem = await _problem(answer)
    if answer.status_code in {401, 403}:
        raise Refused(f"{door.name} refuses: {problem}")
    if answer.status_code in {400, 413}:
        raise BadInput(f"{door.name} says: {problem}")
    raise Unreachable(door.url, f"status {answer.status_code}: {problem}", sent=True)


async def _problem(answer: httpx.Response) -> str:
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > PROBLEM_BYTES_MAX:
            break
    try:
        return str(orjson.loads(body)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "no reason given"


@dataclass(slots=True)
class Messages:
    """Cuts a stream of bytes into messages."""

    _held: bytearray
    _seen: int

    def __init__(self) -> None:
        self._held, self._seen = bytearray(), 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The messages that end in this piece; raises ValueError for what cannot be read."""
        self._held += piece
        while (end := self._held.find(b"\n\n", max(0, self._seen - 1))) >= 0:
            message = bytes(self._held[:end])
            del self._held[: end + 2]
            self._seen = 0
            if event := _event(message):
                yield event
        self._seen = len(self._held)
        if self._seen > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of more than {MESSAGE_BYTES_MAX} bytes")


def _event(message: bytes) -> Event | None:
    fields = dict(_field(line) for line in message.split(b"\n") if not line.startswith(b":"))
    if b"data" not in fields:
        return None
    data = orjson.loads(fields[b"data"])
    if not isinstance(data, dict):
        raise ValueError("a message that is not a JSON object")
    return fields.get(b"event", b"message").decode(), data


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")
