"""Calls at the door: repeated, contradicting, malformed."""

import asyncio
from typing import Any

import pytest

from edge.vm import sandbox_ground
from shared.errors import RpcError

from .conftest import Node, OpenNode

SHELL = {"name": "box", "image": "builtin:shell"}


async def refusal_of(here: Node, method: str, **params: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await here.call(method, **params)
    return caught.value


async def test_the_same_request_id_has_one_effect(node: Node) -> None:
    first = await node.call("vm.create", spec=SHELL, request_id="r-1")
    again = await node.call("vm.create", spec=SHELL, request_id="r-1")
    assert again == first
    assert len((await node.call("vm.list"))["items"]) == 1


async def test_the_same_request_through_two_hubs_at_once_has_one_effect(node: Node) -> None:
    await node.create(start=False)
    calls = [
        node.call("vm.start", vm="box", request_id="r-2", via_hub=hub, wait_s=20)
        for hub in ("hub-1", "hub-2")
    ]
    one, two = await asyncio.gather(*calls)
    assert one["op_id"] == two["op_id"]
    assert one["changed"] is True


async def test_a_request_id_cannot_be_used_for_something_else(node: Node) -> None:
    await node.call("vm.create", spec=SHELL, request_id="r-1")
    other = {**SHELL, "name": "other"}
    assert (await refusal_of(node, "vm.create", spec=other, request_id="r-1")).kind == "conflict"
    assert (await refusal_of(node, "vm.start", vm="box", request_id="r-1")).kind == "conflict"


async def test_names_are_unique_on_a_node(node: Node) -> None:
    await node.create(start=False)
    assert (await refusal_of(node, "vm.create", spec=SHELL)).kind == "conflict"
    await node.call("vm.delete", vm="box")
    await node.create(start=False)


async def test_create_by_id_is_idempotent_while_the_spec_is_the_same(node: Node) -> None:
    first = await node.call("vm.create", spec=SHELL, id="vm-1")
    again = await node.call("vm.create", spec=SHELL, id="vm-1")
    assert (first["changed"], again["changed"]) == (True, False)
    other = {**SHELL, "cpus": 1, "description": "another"}
    assert (await refusal_of(node, "vm.create", spec=other, id="vm-1")).kind == "conflict"


async def test_deleting_twice_is_no_error_but_deleting_nothing_is(node: Node) -> None:
    record = await node.create(start=False)
    assert (await node.call("vm.delete", vm="box"))["changed"] is True
    assert (await node.call("vm.delete", vm=record["id"]))["changed"] is False
    assert (await refusal_of(node, "vm.delete", vm="never")).kind == "not_found"
    assert (await refusal_of(node, "vm.create", spec=SHELL, id=record["id"])).kind == "conflict"


async def test_asking_for_the_state_that_is_there_changes_nothing(node: Node) -> None:
    await node.create(start=False)
    assert (await node.call("vm.stop", vm="box"))["changed"] is False
    refused = await refusal_of(node, "vm.pause", vm="box")
    assert (refused.kind, refused.data["state"]) == ("invalid_state", "stopped")


async def test_a_protected_machine_is_not_deleted(node: Node) -> None:
    await node.create(start=False, protected=True)
    assert (await refusal_of(node, "vm.delete", vm="box", force=True)).kind == "protected"


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", "a\nb", "box\n", "Box", "a" * 64, "-a", "a-", "é", "a\x00b"]
)
async def test_a_name_must_be_a_plain_label(node: Node, name: str) -> None:
    refused = await refusal_of(node, "vm.create", spec={**SHELL, "name": name})
    assert refused.kind == "invalid_params"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"argv": ["/bin/rm"]}, "unauthorized"),
        ({"image": "debian-12.qcow2", "driver": "sandbox"}, "invalid_params"),
        ({"image": "builtin:shell", "driver": "qemu"}, "invalid_params"),
        ({"image": "template:unknown"}, "not_found"),
        ({"image": ""}, "invalid_params"),
        ({"image": 7}, "invalid_params"),
        ({"cpus": 100_000}, "invalid_params"),
        ({"cpus": 1000}, "insufficient"),
        ({"memory_mib": -1}, "invalid_params"),
        ({"memory_mib": 900 * 1024}, "insufficient"),
        ({"limits": {"pids": 10**9}}, "invalid_params"),
        ({"nonsense": 1}, "invalid_params"),
        ({"env": {"A=B": "x"}}, "invalid_params"),
        ({"env": {"A": "x\x00y"}}, "invalid_params"),
        ({"labels": {"a": "b" * 300}}, "invalid_params"),
        ({"stop_timeout_s": float("inf")}, "invalid_params"),
        ({"restart": "sometimes"}, "invalid_params"),
    ],
)
async def test_a_bad_spec_is_refused_by_name(node: Node, change: dict[str, Any], kind: str) -> None:
    assert (await refusal_of(node, "vm.create", spec={**SHELL, **change})).kind == kind
    assert (await node.call("vm.list"))["items"] == []


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("vm.explode", {}, "method_not_found"),
        ("vm.create", {}, "invalid_params"),
        ("vm.create", {"spec": "box"}, "invalid_params"),
        ("vm.start", {}, "invalid_params"),
        ("vm.start", {"vm": "../.."}, "invalid_params"),
        ("vm.start", {"vm": "none"}, "not_found"),
        ("vm.start", {"vm": "none", "node": "edge-2"}, "not_found"),
        ("vm.start", {"vm": "none", "force": True}, "invalid_params"),
        ("vm.stop", {"vm": "none", "mode": "hard"}, "invalid_params"),
        ("vm.start", {"vm": "none", "request_id": "a b"}, "invalid_params"),
        ("vm.start", {"vm": "none", "wait_s": 10_000}, "invalid_params"),
        ("vm.console.log", {"vm": "none", "limit": 1 << 40}, "invalid_params"),
        ("vm.console.log", {"vm": "none", "offset": -1}, "invalid_params"),
        ("op.get", {"op_id": "none"}, "not_found"),
    ],
)
async def test_a_bad_call_is_refused_by_name(
    node: Node, method: str, params: dict[str, Any], kind: str
) -> None:
    assert (await refusal_of(node, method, **params)).kind == kind


async def test_the_number_of_machines_is_bounded(open_node: OpenNode) -> None:
    node = await open_node(vms_max=1)
    await node.create(start=False)
    refused = await refusal_of(node, "vm.create", spec={**SHELL, "name": "two"})
    assert refused.kind == "quota"


async def test_history_tells_who_did_what_and_is_bounded(open_node: OpenNode) -> None:
    node = await open_node(operations_max=5)
    await node.create(start=False)
    for _ in range(120):
        await node.call("vm.stop", vm="box", requested_by="alice", via_hub="hub-2")
    found = (await node.call("op.list", vm="box", limit=1000))["items"]
    assert len(found) < 60
    assert (found[0]["requested_by"], found[0]["via_hub"]) == ("alice", "hub-2")


async def test_typing_on_a_stopped_machine_is_refused(node: Node) -> None:
    await node.create(start=False)
    assert (await refusal_of(node, "vm.console.send", vm="box", data="x")).kind == "invalid_state"


async def test_the_driver_says_what_it_can_do(node: Node) -> None:
    driver = (await node.call("node.drivers"))["drivers"][0]
    assert (driver["name"], driver["healthy"], driver["isolation"]) == (
        "sandbox",
        True,
        "namespaces",
    )
    assert driver["images"] == ["builtin:shell"]


async def test_without_isolation_nothing_is_created_unless_the_node_allows_it(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_ground, "probe", lambda uid: (None, "no namespaces here"))
    node = await open_node()
    refused = await refusal_of(node, "vm.create", spec=SHELL)
    assert (refused.kind, "no namespaces here" in str(refused)) == ("driver_unavailable", True)
    await node.service.close()
    node = await open_node(allow_unisolated=True)
    record = await node.create()
    assert (record["isolation"], record["limits_enforced"]["disk"]) == ("none", False)
    assert (await node.call("vm.stop", vm="box", wait_s=20))["state"] == "done"
    assert (await node.get())["state"] == "stopped"


async def test_the_heartbeat_summary_is_brief_and_current(node: Node) -> None:
    await node.create(start=False)
    (brief,) = node.service.summary()
    assert (brief["name"], brief["state"], brief["status"]) == ("box", "stopped", "stopped")
    assert "spec" not in brief


async def test_an_order_whose_caller_goes_away_in_the_middle_is_carried_out(node: Node) -> None:
    """The link broke when the order was written down; nobody waits, and the machine must not."""
    await node.create(start=False)
    for turns in range(30):
        order = asyncio.create_task(node.call("vm.start", vm="box", request_id=f"start-{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        order.cancel()
        await asyncio.wait([order])
        done = await node.call("vm.start", vm="box", request_id=f"start-{turns}", wait_s=30)
        assert done["state"] == "done"
        stopped = await node.call("vm.stop", vm="box", mode="force", wait_s=30)
        assert stopped["state"] == "done"
