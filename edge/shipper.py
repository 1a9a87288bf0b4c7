"""Pushes what the buffer holds to one hub after another until it is accepted, and forgets what is safe.

A batch is sealed into bytes before its first attempt and stays the same bytes until a hub answers.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from edge.batch import PushLimits, take_push
from edge.hubs import Hubs, HubView, answered, failed
from edge.push import Next, Verdict, halves, judge_status
from shared.backoff import Backoff, TryAgain, retrying
from shared.envelope import MEDIA_TYPE, write_batch
from shared.errors import BadInput, Unavailable, Unreachable
from shared.ranges import Ranges, from_wire
from shared.receipt import PushReply, read_reply
from shared.records import Chunk
from shared.runtime import HttpClient, Runtime
from shared.tasks import Bell, repeat

log = logging.getLogger(__name__)

PUSH_SECONDS_MAX = 30.0
LOOK_AGAIN_SECONDS = 2.0
SWEEP_SECONDS = 0.5  # Deleting in larger lots costs less than deleting with every answer.


class Log(Protocol):
    """What the shipper needs of the buffer."""

    appended: Bell

    @property
    def epoch(self) -> str: ...
    @property
    def seqs(self) -> Ranges: ...
    async def read(self, wanted: Ranges, bytes_max: int, chunks_max: int) -> list[Chunk]: ...
    async def release(self, safe: Ranges) -> None: ...
    async def bury(self, seq: int, reason: str) -> None: ...


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
    ) -> None:
        self._log = log_
        self._hubs = hubs
        self._client = client
        self._runtime = runtime
        self._headers = {**headers, "content-type": MEDIA_TYPE}
        self._limits = limits or PushLimits()
        self._backoff = backoff or Backoff()
        self._hurry = Bell()
        self._swept = Bell()
        self.last_error = ""
        self.pushed_chunks = self.pushed_records = self.pushed_bytes = 0

    def hurry(self) -> None:
        """Push now: end a wait between attempts, or the wait for more to push together."""
        self._hurry.ring()
        self._log.appended.ring()

    async def run(self) -> None:
        """Push for ever."""
        while True:
            pending = self.pending()
            if not pending:
                # Look again now and then: another hub may have become the one to push to.
                if await self._log.appended.wait(LOOK_AGAIN_SECONDS):
                    await self._linger()
            else:
                await self._push_some_or_wait(pending)

    async def _push_some_or_wait(self, pending: Ranges) -> None:
        try:
            await self._push_some(pending)
        except Unavailable as error:
            # There is no room to note what became of a chunk. It will be pushed again, and judged
            # as it was now.
            self._tell(TryAgain(str(error)), error.retry_after_seconds)
            await self._wait(error.retry_after_seconds)

    async def _linger(self) -> None:
        """Give more data a moment to arrive, so that a push is worth its request."""
        await self._hurry.wait(self._limits.linger_seconds)

    def pending(self) -> Ranges:
        """What the hub we would push to does not have yet and nobody calls safe."""
        view = self._best()
        have = view.have if view else Ranges()
        return self._log.seqs - have - self._hubs.safe()

    def _best(self) -> HubView | None:
        order = self._hubs.order(asyncio.get_running_loop().time())
        return order[0] if order else None

    async def _push_some(self, pending: Ranges) -> None:
        chunks = await self._log.read(pending, self._limits.bytes_target, self._limits.chunks_max)
        count = take_push([len(chunk.body) for chunk in chunks], self._limits) if chunks else 0
        if count:
            await self._deliver(chunks[:count])
        else:  # Released since we looked; look again after the others had their turn.
            await asyncio.sleep(0)

    async def _deliver(self, chunks: Sequence[Chunk]) -> None:
        """Push until a hub has answered for each chunk; a batch that hubs refuse is cut in two."""
        wire = write_batch(chunks)
        policy = retrying(self._runtime.rng, self._backoff, self._wait, self._tell)
        verdict: Verdict = await policy(self._try_hubs, wire)
        self.last_error = ""
        if verdict.next is not Next.SPLIT:
            self._count(chunks)
        elif len(chunks) == 1:
            await self._log.bury(chunks[0].header.seq, verdict.reason)
        else:
            first, _ = halves(len(chunks))
            await self._deliver(chunks[:first])
            await self._deliver(chunks[first:])

    def _count(self, chunks: Sequence[Chunk]) -> None:
        self.pushed_chunks += len(chunks)
        self.pushed_records += sum(chunk.header.records for chunk in chunks)
        self.pushed_bytes += sum(len(chunk.body) for chunk in chunks)

    async def _wait(self, seconds: float) -> None:
        await self._hurry.wait(seconds)

    def _tell(self, error: TryAgain, seconds: float) -> None:
        if self.last_error != str(error):
            log.warning("push: %s; next attempt in %.1f s", error, seconds)
        self.last_error = str(error)

    async def _try_hubs(self, wire: bytes) -> Verdict:
        """One attempt: every hub in order until one takes or refuses the batch; raises TryAgain."""
        last = Verdict(Next.WAIT, "no hub is known")
        for view in self._hubs.order(asyncio.get_running_loop().time()):
            last = await self._try_hub(view, wire)
            if last.next in (Next.DONE, Next.SPLIT):
                return last
        raise TryAgain(last.reason, last.retry_after_seconds)

    async def _try_hub(self, view: HubView, wire: bytes) -> Verdict:
        loop = asyncio.get_running_loop()
        try:
            reply = await self._client.request(
                "POST",
                f"{view.url}/edge/batches",
                body=wire,
                headers=self._headers,
                timeout_seconds=PUSH_SECONDS_MAX,
            )
            verdict = judge_status(
                reply.status, reply.headers, reply.body, self._runtime.wall_ms() / 1000
            )
            if verdict.next is Next.DONE:
                await self._accept(view, read_reply(reply.body))
                return verdict
        except (Unreachable, BadInput) as error:
            verdict = Verdict(Next.NEXT_HUB, str(error))
        if verdict.next is not Next.SPLIT:
            failed(view, loop.time(), verdict.reason, verdict.retry_after_seconds or 5.0)
        return verdict

    async def _accept(self, view: HubView, reply: PushReply) -> None:
        """Take note of a receipt: what the hub holds, and what it refuses for good."""
        now = asyncio.get_running_loop().time()
        answered(view, now, from_wire(reply.have), from_wire(reply.safe))
        for outcome in reply.receipt.outcomes:
            if not outcome.held:
                await self._log.bury(outcome.seq, outcome.reason)
        self._swept.ring()

    async def sweep(self) -> None:
        """Let the buffer forget what is safe, for ever."""
        await repeat("forgetting what is safe", self._sweep_once, self._runtime.rng)

    async def _sweep_once(self) -> float:
        await self._log.release(self._hubs.safe())
        await self._swept.wait(SWEEP_SECONDS)
        return SWEEP_SECONDS
