"""SQLite as Headwater uses it: one writer with group commit, short readers, declared migrations.

The writer owns its connection and does the checkpoints (a second checkpointing connection could meet
the WAL-reset race of SQLite before 3.51.3, sqlite.org/wal.html). Jobs that queue up while a commit
runs share the next one; each keeps its own savepoint, so that one failing job spoils no other.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sqlite_utils.db import Database as Schema
from sqlite_utils.migrations import Migrations

from shared.errors import Unavailable

Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]

GROUP_JOBS_MAX = (
    64  # Enough to make a sync cheap, few enough that the first job does not wait long.
)
QUEUE_JOBS_MAX = 4096
DISK_FULL_RETRY_SECONDS = 5.0
MENDED_RETRY_SECONDS = 1.0
WAL_PAGES_BEFORE_CHECKPOINT = 4096  # 16 MiB: fewer, larger checkpoints cut the commit tail.
WAL_BYTES_KEPT_MAX = 64 * 1024 * 1024


@dataclass(slots=True)
class _Pending(Generic[Result]):
    job: Job[Result]
    future: "asyncio.Future[Result]"
    result: Result | None = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(_in_our_words(self.error))
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # Result may be None.


def is_disk_full(error: BaseException) -> bool:
    """Whether SQLite failed for want of room, on the disk or under a quota."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


_SYNC_FAILED = frozenset({sqlite3.SQLITE_IOERR | 4 << 8, sqlite3.SQLITE_IOERR | 5 << 8})
"""SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC (sqlite.org/rescode.html)."""


def is_broken_file(error: BaseException | None) -> bool:
    """Whether a file must not be written to any more: damaged, or its last sync failed."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return code in _SYNC_FAILED or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class BesideError(sqlite3.DatabaseError):
    """A file beside is damaged; whoever owns it knows, and mends it."""


def _in_our_words(error: BaseException) -> BaseException:
    """A full disk is bad weather: room may come back, and whoever waits for it must not die. So is a
    damaged file beside, which spoils the transactions that others shared with it."""
    if isinstance(error, BesideError):
        wrapped = Unavailable(f"a file of the store is damaged: {error}", MENDED_RETRY_SECONDS)
    elif is_disk_full(error):
        wrapped = Unavailable(f"the disk is full: {error}", DISK_FULL_RETRY_SECONDS)
    else:
        return error
    wrapped.__cause__ = error
    return wrapped


def open_writer(path: Path, migrations: Migrations, synchronous: str) -> sqlite3.Connection:
    """A connection that may write, with the newest tables; closed again when these cannot be had."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_BEFORE_CHECKPOINT}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT_MAX}")
        migrations.apply(Schema(connection))
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that only reads. `immutable` promises that nobody writes to the file any more."""
    mode = "immutable=1" if immutable else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only=ON")
    if not immutable:
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def check_quickly(connection: sqlite3.Connection) -> None:
    """Read every page once. Raises sqlite3.DatabaseError with the first thing that is wrong."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(str(verdict).split()))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new file may else be gone after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Readers:
    """Read-only connections to one file, each lent to one reader at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection; keep it short, a reader pins the WAL."""
        connection = self._idle.pop() if self._idle else open_reader(self._path)
        try:
            yield connection
        finally:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def close(self) -> None:
        """Close what is not lent; the rest is closed when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class Beside(Protocol):
    """Files that take part in the transactions of a database. They are called from its writer only."""

    def commit(self) -> None:
        """Make durable what the jobs of this transaction wrote; raises sqlite3.Error."""
        ...

    def roll_back(self) -> None: ...
    def close(self) -> None: ...


class Database:
    """One SQLite file in WAL mode. Await `write` from one event loop; `reading` works in any thread.

    What is `beside` commits before the file itself does: a row here may count on what is there.
    """

    def __init__(
        self,
        path: Path,
        migrations: Migrations,
        *,
        synchronous: str,
        threads: bool,
        beside: Beside | None = None,
    ) -> None:
        self.path = path
        self._beside = beside
        self._connection = open_writer(path, migrations, synchronous)
        self._threads = threads
        self._queue: queue.SimpleQueue[_Pending[Any] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = False
        self._readers = Readers(path)
        self._thread: threading.Thread | None = None
        if threads:
            self._thread = threading.Thread(
                target=self._work, name=f"writer {path.name}", daemon=True
            )
            self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs have been handed in and not yet been committed."""
        return self._waiting

    async def write(self, job: Job[Result]) -> Result:
        """Run the job in a transaction; returns once it is committed, raises what it raised.

        Raises Unavailable when the disk is full, too many jobs wait already, or this is closed.
        """
        if self._closed or self._waiting >= QUEUE_JOBS_MAX:
            state = "closed" if self._closed else "behind with its work"
            raise Unavailable(f"the database {self.path.name} is {state}", retry_after_seconds=1.0)
        pending: _Pending[Result] = _Pending(job, asyncio.get_running_loop().create_future())
        if self._thread is None:
            self._run_group([pending])
            pending.settle()
            return await pending.future
        self._waiting += 1
        try:
            self._queue.put(pending)
            return await pending.future
        finally:
            self._waiting -= 1

    def reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Borrow a read-only connection; keep it short, a reader pins the WAL."""
        return self._readers.reading()

    def close(self) -> None:
        """Finish the jobs that were handed in, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self._let_go()

    def _let_go(self) -> None:
        self._readers.close()
        if self._beside is not None:
            self._beside.close()
        self._connection.close()

    def abandon(self) -> None:
        """Let go of the file as a killed process would: nothing more is written. For simulations."""
        self._closed = True
        self._let_go()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group, more = self._gather(first)
            self._run_group(group)
            self._report(group)
            if not more:
                return

    def _gather(self, first: "_Pending[Any]") -> "tuple[list[_Pending[Any]], bool]":
        group = [first]
        while len(group) < GROUP_JOBS_MAX:
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                break
            if pending is None:
                return group, False
            group.append(pending)
        return group, True

    def _run_group(self, group: "list[_Pending[Any]]") -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for pending in group:
                self._run_one(pending)
            if self._beside is not None:
                self._beside.commit()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            for pending in group:
                pending.error = pending.error or error

    def _run_one(self, pending: "_Pending[Any]") -> None:
        self._connection.execute("SAVEPOINT job")
        try:
            pending.result = pending.job(self._connection)
        except Exception as error:  # Whatever a job raises belongs to its caller, and only to it.
            pending.error = error
            if not self._connection.in_transaction:  # A full disk makes SQLite roll back by itself.
                if isinstance(error, sqlite3.Error):
                    raise  # So that all who shared the transaction hear the reason.
                raise sqlite3.OperationalError("the transaction was rolled back") from error
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")

    def _roll_back(self) -> None:
        if self._beside is not None:
            self._beside.roll_back()
        if self._connection.in_transaction:
            with contextlib.suppress(
                sqlite3.Error
            ):  # The error that led here is the one to report.
                self._connection.execute("ROLLBACK")

    @staticmethod
    def _report(group: "list[_Pending[Any]]") -> None:
        loop = group[0].future.get_loop()

        def settle_all() -> None:
            for pending in group:
                pending.settle()

        with contextlib.suppress(RuntimeError):  # The loop is gone: nobody waits for the answer.
            loop.call_soon_threadsafe(settle_all)
