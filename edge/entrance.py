"""The way into the buffer: who is refused, who leaves for whom, and what shares a chunk and a commit.

Appending returns after the commit. One group is committed at a time; what arrives meanwhile shares
the next commit and, where it is of one kind, the next chunk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge import chunk_table
from edge.books import Books
from edge.capacity import BufferLimits
from edge.departures import Departures
from edge.log_store import LogStore
from edge.quota import Quota, admit
from edge.reserve import FreeSpace
from shared.errors import BufferFull, Unavailable
from shared.receive.gather import Packed, join_parts
from shared.receive.intake import Intake, Waiting
from shared.receive.pack import pack
from shared.records import Checkpoint, Part, Signal
from shared.runtime import Runtime
from shared.sums import Sum

RETRY_AFTER_SECONDS = 5.0


@dataclass(slots=True)
class Entrance:
    """Takes parts into the books of one log. Keep `run` running, append."""

    store: LogStore
    departures: Departures
    origin: str
    runtime: Runtime
    limits: BufferLimits
    free: FreeSpace
    on_kept: Callable[[int, Sequence[Packed]], None]
    """Hears of every commit: the number of its first chunk, and all of them."""
    quota: Quota = field(init=False)
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.quota = self.limits.quota
        self.intake = Intake(self.limits.gather, self.limits.waiting_bytes_max)

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Keep a part and its checkpoint; returns after the commit. Raises BufferFull."""
        self._refuse_when_full(part)
        await self.intake.add(part, checkpoint)

    def _refuse_when_full(self, part: Part) -> None:
        if self.free.bytes_at(asyncio.get_running_loop().time()) < self.limits.disk_reserve_bytes:
            raise BufferFull("the disk of the buffer is almost full", RETRY_AFTER_SECONDS)
        # Waiting bytes are not compressed yet, so this errs on the side of refusing early.
        coming = self.intake.total_bytes + len(part.body)
        if self.store.held_bytes + coming <= self.quota.easy_bytes:
            return
        used = self._used_bytes()
        for signal, waiting in self.intake.bytes.items():
            used[signal] += waiting
        admission = admit(used, part.signal, len(part.body), self.quota)
        if not admission.admitted:
            raise BufferFull(admission.reason, RETRY_AFTER_SECONDS)

    def _used_bytes(self) -> dict[Signal, int]:
        held = self.store.held
        return {signal: held.get(signal, Sum()).stored_bytes for signal in Signal}

    async def run(self) -> None:
        """Commit what is appended, for ever.

        One group is compressed while the one before it is on its way to the disk.
        """
        committing: asyncio.Task[None] | None = None
        try:
            while True:
                group = await self.intake.next_group()
                packed = await self._pack(group)
                if committing is not None:
                    await committing
                committing = asyncio.ensure_future(self._commit(group, packed))
        finally:
            if committing is not None:
                await asyncio.gather(committing, return_exceptions=True)

    async def _pack(self, group: Sequence[Waiting]) -> list[Packed]:
        joined = join_parts((waiting.part for waiting in group), self.limits.gather)
        created_ms = self.runtime.wall_ms()
        packed: list[Packed] = await self.runtime.offload(
            lambda: [pack(each, created_ms) for each in joined]
        )
        return packed

    async def _commit(self, group: Sequence[Waiting], packed: Sequence[Packed]) -> None:
        checkpoints = [waiting.checkpoint for waiting in group if waiting.checkpoint]

        def work(connection: sqlite3.Connection, books: Books) -> Books:
            return chunk_table.store(connection, books, self.origin, packed, checkpoints)

        before = self.store.books.totals.head_seq
        try:
            await self._make_room(packed)
            await self.store.change(work)
        except (Unavailable, sqlite3.Error) as error:
            self.intake.settle(group, BufferFull(_reason(error), RETRY_AFTER_SECONDS))
            return
        self.intake.settle(group, None)
        self.on_kept(before + 1, packed)

    async def _make_room(self, packed: Sequence[Packed]) -> None:
        used = self._used_bytes()
        for each in packed:
            signal = Signal(each.signal)
            admission = admit(used, signal, len(each.body), self.quota)
            for victim, bytes_min in admission.shed:
                used[victim] -= await self._shed(victim, bytes_min)
            used[signal] += len(each.body)

    async def _shed(self, victim: Signal, bytes_min: int) -> int:
        shed_bytes = 0
        while shed_bytes < bytes_min:
            freed = await self.departures.shed(victim, bytes_min - shed_bytes)
            if not freed:
                break
            shed_bytes += freed
        return shed_bytes

    def close(self) -> None:
        """What was appended and not yet committed fails with BufferFull."""
        self.intake.close(BufferFull("the edge is stopping", RETRY_AFTER_SECONDS))


def _reason(error: Unavailable | sqlite3.Error) -> str:
    return str(error) if isinstance(error, Unavailable) else f"cannot write the buffer: {error}"
