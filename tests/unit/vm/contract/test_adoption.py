"""A machine whose record was lost is taken up again as it is, with a sandbox and with a VM."""

from typing import Any

import pytest

from .conftest import IMAGES, OpenReal, RealNode

WAIT_S = 60


async def lose_the_book(node: RealNode, open_real: OpenReal) -> RealNode:
    """The agent leaves, its book is gone, and another agent comes."""
    await node.service.close()
    for path in node.folder.glob("vm.db*"):
        path.unlink()
    return await open_real()


async def adopt(node: RealNode, handle: str, **order: Any) -> dict[str, Any]:
    spec = {"name": "box", "image": IMAGES[node.kind]}
    operation = await node.call(
        "vm.adopt", **{"handle": handle, "spec": spec, "wait_s": WAIT_S, **order}
    )
    assert operation["state"] == "done", operation
    return operation


@pytest.mark.parametrize("is_paused", [False, True])
async def test_one_that_runs_is_taken_up_with_its_process(
    open_real: OpenReal, is_paused: bool
) -> None:
    node = await open_real()
    before = await node.create()
    if is_paused:
        await node.call("vm.pause", vm="box", wait_s=WAIT_S)
    node = await lose_the_book(node, open_real)
    assert (await node.call("vm.list"))["items"] == []
    (found,) = (await node.call("vm.discover"))["items"]
    assert (found["handle"], found["driver"]) == (before["id"], node.kind)
    assert [found["pid"]] == node.processes()

    operation = await adopt(node, found["handle"], request_id="r-1")
    again = await adopt(node, found["handle"], request_id="r-1")
    assert again["op_id"] == operation["op_id"]
    after = await node.get()
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert (after["state"], after["power"]) == ("paused" if is_paused else "running", "running")
    assert [found["pid"]] == node.processes()
    assert (await node.call("vm.discover"))["items"] == []

    stopped = await node.call("vm.stop", vm="box", wait_s=WAIT_S)
    assert stopped["state"] == "done", stopped
    assert (await node.get())["state"] == "stopped"
    assert node.processes() == []


async def test_one_that_lies_there_is_taken_up_stopped_and_can_be_started(
    open_real: OpenReal,
) -> None:
    node = await open_real()
    before = await node.create(start=False)
    node = await lose_the_book(node, open_real)
    (found,) = (await node.call("vm.discover"))["items"]
    assert (found["handle"], found["pid"]) == (before["id"], None)
    await adopt(node, found["handle"])
    assert (await node.get())["state"] == "stopped"
    started = await node.call("vm.start", vm="box", wait_s=WAIT_S)
    assert started["state"] == "done", started
    assert len(node.processes()) == 1


async def test_the_end_of_an_adopted_machine_is_heard(open_real: OpenReal) -> None:
    node = await open_real()
    before = await node.create()
    node = await lose_the_book(node, open_real)
    await adopt(node, before["id"])
    await node.end_guest()
    ended = await node.until_state("stopped")
    assert ended["reason"] == "guest_shutdown"


async def test_what_is_not_there_or_is_in_a_record_is_not_adopted(real: RealNode) -> None:
    record = await real.create()
    spec = {"name": "other", "image": IMAGES[real.kind]}
    for handle in ("none", record["id"]):
        refused = await real.refusal("vm.adopt", handle=handle, spec=spec)
        assert (refused.kind, refused.data["handle"]) == ("not_found", handle)
    taken = await real.refusal("vm.adopt", handle="none", spec={**spec, "name": "box"})
    assert taken.kind == "conflict"
    assert [vm["name"] for vm in (await real.call("vm.list"))["items"]] == ["box"]
