"""An edge whose buffer hubs fetch, and hubs that fetch it: what tests of pull mode are made of."""

import asyncio
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from edge.buffer import Buffer, BufferLimits
from edge.hubs import Hubs
from edge.link import ANSWER_BYTES_MAX, answer_message
from edge.pull import Offers
from edge.pull_calls import pull_methods
from edge.shipper import Shipper
from shared.backoff import Backoff
from shared.envelope import read_batch
from shared.errors import RpcError
from shared.ranges import of_seqs
from shared.receipt import ChunkOutcome, Outcome, PushReply, Receipt
from shared.records import Chunk
from shared.runtime import Runtime


class Edge:
    """An edge that may not push: its offers, the calls of hubs, and how often it rang."""

    def __init__(self, buffer: Buffer, runtime: Runtime, hub_ids: tuple[str, ...]) -> None:
        self.buffer, self.hubs, self.beats = buffer, Hubs("edge-1"), 0
        for view, hub_id in zip(
            self.hubs.learn(f"http://{each}" for each in hub_ids), hub_ids, strict=True
        ):
            view.hub_id, view.linked, view.is_answering = hub_id, True, True
        self.offers = Offers(self.hubs, self._beat)
        backoff = Backoff(seconds_initial=0.001, seconds_max=0.01)
        self.shipper = Shipper(buffer, self.hubs, self.offers, runtime, {}, backoff=backoff)
        self._methods = pull_methods(self.offers, self.shipper.weigh)

    def _beat(self) -> None:
        self.beats += 1

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A hub's call, as it crosses the link; raises RpcError."""
        message = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer = await answer_message(message, lambda name, given: self._methods[name](given))
        assert answer is not None
        assert len(answer) <= ANSWER_BYTES_MAX
        read = orjson.loads(answer)
        if "error" in read:
            raise RpcError(read["error"]["data"]["kind"], read["error"]["message"])
        result: dict[str, Any] = read["result"]
        return result


class Hub:
    """A hub that fetches: it keeps everything but the chunks that it refuses."""

    def __init__(
        self, edge: Edge, hub_id: str, refuses: Callable[[Chunk], bool] = lambda _: False
    ) -> None:
        self.edge, self.hub_id, self.refuses = edge, hub_id, refuses
        self.hashes: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        self.records: defaultdict[str, int] = defaultdict(int)
        self.poison = 0  # A batch with this chunk cannot be read.

    async def ask(self, **params: Any) -> dict[str, Any]:
        return await self.edge.call("edge.pull", hub_id=self.hub_id, **params)

    async def fetch(self) -> tuple[str, bytes]:
        """The name and the bytes of the next batch, waited for."""
        piece = await self.ask(wait_seconds=10)
        name, wire = piece["name"], b64decode(piece["wire"])
        while len(wire) < piece["size_bytes"]:
            more = await self.ask(name=name, offset=len(wire))
            wire += b64decode(more["wire"])
        return name, wire

    def take_in(self, wire: bytes) -> PushReply:
        chunks = read_batch(wire).chunks
        epoch = chunks[0].header.epoch
        outcomes = tuple(self._judge(chunk) for chunk in chunks)
        return self.reply(epoch, outcomes)

    def _judge(self, chunk: Chunk) -> ChunkOutcome:
        seq, hashes = chunk.header.seq, self.hashes[chunk.header.epoch]
        if self.refuses(chunk):
            return ChunkOutcome(seq, Outcome.REJECTED, "bad_taste")
        if seq in hashes:
            return ChunkOutcome(seq, Outcome.DUPLICATE)
        hashes[seq] = chunk.hash
        self.records[chunk.header.signal] += chunk.header.records
        return ChunkOutcome(seq, Outcome.ACCEPTED)

    def reply(self, epoch: str, outcomes: tuple[ChunkOutcome, ...] = ()) -> PushReply:
        hashes = self.hashes[epoch]
        have = of_seqs(hashes)
        proofs = [(last, hashes[last].hex()) for _, last in have.spans]
        receipt = Receipt("batch", "edge-1", epoch, outcomes)
        return PushReply(self.hub_id, receipt, have.to_wire(), have.to_wire(), proofs)

    async def confirm(self, name: str, reply: PushReply) -> dict[str, Any]:
        return await self.answer(name, status=200, reply=msgspec.to_builtins(reply))

    async def answer(self, name: str, **told: Any) -> dict[str, Any]:
        return await self.edge.call("edge.pull.confirm", hub_id=self.hub_id, name=name, **told)

    async def run(self) -> None:
        """Fetch for ever."""
        while True:
            name, wire = await self.fetch()
            if name and self.poison in [chunk.header.seq for chunk in read_batch(wire).chunks]:
                await self.answer(name, status=400, reason="poison")
            elif name:
                await self.confirm(name, self.take_in(wire))


@asynccontextmanager
async def offering(folder: Path, runtime: Runtime, *hub_ids: str) -> AsyncIterator[Edge]:
    buffer = await Buffer.open(folder, "edge-1", runtime, BufferLimits())
    edge = Edge(buffer, runtime, hub_ids)
    loops = [buffer.run(), edge.shipper.run(), edge.shipper.sweep()]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield edge
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        buffer.close()


@asynccontextmanager
async def at_work(*hubs: Hub) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(hub.run()) for hub in hubs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in results), results


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.005)
