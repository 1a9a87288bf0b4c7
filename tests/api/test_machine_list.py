"""vm.list narrowed: by state, kind, label and name, with fewer fields, and with what is not known."""

from typing import Any

import orjson
import pytest

from edge.agent import VMS_IN_BEAT_MAX
from edge.vm import views
from edge.vm.model import Spec, State, Vm
from tests.api.conftest import World

BRIEF_BYTES_MAX = 64 * 1024
"""Of 100 machines with three labels each: beside it, a heartbeat is a few kilobytes."""


def machine(node: str, name: str, seq: int, **changes: Any) -> dict[str, Any]:
    """What the heartbeat of an edge carries of a machine."""
    labels = changes.pop("labels", {})
    spec = Spec(name=name, image="builtin:tiny", labels=labels)
    known = {"kind": "vm", "driver": "qemu", "created_ms": 1, "state": State.RUNNING, **changes}
    return views.brief(Vm(id=f"{node}-{name}", node_id=node, spec=spec, seq=seq, **known))


@pytest.fixture
async def machines(world: World) -> World:
    of_one = [
        machine("edge-1", "web-1", 1, labels={"tier": "web", "site": "north"}),
        machine("edge-1", "web-2", 5, labels={"tier": "web"}, state=State.STOPPED),
        machine("edge-1", "shell", 3, kind="sandbox", driver="sandbox"),
    ]
    await world.beat("edge-1", vms=of_one)
    await world.beat("edge-2", vms=[machine("edge-2", "web-1", 9, labels={"tier": "db"})])
    return world


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"state": "running"}, ["shell", "web-1", "web-1"]),
        ({"state": ["stopped", "failed"]}, ["web-2"]),
        ({"kind": "sandbox"}, ["shell"]),
        ({"label": "tier=web"}, ["web-1", "web-2"]),
        ({"label": ["tier", "site!=north"]}, ["web-2", "web-1"]),
        ({"name": "web-?"}, ["web-1", "web-2", "web-1"]),
        ({"node": "edge-1", "since_seq": 2}, ["shell", "web-2"]),
        ({"name": "*", "state": "running", "kind": "vm", "node": "edge-2"}, ["web-1"]),
    ],
)
async def test_the_hub_narrows_by_what_heartbeats_carry(
    machines: World, asked: dict[str, Any], wanted: list[str]
) -> None:
    answer = await machines.call("vm.list", **asked)
    assert ([item["name"] for item in answer["items"]], answer["total"]) == (wanted, len(wanted))


async def test_only_the_fields_that_are_asked_for_come(machines: World) -> None:
    answer = await machines.call("vm.list", fields=["state", "freshness"])
    wanted = {"id", "name", "node_id", "state", "freshness"}
    assert all(item.keys() == wanted for item in answer["items"])
    assert {item["freshness"] for item in answer["items"]} == {"live"}


async def test_machines_of_a_silent_node_are_unknown_and_their_node_is_missing(
    machines: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may well run still."""
    state = machines.hub.registry.state
    silent = {"edge-1"}
    offline = type(state("edge-1"))("offline")
    monkeypatch.setattr(
        type(machines.hub.registry),
        "state",
        lambda registry, node: offline if node in silent else state(node),
    )
    answer = await machines.call("vm.list")
    assert (answer["missing_nodes"], answer["partial"]) == (["edge-1"], True)
    of_one = [item for item in answer["items"] if item["node_id"] == "edge-1"]
    assert {item["freshness"] for item in of_one} == {"unreachable"}
    assert (await machines.call("hub.status"))["vms"] == {"unknown": 3, "running": 1}
    assert {item["status"] for item in of_one} == {"unknown (was running)", "unknown (was stopped)"}
    assert (await machines.call("vm.list", state="unknown"))["total"] == 3
    assert (await machines.call("vm.list", state="running"))["total"] == 1


def test_a_heartbeat_with_a_hundred_machines_stays_small() -> None:
    labels = {"tier": "web", "team": "north-east", "environment": "production"}
    told = [machine("edge-001", f"vm-{n:03}", n, labels=labels) for n in range(100)]
    assert len(orjson.dumps(told)) < BRIEF_BYTES_MAX
    assert VMS_IN_BEAT_MAX == 1000
    assert {"labels", "driver", "kind", "seq", "state"} <= told[0].keys()
