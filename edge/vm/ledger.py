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
TOMBSTONES_MAX = 1000

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
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A mutating call that was answered: its id, what it asked, and the operation that it got."""

    id: str
    op_id: str
    method: str
    digest: str
    created_ms: int


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

    def prune(self, now_ms: int, operations_max: int) -> None:
        """Forget what is old, and what is more than one machine may keep."""
        with self._transaction():
            self._db.execute(
                "delete from requests where created_ms < ?", (now_ms - REQUEST_MS_MAX,)
            )
            self._db.execute(
                "delete from operations where is_over and (created_ms < ? or id in (select id from"
                " (select id, row_number() over (partition by vm_id order by created_ms desc) place"
                " from operations) where place > ?))",
                (now_ms - OPERATION_MS_MAX, operations_max),
            )
            self._db.execute(
                "delete from vms where absent and id not in"
                " (select id from vms where absent order by seq desc limit ?)",
                (TOMBSTONES_MAX,),
            )

    def _put_vm(self, vm: Vm) -> None:
        row = (vm.id, vm.name, vm.state is State.ABSENT, vm.seq, msgspec.json.encode(vm))
        self._db.execute(
            "insert into vms values (?, ?, ?, ?, ?) on conflict (id) do update set"
            " name = excluded.name, absent = excluded.absent, seq = excluded.seq,"
            " record = excluded.record",
            row,
        )

    def _put_operation(self, op: Operation) -> None:
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
