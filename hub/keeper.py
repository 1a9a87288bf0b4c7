"""Keeps what the policy says and lets the rest go: looks at the day files, retires them, tells of it."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

from hub import params
from hub.describe import time_of_ms
from hub.replicate import SafeLedger
from hub.retention import KEEP_FOR_EVER, DayFile, Policy, Reason, expired, over_limit
from hub.store import dropped, retire
from hub.store.days import DayKey, day_of
from hub.store.dropped import DroppedDay
from hub.store.files import StoreFiles
from hub.store.retire import TakenOut
from shared.errors import Unavailable
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]
Tell = Callable[[str, Mapping[str, Any]], None]

LOOK_SECONDS = 300.0  # A day file lives for days; bytes grow by minutes.
LOOK_AGAIN_SECONDS = 30.0  # While the clock is doubted.


class Shelf(Protocol):
    """What the keeper needs of the chunk log."""

    @property
    def files(self) -> StoreFiles: ...
    @property
    def ledger(self) -> SafeLedger: ...

    async def reading(self, work: Job[Result]) -> Result:
        """Read something off the event loop."""
        ...

    def forget(self, taken: TakenOut) -> None:
        """Chunks are no longer here, though they still count as received."""
        ...


class ShowRetention(Struct, forbid_unknown_fields=True):
    """How many day files at most, of those that are here and of those that went."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


@dataclass(slots=True)
class Keeper:
    """The retention of one hub. `repeat` its `step`."""

    hub_id: str
    shelf: Shelf
    policies: Mapping[str, Policy]
    runtime: Runtime
    tell: Tell
    counters: Counter[str]
    is_clock_sound: Callable[[], bool] = lambda: True
    """Whether the day may be believed; see `retention.is_clock_sound`."""
    is_paused: bool = False
    over: dict[str, int] = field(default_factory=dict)
    """By how many bytes signals were over their limits when last looked at."""

    async def step(self) -> float:
        """Finish what a former life began, then let go of what is expired; returns when to look again.

        Raises Unavailable when the disk does not do what it should; the next step goes on.
        """
        for going in await self.shelf.reading(dropped.going_days):
            await self._retire(going)
        self._note_clock(self.is_clock_sound())
        if self.is_paused:
            return LOOK_AGAIN_SECONDS
        today = self._today()
        for file, reason in expired(await self._files(), self.policies, today):
            await self._retire(await self._choose(file, reason))
        self._note_over(over_limit(await self._files(), self.policies))
        return LOOK_SECONDS

    def _note_clock(self, is_sound: bool) -> None:
        was_paused, self.is_paused = self.is_paused, not is_sound
        if self.is_paused and not was_paused:
            log.info("nothing is let go while the clock of %s cannot be trusted", self.hub_id)
            self.tell("retention.paused", {"today": self._today()})

    def _today(self) -> str:
        return day_of(self.runtime.wall_ms())

    async def _files(self) -> list[DayFile]:
        safe_arrival = self.shelf.ledger.safe_arrival
        return await self.shelf.reading(lambda db: dropped.day_files(db, safe_arrival))

    async def _choose(self, file: DayFile, reason: Reason) -> DroppedDay:
        at_ms = self.runtime.wall_ms()
        return await self._write(lambda db: retire.choose(db, file, reason, at_ms))

    async def _write(self, job: Job[Result]) -> Result:
        return await self.shelf.files.database.write(job)

    async def _retire(self, going: DroppedDay) -> None:
        is_aside = False
        while not is_aside:
            await self._take_out(going)
            is_aside = await self._write(partial(self._set_aside, going.key))
        await self._off_the_disk(partial(retire.unlink, self.shelf.files.folder, going.key))
        self._note_gone(await self._write(lambda db: retire.finish(db, going)))

    async def _take_out(self, going: DroppedDay) -> None:
        """Take out all rows, a slice at a time, so that the writer is never held for long."""
        while (taken := await self._write(lambda db: retire.take_out(db, going))).seqs:
            self.shelf.forget(taken)
            await asyncio.sleep(0)

    def _set_aside(self, key: DayKey, connection: sqlite3.Connection) -> bool:
        files = self.shelf.files

        def leave(key: DayKey) -> None:
            files.writer.leave(key)
            files.readers.leave(key)

        return _in_our_words(lambda: retire.set_aside(connection, files.folder, key, leave))

    async def _off_the_disk(self, work: Callable[[], None]) -> None:
        await self.runtime.offload(lambda: _in_our_words(work))

    def _note_gone(self, gone: DroppedDay) -> None:
        self.counters["retention_days"] += 1
        self.counters["retention_chunks"] += gone.sum.chunks
        self.counters["retention_bytes"] += gone.sum.stored_bytes
        self.tell("retention.dropped", _described(gone))
        text = "dropped %s of %s for its %s: %d chunks, %d records, %d bytes%s"
        sums = (gone.sum.chunks, gone.sum.records, gone.sum.stored_bytes)
        copies = "" if gone.is_safe else ", not all of them on enough hubs"
        log.info(text, gone.key.signal, gone.key.day, gone.reason, *sums, copies)

    def _note_over(self, over: dict[str, int]) -> None:
        for signal in sorted(over.keys() - self.over.keys()):
            kept = self.policies.get(signal, KEEP_FOR_EVER)
            limit_bytes = kept.stored_bytes
            told = {"signal": signal, "over_bytes": over[signal], "limit_bytes": limit_bytes}
            self.tell("retention.over_limit", told)
            text = "%s are %d bytes over their limit: the rest is of today or waits for its copies"
            log.warning(text, signal, over[signal])
        self.over = over

    # ---- for people

    async def show(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What this hub keeps, by day and signal, and what it has let go of: limit."""
        asked = params.read(ShowRetention, raw)
        files = await self._files()
        went = await self.shelf.reading(lambda db: dropped.dropped_days(db, asked.limit))
        return {
            "hub": self.hub_id,
            "today": self._today(),
            "paused": self.is_paused,
            "policy": {
                signal: {"days": policy.days, "bytes": policy.stored_bytes}
                for signal, policy in sorted(self.policies.items())
            },
            "signals": _sums(files, self.over),
            "files": [_file(each) for each in files[: -asked.limit - 1 : -1]],
            "files_total": len(files),
            "dropped": [_described(each) for each in went],
        }


def _in_our_words(work: Callable[[], Result]) -> Result:
    """Raises Unavailable when the file system says no."""
    try:
        return work()
    except OSError as error:
        raise Unavailable(f"a day file cannot be removed: {error}") from error


def _sums(files: list[DayFile], over: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """By signal what is here, since which day."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        of_signal = found.setdefault(
            file.signal, {"since": file.day, "days": 0, "chunks": 0, "records": 0, "bytes": 0}
        )
        more = {"days": 1, "chunks": file.chunks, "records": file.records}
        for name, count in {**more, "bytes": file.stored_bytes}.items():
            of_signal[name] += count
    return {signal: {**each, "over_bytes": over.get(signal, 0)} for signal, each in found.items()}


def _file(file: DayFile) -> dict[str, Any]:
    return {
        "day": file.day,
        "signal": file.signal,
        "chunks": file.chunks,
        "records": file.records,
        "bytes": file.stored_bytes,
        "newest": time_of_ms(file.newest_received_ms),
        "safe": file.is_safe,
    }


def _described(gone: DroppedDay) -> dict[str, Any]:
    return {
        "day": gone.key.day,
        "signal": gone.key.signal,
        "reason": gone.reason,
        **gone.sum.to_wire(),
        "safe": gone.is_safe,
        "at": time_of_ms(gone.at_ms),
        "state": "gone" if gone.is_gone else "going",
    }
