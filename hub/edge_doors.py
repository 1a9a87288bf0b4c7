"""The HTTP doors for edges: read, bound and judge what comes in, answer after the commit."""

import asyncio
import logging
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.accept import check_integrity, check_sender
from hub.bodies import JsonBytes, read_body
from hub.crowd import Crowd
from hub.links import Links, LinkSession
from hub.mesh import Mesh
from hub.pull import Judged
from hub.registry import Registry
from hub.store.chunks import ChunkStore
from hub.web.guard import status_of
from hub.web.routes import RouteSpec
from shared import beat as beats
from shared.beat import Beat, BeatReply
from shared.conf_report import Report, Wanted
from shared.envelope import BATCH_BYTES_MAX, MEDIA_TYPE, read_batch
from shared.errors import (
    BadInput,
    Cloned,
    Refused,
    Removed,
    Unavailable,
    Unreachable,
    UnsupportedType,
)
from shared.orders import QueuedOrder
from shared.readers import NAME
from shared.receipt import Outcome, PushReply, Receipt, write_reply
from shared.records import MIB, Chunk
from shared.runtime import Runtime
from shared.security import fingerprint, same_secret

log = logging.getLogger(__name__)

BEAT_BYTES_MAX = 2 * MIB
NODE_ID_HEADER = "x-headwater-node"
NODE_KEY_HEADER = "x-headwater-node-key"
MARK_HEADER = "x-headwater-mark"
RUN_HEADER = "x-headwater-run"


def mark_of(headers: Mapping[str, str], epoch: str) -> int:
    """The number at which an edge wants a proof, its head when it began to run; 0 for none.

    The header is `EPOCH:SEQ`. Raises BadInput.
    """
    name, _, number = headers.get(MARK_HEADER, f"{epoch}:0").rpartition(":")
    if not (number.isascii() and number.isdigit() and len(number) < 20):
        raise BadInput(f"{MARK_HEADER} must be EPOCH:SEQ")
    return int(number) if name == epoch else 0


def _nobody(beat: Beat) -> None:
    """Nobody listens."""


def _no_hint(beat: Beat, now: float) -> str | None:
    """This hub gives no hints."""
    return None


def _no_push(node_id: str, now: float) -> None:
    """Nobody counts."""


def _no_address(node_id: str, address: str) -> None:
    """Nobody notes from where nodes come."""


def _no_clone(node_id: str, epoch: str, reason: str) -> None:
    """Nobody tells of clones."""


def _all_welcome(node_id: str) -> Removed | None:
    """Nobody was removed."""


def _no_copy(beat: Beat, address: str) -> Cloned | None:
    """Nobody looks for copies."""


def _no_copy_known(node_id: str, run: str) -> Cloned | None:
    """Nobody looks for copies."""


def _no_orders(beat: Beat) -> list[QueuedOrder]:
    """Nobody keeps orders for edges."""
    return []


def _no_settings(node_id: str, report: Report) -> Wanted | None:
    """Nobody has settings for edges."""
    return None


@dataclass(slots=True)
class EdgeDoors:
    """What edges call."""

    hub_id: str
    registry: Registry
    store: ChunkStore
    links: Links
    mesh: Mesh
    runtime: Runtime
    crowd: Crowd
    counters: Counter[str] = field(default_factory=Counter)
    heard: Callable[[Beat], None] = _nobody
    settings: Callable[[str, Report], Wanted | None] = _no_settings
    """Notes what an edge says of its settings, and returns which it should have."""
    orders: Callable[[Beat], list[QueuedOrder]] = _no_orders
    """The orders that waited for the edge that beats."""
    hint: Callable[[Beat, float], str | None] = _no_hint
    """Says to which hub an edge should go: empty for none, None when this hub gives no hints."""
    pushed: Callable[[str, float], None] = _no_push
    """Told of each batch that an edge pushed here."""
    refusal: Callable[[str], Removed | None] = _all_welcome
    """Why a node is sent away that a person has removed; None for all others."""
    refusal_of_beat: Callable[[str], Removed | None] = _all_welcome
    """The same for a beat, which is also how a removed node asks to come back."""
    copy_of_beat: Callable[[Beat, str], Cloned | None] = _no_copy
    """Why a beat is refused that comes from a copy of a node that lives; told with its address."""
    copy_known: Callable[[str, str], Cloned | None] = _no_copy_known
    """The same for all else that a run of a node sends."""
    cloned: Callable[[str, str, str], None] = _no_clone
    """Told of each chunk that was refused since this hub holds another life of its log."""
    seen_from: Callable[[str, str], None] = _no_address
    """Told of the address that each beat of a node came from."""

    def routes(self) -> Sequence[RouteSpec]:
        """Where edges call; their links are sockets, and not among them."""
        return [
            RouteSpec("/edge/heartbeat", ("POST",), "edge", self.heartbeat),
            RouteSpec("/edge/batches", ("POST",), "edge", self.batches),
        ]

    async def heartbeat(self, request: Request) -> Response:
        """Take in a beat and answer with what this hub holds of the node's log."""
        beat = beats.read_beat(await read_body(request, BEAT_BYTES_MAX))
        node_id, key = self._recognised(request.headers)
        if beat.node_id != node_id:
            raise Refused(f"{node_id} sent a heartbeat for {beat.node_id}: refused")
        _send_away(self.refusal_of_beat(node_id))
        _send_away(self.copy_of_beat(beat, request.client.host if request.client else ""))
        beat.facts["key_sha256"] = key  # The beat is ours alone: it was read just now.
        now = asyncio.get_running_loop().time()
        due_seconds = self.registry.hear(beat, now, self.runtime.wall_ms())
        self.heard(beat)
        self.crowd.heard(node_id, beat.buffer, now)
        if request.client is not None:
            self.seen_from(node_id, request.client.host)
        self.counters["heartbeats"] += 1
        log_key = (node_id, beat.epoch)
        have, proofs = await self.store.proven(log_key, mark_of(request.headers, beat.epoch))
        reply = BeatReply(
            self.hub_id,
            due_seconds,
            have.to_wire(),
            (self.store.safe(log_key) & have).to_wire(),
            self.mesh.peers.named(),
            proofs,
            self.crowd.credit_bytes_per_s(now),
            self.settings(node_id, beat.conf),
            self.hint(beat, now),
            self.orders(beat),
        )
        return JsonBytes(beats.write(reply))

    async def batches(self, request: Request) -> Response:
        """Take in chunks of the node's own log; the answer comes after the commit."""
        if request.headers.get("content-type", "") != MEDIA_TYPE:
            raise UnsupportedType(f"the content type of a batch is {MEDIA_TYPE}")
        node_id = self.authentic(request.headers)
        wire = await read_body(request, BATCH_BYTES_MAX)
        sender = f"{node_id} at {request.client.host}" if request.client else node_id
        reply = await self.take_in(node_id, wire, sender, request.headers)
        return Response(write_reply(reply), media_type="application/json")

    async def pulled(self, node_id: str, wire: bytes, mark: str) -> Judged:
        """Take in a batch that this hub fetched over the node's link: as if it had been pushed."""
        headers = {MARK_HEADER: mark} if mark else {}
        try:
            reply = await self.take_in(node_id, wire, f"{node_id} by its link", headers)
        except (BadInput, Refused, Unavailable, sqlite3.Error) as error:
            status, answered = status_of(error)
            self.counters[f"answers_{status}"] += 1
            log.warning("pulled from %s: %s", node_id, error)
            seconds = answered.get("retry-after")
            return Judged(status, None, str(error), float(seconds) if seconds else None)
        self.counters["batches_pulled"] += 1
        return Judged(200, reply)

    async def take_in(
        self, node_id: str, wire: bytes, sender: str, headers: Mapping[str, str]
    ) -> PushReply:
        """Judge and keep a batch of a node's own log; returns after the commit.

        Raises BadInput, TooLarge, Refused, Removed, Cloned, Unavailable or sqlite3.Error.
        """
        _send_away(self.refusal(node_id) or self.copy_known(node_id, _run_of(headers)))
        batch = read_batch(wire)
        check_sender(batch.chunks, node_id)
        await self.runtime.offload(lambda: check_integrity(batch.chunks))
        receipt = await self.store.accept(batch.name, batch.chunks, sender)
        self._count(receipt, batch.chunks)
        key = (receipt.origin, receipt.epoch)
        have, proofs = await self.store.proven(key, mark_of(headers, receipt.epoch))
        safe = self.store.safe(key) & have
        now = asyncio.get_running_loop().time()
        self.pushed(node_id, now)
        credit = self.crowd.credit_bytes_per_s(now)
        return PushReply(self.hub_id, receipt, have.to_wire(), safe.to_wire(), proofs, credit)

    def _count(self, receipt: Receipt, chunks: Sequence[Chunk]) -> None:
        self.counters["batches"] += 1
        records = {chunk.header.seq: chunk.header.records for chunk in chunks}
        for outcome in receipt.outcomes:
            self.counters[f"chunks_{outcome.outcome}"] += 1
            if outcome.outcome is Outcome.ACCEPTED:
                self.counters["records_accepted"] += records.get(outcome.seq, 0)
            if outcome.reason.startswith("cloned_origin"):
                self.counters["chunks_cloned_origin"] += 1
                self.cloned(receipt.origin, receipt.epoch, outcome.reason)

    async def link(self, socket: WebSocket) -> None:
        """Keep the node's link until it ends."""
        try:
            node_id = self.authentic(socket.headers)
            _send_away(self.refusal(node_id) or self.copy_known(node_id, _run_of(socket.headers)))
        except (BadInput, Refused) as error:
            log.warning("link: %s", error)
            await socket.close(4403, str(error)[:100])
            return
        await socket.accept()
        await self.links.serve(LinkSession(node_id, SocketDuplex(socket)))

    def authentic(self, headers: Any) -> str:
        """The node behind a request. The first key that comes for a name is the name's key."""
        return self._recognised(headers)[0]

    def _recognised(self, headers: Any) -> tuple[str, str]:
        """The node, and the fingerprint of its key."""
        node_id, key = headers.get(NODE_ID_HEADER, ""), headers.get(NODE_KEY_HEADER, "")
        if not node_id or not key:
            raise BadInput(f"edges name themselves with {NODE_ID_HEADER} and {NODE_KEY_HEADER}")
        if not NAME.fullmatch(node_id):
            raise BadInput(f"{node_id[:80]!r} is not the name of a node")
        known, given = self.registry.key_fingerprint(node_id), fingerprint(key)
        if known is not None and not same_secret(given, known):
            raise Refused(f"the key is not that of {node_id}: another machine has this name")
        return sys.intern(node_id), given


def _run_of(headers: Mapping[str, str]) -> str:
    """The run of the agent that asks; empty for an older one, which names none."""
    return headers.get(RUN_HEADER, "")


def _send_away(why: Refused | None) -> None:
    if why is not None:
        raise why


@dataclass(slots=True)
class SocketDuplex:
    """A WebSocket that an edge has dialled, as a message stream."""

    socket: WebSocket

    async def send(self, message: bytes) -> None:
        """Send one message; raises Unreachable."""
        try:
            await self.socket.send_bytes(message)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Unreachable("the edge", "the link is closed", sent=False) from error

    async def receive(self) -> bytes:
        """The next message; raises Unreachable."""
        try:
            return await self.socket.receive_bytes()
        except (WebSocketDisconnect, RuntimeError, KeyError) as error:
            raise Unreachable("the edge", "the link is closed", sent=True) from error

    async def close(self) -> None:
        """Close the socket, if it is open still."""
        try:
            await self.socket.close()
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Unreachable("the edge", "the link is closed already", sent=False) from error
