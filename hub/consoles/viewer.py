"""One viewer of a console: its socket on one side, the stream to the machine on the other.

Binary messages are bytes of the console, both ways. Text messages are JSON. Up: `{"resize": [columns,
rows]}`, `{"taken": bytes}`. Down: `{"open": {...}}`, what the edge says (see edge.vm.following), and
at the end `{"closed": why, "kind": kind, "retryable": bool}`.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.consoles.pace import Pace
from hub.stream_relay import Words
from shared.errors import BadInput, TooLarge, Unreachable
from shared.stream_end import StreamEnd
from shared.streams import CONTROL_BYTES_MAX, PAYLOAD_BYTES_MAX

LEFT = "the viewer left"
GONE = (WebSocketDisconnect, RuntimeError, OSError)
"""What Starlette raises of a socket whose other side is gone."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a viewer saw no more: `ended` with the machine's console, `lost` with the path to it,
    `left` by itself, or the kind of an RpcError."""

    why: str
    kind: str
    retryable: bool

    def word(self) -> dict[str, Any]:
        """As it is told to the viewer."""
        return {"closed": self.why, "kind": self.kind, "retryable": self.retryable}


async def say(socket: WebSocket, word: dict[str, Any]) -> None:
    """Tell a viewer something; raises one of GONE."""
    await socket.send_text(orjson.dumps(word).decode())


@dataclass(slots=True)
class Viewer:
    """Runs until the console, the path to it, or the viewer is gone."""

    socket: WebSocket
    end: StreamEnd
    may_type: bool
    pace: Pace = field(default_factory=Pace)
    typed_bytes: int = 0
    _ended: str | None = None

    async def run(self, stopping: asyncio.Event, hub_id: str) -> Closed:
        """Pass bytes and words on; returns why it is over."""
        words = Words(self.end)
        telling = asyncio.create_task(self._tell(words))
        showing, typing = asyncio.create_task(self._show()), asyncio.create_task(self._type())
        going = asyncio.create_task(stopping.wait())
        tasks = (showing, typing, telling, going)
        try:
            await asyncio.wait({showing, typing, going}, return_when=asyncio.FIRST_COMPLETED)
            if showing.done():
                words.end()
                await asyncio.wait({telling, typing, going}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if stopping.is_set():
            return Closed(f"{hub_id} stops", "lost", retryable=True)
        return self._why(typing)

    def _why(self, typing: "asyncio.Task[str]") -> Closed:
        if typing.done() and not typing.cancelled():
            kind = "left" if typing.result() == LEFT else "invalid_params"
            return Closed(typing.result(), kind, retryable=False)
        if self._ended is not None:
            return Closed(self._ended or "the console ended", "ended", retryable=False)
        return Closed(self.end.why or "the path to the machine broke", "lost", retryable=True)

    async def _show(self) -> None:
        """What the machine shows, no faster than the viewer takes it in."""
        with suppress(*GONE):
            while data := await self.end.read():
                await self.pace.room()
                self.pace.sent_bytes += len(data)
                await self.socket.send_bytes(data)

    async def _tell(self, words: Words) -> None:
        with suppress(*GONE):
            while (word := await words.next()) is not None:
                if "ended" in word:
                    self._ended = str(word["ended"])
                else:
                    await say(self.socket, word)

    async def _type(self) -> str:
        """What the viewer types and says; returns why that is over."""
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return LEFT
                if message.get("bytes"):
                    await self._pass(message["bytes"])
                elif message.get("text"):
                    await self._obey(message["text"])
        except Unreachable:
            await (
                asyncio.Event().wait()
            )  # The stream is over: `_show` ends after what it still holds.
        except BadInput as error:
            return str(error)
        except GONE:
            return LEFT
        return LEFT

    async def _pass(self, data: bytes) -> None:
        if len(data) > PAYLOAD_BYTES_MAX:
            raise TooLarge("a message to a console", PAYLOAD_BYTES_MAX)
        if self.may_type:  # What somebody types who may only look on leads nowhere.
            await self.end.write(data)
            self.typed_bytes += len(data)

    async def _obey(self, text: str) -> None:
        if len(text) > CONTROL_BYTES_MAX:
            raise TooLarge("a word to a console", CONTROL_BYTES_MAX)
        try:
            word = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"a word to a console is no JSON: {error}") from error
        if not isinstance(word, dict):
            raise BadInput("a word to a console is a JSON object")
        if "taken" in word:
            self.pace.taken(word["taken"])
        if "resize" in word:
            await self.end.control({"resize": window(word["resize"])})


def window(value: object) -> list[int]:
    """Columns and rows; raises BadInput."""
    match value:
        case [int() as columns, int() as rows] if 1 <= columns <= 1000 and 1 <= rows <= 1000:
            return [columns, rows]
    raise BadInput("resize must be [columns, rows], each 1 to 1000")
