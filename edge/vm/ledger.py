"""The book of this node's machines: records, operations and request ids in one SQLite file.

A request id and the operation that it made are written in one transaction, so that repeating a
call after a crash finds both or neither. Every call blocks; `edge.vm.records` keeps them off the
event loop.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.vm.model import Operation, State, Vm

HOUR_MS = 3_600_000
REQUEST_MS_MAX = 24 * HOUR_MS
OPERATION_MS_MAX = 7 * 24 * HOUR_MS
OPERATIONS_MAX = (
    20_000  # Of all machines: one that is made and deleted in a loop is a new one each time.
)
REQUESTS_MAX = 100_000  # One each second for a day.
TOMBSTONES_MAX = 1000
NOTES_MAX = 200  # For each machine.

SCHEMA = """
create table if not exists meta (key text primary key, value text not null) without rowid;
create table if not exists vms (
    id text primary key, name text not null, absent integer not null, seq integer not null,
    record blob not null) without rowid;
create unique index if not exists vms_by_name on vms (name) where absent = 0;
create table if not exists operations (
    id text primary key, vm_id text not null, created_ms integer not null, is_over integer not null,
    record blob not null) without rowid;
create index if not exists operations_by_vm on operations (vm_id, created_ms);
create table if not exists requests (
    id text primary key, op_id text not null, method text not null, digest text not null,
    created_ms integer not null) without rowid;
create table if not exists untold (
    n integer primary key, op_id text not null, is_over integer not null, unique (op_id, is_over));
create table if not exists notes (
    n integer primary key, vm_id text not null, at_ms integer not null, text text not null);
create index if not exists notes_by_vm on notes (vm_id, n);
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A mutating call that was answered: its id, what it asked, and the operation that it got."""

    id: str
    op_id: str
    method: str
    digest: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Untold:
    """The begin or the end of an operation that the world has not been told of yet."""

    n: int
    is_end: bool
    operation: Operation


class Ledger:
    """One open book; use from one thread at a time. Every method raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def meta(self, key: str, fresh: str) -> str:
        """The value of a key; `fresh` is stored and returned when there is none."""
        with self._transaction():
            self._db.execute("insert or ignore into meta values (?, ?)", (key, fresh))
            row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Replace the value of a key."""
        with self._transaction():
            self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def vms(self) -> list[Vm]:
        """Every record, tombstones too, oldest change first."""
        rows = self._db.execute("select record from vms order by seq")
        return [msgspec.json.decode(row[0], type=Vm) for row in rows]

    def save(self, vm: Vm | None, operations: Sequence[Operation], request: Request | None) -> None:
        """Write all of it or nothing; raises sqlite3.IntegrityError for a name or request id in
        use."""
        with self._transaction():
            if vm is not None:
                self._put_vm(vm)
            for operation in operations:
                self._put_operation(operation)
            if request is not None:
                self._put_request(request)

    def operation(self, op_id: str) -> Operation | None:
        """One operation by its id."""
        row = self._db.execute("select record from operations where id = ?", (op_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Operation) if row else None

    def operations(self, vm_id: str | None, limit: int) -> list[Operation]:
        """The newest operations, of one machine or of all."""
        rows = self._db.execute(
            "select record from operations where ?1 is null or vm_id = ?1"
            " order by created_ms desc, id limit ?2",
            (vm_id, limit),
        )
        return [msgspec.json.decode(row[0], type=Operation) for row in rows]

    def unfinished(self) -> list[Operation]:
        """What was running when the agent went away."""
        rows = self._db.execute("select record from operations where is_over = 0")
        return [msgspec.json.decode(row[0], type=Operation) for row in rows]

    def request(self, request_id: str) -> Request | None:
        """What a request id stands for."""
        row = self._db.execute("select * from requests where id = ?", (request_id,)).fetchone()
        return Request(*row) if row else None

    def forget_request(self, request_id: str) -> None:
        """It had no effect, and may be used again."""
        with self._transaction():
            self._db.execute("delete from requests where id = ?", (request_id,))

    def untold(self, limit: int) -> list[Untold]:
        """What operations did and nobody was told of yet, oldest first."""
        rows = self._db.execute(
            "select n, untold.is_over, record from untold join operations on id = op_id"
            " order by n limit ?",
            (limit,),
        )
        return [
            Untold(n, bool(is_end), msgspec.json.decode(record, type=Operation))
            for n, is_end, record in rows
        ]

    def set_told(self, told: Sequence[Untold]) -> None:
        """These were told and need not be again."""
        with self._transaction():
            self._db.executemany("delete from untold where n = ?", [(each.n,) for each in told])

    def note(self, vm_id: str, at_ms: int, text: str) -> None:
        """Keep one line of a machine's history."""
        with self._transaction():
            self._db.execute(
                "insert into notes (vm_id, at_ms, text) values (?, ?, ?)", (vm_id, at_ms, text)
            )

    def notes(self, vm_id: str, limit: int) -> list[tuple[int, str]]:
        """The newest lines of a machine's history, oldest first, each with its time in Unix ms."""
        rows = self._db.execute(
            "select at_ms, text from notes where vm_id = ? order by n desc limit ?", (vm_id, limit)
        )
        return [(int(at_ms), str(text)) for at_ms, text in rows][::-1]

    def prune(self, now_ms: int, operations_max: int) -> None:
        """Forget what is old, and what is more than one machine or all of them may keep."""
        with self._transaction():
            self._prune_operations(now_ms, operations_max)
            self._db.execute(
                "delete from vms where absent and id not in"
                " (select id from vms where absent order by seq desc limit ?)",
                (TOMBSTONES_MAX,),
            )
            self._db.execute(
                "delete from notes where vm_id not in (select id from vms) or n in (select n from"
                " (select n, row_number() over (partition by vm_id order by n desc) place"
                " from notes) where place > ?)",
                (NOTES_MAX,),
            )

    def _prune_operations(self, now_ms: int, operations_max: int) -> None:
        self._db.execute(
            "delete from requests where created_ms < ? or id in"
            " (select id from requests order by created_ms desc limit -1 offset ?)",
            (now_ms - REQUEST_MS_MAX, REQUESTS_MAX),
        )
        self._db.execute(
            "delete from operations where is_over and (created_ms < ? or id in (select id from"
            " (select id, row_number() over (partition by vm_id order by created_ms desc) place,"
            " row_number() over (order by created_ms desc) place_of_all"
            " from operations) where place > ? or place_of_all > ?))",
            (now_ms - OPERATION_MS_MAX, operations_max, OPERATIONS_MAX),
        )
        self._db.execute("delete from untold where op_id not in (select id from operations)")

    def _put_vm(self, vm: Vm) -> None:
        row = (vm.id, vm.name, vm.state is State.ABSENT, vm.seq, msgspec.json.encode(vm))
        self._db.execute(
            "insert into vms values (?, ?, ?, ?, ?) on conflict (id) do update set"
            " name = excluded.name, absent = excluded.absent, seq = excluded.seq,"
            " record = excluded.record",
            row,
        )

    def _put_operation(self, op: Operation) -> None:
        before = self._db.execute("select is_over from operations where id = ?", (op.id,))
        known = before.fetchone()
        if known is None or (op.is_over and not known[0]):  # It begins or ends here.
            self._db.execute(
                "insert or ignore into untold (op_id, is_over) values (?, ?)", (op.id, op.is_over)
            )
        row = (op.id, op.vm_id, op.created_ms, op.is_over, msgspec.json.encode(op))
        self._db.execute("insert or replace into operations values (?, ?, ?, ?, ?)", row)

    def _put_request(self, request: Request) -> None:
        self._db.execute(
            "insert into requests values (?, ?, ?, ?, ?)",
            (request.id, request.op_id, request.method, request.digest, request.created_ms),
        )

    def _transaction(self) -> AbstractContextManager[None]:
        return _Transaction(self._db)


class _Transaction(AbstractContextManager[None]):
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("commit" if kind is None else "rollback")
