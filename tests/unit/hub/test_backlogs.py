"""What an answer covers is found without holding up a hub that knows many nodes."""

import asyncio

from hub.backlogs import NODES_AT_ONCE, AllBacklogs, backlogs_of
from hub.registry import Registry
from shared.beat import Beat
from shared.merge import REMOVED, Facts, Intent, NodeRecord, Observation
from shared.stamp import HybridClock, Stamp

NODES = 10 * NODES_AT_ONCE


def registry_of(count: int) -> Registry:
    registry = Registry("hub-1", 0.0, HybridClock("hub-1"))
    for number in range(count):
        seen = Observation(1, 1, 1000, "hub-1", {"buffer": {"pending_chunks": 2, "records": 7}})
        registry.apply(NodeRecord(f"edge-{number}", Facts(1, 1, {}), seen), 0.0)
    return registry


async def test_others_have_their_turn_while_many_nodes_are_looked_through() -> None:
    """Beats and the words of other hubs are answered meanwhile."""
    registry, turns = registry_of(NODES), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    found = await backlogs_of(registry, None)
    task.cancel()
    assert len(found) == NODES
    assert turns >= NODES // NODES_AT_ONCE


async def test_only_those_that_are_asked_for_are_looked_at() -> None:
    """Each once, and none that nobody knows."""
    found = await backlogs_of(registry_of(3), ["edge-2", "edge-2", "nobody"])
    assert [(each.node_id, each.pending_chunks, each.pending_records) for each in found] == [
        ("edge-2", 2, 7)
    ]


async def test_of_expected_and_removed_nodes_nothing_can_be_missing() -> None:
    registry = registry_of(1)
    registry.apply(NodeRecord("expected", intent={"role": Intent("x", Stamp(1, 0, "h"))}), 0.0)
    assert [each.node_id for each in await backlogs_of(registry, None)] == ["edge-0"]
    gone = Intent({"by": "hub-1", "at_ms": 1}, Stamp(2_000, 0, "hub-1"))
    registry.apply(NodeRecord("edge-0", intent={REMOVED: gone}), 0.0)
    assert await backlogs_of(registry, None) == []


async def test_a_node_that_goes_meanwhile_is_left_out() -> None:
    """Records may be buried between two steps."""
    registry = registry_of(2 * NODES_AT_ONCE)
    walk = asyncio.create_task(backlogs_of(registry, None))
    await asyncio.sleep(0)
    del registry.records[f"edge-{2 * NODES_AT_ONCE - 1}"]
    assert len(await walk) == 2 * NODES_AT_ONCE - 1


async def test_of_nodes_that_are_well_only_the_one_with_the_oldest_word_comes() -> None:
    """It alone says until when an answer about all is complete; 100,000 others say nothing more."""
    loop = asyncio.get_running_loop()
    registry = Registry("hub-1", loop.time() - 100.0, HybridClock("hub-1"))
    buffer = {"pending_chunks": 0}
    for number, age in enumerate((1.0, 3.0, 2.0)):
        beat = Beat(f"edge-{number}", 1, 1, "e", 1, {}, {}, buffer, [])
        registry.hear(beat, loop.time() - age, 1000)
    assert [each.node_id for each in await backlogs_of(registry, None)] == ["edge-1"]
    asked = await backlogs_of(registry, ["edge-0", "edge-2"])
    assert [each.node_id for each in asked] == ["edge-0", "edge-2"]


async def test_questions_that_come_together_share_one_walk_and_a_later_one_makes_its_own() -> None:
    registry = registry_of(NODES)
    shared = AllBacklogs(registry, lambda: 7)
    found = await asyncio.gather(*(shared.read() for _ in range(5)))
    assert shared.walks == 1
    assert {(len(backlogs), began_ns) for backlogs, began_ns in found} == {(NODES, 7)}
    registry.apply(NodeRecord("edge-new", Facts(1, 1, {})), 0.0)
    backlogs, _ = await shared.read()
    assert (shared.walks, len(backlogs)) == (2, NODES + 1)
