"""Orders to a machine through any hub: one effect, seen on every hub, over whatever path there is."""

import threading
from typing import Any

import pytest

from tests.ports import free_ports
from tests.system.processes import (
    EdgeProcess,
    Fleet,
    HubProcess,
    each_shows,
    eventually,
)

SHELL = "builtin:shell"
NONE: dict[str, str] = {}

Pair = tuple[HubProcess, HubProcess]


def states(hub: HubProcess) -> dict[str, str]:
    """The machines that a hub knows, and what each does."""
    return {vm["name"]: vm["state"] for vm in hub.call("vm.list")["items"]}


def two_hubs_and_an_edge(fleet: Fleet) -> tuple[HubProcess, HubProcess, EdgeProcess]:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "ALLOW_UNISOLATED=1")
    fleet.settled([first, second], edge)
    return first, second, edge


@pytest.fixture(scope="module")
def pair(lasting_fleet: Fleet) -> Pair:
    """Two hubs with an edge, for tests that break none of them; each leaves no machine behind."""
    first, second, _ = two_hubs_and_an_edge(lasting_fleet)
    return first, second


def delete(hubs: Pair, name: str) -> None:
    """Take a machine away, and wait until no hub shows any."""
    hubs[0].call("vm.stop", vm=name, mode="force", wait_s=10)
    hubs[0].call("vm.delete", vm=name, wait_s=10)
    each_shows(hubs, states, NONE)


def starts(hub: HubProcess, name: str) -> int:
    """How many events of a start of this machine a hub has."""
    events = [each for each in hub.records(signal="events") if each["event_name"] == "vm.started"]
    return sum(each["body"] == f"{name} was started" for each in events)


def test_a_machine_made_through_one_hub_is_stopped_through_the_other(pair: Pair) -> None:
    first, second = pair
    spec = {"name": "web", "image": SHELL}
    made = first.call("vm.create", node="edge-1", spec=spec, wait_s=10)
    assert (made["state"], made["path"]["served_by"]) == ("done", "hub-1")
    each_shows((first, second), states, {"web": "stopped"})

    started = second.call("vm.start", vm="web", wait_s=10)
    assert (started["state"], started["path"]["served_by"]) == ("done", "hub-2")
    each_shows((first, second), states, {"web": "running"})
    for hub in (first, second):
        seen = hub.call("vm.get", vm="web")
        assert (seen["node_id"], seen["state"], seen["kind"]) == ("edge-1", "running", "sandbox")

    stopped = first.call("vm.stop", vm="web", mode="force", wait_s=10)
    assert stopped["state"] == "done"
    each_shows((first, second), states, {"web": "stopped"})
    second.call("vm.delete", vm="web", wait_s=10)
    each_shows((first, second), states, NONE)


def test_what_happens_to_a_machine_is_an_event_on_both_hubs(pair: Pair) -> None:
    spec = {"name": "told", "image": SHELL}
    pair[0].call("vm.create", node="edge-1", spec=spec, start=True, wait_s=10)
    each_shows(pair, lambda hub: starts(hub, "told"), 1)
    delete(pair, "told")


def test_an_order_takes_the_way_through_the_peer_when_a_hub_has_no_link(fleet: Fleet) -> None:
    """Nobody can reach this hub under the address that it names, but it reaches its peer."""
    (closed,) = free_ports(1)
    first = fleet.hub("hub-1")
    second = fleet.hub(
        "hub-2",
        f"PEER_MASTERS={first.url.removeprefix('http://')}",
        f"ADVERTISE_URL=http://127.0.0.1:{closed}",
    )
    fleet.edge("edge-1", [first], "ALLOW_UNISOLATED=1")
    eventually(lambda: first.has_link_to(1), "the first hub has a link")
    eventually(lambda: second.node_ids() == ["edge-1"], "the second hub has heard of the edge")
    assert second.has_link_to(0)

    spec = {"name": "far", "image": SHELL}
    made = second.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=10)
    assert made["state"] == "done"
    assert [hop["hub"] for hop in made["path"]["hops"]] == ["hub-2", "hub-1"]
    assert made["path"]["served_by"] == "hub-1"
    eventually(lambda: states(second) == {"far": "running"}, "the second hub shows it run")
    held = second.call("edge.buffer", node="edge-1")
    assert held["path"]["served_by"] == "hub-1"


def test_the_other_hub_goes_on_when_one_has_died(fleet: Fleet) -> None:
    first, second, _ = two_hubs_and_an_edge(fleet)
    first.call("vm.create", node="edge-1", spec={"name": "web", "image": SHELL}, wait_s=10)
    eventually(lambda: states(second) == {"web": "stopped"}, "the second hub shows it")
    first.kill()
    assert second.call("vm.start", vm="web", wait_s=10)["state"] == "done"
    eventually(lambda: states(second) == {"web": "running"}, "the second hub shows it run")


def operations(hub: HubProcess) -> int:
    """How many orders the edge has had, as far as a hub lists them."""
    return len(hub.call("op.list", node="edge-1")["items"])


def test_an_order_repeated_through_the_other_hub_has_one_effect(pair: Pair) -> None:
    first, second = pair
    order: dict[str, Any] = {
        "node": "edge-1",
        "spec": {"name": "once", "image": SHELL},
        "request_id": "the-same-order",
        "wait_s": 10,
    }
    before = operations(first)
    made = first.call("vm.create", **order)
    again = second.call("vm.create", **order)
    assert (again["op_id"], again["vm_id"]) == (made["op_id"], made["vm_id"])
    assert again["path"]["request_id"] == "the-same-order"
    each_shows((first, second), states, {"once": "stopped"})
    assert operations(first) == before + 1
    second.call("vm.delete", vm="once", wait_s=10)
    each_shows(pair, states, NONE)


def test_an_order_sent_through_both_hubs_at_once_has_one_effect(pair: Pair) -> None:
    first, second = pair
    order: dict[str, Any] = {
        "node": "edge-1",
        "spec": {"name": "at-once", "image": SHELL},
        "start": True,
        "request_id": "at-once",
        "wait_s": 10,
    }
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda hub=hub: answers.append(hub.call("vm.create", **order)))
        for hub in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["op_id"] for answer in answers}) == 1
    each_shows((first, second), states, {"at-once": "running"})
    delete(pair, "at-once")


def seen_live(hub: HubProcess) -> dict[str, Any]:
    """The machine as its node tells of it now; empty while only an older word is known."""
    seen = hub.ask("vm.get", vm="web")
    return seen if seen.get("freshness") == "live" else {}


def test_a_machine_outlives_the_agent_that_is_killed(fleet: Fleet) -> None:
    first, _, edge = two_hubs_and_an_edge(fleet)
    spec = {"name": "web", "image": SHELL}
    first.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=10)
    before = first.call("vm.get", vm="web")
    edge.kill()
    edge.start()
    eventually(lambda: first.has_link_to(1), "the edge is back")
    after = eventually(lambda: seen_live(first), "the edge itself tells of it")
    assert (after["state"], after["started_at"]) == ("running", before["started_at"])
