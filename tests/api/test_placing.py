"""VMs whose node a hub chooses: by what nodes told of themselves, and by what they say of the spec."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import World
from tests.api.machine_world import SPEC, Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, running

MIB = 1024 * 1024


@dataclass
class Site:
    """Two hubs, and three nodes with a link to the first."""

    one: World
    two: World
    edges: dict[str, Edge]

    async def tell(self, node: str, memory_mib: int, used: float = 0.0) -> None:
        """A node tells how much memory its host has, and how much of it is used."""
        edge = self.edges[node]
        for world in (self.one, self.two):
            edge.beats += 1
            answer = await world.beat(
                node,
                beat=edge.beats,
                facts={"memory_bytes": memory_mib * MIB},
                facts_number=edge.beats,
                load={"memory_ratio": used},
                vms=edge.service.summary(),
            )
            assert answer.status_code == 200, answer.text


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        edges = dict[str, Edge]()
        for node in ("n-1", "n-2", "n-3"):
            edges[node] = await stack.enter_async_context(edge_in(tmp_path / node, node))
            await stack.enter_async_context(edges[node].linked(one))
        site = Site(one, two, edges)
        for node, memory_mib in (("n-1", 4096), ("n-2", 16384), ("n-3", 8192)):
            await site.tell(node, memory_mib)
        yield site


async def chosen(world: World, **params: Any) -> str:
    """The node that a hub would take for a spec."""
    answer = await world.call("vm.validate", spec=SPEC, **params)
    assert answer["problems"] == []
    return str(answer["node_id"])


async def test_the_node_with_most_free_memory_is_chosen_and_the_answer_says_why(site: Site) -> None:
    made = await site.one.call("vm.create", spec=SPEC, wait_s=30)
    assert (made["node_id"], made["state"]) == ("n-2", "done")
    assert made["placement"]["why"] == "the best of 3 nodes: 16.0 GiB of memory free, 0 VMs"
    assert [vm["name"] for vm in site.edges["n-2"].service.summary()] == ["box"]


async def test_a_hub_without_links_chooses_and_asks_through_its_peer(site: Site) -> None:
    made = await site.two.call("vm.create", spec=SPEC, wait_s=30)
    assert made["node_id"] == "n-2"
    assert [hop["hub"] for hop in made["path"]["hops"]] == ["hub-2", "hub-1"]


async def test_memory_that_a_host_uses_or_has_promised_is_not_free(site: Site) -> None:
    await site.tell("n-2", 16384, used=0.9)
    assert await chosen(site.one) == "n-3"
    await site.edges["n-3"].make("big", memory_mib=6000)
    await site.tell("n-3", 8192)
    assert await chosen(site.one) == "n-1"


async def test_a_node_that_drains_or_is_ruled_out_is_not_chosen(site: Site) -> None:
    await site.one.call("node.drain", node="n-2")
    await site.one.call("node.label", node="n-1", labels={"site": "north"})
    answer = await site.one.call("vm.validate", spec=SPEC)
    assert answer["node_id"] == "n-3"
    assert answer["placement"]["considered"] == [{"node_id": "n-2", "why": "it is draining"}]
    assert await chosen(site.one, placement={"labels": "site=north"}) == "n-1"
    assert await chosen(site.one, placement={"labels": ["site!=north"]}) == "n-3"
    assert await chosen(site.one, placement={"not_nodes": ["n-3"]}) == "n-1"
    assert await chosen(site.one, placement={"nodes": ["n-1", "n-2"]}) == "n-1"


async def test_a_node_whose_drivers_cannot_run_it_is_passed_over(site: Site) -> None:
    site.edges["n-2"].scripted.broken.add("check")
    answer = await site.one.call("vm.validate", spec=SPEC)
    assert answer["node_id"] == "n-3"
    assert answer["placement"]["considered"][0]["node_id"] == "n-2"


async def test_where_no_node_can_take_it_each_says_why(site: Site) -> None:
    spec = {**SPEC, "memory_mib": 900 * 1024}
    said = await refusal(site.one, "vm.create", spec=spec)
    assert (said["kind"], said["code"]) == ("insufficient", -32007)
    assert [each["node_id"] for each in said["considered"]] == ["n-1", "n-2", "n-3"]
    assert "n-1: it has 4.0 GiB of memory free, and 900.0 GiB are asked for" in said["message"]
    assert (said["hop"], said["retryable"]) == ("hub-1", False)


async def test_a_spec_that_cannot_be_read_is_refused_and_not_tried_everywhere(site: Site) -> None:
    said = await refusal(site.one, "vm.create", spec={**SPEC, "name": "../etc"})
    assert said["kind"] == "invalid_params"


async def test_an_order_that_may_be_repeated_must_name_its_node(site: Site) -> None:
    """Another hub could choose another node, and there would be two."""
    said = await refusal(site.one, "vm.create", spec=SPEC, request_id="r-1")
    assert said["kind"] == "invalid_params"
    assert "vm.validate without a node chooses one" in said["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"node": "n-1", "placement": {"labels": "a"}},
        {"placement": {"nodes": []}},
        {"placement": {"color": "red"}},
        {"placement": "n-1"},
    ],
)
async def test_a_placement_that_means_nothing_is_refused(site: Site, more: dict[str, Any]) -> None:
    assert (await refusal(site.one, "vm.create", spec=SPEC, **more))["kind"] == "invalid_params"
    assert (await refusal(site.one, "vm.validate", spec=SPEC, **more))["kind"] == "invalid_params"
