"""The door for peer hubs that look for a stream to a node: a WebSocket that carries one stream.

The first message is the order, as JSON; the answer is one of JSON-RPC; frames follow, both ways.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
from starlette.websockets import WebSocket

from hub.bodies import json_object
from hub.call_streams import STREAM_NUMBER, STREAM_PATH, CallStreams, pump
from hub.calls import HOPS_MAX
from hub.edge_doors import SocketDuplex
from hub.mesh import Mesh
from hub.peer_watch import FROM_HEADER
from hub.pull_answers import check_version
from hub.stream_relay import relay
from hub.web.sockets import SocketSpec
from shared import jsonrpc
from shared.errors import BadInput, Refused, RpcError, TooLarge, TooSlow, Unreachable
from shared.readers import NAME
from shared.records import KIB
from shared.runtime import Duplex
from shared.stream_end import StreamEnd

log = logging.getLogger(__name__)

SOCKETS_MAX = 256
"""For peers at once; with full windows at both sides 128 MiB."""

ORDER_BYTES_MAX = 64 * KIB
ORDER_SECONDS_MAX = 10.0
OPEN_SECONDS_MAX = 60.0


class _Order(msgspec.Struct, frozen=True):
    node: str
    method: str
    params: dict[str, Any]
    seconds: float
    passed: list[str]

    def check(self) -> None:
        """Raise BadInput for numbers that make no sense."""
        if not 0 < self.seconds <= OPEN_SECONDS_MAX or not 0 < len(self.passed) < HOPS_MAX:
            raise BadInput("a stream needs seconds for its opening, and the hubs that it passed")


@dataclass(slots=True)
class StreamDoors:
    """Where peers open streams to the nodes that have a link to this hub."""

    streams: CallStreams
    mesh: Mesh
    _sockets: set[WebSocket] = field(default_factory=set)

    def sockets(self) -> Sequence[SocketSpec]:
        """The one door."""
        return [SocketSpec(STREAM_PATH, "peer", self.serve)]

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket until its stream is over."""
        try:
            self.mesh.check_admitted(_named(socket))
        except Refused as error:
            self._refused(socket, error)
            await socket.close(4403, str(error)[:100])
            return
        if len(self._sockets) >= SOCKETS_MAX:
            await socket.close(4429, f"{SOCKETS_MAX} streams are open for peers already")
            return
        self._sockets.add(socket)
        try:
            await socket.accept()
            await self._take(socket, SocketDuplex(socket))
        finally:
            self._sockets.discard(socket)

    async def _take(self, socket: WebSocket, duplex: Duplex) -> None:
        try:
            order = await self._order(duplex)
        except (BadInput, Refused) as error:
            self._refused(socket, error)
            await _end(duplex, jsonrpc.error_answer(None, RpcError("invalid_params", str(error))))
            return
        except Unreachable:
            return  # It left before it said what it wants.
        self.mesh.witness.accepted(_named(socket), STREAM_PATH)
        try:
            await self._serve(duplex, order)
        except RpcError as error:
            await _end(duplex, jsonrpc.error_answer(None, error))

    async def _order(self, duplex: Duplex) -> _Order:
        """What the peer wants; raises BadInput, Refused or Unreachable."""
        try:
            async with asyncio.timeout(ORDER_SECONDS_MAX):
                message = await duplex.receive()
        except TimeoutError as error:
            raise TooSlow("the order of a stream", ORDER_SECONDS_MAX) from error
        if len(message) > ORDER_BYTES_MAX:
            raise TooLarge("the order of a stream", ORDER_BYTES_MAX)
        raw = json_object(message)
        check_version(raw)
        try:
            order = msgspec.convert(raw, _Order)
        except msgspec.ValidationError as error:
            raise BadInput(f"the order of a stream: {error}") from error
        order.check()
        self.mesh.check_no_double(order.passed[-1])
        return order

    async def _serve(self, duplex: Duplex, order: _Order) -> None:
        wanted = (order.node, order.method, order.params)
        async with self.streams.open(*wanted, seconds=order.seconds, passed=order.passed) as found:
            mine = StreamEnd(STREAM_NUMBER, duplex.send)
            try:
                await duplex.send(orjson.dumps(jsonrpc.result_answer(None, {"hops": found.hops})))
            except Unreachable:
                return
            reading = asyncio.create_task(pump(duplex, mine, order.passed[-1]))
            try:
                await relay(found.end, mine)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                with suppress(Unreachable):
                    await duplex.close()

    def _refused(self, socket: WebSocket, error: BadInput | Refused) -> None:
        now = asyncio.get_running_loop().time()
        who = getattr(error, "sender", "") or _named(socket)
        self.mesh.witness.refused(who, STREAM_PATH, error, now)
        log.warning("a stream for %s: %s", who, error)


async def _end(duplex: Duplex, answer: dict[str, Any]) -> None:
    with suppress(Unreachable):
        await duplex.send(orjson.dumps(answer))
        await duplex.close()


def _named(socket: WebSocket) -> str:
    told = socket.headers.get(FROM_HEADER, "")
    if NAME.fullmatch(told):
        return str(told)
    return socket.client.host if socket.client else "an unknown caller"
