"""Looks after the day files: mends those that give errors, and reads all of them now and then."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from hub.store import healing, mend
from hub.store.chunks import ChunkStore
from hub.store.days import DAY_MS, DayKey, day_of, path_of
from hub.store.healing import Cure
from hub.store.mend import PAGE_CHUNKS, Diagnosis, Promise, Wanting
from hub.store.repair import Repair
from shared.errors import Unavailable
from shared.ranges import SEQ_MAX, Ranges
from shared.runtime import Runtime
from shared.sums import Sum

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_ALL = Ranges(((1, SEQ_MAX),))
Tell = Callable[[str, Mapping[str, Any]], None]

LOOK_SECONDS = 1.0
GIVE_UP_MS = DAY_MS  # A hub that was away for the night may still have what is lost here.
SCRUB_PAUSE_SECONDS = 2.0  # With 128 chunks in between: some 3 MB a second at most.
SCRUB_DAYS = 7  # Every byte is read once a week; disks that decay are slower than that.


@dataclass(slots=True)
class Mender:
    """The care for the files of one hub. `repeat` its steps."""

    hub_id: str
    store: ChunkStore
    runtime: Runtime
    tell: Tell
    sweep_soon: Callable[[], None]
    counters: Counter[str]
    wanting: list[Wanting] = field(default_factory=list)
    _scrubbed_ms: dict[DayKey, int] = field(default_factory=dict)
    _scrubbing: DayKey | None = None
    _scrubbed_to: int = 0

    async def open(self) -> None:
        """Take up what was wanting, and look whether every day file is there and opens."""
        self.wanting = await self.store.reading(mend.wanting)
        for key, newest_arrival in (await self._days()).items():
            path = path_of(self.store.files.folder, key.day, key.signal)
            reason = await self.runtime.offload(partial(mend.first_fault, path, newest_arrival))
            if reason:
                self.store.suspect(key, reason)

    async def _days(self) -> dict[DayKey, int]:
        """All day files, oldest first, with the newest arrival in each."""

        def read(connection: sqlite3.Connection) -> dict[DayKey, int]:
            query = "SELECT day_number, signal, newest_arrival FROM day_sum ORDER BY 1, 2"
            rows = connection.execute(query)
            return {DayKey(day_of(row[0] * DAY_MS), row[1]): row[2] for row in rows}

        return await self.store.reading(read)

    # ---- mending

    async def step(self) -> float:
        """Mend what gave errors, and see what came back; returns when to look again."""
        while self.store.suspects:
            key = next(iter(self.store.suspects))
            await self._mend(key)
            self.store.suspects.pop(key, None)
        if self.wanting:
            await self._settle()
        await self.store.suspected.wait(LOOK_SECONDS if self.wanting else None)
        return 0.0

    async def _mend(self, key: DayKey) -> None:
        healed = await self._heal(key)
        found = await self._diagnose(key)
        if not found.broken and key not in self.store.files.writer.broken:
            if not healed:
                log.info("the day file %s is sound after all", key.file_name)
            return
        repair = Repair(self.store.files, key)
        await self.runtime.offload(repair.begin)
        try:
            while page := await self._promises(key, repair.reached):
                broken = await self.runtime.offload(partial(repair.copy, page))
                await self._strike(key, broken)
                repair.lost += len(broken)
            await self._write(repair.finish)
        finally:
            await self.runtime.offload(repair.close)
        await self._remove_index(key)
        self.wanting = await self.store.reading(mend.wanting)
        self._note(key, repair.sound, repair.lost)
        self.sweep_soon()

    async def _heal(self, key: DayKey) -> bool:
        """Put back what hub.db has lost of single chunks and the day file has; whether there was any."""
        after, healed, misled = 0, 0, False
        while page := await self._promises(key, after):
            after = page[-1].arrival
            ill = healing.damaged(page)
            if ill and (cures := await self._cures(key, ill)):
                healed += await self._write(partial(healing.put_back, found=cures))
                misled |= any(cure.misled for cure in cures)
        if misled:
            await self._remove_index(key)
        if healed:
            self._note_healed(key, healed)
        return healed > 0

    async def _cures(self, key: DayKey, ill: list[Promise]) -> list[Cure]:
        folder = self.store.files.folder
        found: list[Cure] = await self.runtime.offload(partial(healing.cures, folder, key, ill))
        return found

    async def _remove_index(self, key: DayKey) -> None:
        await self.runtime.offload(partial(mend.remove_index, self.store.files.folder, key))

    async def _diagnose(self, key: DayKey) -> Diagnosis:
        """The first broken page of a file, if it has one."""
        after = 0
        while page := await self._promises(key, after):
            found = await self._read(key, page)
            if found.broken:
                return found
            after = page[-1].arrival
        return Diagnosis()

    async def _read(self, key: DayKey, page: list[Promise]) -> Diagnosis:
        path = path_of(self.store.files.folder, key.day, key.signal)
        found: Diagnosis = await self.runtime.offload(lambda: mend.diagnose(path, page))
        return found

    async def _promises(self, key: DayKey, after: int) -> list[Promise]:
        return await self.store.reading(lambda db: mend.promises(db, key, after, PAGE_CHUNKS))

    async def _write(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return await self.store.files.database.write(job)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"a day file cannot be mended now: {error}", 5.0) from error

    async def _strike(self, key: DayKey, broken: list[Promise]) -> None:
        if broken:
            at_ms = self.runtime.wall_ms()
            struck = await self._write(lambda db: mend.strike(db, key, broken, at_ms))
            self.store.lose(struck, sum((each.sum for each in broken), Sum()))

    def _note(self, key: DayKey, restored: int, lost: int) -> None:
        self.counters["day_files_damaged"] += 1
        self.counters["chunks_damaged"] += lost
        log.error(
            "the day file %s was damaged: %d chunks are sound, %d are fetched from peers again",
            *(key.file_name, restored, lost),
        )
        self.tell(
            "store.damaged",
            {"day": key.day, "signal": key.signal, "sound_chunks": restored, "lost_chunks": lost},
        )

    def _note_healed(self, key: DayKey, chunks: int) -> None:
        self.counters["chunks_healed"] += chunks
        log.warning(
            "hub.db had damaged headers of %d chunks of %s: they are whole again, from the day file",
            *(chunks, key.file_name),
        )
        self.tell("store.healed", {"day": key.day, "signal": key.signal, "chunks": chunks})

    async def _settle(self) -> None:
        before = {each.key for each in self.wanting}
        known = self.wanting
        self.wanting = await self._write(lambda db: mend.settle(db, known, self.store.have))
        for key in before - {each.key for each in self.wanting}:
            log.warning("what the day file %s had lost is back", key.file_name)
            self.tell("store.refilled", {"day": key.day, "signal": key.signal})
        await self._give_up(self.runtime.wall_ms() - GIVE_UP_MS)

    async def _give_up(self, before_ms: int) -> None:
        """Say what no hub has brought for a day; it stays a hole in its log, which the ledger shows."""
        late = [each for each in self.wanting if each.at_ms < before_ms]
        if not late:
            return
        await self._write(lambda db: mend.settle(db, late, lambda key: _ALL))
        self.wanting = [each for each in self.wanting if each not in late]
        for each in late:
            origin, epoch = each.log_key
            self.counters["chunks_lost"] += each.seqs.count
            log.error("%d chunks of %s are lost: no hub has them", each.seqs.count, origin)
            self.tell(
                "store.lost",
                {
                    "day": each.key.day,
                    "signal": each.key.signal,
                    "node": origin,
                    "epoch": epoch,
                    "first_seq": each.seqs.first,
                    "last_seq": each.seqs.last,
                    "chunks": each.seqs.count,
                },
            )

    @property
    def chunks_wanting(self) -> int:
        """How many chunks that were here are lost and have not come back."""
        return sum(each.seqs.count for each in self.wanting)

    # ---- reading everything now and then

    async def scrub(self) -> float:
        """Read and check the next chunks; returns when to go on."""
        if self._scrubbing is None:
            self._scrubbing, self._scrubbed_to = await self._next_to_scrub(), 0
        key = self._scrubbing
        if key is None:
            return SCRUB_PAUSE_SECONDS * 30
        page = await self._promises(key, self._scrubbed_to)
        if not page:
            self._scrubbed_ms[key], self._scrubbing = self.runtime.wall_ms(), None
            return SCRUB_PAUSE_SECONDS
        self._scrubbed_to = page[-1].arrival
        found = await self._read(key, page)
        self.counters["chunks_scrubbed"] += len(page)
        if found.broken and key not in self.store.suspects:
            self.store.suspect(key, f"{len(found.broken)} of {len(page)} chunks are damaged")
        return SCRUB_PAUSE_SECONDS

    async def _next_to_scrub(self) -> DayKey | None:
        keys = await self._days()
        self._scrubbed_ms = {key: self._scrubbed_ms.get(key, 0) for key in keys}
        due_ms = self.runtime.wall_ms() - SCRUB_DAYS * DAY_MS
        due = [key for key, at_ms in self._scrubbed_ms.items() if at_ms < due_ms]
        return min(due, key=lambda key: self._scrubbed_ms[key], default=None)
