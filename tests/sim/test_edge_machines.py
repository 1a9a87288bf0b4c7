"""Edges of the simulation are wired as real ones are."""

from shared.records import MIB
from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.prepared import prepared_stores
from tests.sim.run import play
from tests.sim.scenario import settled, url_of

AHEAD = 7


async def outranked(world: World) -> None:
    """An edge whose disk was set back shows that it is no copy, and counts on from there in its next life."""
    hub, edge = HubMachine(world, "hub-1", []), EdgeMachine(world, "edge-1", [url_of("hub-1")], MIB)
    with prepared_stores():
        await hub.start()
        await edge.start()
        assert edge.agent is not None
        if not await edge.agent._outrank(AHEAD):
            world.trace.fail("an edge of the simulation cannot count past a copy of itself")
        await edge.crash()
        await edge.start()
        await settled(lambda: _shown(hub) == AHEAD + 2, 30.0)
        if _shown(hub) != AHEAD + 2:
            world.trace.fail(f"the hub shows the edge in its life {_shown(hub)}")
        await edge.stop()
        await hub.stop()


def _shown(hub: HubMachine) -> int:
    seen = hub.hub.registry.newest("edge-1") if hub.hub else None
    return seen.incarnation if seen else 0


def test_a_simulated_edge_counts_past_its_copies_as_real_edges_do() -> None:
    report = play(1, outranked, "edges")
    assert report.ok, report.to_text()
