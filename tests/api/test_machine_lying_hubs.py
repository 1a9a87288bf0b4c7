"""A peer that answers for a node that it does not have, or with what nobody can read: never taken for
the node's own word."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.http import Reply
from tests.api.conftest import World
from tests.api.machine_world import SPEC, Edge, edge_in, refusal
from tests.api.mesh_world import NetWire, Network, config_of, opened, running

CALL = "peer/call"


class Lying(NetWire):
    """What a hub posts with, when the peer that it calls lies."""

    said: bytes = b""
    asked: int = 0

    async def request(self, method: str, url: str, **told: Any) -> Reply:
        if url.endswith(CALL) and self.said:
            Lying.asked += 1
            return Reply(200, {"content-type": "application/json"}, self.said)
        return await super().request(method, url, **told)


@dataclass
class Pair:
    """A hub without a link, its peer that has one, and the node."""

    one: World
    two: World
    edge: Edge


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(Lying, "said", b"")
    monkeypatch.setattr(Lying, "asked", 0)
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        wires = [Lying(net.apps, net, each.hub_id) for each in configs]
        one, two = [
            await opened(stack, net.apps, each, wire)
            for each, wire in zip(configs, wires, strict=True)
        ]
        await stack.enter_async_context(running(one, two))
        await edge.make()
        for world in (one, two):
            await edge.beat(world)
        yield Pair(one, two, edge)


def result(value: Any, hops: Any = ()) -> bytes:
    """What a peer says whose call went well."""
    said = {"result": value, "hops": list(hops) if isinstance(hops, tuple) else hops}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": said})


LIES = {
    "of another node": result({"node_id": "edge-9", "op_id": "o-1", "state": "done"}),
    "of no node by name": result({"node_id": 7, "op_id": "o-1", "state": "done"}),
    "without a path": orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"state": "done"}}),
    "with a path that is none": result({"op_id": "o-1"}, hops="hub-2"),
    "no object": orjson.dumps([1, 2, 3]),
    "neither result nor error": orjson.dumps({"jsonrpc": "2.0", "id": 1}),
    "no JSON": b"\xff\xfe",
    "nothing": b" ",
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_hub_that_answers_for_a_node_it_does_not_have_is_not_believed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """The outcome is not known, which names the request id; the truth is told once it can be heard."""
    monkeypatch.setattr(Lying, "said", LIES[lie])
    order = {"node": "edge-1", "spec": {**SPEC, "name": "web"}, "request_id": "r-1"}
    said = await refusal(pair.one, "vm.create", **order)
    assert said["kind"] == "outcome_unknown", said
    assert (said["code"], said["request_id"], said["retryable"]) == (-32012, "r-1", True)
    assert Lying.asked >= 1
    assert [vm["name"] for vm in pair.edge.service.summary()] == ["box"]
    monkeypatch.setattr(Lying, "said", b"")
    async with pair.edge.linked(pair.two):
        done = await pair.one.call("vm.create", **order)
    assert (done["state"], done["node_id"]) == ("done", "edge-1")
    assert done["path"]["served_by"] == "hub-2"
    assert len(pair.edge.service.summary()) == 2


async def test_a_hub_that_says_it_has_no_link_is_named_in_the_path(pair: Pair) -> None:
    said = await refusal(pair.one, "vm.start", vm="box")
    assert (said["kind"], said["code"]) == ("no_path", -32011)
    assert [hop["hub"] for hop in said["path"]["hops"]] == ["hub-2"]
