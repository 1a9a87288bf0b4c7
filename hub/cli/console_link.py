"""One connection of a console: a ticket of a hub, and the socket that it opens."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from hub.cli.client import Caller, Door
from shared.errors import RpcError, Unreachable
from shared.link import Messages, dial_messages

TAKEN_EACH_BYTES = 64 * 1024


@dataclass(slots=True)
class ConsoleLink:
    """An open console; raises Unreachable once its hub is gone."""

    door: Door
    messages: Messages
    path: Mapping[str, Any]
    _taken_bytes: int = 0
    _told_bytes: int = 0

    async def next(self) -> bytes | dict[str, Any]:
        """The next bytes or word."""
        message = await self.messages.receive()
        if isinstance(message, bytes):
            return message
        word: dict[str, Any] = orjson.loads(message)
        return word

    async def taken(self, size_bytes: int) -> None:
        """Say that bytes were shown, so that more may come."""
        self._taken_bytes += size_bytes
        if self._taken_bytes - self._told_bytes >= TAKEN_EACH_BYTES:
            self._told_bytes = self._taken_bytes
            await self.say({"taken": self._taken_bytes})

    async def write(self, data: bytes) -> None:
        """Type."""
        await self.messages.send(data)

    async def say(self, word: Mapping[str, Any]) -> None:
        """Say something beside the bytes."""
        await self.messages.send(orjson.dumps(word).decode())

    async def close(self) -> None:
        """Leave."""
        with suppress(Unreachable):
            await self.messages.close()


async def connect(door: Door, caller: Caller, params: Mapping[str, Any]) -> ConsoleLink:
    """Open a console through one hub; raises Unreachable, Refused, or RpcError as the hub says it."""
    ticket = await caller.call("vm.console.open", params)
    headers = {"authorization": f"Bearer {door.token}"} if door.token else {}
    messages = await dial_messages(f"{door.url}{ticket['url']}", headers)
    try:
        first = orjson.loads(await messages.receive())
        if "open" not in first:
            raise _refusal(first)
        link = ConsoleLink(door, messages, first["open"])
        await link.say({"taken": 0})
    except BaseException:
        await messages.close()
        raise
    return link


def _refusal(word: Mapping[str, Any]) -> RpcError:
    """What a hub says instead of opening it."""
    data = {"retryable": bool(word.get("retryable"))}
    return RpcError(str(word.get("kind", "internal")), str(word.get("closed", word)), data)
