"""The hub's own log: what is sent straight to a hub, and what it says of itself, under its own name.

Its chunks are like those of any edge: numbered, chained by their hashes, kept by the same store,
replicated to the same peers. One commit is under way at a time; what comes meanwhile shares the next.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from hub.own_chain import Head, newest_epoch, seal_next, succeed
from hub.replicate import LogKey
from shared.errors import BufferFull, Unavailable
from shared.ranges import Ranges
from shared.receipt import ChunkOutcome
from shared.receive.gather import GatherLimits, Packed, join_parts
from shared.receive.intake import Intake, Waiting
from shared.receive.pack import pack
from shared.receive.sink import Overloaded
from shared.records import MIB, Chunk, Part
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_AFTER_SECONDS = 5.0


class Store(Protocol):
    """What the own log needs of the store of its hub."""

    @property
    def held(self) -> Mapping[LogKey, Ranges]: ...

    def have(self, key: LogKey) -> Ranges: ...

    async def proven(self, key: LogKey, mark: int = 0) -> tuple[Ranges, list[tuple[int, str]]]: ...

    async def keep(self, chunks: Sequence[Chunk], peer: str) -> tuple[ChunkOutcome, ...]: ...


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """How much may wait, and what one commit takes in."""

    waiting_bytes_max: int = (
        64 * MIB
    )  # One body of the largest size, or a second of many small ones.
    gather: GatherLimits = field(default_factory=GatherLimits)


def _takes_all() -> None:
    """Nothing is refused."""


async def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work, which is done to its end even when its caller is cancelled.

    Half a commit would leave nobody knowing where the log ends.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


class OwnLog:
    """The log of one hub. Keep `run` running, then append; `write` works at any time."""

    def __init__(
        self,
        hub_id: str,
        store_epoch: str,
        store: Store,
        runtime: Runtime,
        counters: Counter[str],
        check: Callable[[], None] = _takes_all,
        limits: OwnLimits | None = None,
    ) -> None:
        """`check` raises Unavailable while this hub takes in no data."""
        self.hub_id = hub_id
        self._store_epoch = store_epoch
        self._store = store
        self._runtime = runtime
        self._counters = counters
        self._check = check
        self._limits = limits or OwnLimits()
        self._intake = Intake(self._limits.gather, self._limits.waiting_bytes_max)
        self._turn = asyncio.Lock()
        self._head: Head | None = None
        self._refusal: Unavailable | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a commit is under way."""
        return self._turn.locked()

    @property
    def waiting_bytes(self) -> int:
        """What waits for its commit or is on its way, uncompressed."""
        return self._intake.total_bytes

    async def append(self, part: Part) -> None:
        """Keep a part together with what else comes now; returns after the commit.

        Raises Overloaded when too much waits, Unavailable when the hub cannot keep it.
        """
        self._check()
        if self._refusal is not None:
            raise self._refusal
        try:
            waiting = self._intake.add(part, None)
        except BufferFull as error:
            raise Overloaded(str(error), error.retry_after_seconds) from error
        await waiting

    async def write(self, parts: Sequence[Part]) -> None:
        """Keep these parts at once, whether `run` runs or not; raises Unavailable."""
        self._check()
        await finish(self._keep_all(parts))

    async def run(self) -> None:
        """Commit what is appended, for ever; what waits when this ends is refused."""
        self._refusal = None
        try:
            while True:
                await finish(self._commit(await self._intake.next_group()))
        finally:
            self._refusal = Unavailable("this hub is stopping", RETRY_AFTER_SECONDS)
            self._intake.close(self._refusal)

    async def _commit(self, group: Sequence[Waiting]) -> None:
        # Whatever ends this, no sender is left waiting.
        refusal: Unavailable | None = Unavailable("the hub could not keep this")
        try:
            await self._keep_all([waiting.part for waiting in group])
            refusal = None
        except Unavailable as error:
            refusal = error
        finally:
            self._intake.settle(group, refusal)

    async def _keep_all(self, parts: Sequence[Part]) -> None:
        created_ms = self._runtime.wall_ms()
        joined = join_parts(parts, self._limits.gather)
        packed: list[Packed] = await self._runtime.offload(
            lambda: [pack(each, created_ms) for each in joined]
        )
        async with self._turn:
            try:
                await self._chain(packed)
            except (Unavailable, sqlite3.Error) as error:
                self._counters["own_commits_failed"] += 1
                text = f"the hub cannot keep this now: {error}"
                raise Unavailable(text, RETRY_AFTER_SECONDS) from error
        self._counters["own_chunks"] += len(packed)
        self._counters["own_records"] += sum(each.records for each in packed)

    async def _chain(self, packed: Sequence[Packed]) -> None:
        head = self._head or await self._read_head()
        # Until the commit is known to have succeeded only the store knows where the log ends.
        self._head = None
        refused, head = await self._seal_and_keep(head, packed)
        if refused:
            refused, head = await self._seal_and_keep(self._after(head), refused)
        if refused:
            raise Unavailable("the store refuses the chunks of its own hub")
        self._head = head

    async def _seal_and_keep(
        self, head: Head, packed: Sequence[Packed]
    ) -> tuple[list[Packed], Head]:
        """Those that the store refused, and the end of the log."""
        chunks, end = seal_next(head, packed)
        outcomes = await self._store.keep(chunks, self.hub_id) if chunks else ()
        refused = [each for each, outcome in zip(packed, outcomes, strict=True) if not outcome.held]
        return refused, end

    def _after(self, head: Head) -> Head:
        """A hub that lost what its peers have can meet its own numbers again, with other bytes."""
        last = self._store.have((head.origin, head.epoch)).last
        following = succeed(replace(head, seq=last), self._store_epoch)
        log.error("the log %s is contradicted: going on as %s", head.epoch, following.epoch)
        self._counters["own_epochs"] += 1
        return following

    async def _read_head(self) -> Head:
        epochs = [epoch for origin, epoch in self._store.held if origin == self.hub_id]
        head = Head(self.hub_id, newest_epoch(self._store_epoch, epochs))
        while True:
            have, proofs = await self._store.proven((head.origin, head.epoch))
            if not have:
                return head
            digest = dict(proofs).get(have.last)
            if digest is not None:
                return replace(head, seq=have.last, hash=bytes.fromhex(digest))
            # What was dropped or damaged cannot be followed; what comes after it can still be told.
            head = succeed(replace(head, seq=have.last), self._store_epoch)
