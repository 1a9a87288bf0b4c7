"""The HTTP doors for edges and peers: read, bound and judge what comes in, answer after the commit."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub import gossip
from hub.accept import check_integrity, check_sender
from hub.audit import Audit
from hub.calls import DEADLINE_SECONDS_MAX, HOPS_MAX, Calls
from hub.crowd import Crowd
from hub.links import Links, LinkSession
from hub.mesh import Mesh
from hub.pull import Judged
from hub.registry import Registry
from hub.replicate import LogKey
from hub.store.chunks import ChunkStore
from hub.web.guard import status_of
from shared import beat as beats
from shared import jsonrpc
from shared.beat import Beat, BeatReply
from shared.envelope import BATCH_BYTES_MAX, CHUNKS_MAX, MEDIA_TYPE, read_batch, write_batch
from shared.errors import (
    BadInput,
    Refused,
    RpcError,
    TooLarge,
    Unavailable,
    Unreachable,
    UnsupportedType,
)
from shared.ranges import Ranges, from_wire, of_spans
from shared.readers import NAME
from shared.receipt import PushReply, Receipt, write_reply
from shared.records import KIB, MIB
from shared.runtime import Runtime
from shared.security import fingerprint, same_secret

log = logging.getLogger(__name__)

BEAT_BYTES_MAX = 2 * MIB
PEER_BYTES_MAX = 16 * MIB
NODE_ID_HEADER = "x-headwater-node"
NODE_KEY_HEADER = "x-headwater-node-key"
MARK_HEADER = "x-headwater-mark"
HAVE_PAGE = 4096
POLL_SECONDS_MAX = 30.0
ANNOUNCE_PAUSE_SECONDS = 0.02  # Chunks that arrive together are announced together.


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request, counted while it comes in; raises TooLarge or BadInput."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise TooLarge("the body", limit_bytes)
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise TooLarge("the body", limit_bytes)
            pieces.append(piece)
    except ClientDisconnect as error:
        raise BadInput("the client left before its body was whole") from error
    return b"".join(pieces)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("the body must be a JSON object")
    return value


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")


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

    async def heartbeat(self, request: Request) -> Response:
        """Take in a beat and answer with what this hub holds of the node's log."""
        beat = beats.read_beat(await read_body(request, BEAT_BYTES_MAX))
        node_id = self._authentic(request.headers)
        if beat.node_id != node_id:
            raise Refused(f"{node_id} sent a heartbeat for {beat.node_id}: refused")
        key = fingerprint(request.headers[NODE_KEY_HEADER])
        beat = msgspec.structs.replace(beat, facts={**beat.facts, "key_sha256": key})
        now = asyncio.get_running_loop().time()
        self.registry.hear(beat, now, self.runtime.wall_ms())
        self.mesh.tell_soon()
        self.heard(beat)
        self.counters["heartbeats"] += 1
        log_key = (node_id, beat.epoch)
        have, proofs = await self.store.proven(log_key, mark_of(request.headers, beat.epoch))
        reply = BeatReply(
            self.hub_id,
            self.registry.interval_seconds,
            have.to_wire(),
            (self.store.safe(log_key) & have).to_wire(),
            self.mesh.peers.named(),
            proofs,
            self.crowd.credit_bytes_per_s(now),
        )
        return Response(beats.write(reply), media_type="application/json")

    async def batches(self, request: Request) -> Response:
        """Take in chunks of the node's own log; the answer comes after the commit."""
        if request.headers.get("content-type", "") != MEDIA_TYPE:
            raise UnsupportedType(f"the content type of a batch is {MEDIA_TYPE}")
        node_id = self._authentic(request.headers)
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

        Raises BadInput, TooLarge, Refused, Unavailable or sqlite3.Error.
        """
        batch = read_batch(wire)
        check_sender(batch.chunks, node_id)
        await self.runtime.offload(lambda: check_integrity(batch.chunks))
        receipt = await self.store.accept(batch.name, batch.chunks, sender)
        self._count(receipt)
        key = (receipt.origin, receipt.epoch)
        have, proofs = await self.store.proven(key, mark_of(headers, receipt.epoch))
        safe = self.store.safe(key) & have
        credit = self.crowd.credit_bytes_per_s(asyncio.get_running_loop().time())
        return PushReply(self.hub_id, receipt, have.to_wire(), safe.to_wire(), proofs, credit)

    def _count(self, receipt: Receipt) -> None:
        self.counters["batches"] += 1
        for outcome in receipt.outcomes:
            self.counters[f"chunks_{outcome.outcome}"] += 1
            if outcome.reason.startswith("cloned_origin"):
                self.counters["chunks_cloned_origin"] += 1

    async def link(self, socket: WebSocket) -> None:
        """Keep the node's link until it ends."""
        try:
            node_id = self._authentic(socket.headers)
        except (BadInput, Refused) as error:
            log.warning("link: %s", error)
            await socket.close(4403, str(error)[:100])
            return
        await socket.accept()
        await self.links.serve(LinkSession(node_id, SocketDuplex(socket)))

    def _authentic(self, headers: Any) -> str:
        """The node behind a request. The first key that comes for a name is the name's key."""
        node_id, key = headers.get(NODE_ID_HEADER, ""), headers.get(NODE_KEY_HEADER, "")
        if not node_id or not key:
            raise BadInput(f"edges name themselves with {NODE_ID_HEADER} and {NODE_KEY_HEADER}")
        if not NAME.fullmatch(node_id):
            raise BadInput(f"{node_id[:80]!r} is not the name of a node")
        known = self.registry.key_fingerprint(node_id)
        if known is not None and not same_secret(fingerprint(key), known):
            raise Refused(f"the key is not that of {node_id}: another machine has this name")
        return str(node_id)


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


@dataclass(slots=True)
class PeerDoors:
    """What peer hubs call."""

    store: ChunkStore
    mesh: Mesh
    calls: Calls
    store_epoch: str
    stopping: asyncio.Event
    audit: Audit

    async def gossip(self, request: Request) -> Response:
        """Exchange news about nodes."""
        message = gossip.read(await read_body(request, PEER_BYTES_MAX))
        return Response(gossip.write(self.mesh.answer(message)), media_type="application/json")

    async def have(self, request: Request) -> Response:
        """What came after a number; waits for news when nothing did. The number is a confirmation."""
        question = _object(await read_body(request, 64 * KIB))
        hub_id, since = question.get("hub_id"), question.get("since")
        if not isinstance(hub_id, str) or not NAME.fullmatch(hub_id):
            raise BadInput("hub_id must be the name of a hub")
        if hub_id == self.mesh.peers.own_id:
            # Asked under a second address of ours: our own word would count as a second copy.
            raise BadInput(f"this is {hub_id} itself")
        if not isinstance(since, int) or since < 0:
            raise BadInput("since must be a number of 0 or more")
        if question.get("store_epoch") != self.store_epoch or since > self.store.head_arrival:
            since = 0  # The peer speaks of another life of this store.
        if self.store.ledger.confirm(hub_id, since):
            self.store.announce()
        seconds = question.get("wait_seconds", 0)
        if isinstance(seconds, int | float) and self.store.head_arrival <= since:
            await self._wait_for_news(since, min(float(seconds), POLL_SECONDS_MAX))
        page = await self.store.announcements_after(since, HAVE_PAGE)
        spans: dict[LogKey, list[tuple[int, int]]] = {}
        proofs: dict[LogKey, list[tuple[int, str]]] = {}
        for key, seq, _, digest in page:
            spans.setdefault(key, []).append((seq, seq))
            proofs.setdefault(key, []).append((seq, digest.hex()))
        return _json(
            {
                "store_epoch": self.store_epoch,
                "through": page[-1][2] if page else max(since, 0),
                "head": self.store.head_arrival,
                "have": [[*key, of_spans(seqs).to_wire()] for key, seqs in spans.items()],
                "proofs": [[*key, hashes] for key, hashes in proofs.items()],
            }
        )

    async def _wait_for_news(self, since: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self.store.head_arrival <= since and not self.stopping.is_set():
                    await self.store.news()
                await asyncio.sleep(ANNOUNCE_PAUSE_SECONDS)
        except TimeoutError:
            return

    async def chunks(self, request: Request) -> Response:
        """Chunks that a peer lacks, as many as fit; an empty body says that none is left here."""
        order = _object(await read_body(request, PEER_BYTES_MAX))
        bytes_max = order.get("bytes_max", 4 * MIB)
        if not isinstance(bytes_max, int) or not 0 < bytes_max <= BATCH_BYTES_MAX:
            raise BadInput(f"bytes_max must be 1 to {BATCH_BYTES_MAX}")
        chunks = await self.store.read(_wanted(order.get("wanted")), bytes_max, CHUNKS_MAX)
        return Response(write_batch(chunks) if chunks else b"", media_type=MEDIA_TYPE)

    async def call(self, request: Request) -> Response:
        """Call a node that a peer has no link to; answers as JSON-RPC does."""
        order = _object(await read_body(request, PEER_BYTES_MAX))
        try:
            answer = await self._call(order)
        except RpcError as error:
            return _json(jsonrpc.error_answer(None, error))
        return _json(jsonrpc.result_answer(None, answer))

    async def ledger(self, request: Request) -> Response:
        """Answer a question about a ledger that a peer passes on; answers as JSON-RPC does."""
        match _object(await read_body(request, 64 * KIB)):
            case {"method": str(method), "params": dict(params)} if (
                params.get("hub") == self.hub_id
            ):
                return await self._ledger(method, params)
        raise BadInput(
            f"a question for {self.hub_id} needs method, and params with this hub's name"
        )

    async def _ledger(self, method: str, params: dict[str, Any]) -> Response:
        try:
            answer = await self.audit.answer(method, params)
        except RpcError as error:
            return _json(jsonrpc.error_answer(None, error))
        return _json(jsonrpc.result_answer(None, answer))

    @property
    def hub_id(self) -> str:
        """The name of the hub that these doors belong to."""
        return self.mesh.peers.own_id

    async def _call(self, order: dict[str, Any]) -> dict[str, Any]:
        match order:
            case {
                "node": str(node),
                "method": str(method),
                "params": dict(params),
                "seconds": int() | float() as seconds,
                "passed": list(passed),
            } if 0 < seconds <= DEADLINE_SECONDS_MAX and 0 < len(passed) < HOPS_MAX:
                hubs = [str(hub) for hub in passed]
                answer = await self.calls.call(node, method, params, seconds=seconds, passed=hubs)
                return {"result": answer.result, "hops": answer.hops}
        raise BadInput("a call needs node, method, params, seconds and the hubs it passed")


def _wanted(value: Any) -> dict[LogKey, Ranges]:
    if not isinstance(value, list) or len(value) > HAVE_PAGE:
        raise BadInput(f"wanted must be a list of at most {HAVE_PAGE} [origin, epoch, ranges]")
    wanted: dict[LogKey, Ranges] = {}
    for item in value:
        match item:
            case [str(origin), str(epoch), spans]:
                wanted[(origin, epoch)] = from_wire(spans)
            case _:
                raise BadInput("each item of wanted is [origin, epoch, ranges]")
    return wanted
