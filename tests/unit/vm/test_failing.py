"""What an error says beside its words is kept wherever the error is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vm.failing import DATA_BYTES_MAX, failure_of
from edge.vm.ledger import Ledger
from edge.vm.model import Failure, Operation
from hub.machines.told import operation_of
from shared.errors import RpcError
from tests.examples import examples

from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .waiting import until

SHORT: dict[str, Any] = {"what": "memory", "needed_bytes": 9_000, "available_bytes": 10}


async def fail_to_start(node: FakeNode) -> dict[str, Any]:
    await node.create(start=False)
    node.world.error = RpcError("insufficient", "not enough memory", SHORT)
    node.world.broken = {"start"}
    operation = await node.call("vm.start", vm="box", wait_s=30)
    assert operation["state"] == "failed"
    return operation


async def test_a_failed_operation_says_what_was_short_and_how_much(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    operation = await fail_to_start(node)
    assert operation["error"]["data"] == SHORT
    assert (await node.get())["last_error"]["data"] == SHORT
    await node.die()
    node = await open_fake()
    again = await node.call("op.get", op_id=operation["op_id"])
    assert again["error"] == operation["error"], "the book has it"


async def test_hubs_read_it_from_the_event(fake: FakeNode) -> None:
    async def ends() -> list[dict[str, Any]]:
        return [e.attributes for e in fake.events if e.attributes.get("op.state") == "failed"]

    async with fake.running():
        await fail_to_start(fake)
        (attributes,) = await until(ends, lambda seen: len(seen) == 1)
    read = operation_of({"attributes": attributes, "time": "then"})
    assert read is not None
    assert read["error"] == {
        "kind": "insufficient",
        "message": "not enough memory",
        "at": "then",
        "data": SHORT,
    }


@pytest.mark.parametrize("said", [None, 7, "no json", "[1]", "[" * 100_000, '"x"'])
def test_hubs_bear_with_anything_in_its_place(said: Any) -> None:
    attributes = {"op.id": "o", "op.error": "internal", "op.error_data": said}
    read = operation_of({"attributes": attributes})
    assert read is not None
    assert read["error"]["data"] == {}


def test_a_book_of_before_is_read(tmp_path: Any) -> None:
    """An operation that was kept when failures had no data."""
    row = (
        '{"id":"o","request_id":"r","vm_id":"v","vm_name":"box","node_id":"n","method":"vm.start",'
        '"move":"start","created_ms":1,"updated_ms":1,"state":"failed",'
        '"error":{"kind":"internal","message":"it broke","at_ms":1}}'
    )
    ledger = Ledger(tmp_path / "vm.db")
    try:
        ledger._db.execute("insert into operations values ('o', 'v', 1, 1, ?)", (row.encode(),))
        found = ledger.operation("o")
    finally:
        ledger.close()
    assert isinstance(found, Operation)
    assert found.error is not None
    assert (found.error.kind, found.error.data) == ("internal", {})


@pytest.mark.parametrize("data", [{"x": "y" * DATA_BYTES_MAX}, {"x": object()}])
def test_too_much_and_what_is_no_json_is_left_out(data: dict[str, Any]) -> None:
    failure = failure_of(RpcError("internal", "it broke", data), 1)
    assert (failure.message, failure.data) == ("it broke", {})


WORDS = st.dictionaries(
    st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=8), st.binary(max_size=8))
)


@settings(max_examples=examples(100))
@given(WORDS)
def test_whatever_an_error_says_can_be_kept(data: dict[str, Any]) -> None:
    failure = failure_of(RpcError("internal", "it broke", data), 1)
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure
