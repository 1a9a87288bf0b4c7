"""The order arrives and is carried out, and its answer is lost: whoever asks again under the same request
id, through whatever hub, gets the same operation, and there is one machine."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from edge.vm.model import OpState
from tests.ports import free_ports
from tests.system.lost_answers_proxy import Proxy
from tests.system.processes import Answered, EdgeProcess, Fleet, HubProcess, each_shows, eventually
from tests.system.test_fleet_of_machines import ledger_of, machines_of
from tests.unit.vm.contract.conftest import living_shims
from tests.unit.vm.needs import qemu

IMAGES = {"sandbox": "builtin:shell", "qemu": "builtin:tiny"}
LINK, CALL = b"GET /edge/link", b"POST /rpc"


@dataclass
class Lossy:
    """Two hubs and an edge. Each link, and the way of a client to the first hub, can lose answers."""

    hubs: list[HubProcess]
    edge: EdgeProcess
    links: list[Proxy]
    door: Proxy

    def through_the_door(self, method: str, **params: Any) -> Any:
        """A call whose answer may be lost; raises httpx.TransportError then."""
        token = (self.hubs[0].folder / "hub" / "admin.token").read_text().strip()
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"authorization": f"Bearer {token}"}
        url = f"{self.door.url}/rpc"
        return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False).json()

    def op_of(self, request_id: str) -> dict[str, Any]:
        """What the edge wrote down of an order; empty before that is over."""
        requests, operations = ledger_of(self.edge)
        found = [each for each in operations if each["id"] == requests.get(request_id)]
        assert len(found) <= 1
        is_over = bool(found) and found[0]["state"] != OpState.RUNNING
        return found[0] if is_over else {}

    def processes(self) -> list[int]:
        """Of all machines of the edge."""
        shims = [
            pid for book in self.edge.folder.glob("**/vm.db") for pid in living_shims(book.parent)
        ]
        return sorted([*shims, *(process.pid for process in machines_of(self.edge))])


@contextmanager
def lossy(fleet: Fleet) -> Iterator[Lossy]:
    ports = free_ports(2)
    with ExitStack() as stack:
        links = [stack.enter_context(Proxy(port, LINK, is_server_asking=True)) for port in ports]
        door = stack.enter_context(Proxy(ports[0], CALL))
        hubs = [
            fleet.hub(
                f"hub-{number + 1}",
                f"PEER_MASTERS={links[1 - number].address}",
                f"ADVERTISE_URL={links[number].url}",
                port=ports[number],
            )
            for number in range(2)
        ]
        seen = [dataclasses.replace(hub, url=way.url) for hub, way in zip(hubs, links, strict=True)]
        edge = fleet.edge("edge-1", seen, "ALLOW_UNISOLATED=1")
        fleet.settled(hubs, edge)
        yield Lossy(hubs, edge, links, door)
        fleet.end()


def lose_to_the_client(world: Lossy, method: str, order: dict[str, Any]) -> None:
    """The hub answers, and its client hears nothing."""
    world.door.mute()
    with pytest.raises(httpx.TransportError):
        world.through_the_door(method, **order)
    world.door.heal()


def lose_to_all_hubs(world: Lossy, method: str, order: dict[str, Any]) -> None:
    """The edge answers, and no hub hears it; the error tells that it may have happened."""
    for link in world.links:
        link.mute()
    with pytest.raises(Answered) as caught:
        world.hubs[0].call(method, **order)
    assert caught.value.kind in ("outcome_unknown", "no_path")
    eventually(lambda: world.op_of(order["request_id"]), "the edge has done it")
    for link in world.links:
        link.heal()
    each_shows(world.hubs, lambda hub: hub.has_link_to(1), True)


def lose_to_one_hub(world: Lossy, method: str, order: dict[str, Any]) -> None:
    """The edge answers, and the hub that asked does not hear it: it asks through the other one."""
    world.links[0].mute()
    answer = world.hubs[0].call(method, **order)
    assert (answer["state"], answer["path"]["served_by"]) == ("done", "hub-2")
    first, *rest = answer["path"]["hops"]
    assert first.get("error"), "the path does not tell what was lost"
    assert [hop["hub"] for hop in rest][-1] == "hub-2"
    world.links[0].heal()
    each_shows(world.hubs, lambda hub: hub.has_link_to(1), True)


WAYS = {
    "the client": lose_to_the_client,
    "all hubs": lose_to_all_hubs,
    "one hub": lose_to_one_hub,
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["sandbox", pytest.param("qemu", marks=qemu())])
def test_an_answer_that_is_lost_after_the_effect_is_told_again_and_nothing_is_done_again(
    fleet: Fleet, kind: str, way: str
) -> None:
    """Create, start, stop and delete, each with its answer lost on the way to the client, to one hub or
    to all hubs."""
    orders: list[tuple[str, dict[str, Any], int]] = [
        ("vm.create", {"spec": {"name": "box", "image": IMAGES[kind]}}, 0),
        ("vm.start", {"vm": "box"}, 1),
        ("vm.stop", {"vm": "box", "mode": "force"}, 0),
        ("vm.delete", {"vm": "box"}, 0),
    ]
    with lossy(fleet) as world:
        for method, params, running in orders:
            order = {"node": "edge-1", "request_id": f"the-{method}", "wait_s": 10, **params}
            WAYS[way](world, method, order)
            assert_told_again(world, method, order, running)
        requests, operations = ledger_of(world.edge)
        assert sorted(requests) == sorted(f"the-{method}" for method, *_ in orders)
        assert len(operations) == len(set(requests.values())) == len(orders)


def assert_told_again(world: Lossy, method: str, order: dict[str, Any], running: int) -> None:
    """Through either hub: the same operation, done once, and as many processes as there were.

    A hub whose link has just been cut may ask through the other one.
    """
    done = world.op_of(order["request_id"])
    assert (done["method"], done["state"]) == (method, "done")
    before = world.processes()
    assert len(before) == running
    for hub in reversed(world.hubs):
        again = hub.call(method, **order)
        assert (again["op_id"], again["state"]) == (done["id"], "done")
    assert world.processes() == before
