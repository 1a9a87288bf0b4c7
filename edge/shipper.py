"""Carries out the push conversation: reads chunks, sends them, and changes the log as it says.

The bytes of a batch are built once, before its first attempt, and stay the same until hubs have
judged them. While some batches are on their way the next is read from disk.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from edge import lineage
from edge.batch import PushLimits, take_push
from edge.conversation import Conversation
from edge.halving import halve
from edge.hubs import Hubs, HubView
from edge.lanes import LaneLimits
from edge.lineage import Claim
from edge.own_hashes import HashedLog, OwnHashes
from edge.push import (
    Bury,
    Item,
    NewEpoch,
    Next,
    Send,
    Split,
    Step,
    Stock,
    Taken,
    Turned,
    Verdict,
    Wait,
    judge_status,
)
from shared.backoff import Backoff
from shared.envelope import CHUNKS_MAX, MEDIA_TYPE, write_batch
from shared.errors import BadInput, Unavailable, Unreachable
from shared.ranges import Ranges, of_seqs
from shared.receipt import PushReply, read_reply
from shared.records import Chunk, Part
from shared.runtime import HttpClient, HttpReply, Runtime
from shared.tasks import Bell, repeat

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 2.0  # Nothing should need this; a loop that looks now and then survives more.
SWEEP_SECONDS = 0.5  # Deleting in larger lots costs less than deleting with every answer.


class Log(HashedLog, Protocol):
    """What the shipper needs of the buffer."""

    appended: Bell

    @property
    def seqs(self) -> Ranges: ...
    @property
    def alerts(self) -> Ranges: ...
    async def read(self, wanted: Ranges, bytes_max: int, chunks_max: int) -> list[Chunk]: ...
    async def release(self, safe: Ranges) -> None: ...
    async def bury(self, seq: int, reason: str) -> None: ...
    async def split(self, seq: int, parts: Sequence[Part]) -> None: ...
    async def new_epoch(self, reason: str, keep: Ranges) -> None: ...


@dataclass(frozen=True, slots=True)
class Cargo:
    """A batch as it travels, whatever the number of attempts."""

    wire: bytes
    items: tuple[Item, ...]


class Shipper:
    """Keep `run` and `sweep` running; `hurry` skips waits, as a drain wants."""

    def __init__(
        self,
        log_: Log,
        hubs: Hubs,
        client: HttpClient,
        runtime: Runtime,
        headers: dict[str, str],
        *,
        limits: PushLimits | None = None,
        backoff: Backoff | None = None,
        lane_limits: LaneLimits | None = None,
    ) -> None:
        self._log = log_
        self.hubs = hubs
        self._client = client
        self._runtime = runtime
        self._headers = {**headers, "content-type": MEDIA_TYPE}
        self._limits = limits or PushLimits()
        self._talk = Conversation(hubs, runtime.rng, limits, backoff, lane_limits)
        self._own = OwnHashes(log_)
        self._cargo: dict[int, Cargo] = {}
        self._swept = Bell()
        self._turn = asyncio.Lock()  # What is safe in one life of the log says nothing of the next.
        self.last_error = ""
        self.pushed_chunks = self.pushed_records = self.pushed_bytes = 0
        self.verdicts: Counter[Next] = Counter()
        self.settled: Counter[str] = Counter()
        hubs.on_news = self._wake

    def _wake(self) -> None:
        self._log.appended.ring()

    def hurry(self) -> None:
        """Push now: end all waits but those that a hub asked for."""
        self._talk.hurry(asyncio.get_running_loop().time())
        self._wake()

    def pending(self) -> Ranges:
        """What the hub we would push to does not have yet and nobody calls safe."""
        self._observe()
        return self._talk.pending(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Push for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._weigh_claims()
                self._observe()
                now = asyncio.get_running_loop().time()
                await self._carry_out(self._talk.next_step(now), now, tasks)

    def _observe(self) -> None:
        held = self._log
        if held.epoch != self._talk.stock.epoch:
            self._own.forget()
        self._talk.observe(Stock(held.epoch, held.totals.head_seq, held.seqs, held.alerts))

    # ---- steps

    async def _carry_out(self, step: Step, now: float, tasks: asyncio.TaskGroup) -> None:
        try:
            match step:
                case Wait(until):
                    seconds = LOOK_AGAIN_SECONDS if until is None else until - now
                    await self._log.appended.wait(min(seconds, LOOK_AGAIN_SECONDS))
                case Send():
                    await self._send(step, tasks)
                case Split(seq, reason):
                    await self._split(seq, reason)
                case Bury(seq, reason):
                    await self._log.bury(seq, reason)
                    self.settled["dead_letter"] += 1
                    self._talk.on_settled(seq)
                case NewEpoch():
                    await self._begin_life(step)
        except Unavailable as error:
            # There is no room to note what became of a chunk. It will be pushed again, and judged
            # as it was now.
            self._set_back(error)
        self._tell()

    def _set_back(self, error: Unavailable) -> None:
        now = asyncio.get_running_loop().time()
        self._talk.on_setback(now, error.retry_after_seconds, str(error))

    def _tell(self) -> None:
        error = self._talk.last_error
        if error and error != self.last_error:
            log.warning("push: %s", error)
        self.last_error = error

    async def _send(self, step: Send, tasks: asyncio.TaskGroup) -> None:
        cargo = self._cargo.get(step.batch)
        if cargo is None:
            cargo = await self._load(step)
        seconds_max = self._talk.on_read(step.batch, cargo.items, asyncio.get_running_loop().time())
        if seconds_max is not None:
            kept = {**self._cargo, step.batch: cargo}
            self._cargo = {
                number: each for number, each in kept.items() if self._talk.batches.get(number)
            }
            tasks.create_task(self._push(step, cargo, seconds_max))

    async def _load(self, step: Send) -> Cargo:
        try:
            chunks_max = min(self._limits.chunks_max, CHUNKS_MAX)
            chunks = await self._log.read(step.wanted, step.bytes_max, chunks_max)
        except Unavailable as error:
            self._set_back(error)
            return Cargo(b"", ())
        limits = PushLimits(step.bytes_max, chunks_max)
        chunks = chunks[: take_push([len(chunk.body) for chunk in chunks], limits)]
        if not chunks or chunks[0].header.epoch != self._talk.stock.epoch:
            return Cargo(b"", ())
        self._own.note(chunks)
        return Cargo(write_batch(chunks), tuple(_item(chunk) for chunk in chunks))

    async def _split(self, seq: int, reason: str) -> None:
        found = await self._log.read(of_seqs([seq]), 1, 1)
        try:
            for chunk in found:
                parts = await self._runtime.offload(partial(halve, chunk))
                log.warning("push: hubs refuse chunk %d, it is cut in two: %s", seq, reason)
                await self._log.split(seq, parts)
                self.settled["split"] += 1
        except BadInput as error:
            log.warning("push: hubs refuse chunk %d, and it cannot be cut: %s", seq, error)
            self._talk.on_whole(seq)
            return
        self._talk.on_settled(seq)

    async def _begin_life(self, step: NewEpoch) -> None:
        async with self._turn:
            log.error("push: the log begins a new life: %s", step.reason)
            self.hubs.forget_log()
            await self._log.new_epoch(step.reason, step.keep)
            self.settled["new_epoch"] += 1

    # ---- pushes

    async def _push(self, step: Send, cargo: Cargo, seconds_max: float) -> None:
        loop = asyncio.get_running_loop()
        epoch, asked_at = self._talk.stock.epoch, loop.time()
        view = self.hubs.views.get(step.hub_url)
        answer = await self._ask(step.hub_url, cargo.wire, seconds_max)
        now = loop.time()
        self.verdicts[answer.next if isinstance(answer, Verdict) else Next.DONE] += 1
        if isinstance(answer, Verdict):
            self._talk.on_reply(Turned(step.batch, answer, now - asked_at), now)
        else:
            if view is not None:  # First, so that a new life begins with all that is proven.
                await self.weigh(view, _claim_of(answer, epoch, asked_at))
            self._take(step.batch, cargo, answer, now - asked_at)
            self._swept.ring()
        if self._talk.batches.get(step.batch) is None:
            self._cargo.pop(step.batch, None)
        self._tell()
        self._wake()

    async def _ask(self, url: str, wire: bytes, seconds_max: float) -> "PushReply | Verdict":
        try:
            reply = await self._client.request(
                "POST",
                f"{url}/edge/batches",
                body=wire,
                headers=self._headers,
                timeout_seconds=seconds_max,
            )
        except Unreachable as error:
            return Verdict(Next.NEXT_HUB, str(error), was_sent=error.sent)
        except BadInput as error:
            return Verdict(Next.BACK_OFF, f"{url}: {error}")
        return self._read(url, reply)

    def _read(self, url: str, reply: HttpReply) -> "PushReply | Verdict":
        seconds = self._runtime.wall_ms() / 1000
        verdict = judge_status(reply.status, reply.headers, reply.body, seconds)
        if verdict.next is not Next.DONE:
            return verdict
        try:
            answer = read_reply(reply.body)
            _claim_of(answer, "", 0.0)  # Read whole before any of it is believed.
        except BadInput as error:
            return Verdict(Next.BACK_OFF, f"{url}: {error}")
        return answer

    def _take(self, number: int, cargo: Cargo, answer: PushReply, seconds: float) -> None:
        outcomes, credit = answer.receipt.outcomes, answer.credit_bytes_per_s
        now = asyncio.get_running_loop().time()
        self._talk.on_reply(Taken(number, outcomes, seconds, credit), now)
        held = {outcome.seq for outcome in outcomes if outcome.held}
        arrived = [item for item in cargo.items if item.seq in held]
        self.pushed_chunks += len(arrived)
        self.pushed_records += sum(item.records for item in arrived)
        self.pushed_bytes += sum(item.stored_bytes for item in arrived)

    # ---- what hubs say that they hold

    async def _weigh_claims(self) -> None:
        for view in [*self.hubs.views.values()]:
            claim, view.claim = view.claim, None
            if claim is not None:
                await self.weigh(view, claim)

    async def weigh(self, view: HubView, claim: Claim) -> None:
        """Believe of a hub's claim what this log can prove; waits for our own hashes."""
        self._observe()
        try:
            own = await self._own.look_up(lineage.to_look_up(claim, self._log.totals.head_seq))
        except Unavailable as error:
            self._set_back(error)
            return
        self._observe()
        if self._talk.on_claim(view, claim, own, asyncio.get_running_loop().time()):
            log.warning("push: %s has lost what it had of this log", view.url)

    async def sweep(self) -> None:
        """Let the buffer forget what is safe, for ever."""
        await repeat("forgetting what is safe", self._sweep_once, self._runtime.rng)

    async def _sweep_once(self) -> float:
        async with self._turn:
            safe = self.hubs.safe() & self._log.seqs
            if safe:
                await self._log.release(safe)
        await self._swept.wait(SWEEP_SECONDS)
        return SWEEP_SECONDS


def _item(chunk: Chunk) -> Item:
    return Item(chunk.header.seq, chunk.header.records, len(chunk.body))


def _claim_of(answer: PushReply, epoch: str, asked_at: float) -> Claim:
    return lineage.read_claim(epoch, asked_at, answer.have, answer.safe, answer.proofs)
