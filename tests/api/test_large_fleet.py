"""A hub of many nodes answers what it is asked of all of them, and hears its peers meanwhile."""

import asyncio
from collections.abc import Awaitable

import pytest

from hub.nodes import check_part
from hub.nodes.check_part import CheckPart
from hub.nodes.summary import NodeGist
from shared.merge import REGISTERED, Facts, Intent, NodeRecord, Observation
from shared.stamp import Stamp
from tests.api.conftest import World
from tests.api.test_taken_over_hubs import Cluster, cluster

__all__ = ["cluster"]

NODES = 1000
CHECK = [{"name": "ssh", "kind": "tcp", "target": ":22"}]


def node(number: int) -> NodeRecord:
    intents = {"checks": CHECK, REGISTERED: {"at_ms": 2**62, "by": "a liar"}}
    stamped = {name: Intent(value, Stamp(1, 0, "hub-1")) for name, value in intents.items()}
    seen = Observation(1, 1, 1, "hub-1", {})
    return NodeRecord(f"edge-{number:04d}", Facts(1, 1, {}), seen, stamped)


@pytest.fixture
async def fleet(cluster: Cluster) -> World:
    world = await cluster.hub("hub-1")
    for number in range(NODES):
        world.hub.registry.apply(node(number), 0.0)
    return world


async def turns_during(work: Awaitable[object]) -> int:
    """How often others had their turn on the event loop while this was done."""
    turns, asked = 0, asyncio.ensure_future(work)
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    await asked
    return turns


@pytest.mark.parametrize("method", ["node.list", "fleet.summary"])
async def test_an_answer_about_all_nodes_lets_others_have_their_turn(
    fleet: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """At 100,000 nodes a hub that does it in one go stands still for seconds: its peers call it dead."""
    monkeypatch.setattr("hub.fleet_list.DESCRIBED_AT_ONCE", NODES // 10)
    monkeypatch.setattr(check_part, "GISTS_AT_ONCE", NODES // 10)
    assert await turns_during(fleet.hub.rpc.call(method, {})) >= 10


async def test_a_page_of_uptimes_looks_at_no_node_but_its_own(fleet: World) -> None:
    looked: list[str] = []
    methods = fleet.hub.rpc.methods["fleet.uptime"].handler.__self__  # type: ignore[attr-defined]
    gist = methods.gist

    def look(name: str) -> NodeGist | None:
        looked.append(name)
        found: NodeGist | None = gist(name)
        return found

    methods.gist = look
    answer = await fleet.call("fleet.uptime", limit=5, after="edge-0002")
    names = [f"edge-{number:04d}" for number in range(3, 8)]
    assert [item["node"] for item in answer["items"]] == names == looked
    assert (answer["nodes"], answer["cursor"]) == (NODES, "edge-0007")


async def test_metrics_count_checks_without_a_look_at_each(fleet: World) -> None:
    """The sums follow what is planned, taken away, failing, passing and forgotten."""
    (part,) = (each for each in fleet.hub.parts if isinstance(each, CheckPart))
    part.observing.begin(0.0, 1)
    for name, state in (("edge-0000", "failed"), ("edge-0001", "failed"), ("edge-0001", "ok")):
        part.observing.note(name, "ssh", state, "", 0.0, 1)
    part.checks.plan("edge-0002", [], 0.0)
    part.checks.plan("edge-0003", [*CHECK, {**CHECK[0], "name": "web"}], 0.0)
    gauges = part.gauges()
    assert (gauges["checks"], gauges["checks_failing"]) == (NODES, 1)
    part.checks.plan("edge-0000", None, 0.0)
    gauges = part.gauges()
    assert (gauges["checks"], gauges["checks_failing"]) == (NODES - 1, 0)


async def test_rubbish_in_a_record_hides_no_node(fleet: World) -> None:
    """A time that no calendar has was told by a peer: it is shown as none."""
    items = (await fleet.call("node.list"))["items"]
    assert len(items) == NODES
    assert items[0]["registered"] == {"by": "a liar", "at": None}


async def test_sums_for_metrics_are_added_up_between_messages(
    fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.audit.COUNTED_TOGETHER", NODES // 10)
    assert await turns_during(fleet.hub.audit.count()) >= 10
