"""The HTTP doors for peer hubs: gossip, chunks, and calls that are passed on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub import gossip, taken_over_wire, vectors
from hub.audit import Audit
from hub.bodies import json_answer, json_object, read_body
from hub.calls import DEADLINE_SECONDS_MAX, HOPS_MAX, Calls
from hub.mesh import Mesh
from hub.pull_answers import VERSION, check_version
from hub.replicate import LogKey
from hub.store.chunks import ChunkStore
from hub.web.routes import RouteSpec
from shared import jsonrpc
from shared.envelope import BATCH_BYTES_MAX, CHUNKS_MAX, MEDIA_TYPE, write_batch
from shared.errors import (
    BadInput,
    RpcError,
)
from shared.ranges import Ranges, from_wire, of_spans
from shared.readers import NAME
from shared.records import KIB, MIB

PEER_BYTES_MAX = 16 * MIB
HAVE_PAGE = 4096
POLL_SECONDS_MAX = 30.0
ANNOUNCE_PAUSE_SECONDS = 0.02  # Chunks that arrive together are announced together.


@dataclass(slots=True)
class PeerDoors:
    """What peer hubs call."""

    store: ChunkStore
    mesh: Mesh
    calls: Calls
    store_epoch: str
    stopping: asyncio.Event
    audit: Audit

    def routes(self) -> Sequence[RouteSpec]:
        """Where peers call."""
        doors = {
            "gossip": self.gossip,
            "have": self.have,
            "vector": self.vector,
            "chunks": self.chunks,
            "fates": self.fates,
            "call": self.call,
            "ledger": self.ledger,
        }
        return [RouteSpec(f"/peer/{name}", ("POST",), "peer", door) for name, door in doors.items()]

    async def gossip(self, request: Request) -> Response:
        """Exchange news about nodes."""
        message = gossip.read(await read_body(request, PEER_BYTES_MAX))
        return Response(gossip.write(self.mesh.answer(message)), media_type="application/json")

    async def have(self, request: Request) -> Response:
        """What came after a number; waits for news when nothing did. The number is a confirmation."""
        question = json_object(await read_body(request, 64 * KIB))
        check_version(question)
        hub_id, since = self._asker_and_since(question)
        if self.store.ledger.confirm(hub_id, since):
            self.store.announce()
        seconds = question.get("wait_seconds", 0)
        if isinstance(seconds, int | float) and self.store.head_arrival <= since:
            await self._wait_for_news(since, min(float(seconds), POLL_SECONDS_MAX))
        return json_answer(await self._news_after(since))

    def _asker_and_since(self, question: dict[str, Any]) -> tuple[str, int]:
        """Who asks, and for what came after which number; raises BadInput or Refused."""
        hub_id, since = question.get("hub_id"), question.get("since")
        if not isinstance(hub_id, str) or not NAME.fullmatch(hub_id):
            raise BadInput("hub_id must be the name of a hub")
        if hub_id == self.mesh.peers.own_id:
            # Asked under a second address of ours: our own word would count as a second copy.
            raise BadInput(f"this is {hub_id} itself")
        self.mesh.check_admitted(hub_id)
        if not isinstance(since, int) or isinstance(since, bool) or since < 0:
            raise BadInput("since must be a number of 0 or more")
        if question.get("store_epoch") != self.store_epoch or since > self.store.head_arrival:
            since = 0  # The peer speaks of another life of this store.
        return hub_id, since

    async def _news_after(self, since: int) -> dict[str, Any]:
        seen = self.store.head_arrival
        page = await self.store.announcements_after(since, HAVE_PAGE)
        # Up to the head nothing is left to tell of: retention may have taken what came last.
        through = since if len(page) >= HAVE_PAGE else max(seen, since)
        # What is on the disk and not noted here yet comes with the next answer.
        page = [each for each in page if each[2] <= self.store.head_arrival]
        spans: dict[LogKey, list[tuple[int, int]]] = {}
        proofs: dict[LogKey, list[tuple[int, str]]] = {}
        for key, seq, _, digest in page:
            spans.setdefault(key, []).append((seq, seq))
            proofs.setdefault(key, []).append((seq, digest.hex()))
        through = max(through, page[-1][2] if page else 0)
        return {
            "version": VERSION,
            "store_epoch": self.store_epoch,
            "through": through,
            "head": self.store.head_arrival,
            "have": [[*key, of_spans(seqs).to_wire()] for key, seqs in spans.items()],
            "proofs": [[*key, hashes] for key, hashes in proofs.items()],
        }

    async def _wait_for_news(self, since: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self.store.head_arrival <= since and not self.stopping.is_set():
                    await self.store.news()
                await asyncio.sleep(ANNOUNCE_PAUSE_SECONDS)
        except TimeoutError:
            return

    async def vector(self, request: Request) -> Response:
        """What this hub holds of every log, in pages; nothing when the asker's digest is the same."""
        question = vectors.read_question(json_object(await read_body(request, 64 * KIB)))
        if question.hub_id == self.hub_id:
            raise BadInput(f"this is {self.hub_id} itself")
        return json_answer(vectors.answer(self.store.held, question, self.store.head_arrival))

    async def chunks(self, request: Request) -> Response:
        """Chunks that a peer lacks, as many as fit; an empty body says that none is left here."""
        order = json_object(await read_body(request, PEER_BYTES_MAX))
        check_version(order)
        bytes_max = order.get("bytes_max", 4 * MIB)
        if not isinstance(bytes_max, int) or not 0 < bytes_max <= BATCH_BYTES_MAX:
            raise BadInput(f"bytes_max must be 1 to {BATCH_BYTES_MAX}")
        page = await self.store.read(_wanted(order.get("wanted")), bytes_max, CHUNKS_MAX)
        body = write_batch(page.chunks, page.received_ms) if page.chunks else b""
        return Response(body, media_type=MEDIA_TYPE)

    async def fates(self, request: Request) -> Response:
        """What became of numbers that a peer lacks: which are here, which retention took."""
        order = json_object(await read_body(request, PEER_BYTES_MAX))
        check_version(order)
        wanted = _wanted(order.get("wanted"))
        taken_over_wire.check_asked(wanted)
        return json_answer(taken_over_wire.write_answer(await self.store.fates(wanted)))

    async def call(self, request: Request) -> Response:
        """Call a node that a peer has no link to; answers as JSON-RPC does."""
        order = json_object(await read_body(request, PEER_BYTES_MAX))
        check_version(order)
        try:
            answer = await self._call(order)
        except RpcError as error:
            return json_answer(jsonrpc.error_answer(None, error))
        return json_answer(jsonrpc.result_answer(None, answer))

    async def ledger(self, request: Request) -> Response:
        """Answer a question about a ledger that a peer passes on; answers as JSON-RPC does."""
        match json_object(await read_body(request, 64 * KIB)):
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
            return json_answer(jsonrpc.error_answer(None, error))
        return json_answer(jsonrpc.result_answer(None, answer))

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
                self.mesh.check_no_double(hubs[-1])
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
