"""Orders that wait for a node, with real processes: hubs die, agents die, and it happens once."""

from typing import Any

from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually
from tests.system.test_machines import SHELL, states, two_hubs_and_an_edge


def waiting(hub: HubProcess) -> list[str]:
    """The orders that a hub knows to wait."""
    return [each["request_id"] for each in hub.call("vm.queue.list")["items"]]


def stops(hub: HubProcess) -> list[dict[str, Any]]:
    """What was done to stop machines, as the node itself tells it."""
    listed = hub.call("op.list", node="edge-1")
    assert listed["source"] == "node"
    return [each for each in listed["items"] if each["method"] == "vm.stop"]


def with_a_machine(fleet: Fleet) -> tuple[HubProcess, HubProcess, EdgeProcess]:
    """One that runs on, since a killed agent leaves it."""
    first, second, edge = two_hubs_and_an_edge(fleet)
    spec = {"name": "web", "image": SHELL}
    first.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=10)
    each_shows((first, second), states, {"web": "running"})
    return first, second, edge


def test_an_order_for_a_dead_agent_is_done_when_it_is_back_though_its_hub_died(
    fleet: Fleet,
) -> None:
    first, second, edge = with_a_machine(fleet)
    edge.kill()
    order = {"vm": "web", "mode": "force", "queue": True, "request_id": "later"}
    eventually(lambda: first.ask("vm.stop", **order).get("state") == "queued", "the order waits")
    eventually(lambda: waiting(second) == ["later"], "the second hub knows of it")
    first.kill()
    edge.start()
    eventually(lambda: states(second) == {"web": "stopped"}, "the machine was stopped")
    eventually(lambda: waiting(second) == [], "nothing waits any more")
    first.start()
    eventually(lambda: waiting(first) == [], "the hub that was dead has heard of it")
    second.call("vm.start", vm="web", wait_s=10)
    each_shows((first, second), states, {"web": "running"})
    [stopped] = stops(second)
    assert (stopped["request_id"], stopped["via_hub"]) == ("later", "hub-1")
    assert (stopped["state"], stopped["requested_by"]) == ("done", "admin")
