"""Keeps on disk what this hub observes, and lets go of what is too old."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from hub.nodes.checks import Checks, RunTime
from hub.nodes.history import LIVENESS, UNKNOWN, Change
from hub.nodes.history_share import HistoryShare, Standing
from hub.nodes.history_write import Observing
from hub.nodes.uptime import DAY_MS
from hub.store.check_table import (
    BEGINNING,
    Place,
    append,
    attend,
    forget_history,
    purge_attendances,
    purge_lines,
)
from hub.store.check_time_table import add_runs, forget_check_times, purge_check_times
from hub.store.spent_table import forget_log
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.tasks import to_its_end

KEEP_SECONDS = 1.0
SETTLE_SECONDS = 60.0
LATE_LINES_SECONDS = 30.0
"""How long lines about a removed node may still come from here and from peers that know it later."""

LINES_TOGETHER = 2_000
"""Lines of one transaction: other writers of the hub wait for no more."""

ROWS_TOGETHER = 200
PAGES_MAX = 20
"""How much is looked through for old lines each minute: 4,000 of them."""


@dataclass(slots=True)
class HistoryKeep:
    """The log of observations that this hub writes. Call `keep` each second, `settle` each minute."""

    database: Database
    runtime: Runtime
    observing: Observing
    share: HistoryShare
    checks: Checks
    is_listening: Callable[[float], bool]
    """Whether this hub has only begun to listen, so that its silence about nodes says nothing."""
    is_clock_sound: Callable[[], bool]
    kept_days: int
    purged: int = 0
    _place: Place = BEGINNING
    _gone: dict[str, tuple[Callable[[], bool], float]] = field(default_factory=dict)
    """Whether a node is gone still, and until when lines about it may come."""

    def note_verdict(self, node: str, state: str, reason: str) -> None:
        """A verdict of this hub on a node."""
        now, wall_ms = asyncio.get_running_loop().time(), self.runtime.wall_ms()
        self.observing.note(node, LIVENESS, state, reason, now, wall_ms)

    def forget(self, node: str, is_gone: Callable[[], bool]) -> None:
        """Drop all of a node that was removed, unless it is back by the time.

        In memory only: after a start, call it again for the nodes that are still on disk.
        """
        self.observing.forget(node, (LIVENESS,))
        self._gone[node] = (is_gone, asyncio.get_running_loop().time() + LATE_LINES_SECONDS)

    # ---- each second

    async def keep(self) -> float:
        """Write what was observed; raises Unavailable, and then it is written with the next round."""
        now, wall_ms = asyncio.get_running_loop().time(), self.runtime.wall_ms()
        if not self.observing.has_begun and not self.is_listening(now):
            self._begin(now, wall_ms)
        self.observing.tick(now, wall_ms)
        await self._save()
        return KEEP_SECONDS

    def _begin(self, now: float, wall_ms: int) -> None:
        """Observe from now on, and say no more what checks said that were taken away meanwhile."""
        self.observing.begin(now, wall_ms)
        for node, subject in self.observing.checks():
            planned = self.checks.schedule.checks_of(node)
            if subject not in (check.name for check in planned):
                reason = "the check was taken away"
                self.observing.note(node, subject, UNKNOWN, reason, now, wall_ms)
                self.observing.forget(node, (subject,))

    async def _save(self) -> None:
        observing = self.observing
        attended = (observing.attendance, observing.attended_ms)
        lines = observing.take_pending()
        try:
            while lines:
                await self._append(lines[:LINES_TOGETHER])
                del lines[:LINES_TOGETHER]
        finally:  # Lines that were written nevertheless are passed over the next time.
            observing.put_back(lines)
        if observing.has_begun:
            self.share.attend(self.share.log, *attended)

    async def _append(self, lines: Sequence[Change]) -> None:
        log = self.share.log
        job = partial(append, log=log, after=self.share.head(log), lines=lines)
        self.share.hold(log, await self.database.write(job))

    # ---- each minute

    async def settle(self) -> float:
        """Write until when hubs observed and how long checks took, and let go of what is too old.

        Raises Unavailable, and then it is written with the next round.
        """
        if self.observing.has_begun:
            now, wall_ms = asyncio.get_running_loop().time(), self.runtime.wall_ms()
            self.observing.settle(now, wall_ms)
        await self._save_times()
        await self._forget_gone()
        if self.is_clock_sound():  # By a clock that is days ahead all of it would be old.
            await self._purge()
        return SETTLE_SECONDS

    async def _save_times(self) -> None:
        # A run that is written twice is counted twice: so nobody leaves before it is known whether
        # this was written.
        await to_its_end(self._write_times())

    async def _write_times(self) -> None:
        moved, runs = self.share.take_moved(), self.checks.take_runs()
        try:
            await self.database.write(partial(_write_times, moved=moved, runs=runs))
        except Exception:  # Then nothing of it is on disk.
            self.share.put_back(moved)
            self.checks.put_back(runs)
            raise

    async def _forget_gone(self) -> None:
        now = asyncio.get_running_loop().time()
        for node, gone in list(self._gone.items()):
            is_gone, until = gone
            job, rows = partial(forget_history, node=node, rows_max=ROWS_TOGETHER), ROWS_TOGETHER
            while is_gone() and rows == ROWS_TOGETHER:
                rows = await self.database.write(job)
            if is_gone():
                await self.database.write(partial(forget_check_times, node=node))
            is_over = now >= until or not is_gone()
            if is_over and self._gone.get(node) is gone:  # It may have been removed once more.
                del self._gone[node]

    async def _purge(self) -> None:
        now_ms = self.runtime.wall_ms()
        before_ms, kept_ms = now_ms - self.kept_days * DAY_MS, self.kept_days * DAY_MS
        write = self.database.write
        self.share.kept_from_ms = before_ms
        await self._let_go()
        for _ in range(PAGES_MAX):
            place, gone = await write(
                partial(purge_lines, before_ms=before_ms, place=self._place, rows_max=ROWS_TOGETHER)
            )
            self._place, self.purged = place or BEGINNING, self.purged + gone
            if place is None:
                break
        self.purged += await write(partial(purge_attendances, before_ms=before_ms))
        self.purged += await write(
            partial(purge_check_times, now_ms=now_ms, kept_ms=kept_ms, rows_max=ROWS_TOGETHER)
        )

    async def _let_go(self) -> None:
        """Drop logs of which no attendance counts any more; of a long one only a part each minute."""
        pages = PAGES_MAX
        for log in self.share.spent():
            job, is_gone = partial(forget_log, log=log, rows_max=ROWS_TOGETHER), False
            while self.share.is_spent(log) and not is_gone and pages > 0:
                is_gone, pages = await self.database.write(job), pages - 1
            if is_gone:
                self.share.let_go(log)

    # ---- at the end

    async def close(self) -> None:
        """Write what is not on disk yet, with the moment up to which this hub observed."""
        now, wall_ms = asyncio.get_running_loop().time(), self.runtime.wall_ms()
        self.observing.tick(now, wall_ms)
        await self._save()
        await self._save_times()


def _write_times(
    connection: sqlite3.Connection, moved: Sequence[Standing], runs: Sequence[RunTime]
) -> None:
    for standing in moved:
        attend(connection, standing.log, standing.attendance, standing.attended_ms)
    add_runs(connection, runs)
