"""WebSocket frames over the limit: the link that carries one is closed with the reason, and nothing else
is harmed."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from edge.hubs import HubView
from edge.link import Link
from hub.links import CALL_BYTES_MAX
from shared.runtime import system_runtime
from shared.serve import WS_MESSAGE_BYTES_MAX
from tests.system.processes import CLUSTER_KEY, Answered, Fleet, HubProcess, eventually
from tests.system.test_machines import SHELL, states
from tests.unit.vm.waiting import until

TOO_BIG = 1009
"""Message too big (RFC 6455, 7.4.1)."""


def edge_headers(node: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {CLUSTER_KEY}",
        "x-headwater-node": node,
        "x-headwater-node-key": f"the key of {node}",
        "x-headwater-run": "11" * 8,
        "x-headwater-mark": "e1:0",
    }


async def speak(hub: HubProcess, message: bytes) -> int:
    """Send one message as an edge does; the code that the link is closed with, 0 when it stays."""
    url = hub.url.replace("http://", "ws://") + "/edge/link"
    async with connect(url, additional_headers=edge_headers("rogue")) as socket:
        try:
            await socket.send(message)
            async with asyncio.timeout(3):
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        except TimeoutError:
            return 0
    return 0


def test_a_link_that_sends_a_frame_over_the_limit_is_closed_and_harms_no_other(
    fleet: Fleet,
) -> None:
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub], "ALLOW_UNISOLATED=1")
    fleet.settled([hub], edge)
    assert asyncio.run(speak(hub, b" " * (WS_MESSAGE_BYTES_MAX + 1))) in (TOO_BIG, 1006)
    assert asyncio.run(speak(hub, b"{" * 100_000)) == 0
    spec = {"name": "web", "image": SHELL}
    made = hub.call("vm.create", node="edge-1", spec=spec, wait_s=10)
    assert made["state"] == "done"
    eventually(lambda: states(hub) == {"web": "stopped"}, "the hub works on")


def test_a_call_that_no_link_carries_is_refused_and_the_link_stays(fleet: Fleet) -> None:
    """It would break the link, and with it all calls of others."""
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub], "ALLOW_UNISOLATED=1")
    fleet.settled([hub], edge)
    hub.call("vm.create", node="edge-1", spec={"name": "web", "image": SHELL}, wait_s=10)
    data = "x" * (CALL_BYTES_MAX + 1)
    with pytest.raises(Answered) as caught:
        hub.call("vm.console.send", vm="web", node="edge-1", data=data)
    assert caught.value.kind == "invalid_params"
    assert hub.has_link_to(1)
    assert hub.call("vm.get", vm="web", node="edge-1", live=True)["name"] == "web"


async def test_an_edge_that_is_sent_a_frame_over_the_limit_lets_go_and_dials_again() -> None:
    """Something that it takes for a hub sends it more than a link carries; it never reads it all."""
    ends: list[int] = []
    answered: list[str] = []

    async def rogue(socket: ServerConnection) -> None:
        try:
            await socket.send(b"x" * (WS_MESSAGE_BYTES_MAX + 1))
            await socket.wait_closed()
        finally:
            ends.append(socket.close_code or 0)

    async def answer(method: str, params: dict[str, Any]) -> Any:
        answered.append(method)

    async with serve(rogue, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = Link(HubView(f"http://127.0.0.1:{port}"), system_runtime(), {}, answer)
        dialling = asyncio.create_task(link.run())
        await until(lambda: number_of(ends), lambda seen: seen >= 2)
        dialling.cancel()
        await asyncio.gather(dialling, return_exceptions=True)
    assert set(ends[:2]) == {TOO_BIG}
    assert answered == []


async def number_of(ends: list[int]) -> int:
    return len(ends)
