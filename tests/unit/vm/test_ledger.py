"""The book of machines is whole after every crash, and bounded."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from edge.vm.ledger import REQUEST_MS_MAX, Ledger, Request
from edge.vm.model import Move, Operation, OpState, Spec, State, Vm


def vm(vm_id: str, name: str = "box", state: State = State.STOPPED, seq: int = 1) -> Vm:
    spec = Spec(name=name, image="builtin:shell")
    return Vm(
        id=vm_id, node_id="edge-1", spec=spec, kind="sandbox", driver="sandbox",
        created_ms=1, state=state, seq=seq,
    )  # fmt: skip


def operation(op_id: str, created_ms: int = 1, state: OpState = OpState.DONE) -> Operation:
    return Operation(
        id=op_id, request_id=op_id, vm_id="a", vm_name="box", node_id="edge-1", method="vm.start",
        move=Move.START, created_ms=created_ms, updated_ms=created_ms, state=state,
    )  # fmt: skip


def test_what_was_written_is_read_back_after_reopening(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "vm.db")
    request = Request("r", "o", "vm.start", "digest", 1)
    ledger.save(vm("a"), [operation("o", state=OpState.RUNNING)], request)
    ledger.close()
    ledger = Ledger(tmp_path / "vm.db")
    assert ledger.vms() == [vm("a")]
    assert ledger.unfinished() == [operation("o", state=OpState.RUNNING)]
    assert ledger.request("r") == request
    ledger.close()


def test_a_used_request_id_undoes_the_whole_write(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "vm.db")
    ledger.save(None, [], Request("r", "o", "vm.start", "d", 1))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.save(vm("a"), [operation("p")], Request("r", "p", "vm.start", "d", 1))
    assert ledger.vms() == []
    assert ledger.operation("p") is None
    ledger.close()


def test_a_name_is_free_again_after_a_deletion(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "vm.db")
    ledger.save(vm("a"), [], None)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.save(vm("b", seq=2), [], None)
    ledger.save(vm("a", state=State.ABSENT, seq=3), [], None)
    ledger.save(vm("b", seq=4), [], None)
    assert [found.id for found in ledger.vms()] == ["a", "b"]
    ledger.close()


def test_pruning_keeps_the_newest_and_everything_unfinished(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "vm.db")
    now_ms = REQUEST_MS_MAX + 100
    ledger.save(None, [operation(f"o{n}", now_ms + n) for n in range(5)], None)
    ledger.save(None, [operation("open", 1, OpState.RUNNING)], None)
    ledger.save(None, [], Request("old", "o0", "vm.start", "d", 1))
    ledger.save(None, [], Request("new", "o1", "vm.start", "d", now_ms))
    ledger.prune(now_ms, operations_max=2)
    assert [found.id for found in ledger.operations("a", 10)] == ["o4", "o3", "open"]
    assert ledger.request("old") is None
    assert ledger.request("new") is not None
    ledger.close()


def test_records_of_a_newer_version_are_read(tmp_path: Path) -> None:
    """Fields that this version does not know are left out, not an error."""
    known = msgspec.to_builtins(vm("a")) | {"colour": "green"}
    assert msgspec.json.decode(msgspec.json.encode(known), type=Vm) == vm("a")
