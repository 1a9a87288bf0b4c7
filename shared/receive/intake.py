"""Parts that wait for their commit: bounded, gathered for a moment when there are many."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import BufferFull, Unavailable
from shared.receive.gather import GatherLimits, take_group
from shared.records import Checkpoint, Part, Signal
from shared.tasks import Bell


@dataclass(slots=True)
class Waiting:
    """One part on its way to the disk, and who waits for it."""

    part: Part
    checkpoint: Checkpoint | None
    future: "asyncio.Future[None]"
    arrived_at: float


class Intake:
    """The queue in front of the disk. One consumer takes groups; each group becomes one commit."""

    def __init__(self, limits: GatherLimits, bytes_max: int) -> None:
        self._limits = limits
        self._bytes_max = bytes_max
        self._queue: list[Waiting] = []
        self._queued_bytes = 0
        self._arrived = Bell()
        self._enough = Bell()
        self._expected_parts = 1
        self.bytes = dict.fromkeys(Signal, 0)
        """What waits or is being committed, by signal, uncompressed."""
        self.total_bytes = 0
        """The sum of that."""
        self.commits = self.committed_parts = 0

    def add(self, part: Part, checkpoint: Checkpoint | None) -> "asyncio.Future[None]":
        """Queue a part; the future is done after its commit. Raises BufferFull."""
        if self.total_bytes + len(part.body) > self._bytes_max:
            raise BufferFull("too much data waits for the disk", 1.0)
        loop = asyncio.get_running_loop()
        waiting = Waiting(part, checkpoint, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self.bytes[part.signal] += len(part.body)
        self.total_bytes += len(part.body)
        self._queued_bytes += len(part.body)
        self._arrived.ring()
        if self._has_enough():
            self._enough.ring()
        return waiting.future

    async def next_group(self) -> list[Waiting]:
        """The parts of the next commit, at least one, in the order in which they came."""
        while not self._queue:
            await self._arrived.wait()
        await self._linger()
        count = take_group([waiting.part for waiting in self._queue], self._limits)
        group, self._queue = self._queue[:count], self._queue[count:]
        self._queued_bytes -= sum(len(waiting.part.body) for waiting in group)
        self._expected_parts = count
        return group

    async def _linger(self) -> None:
        """Wait a moment for more, but only when there were many a moment ago.

        Whoever sends one thing at a time gets it committed at once.
        """
        deadline = self._queue[0].arrived_at + self._limits.linger_seconds
        clock = asyncio.get_running_loop().time
        while not self._has_enough() and (left := deadline - clock()) > 0:
            await self._enough.wait(left)

    def _has_enough(self) -> bool:
        return (
            len(self._queue) >= self._expected_parts
            or self._queued_bytes >= self._limits.bytes_enough
        )

    def settle(self, group: Sequence[Waiting], error: Unavailable | None) -> None:
        """Tell those who wait that their group is on the disk, or why it is not."""
        if error is None:
            self.commits += 1
            self.committed_parts += len(group)
        for waiting in group:
            self.bytes[waiting.part.signal] -= len(waiting.part.body)
            self.total_bytes -= len(waiting.part.body)
            if waiting.future.done():
                continue
            if error is not None:
                waiting.future.set_exception(error)
            else:
                waiting.future.set_result(None)

    def close(self, error: Unavailable) -> None:
        """Turn away what has not been taken yet."""
        group, self._queue, self._queued_bytes = self._queue, [], 0
        self.settle(group, error)
