"""Calls that hubs pass on: who may not take part is refused there too, and both sides show it."""

from typing import Any

import pytest

from hub.hub import Hub
from hub.peering.farewell import Farewell
from hub.peering.farewell_part import FarewellPart
from hub.peering.refusal_part import RefusalPart
from hub.pull_answers import VERSION
from shared.errors import RpcError
from shared.stamp import Stamp
from tests.api.conftest import CLUSTER_KEY, World, bearer
from tests.api.test_taken_over_hubs import Cluster, cluster

__all__ = ["cluster"]

ORDER = {"node": "edge-1", "method": "edge.buffer", "params": {}, "seconds": 5.0}


def refusals(hub: Hub) -> RefusalPart:
    return next(part for part in hub.parts if isinstance(part, RefusalPart))


async def pair(cluster: Cluster) -> tuple[World, World]:
    """Two hubs, of which the first knows who the second is; nothing runs."""
    one, two = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2")
    one.hub.peers.by_url["http://hub-2"].hub_id = "hub-2"
    return one, two


async def send_away(world: World, hub: str) -> None:
    part = next(part for part in world.hub.parts if isinstance(part, FarewellPart))
    await part._keep([Farewell(hub, 1, Stamp(1, 0, "hub-9"), gone=True)])


async def hop_of_call(world: World) -> str:
    """Why the way over the peer failed."""
    with pytest.raises(RpcError) as raised:
        await world.hub.fleet.calls.call("edge-1", "edge.buffer", {})
    assert raised.value.kind == "no_path"
    [hop] = raised.value.data["hops"]
    return str(hop["error"])


async def test_a_removed_hub_passes_on_no_call_and_both_sides_show_why(cluster: Cluster) -> None:
    one, two = await pair(cluster)
    await send_away(two, "hub-1")
    assert "was removed from this mesh" in await hop_of_call(one)
    assert two.counted("peer_messages_refused") == 1
    assert refusals(two.hub).here.total == refusals(one.hub).there.total == 1
    [shown] = (each for each in (await one.call("hub.list"))["items"] if each["hub_id"] == "hub-2")
    assert "it refuses this hub: hub-1 was removed" in shown["error"]


async def test_what_was_refused_is_over_with_the_next_call_that_is_not(cluster: Cluster) -> None:
    one, two = await pair(cluster)
    await send_away(two, "hub-1")
    await hop_of_call(one)
    await two.call("peers.admit", hub="hub-1")
    assert "has no link" in await hop_of_call(one)
    assert one.hub.peers.by_url["http://hub-2"].refusal == ""


async def test_a_call_into_another_cluster_is_shown(cluster: Cluster) -> None:
    """The other hub knows another key."""
    one, _ = await pair(cluster)
    one.hub.mesh.headers["authorization"] = "Bearer of another cluster"
    assert "different clusters" in await hop_of_call(one)
    assert refusals(one.hub).there.total == 1
    assert one.hub.peers.by_url["http://hub-2"].refusal.startswith("it refuses this hub")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"passed": ["hub-1"]}, "this hub is called hub-1 too"),
        ({"passed": ["hub-2"], "version": VERSION + 1}, "update the older"),
    ],
    ids=["a second hub of our name", "another version"],
)
async def test_what_is_refused_of_a_call_is_counted(
    cluster: Cluster, changes: dict[str, Any], text: str
) -> None:
    one = await cluster.hub("hub-1")
    answer = await one.peer("/peer/call", {**ORDER, **changes})
    assert (answer.status_code, text in answer.text) == (400, True)
    assert one.counted("peer_messages_refused") == 1


@pytest.mark.parametrize("door", ["call", "chunks", "fates", "vector", "ledger", "probe"])
async def test_every_door_for_hubs_is_closed_to_one_that_was_removed(
    cluster: Cluster, door: str
) -> None:
    """Whatever it says: it is refused by the name that it says it has."""
    one = await cluster.hub("hub-1")
    await send_away(one, "hub-9")
    headers = {**bearer(CLUSTER_KEY), "x-headwater-hub": "hub-9"}
    answer = await one.client.post(f"/peer/{door}", content=b"{}", headers=headers)
    assert answer.status_code == 403
    assert "hub-9 was removed from this mesh" in answer.text
    assert refusals(one.hub).here.total == 1
