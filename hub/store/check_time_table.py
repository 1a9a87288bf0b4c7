"""How long checks took, by 5 minutes and by day, on disk. Each function runs inside a transaction."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils.db import Database

FINE_MS = 300_000
COARSE_MS = 86_400_000
FINE_KEPT_MS = 2 * COARSE_MS
"""A check each minute has 288 rows a day: after two days the row of the day must do."""


def check_time_tables(db: Database) -> None:
    """Runs of checks in buckets of two lengths."""
    for statement in (
        "CREATE TABLE check_time (node TEXT NOT NULL, subject TEXT NOT NULL,"
        " step_ms INTEGER NOT NULL, start_ms INTEGER NOT NULL, runs INTEGER NOT NULL,"
        " failures INTEGER NOT NULL, least_us INTEGER NOT NULL, sum_us INTEGER NOT NULL,"
        " greatest_us INTEGER NOT NULL, PRIMARY KEY (node, subject, step_ms, start_ms))"
        " WITHOUT ROWID",
        "CREATE INDEX check_time_by_age ON check_time (step_ms, start_ms)",
    ):
        db.execute(statement)


@dataclass(frozen=True, slots=True)
class CheckTime:
    """The runs of a check in one bucket; times are of those that got an answer."""

    start_ms: int
    runs: int
    failures: int
    least_us: int
    sum_us: int
    greatest_us: int

    @property
    def average_us(self) -> int | None:
        """None when no run got an answer."""
        answered = self.runs - self.failures
        return round(self.sum_us / answered) if answered else None


def add_run(
    connection: sqlite3.Connection, node: str, subject: str, at_ms: int, took_us: int | None
) -> None:
    """Count a run of a check; `took_us` is None for one that failed."""
    took = () if took_us is None else (took_us,)
    least, total, greatest = (*took, *took, *took) if took else (-1, 0, -1)
    row, sums = (node, subject), (int(took_us is None), least, total, greatest)
    for step_ms in (FINE_MS, COARSE_MS):
        connection.execute(
            "INSERT INTO check_time VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " runs = runs + 1, failures = failures + excluded.failures,"
            " least_us = CASE WHEN excluded.least_us < 0 THEN least_us WHEN least_us < 0"
            " THEN excluded.least_us ELSE min(least_us, excluded.least_us) END,"
            " sum_us = sum_us + excluded.sum_us,"
            " greatest_us = max(greatest_us, excluded.greatest_us)",
            (*row, step_ms, at_ms // step_ms * step_ms, *sums),
        )


def add_runs(
    connection: sqlite3.Connection, runs: Iterable[tuple[str, str, int, int | None]]
) -> None:
    """Count several runs: (node, subject, Unix ms, microseconds or None)."""
    for run in runs:
        add_run(connection, *run)


def check_times(
    connection: sqlite3.Connection, node: str, subject: str, step_ms: int, since_ms: int
) -> list[CheckTime]:
    """The buckets of one length since a time, oldest first."""
    rows = connection.execute(
        "SELECT start_ms, runs, failures, least_us, sum_us, greatest_us FROM check_time"
        " WHERE node = ? AND subject = ? AND step_ms = ? AND start_ms >= ? ORDER BY start_ms",
        (node, subject, step_ms, since_ms),
    )
    return [CheckTime(*row) for row in rows]


def purge_check_times(
    connection: sqlite3.Connection, now_ms: int, kept_ms: int, rows_max: int
) -> int:
    """Drop old buckets, some at a time; returns how many. Buckets of a day are kept `kept_ms`."""
    return sum(
        connection.execute(
            "DELETE FROM check_time WHERE (node, subject, step_ms, start_ms) IN"
            " (SELECT node, subject, step_ms, start_ms FROM check_time"
            " WHERE step_ms = ? AND start_ms < ? LIMIT ?)",
            (step_ms, now_ms - kept, rows_max),
        ).rowcount
        for step_ms, kept in ((FINE_MS, FINE_KEPT_MS), (COARSE_MS, kept_ms))
    )


def forget_check_times(connection: sqlite3.Connection, node: str) -> None:
    """Drop what was measured of a node that is gone: at most a few thousand rows."""
    connection.execute("DELETE FROM check_time WHERE node = ?", (node,))
