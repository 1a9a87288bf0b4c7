"""The real agent is killed while it creates, starts and stops a machine; the next one starts nothing twice
and leaves nothing over, and whoever repeats the order is told how it ended."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from tests.system.processes import Answered, EdgeProcess, Fleet, HubProcess, eventually
from tests.system.test_fleet_of_machines import ledger_of
from tests.unit.vm.needs import qemu
from tests.unit.vm.orphans import everything_of

IMAGES = {"sandbox": "builtin:shell", "qemu": "builtin:tiny"}
VM_ID = "3f1c2d4e-5a6b-4c7d-8e9f-{:012d}"
Ripe = Callable[[EdgeProcess, str, str], bool]


def is_written(edge: EdgeProcess, request_id: str, vm_id: str) -> bool:
    """The order is in the agent's book."""
    return request_id in ledger_of(edge)[0]


def runs(edge: EdgeProcess, request_id: str, vm_id: str) -> bool:
    """The machine has processes, and the agent may not know it yet."""
    return bool(everything_of(vm_id))


def is_gone(edge: EdgeProcess, request_id: str, vm_id: str) -> bool:
    """The machine has none any more, and the agent may not know it yet."""
    return is_written(edge, request_id, vm_id) and not everything_of(vm_id)


# What is ordered, when the agent is killed, and whether the machine runs at first.
POINTS: list[tuple[str, dict[str, Any], Ripe, bool]] = [
    ("vm.create", {"start": True}, is_written, False),
    ("vm.create", {"start": True}, runs, False),
    ("vm.start", {}, is_written, False),
    ("vm.start", {}, runs, False),
    ("vm.stop", {"mode": "force"}, is_written, True),
    ("vm.stop", {"mode": "force"}, is_gone, True),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sandbox", pytest.param("qemu", marks=qemu())])
def test_an_agent_that_is_killed_at_six_points_does_nothing_twice_and_leaves_nothing(
    fleet: Fleet, kind: str
) -> None:
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub], "ALLOW_UNISOLATED=1")
    fleet.settled([hub], edge)
    for number, (method, params, is_ripe, is_running) in enumerate(POINTS):
        vm_id, name = VM_ID.format(number), f"vm-{number}"
        made = {"node": "edge-1", "id": vm_id, "spec": {"name": name, "image": IMAGES[kind]}}
        if method != "vm.create":
            hub.call("vm.create", **made, start=is_running, wait_s=20)
        target = made if method == "vm.create" else {"node": "edge-1", "vm": name}
        order = {**target, **params, "request_id": f"order-{number}", "wait_s": 20}
        kill_when(edge, hub, method, order, lambda: is_ripe(edge, f"order-{number}", vm_id))  # noqa: B023
        edge.start()
        fleet.settled([hub], edge)
        assert_one_truth(hub, edge, method, order, vm_id, name)


def kill_when(
    edge: EdgeProcess,
    hub: HubProcess,
    method: str,
    order: dict[str, Any],
    is_ripe: Callable[[], bool],
) -> None:
    """Give the order, and SIGKILL the agent at that moment."""

    def give() -> None:
        with contextlib.suppress(Answered, httpx.TransportError):  # Its answer may be lost.
            hub.call(method, **order)

    giver = threading.Thread(target=give)
    giver.start()
    deadline = time.monotonic() + 30
    while not is_ripe():
        assert time.monotonic() < deadline, f"{method} was never begun"
    edge.kill()
    giver.join()


def assert_one_truth(
    hub: HubProcess, edge: EdgeProcess, method: str, order: dict[str, Any], vm_id: str, name: str
) -> None:
    """The record says what is so, the order has one end, and what follows has one effect."""
    again = eventually(lambda: ended(hub, method, order), "the order has an end")
    assert again["state"] in ("done", "failed")
    assert again["state"] == "done" or again["error"]["kind"] == "interrupted"
    requests, operations = ledger_of(edge)
    of_it = [each for each in operations if each["request_id"] == order["request_id"]]
    assert [each["id"] for each in of_it] == [requests[order["request_id"]]] == [again["op_id"]]
    seen = hub.call("vm.get", vm=name, node="edge-1", live=True)
    assert (seen["state"], seen["task"]) in {("stopped", None), ("running", None)}, seen
    assert seen["reason"] in ("never_started", "user"), seen
    assert bool(everything_of(vm_id)) == (seen["state"] == "running")
    before = everything_of(vm_id)
    started = hub.call("vm.start", vm=name, node="edge-1", wait_s=20)
    assert (started["state"], started["changed"]) == ("done", seen["state"] == "stopped")
    if seen["state"] == "running":
        assert everything_of(vm_id)[:1] == before[:1]
    assert one_holder(vm_id)
    assert hub.call("vm.delete", vm=name, node="edge-1", force=True, wait_s=20)["state"] == "done"
    eventually(lambda: everything_of(vm_id) == [], "nothing of it is left")


def ended(hub: HubProcess, method: str, order: dict[str, Any]) -> dict[str, Any]:
    """How the order ended, as who repeats it is told; empty until then."""
    again = hub.ask(method, **order)
    return again if again.get("state") in ("done", "failed", "cancelled") else {}


def one_holder(vm_id: str) -> bool:
    """Whether all that runs of a machine descends from one process."""
    all_of_it = everything_of(vm_id)
    tops = [pid for pid in all_of_it if psutil.Process(pid).ppid() not in all_of_it]
    return len(tops) == 1
