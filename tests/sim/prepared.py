"""New stores as copies of one that was made by the real migrations, once for all runs of this process.

Every start of every hub and edge would else make the same dozens of tables again, which takes as long as
seconds of the story. A store that has tables already goes through the real migrations as ever.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

from tests.sim.watching import replaced

_made: dict[int, sqlite3.Connection] = {}
_real = Migrations.apply


def _pattern(migrations: Migrations) -> sqlite3.Connection:
    if id(migrations) not in _made:
        _made[id(migrations)] = connection = sqlite3.connect(":memory:", isolation_level=None)
        _real(migrations, Database(connection))
    return _made[id(migrations)]


def _apply(migrations: Migrations, db: Database, *, stop_before: str | None = None) -> None:
    is_new = not db.conn.execute("SELECT 1 FROM sqlite_master").fetchone()
    if is_new and stop_before is None:
        _pattern(migrations).backup(db.conn)
    else:
        _real(migrations, db, stop_before=stop_before)


@contextlib.contextmanager
def prepared_stores() -> Iterator[None]:
    """Let new stores be copies while this lasts."""
    with replaced(Migrations, "apply", _apply):
        yield
