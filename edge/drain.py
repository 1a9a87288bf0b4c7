"""Draining: push everything that is in the buffer now, and say truly whether it arrived."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from edge.buffer import BufferState
from edge.hubs import Hubs
from shared.ranges import Ranges

POLL_SECONDS = 0.1
NUDGE_SECONDS = 0.5


class Pusher(Protocol):
    """What a drain needs of the shipper."""

    last_error: str
    pushed_chunks: int
    pushed_records: int
    pushed_bytes: int

    def hurry(self) -> None: ...


class Beats(Protocol):
    """What a drain needs of the heartbeats: their answers say what is safe."""

    def beat_now(self) -> None: ...


class Holder(Protocol):
    """What a drain needs of the buffer."""

    @property
    def seqs(self) -> Ranges: ...
    def state(self) -> BufferState: ...
    async def release(self, safe: Ranges) -> None: ...
    async def measure(self, seqs: Ranges) -> tuple[int, int]: ...


@dataclass(slots=True)
class Drain:
    """Drains on demand. Several may run at once; each waits for what was there when it began."""

    buffer: Holder
    hubs: Hubs
    pusher: Pusher
    beats: Beats

    async def run(self, deadline_seconds: float) -> dict[str, Any]:
        """Push until all that was buffered at the start is safe, at most `deadline_seconds`.

        Returns a verdict: `drained` (safe to power off), or `incomplete` with what is left and why.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        goal = self.buffer.seqs
        before = (self.pusher.pushed_chunks, self.pusher.pushed_records, self.pusher.pushed_bytes)
        nudged_at = began - NUDGE_SECONDS
        while (left := self._left(goal)) and loop.time() - began < deadline_seconds:
            if loop.time() - nudged_at >= NUDGE_SECONDS:
                nudged_at = loop.time()
                self.pusher.hurry()
                self.beats.beat_now()
            await asyncio.sleep(POLL_SECONDS)
        await self.buffer.release(self.hubs.safe())
        return await self._verdict(left, before, loop.time() - began)

    def _left(self, goal: Ranges) -> Ranges:
        return (goal & self.buffer.seqs) - self.hubs.safe()

    async def _verdict(
        self, left: Ranges, before: tuple[int, int, int], seconds: float
    ) -> dict[str, Any]:
        records, stored_bytes = await self.buffer.measure(left)
        dead_letters = self.buffer.state().dead_letters
        return {
            "verdict": "incomplete" if left else "drained",
            "safe_to_power_off": not left,
            "left": {"chunks": left.count, "records": records, "bytes": stored_bytes},
            "pushed": {
                "chunks": self.pusher.pushed_chunks - before[0],
                "records": self.pusher.pushed_records - before[1],
                "bytes": self.pusher.pushed_bytes - before[2],
            },
            "dead_letters": dead_letters,
            "reason": self._reason(left),
            "seconds": round(seconds, 3),
        }

    def _reason(self, left: Ranges) -> str:
        if not left:
            return "everything that was buffered is on enough hubs"
        unsent = left - self.hubs.accepted()
        if not unsent:
            return f"{left.count} chunks are on one hub, but not yet on as many as wanted"
        why = self.pusher.last_error or "the deadline came first"
        return f"{unsent.count} chunks have not reached any hub: {why}"
