"""The door for peers that look for a stream to a node: one hub further at most, and no strangers."""

from typing import Any

import orjson
import pytest

from hub.call_streams import STREAM_PATH
from hub.peering.farewell import Farewell
from hub.peering.farewell_part import FarewellPart
from hub.peering.refusal_part import RefusalPart
from shared.errors import Refused
from shared.stamp import Stamp
from tests.api.conftest import CLUSTER_KEY, World, bearer
from tests.api.console_world import Hubs, hubs
from tests.api.mesh_world import part_in
from tests.api.socket_world import AppSocket

__all__ = ["hubs"]

ORDER = {
    "version": 1,
    "node": "edge-1",
    "method": "vm.console.open",
    "params": {"vm": "web"},
    "seconds": 5.0,
    "passed": ["hub-9"],
}


async def peer_socket(world: World, order: Any, hub: str = "hub-9") -> dict[str, Any]:
    """What a hub answers to the order of a peer."""
    headers = {**bearer(CLUSTER_KEY), "x-headwater-hub": hub}
    made = AppSocket(world.app, f"http://hub{STREAM_PATH}", headers)
    await made.open()
    await made.send(order if isinstance(order, bytes) else orjson.dumps(order))
    answer: dict[str, Any] = orjson.loads(await made.receive())
    await made.close()
    return answer


async def test_a_peer_is_not_sent_on_to_a_third_hub(hubs: Hubs) -> None:
    await hubs.edge(hubs.two)
    answer = await peer_socket(hubs.one, ORDER)
    assert answer["error"]["data"]["kind"] == "node_unreachable"
    assert hubs.dialling.open == []


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (b"\xff", "not JSON"),
        ([], "JSON object"),
        ({**ORDER, "passed": []}, "hubs that it passed"),
        ({**ORDER, "passed": ["a", "b"]}, "hubs that it passed"),
        ({**ORDER, "seconds": 1e9}, "seconds for its opening"),
        ({**ORDER, "passed": ["hub-1"]}, "called hub-1 too"),
        ({**ORDER, "version": 99}, "update the older"),
        (b"{" * 70_000, "65536"),
    ],
)
async def test_senseless_orders_of_peers_are_refused_and_counted(
    hubs: Hubs, order: Any, text: str
) -> None:
    answer = await peer_socket(hubs.one, order)
    assert text in answer["error"]["message"]
    assert part_in(hubs.one, RefusalPart).here.total == 1


async def test_the_door_for_peers_is_closed_to_strangers_and_removed_hubs(hubs: Hubs) -> None:
    await part_in(hubs.one, FarewellPart)._keep([Farewell("hub-8", 1, Stamp(1, 0, "x"), gone=True)])
    with pytest.raises(Refused, match="was removed"):
        await peer_socket(hubs.one, ORDER, hub="hub-8")
    made = AppSocket(hubs.one.app, f"http://hub{STREAM_PATH}", bearer("another key"))
    with pytest.raises(Refused, match="4401"):
        await made.open()
