"""A word about a hub that is gone may bear a stamp that no sound clock made: it carries nobody away."""

import msgspec
import pytest

from hub.hub import Hub
from hub.peering.clock_poison import POISON_AHEAD_MS
from hub.peering.farewell import Farewell, FarewellSection
from hub.peering.farewell_part import FarewellPart
from shared.stamp import Stamp
from tests.api.conftest import World
from tests.api.mesh_world import part_in, running, until
from tests.api.test_taken_over_hubs import Cluster, cluster

__all__ = ["cluster"]


def part_of(world: World) -> FarewellPart:
    return part_in(world, FarewellPart)


def is_carried_away(world: World) -> bool:
    ground = part_of(world).ground
    return ground.clock.reached_ms > ground.runtime.wall_ms() + POISON_AHEAD_MS


@pytest.mark.parametrize("wall_ms", [2**62, -(2**63), 253_402_300_799_999])
async def test_a_word_of_a_mad_clock_is_kept_and_its_time_is_not(
    cluster: Cluster, wall_ms: int
) -> None:
    """Else all stamps of this hub would be ahead of their time from then on, after restarts, too, and
    nobody could ask for its status."""
    world = await cluster.hub("hub-1")
    word = Farewell("hub-3", 1, Stamp(wall_ms, 0, "hub-2"), gone=True)
    async with running(world):
        part_of(world).take(msgspec.json.encode(FarewellSection("d", [word])), "hub-2", 0.0)
        await until(lambda: part_of(world).book.gone("hub-3") is not None)
        (told,) = (await world.call("hub.status"))["removed_hubs"]
        assert (told["hub"], told["at"]) == ("hub-3", None)
        assert not is_carried_away(world)
    config, runtime = world.hub.config, world.hub.runtime
    await world.hub.close()
    again = World(await Hub.open(config, runtime), world.app, world.client)
    cluster.stack.push_async_callback(again.hub.close)
    assert part_of(again).book.gone("hub-3") == word
    assert not is_carried_away(again)
