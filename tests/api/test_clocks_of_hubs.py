"""Three hubs with clocks of their own: who is wrong is found out, and what it orders waits, unchanged."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.peering.clock_part import ClockPart
from shared.merge import LABELS, REMOVED, Intent, NodeRecord
from shared.stamp import Stamp
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.mesh_world import NAMES, Wire, config_of, opened, own_events, part_in, running, until

WRONG_BY_MS = 7_000
IN_THE_YEAR_2100_MS = 4_102_444_800_000


@dataclass
class Clocks:
    """Hubs that find each other by name, each with a clock that can be set."""

    folder: Path
    stack: AsyncExitStack
    ahead_ms: dict[str, int] = field(default_factory=dict)
    apps: dict[str, Any] = field(default_factory=dict)

    async def hub(self, name: str) -> World:
        """A hub, with what its folder holds."""
        return await opened(
            self.stack,
            self.apps,
            config_of(self.folder, name),
            Wire(self.apps),
            wall_ns=lambda: time.time_ns() + self.ahead_ms.get(name, 0) * 1_000_000,
        )


@pytest.fixture
async def clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clocks]:
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.clock_part.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.clocks.SETTLE_SECONDS", 0.5)
    monkeypatch.setattr("hub.peering.clock_verdict.CALM_SECONDS", 0.5)
    async with AsyncExitStack() as stack:
        yield Clocks(tmp_path, stack)


@pytest.fixture
async def three(clocks: Clocks) -> tuple[World, World, World]:
    """All three, and they do not run yet. The clock of the third is ahead."""
    clocks.ahead_ms["hub-3"] = WRONG_BY_MS
    return (await clocks.hub("hub-1"), await clocks.hub("hub-2"), await clocks.hub("hub-3"))


def part_of(world: World) -> ClockPart:
    return part_in(world, ClockPart)


def verdict(world: World, hub_id: str) -> str:
    return str(part_of(world).clocks.verdict(hub_id))


def labels_at(world: World, node: str) -> Any:
    record = world.hub.registry.records.get(node)
    return record.intent_value(LABELS) if record else None


def intent_at(world: World, node: str) -> Intent:
    return world.hub.registry.records[node].intent[LABELS]


async def until_known(node: str, *worlds: World) -> None:
    await until(lambda: all(node in world.hub.registry.records for world in worlds))


async def until_quarantined(*worlds: World) -> None:
    """The third hub is, in the eyes of all, its own included."""
    await until(lambda: all(verdict(world, "hub-3") == "quarantined" for world in worlds))


async def events_of(world: World, name: str) -> list[dict[str, Any]]:
    """What a hub has told under a name, as it is found in its store."""
    async with asyncio.timeout(60):
        while not (found := await own_events(world, name)):
            await asyncio.sleep(0.05)
    return [event["attributes"] for event in found]


async def test_the_hub_that_is_seven_seconds_ahead_is_found_out_and_hears_of_it(
    three: tuple[World, World, World],
) -> None:
    """The median of three decides; the wrong one says so itself, and the other two stay sound."""
    one, two, wrong = three
    async with running(*three):
        await until_quarantined(*three)
        assert {verdict(one, "hub-2"), verdict(two, "hub-1")} <= {"sound", "unknown"}
        await until(lambda: verdict(wrong, "hub-1") == verdict(wrong, "hub-2") == "sound")
        told = (await one.call("clock.list"))["hubs"][0]
        assert (told["hub_id"], told["verdict"], told["by"]) == ("hub-3", "quarantined", [*NAMES])
        assert told["offset_ms"] == pytest.approx(WRONG_BY_MS, abs=told["error_ms"] + 1)
        words = "Two hubs say that this hub's clock is 7.0 s ahead"
        await until(
            lambda: len(part_of(wrong).clocks.beliefs_of("hub-3", part_of(wrong).ground.now)) > 1
        )
        assert (await wrong.call("clock.list"))["own"]["sentence"] == words
        assert (await wrong.call("hub.status"))["clock"] == {
            "verdict": "quarantined",
            "sentence": words,
        }
        assert (await one.call("hub.status"))["clock"]["sentence"] is None
        (peer,) = (p for p in (await one.call("hub.list"))["items"] if p["hub_id"] == "hub-3")
        assert peer["clock_offset_ms"] == pytest.approx(WRONG_BY_MS, abs=200)
        (fact,) = await events_of(one, "clock.quarantined")
        assert (fact["hub"], fact["is_own"]) == ("hub-3", False)
        (fact,) = await events_of(wrong, "clock.quarantined")
        assert (fact["hub"], fact["is_own"]) == ("hub-3", True)


async def test_an_order_of_a_wrong_clock_waits_and_arrives_unchanged_once_it_is_right(
    three: tuple[World, World, World], clocks: Clocks
) -> None:
    """Meanwhile beats that come through that hub count, and orders of sound hubs reach it."""
    one, two, wrong = three
    async with running(*three):
        await until_quarantined(*three)
        await one.beat("edge-1")
        await until_known("edge-1", *three)
        await wrong.call("node.label", node="edge-1", labels={"by": "hub-3"})
        ordered = intent_at(wrong, "edge-1")
        await until(lambda: all(part_of(each).admission.parked for each in (one, two)))
        await wrong.beat("edge-2")
        await until_known("edge-2", one, two)
        await one.call("node.label", node="edge-2", labels={"by": "hub-1"})
        await until(lambda: labels_at(wrong, "edge-2") == {"by": "hub-1"})
        assert labels_at(one, "edge-1") is labels_at(two, "edge-1") is None
        waiting = (await one.call("clock.list"))["withheld"]
        assert waiting["by_hub"] == {"hub-3": waiting["parked"]}
        clocks.ahead_ms["hub-3"] = 0
        await until(lambda: labels_at(one, "edge-1") == labels_at(two, "edge-1") == {"by": "hub-3"})
        assert intent_at(one, "edge-1") == intent_at(two, "edge-1") == ordered
        assert intent_at(wrong, "edge-1") == ordered
        await until(lambda: not any(part_of(each).admission.parked for each in three))
        await until(lambda: verdict(wrong, "hub-3") == "sound")
        (fact,) = await events_of(one, "clock.sound")
        assert fact["hub"] == "hub-3"
        stepped = await events_of(wrong, "clock.stepped")
        assert [(fact["hub"], fact["is_own"]) for fact in stepped] == [("hub-3", True)]


async def test_an_order_that_found_no_room_to_wait_is_asked_for_again(
    three: tuple[World, World, World], clocks: Clocks
) -> None:
    one, two, wrong = three
    part_of(one).admission.parked_max = 1
    part_of(two).admission.parked_max = 1
    nodes = [f"edge-{number}" for number in range(1, 6)]
    async with running(*three):
        await until_quarantined(*three)
        for node in nodes:
            await one.beat(node)
        await until_known(nodes[-1], *three)
        for node in nodes:
            await wrong.call("node.label", node=node, labels={"by": "hub-3"})
        await until(lambda: all(part_of(each).admission.turned_away >= 4 for each in (one, two)))
        clocks.ahead_ms["hub-3"] = 0
        right = [{"by": "hub-3"}] * len(nodes)
        await until(lambda: [labels_at(one, node) for node in nodes] == right)
        await until(lambda: [labels_at(two, node) for node in nodes] == right)


async def test_a_stored_stamp_of_a_time_to_come_is_overruled_by_giving_the_order_once_more(
    clocks: Clocks,
) -> None:
    """It is counted and kept, no clock follows it, and no hub rewrites it."""
    poison = Intent({"by": "nobody"}, Stamp(IN_THE_YEAR_2100_MS, 0, "hub-9"))
    poisoned = NodeRecord("edge-1", intent={LABELS: poison})
    earlier = await clocks.hub("hub-1")
    earlier.hub.registry.apply(poisoned, part_of(earlier).ground.now)
    await earlier.hub.close()
    one, two = await clocks.hub("hub-1"), await clocks.hub("hub-2")
    async with running(one, two):
        await until(lambda: labels_at(two, "edge-1") == {"by": "nobody"})
        assert intent_at(two, "edge-1") == poison
        await part_of(two).count()
        assert (await two.call("clock.list"))["poisoned"] == 1
        await two.call("node.label", node="edge-1", labels={"by": "a person"})
        await until(lambda: labels_at(one, "edge-1") == {"by": "a person"})
        held = intent_at(one, "edge-1")
        assert held.stamp.hub_id == "hub-2"
        assert abs(held.stamp.wall_ms - one.hub.runtime.wall_ms()) < 60_000
        await part_of(two).count()
        assert (await two.call("clock.list"))["poisoned"] == 0
        assert {verdict(one, "hub-2"), verdict(two, "hub-1")} <= {"sound", "unknown"}


async def test_a_hub_that_is_far_ahead_lets_nothing_go_for_its_age(
    three: tuple[World, World, World],
) -> None:
    one, _, wrong = three
    async with running(*three):
        await until_quarantined(*three)
        assert not wrong.hub.upkeep.keeper.is_clock_sound()
        assert one.hub.upkeep.keeper.is_clock_sound()


async def test_a_hub_that_is_far_behind_lets_things_go_late_and_that_is_well(
    three: tuple[World, World, World], clocks: Clocks
) -> None:
    clocks.ahead_ms["hub-3"] = -WRONG_BY_MS
    async with running(*three):
        await until_quarantined(*three)
        assert three[2].hub.upkeep.keeper.is_clock_sound()


async def test_a_second_address_of_a_hub_that_goes_takes_nothing_with_it(
    three: tuple[World, World, World], clocks: Clocks
) -> None:
    """Only when the hub itself is given up is what was known of its clock, and waits for it, dropped."""
    one, wrong = three[0], three[2]
    async with running(*three):
        await until_quarantined(one)
        await wrong.beat("edge-1")
        await wrong.call("node.label", node="edge-1", labels={"by": "hub-3"})
        await until(lambda: part_of(one).admission.parked > 0)
        clocks.apps["alias-of-hub-3"] = clocks.apps["hub-3"]
        one.hub.mesh.meet({"a stranger": "http://alias-of-hub-3"})
        await until(lambda: "http://alias-of-hub-3" not in one.hub.peers.by_url)
        assert verdict(one, "hub-3") == "quarantined"
        assert part_of(one).admission.parked > 0
    await one.hub.mesh.forget(one.hub.peers.by_url["http://hub-3"])
    assert verdict(one, "hub-3") == "unknown"
    assert part_of(one).admission.parked == 0


async def test_the_best_of_several_beats_tells_how_far_the_clock_of_an_edge_is_off(
    clocks: Clocks,
) -> None:
    """One that was held up on its way changes nothing, and an edge that tells no time has none."""
    one = await clocks.hub("hub-1")
    wall_ms = one.hub.runtime.wall_ms
    async with running(one):
        for number, late_ms in enumerate((0, 60_000, 0), start=1):
            await one.beat("edge-1", beat=number, wall_ms=wall_ms() + 5_000 - late_ms)
        await one.beat("edge-2", wall_ms=0)
        shown = await one.call("node.get", node="edge-1")
        assert shown["clock_skew_ms"] == pytest.approx(5_000, abs=200)
        assert isinstance(shown["clock_skew_ms"], int)
        assert (await one.call("node.get", node="edge-2"))["clock_skew_ms"] is None
        edges = (await one.call("clock.list"))["edges"]
        assert [edge["node_id"] for edge in edges["items"]] == ["edge-1"]
        await one.hub.intend("edge-1", REMOVED, True)
        await part_of(one).count()
        assert (await one.call("clock.list"))["edges"]["known"] == 0


async def test_the_page_of_clocks_says_who_is_wrong(three: tuple[World, World, World]) -> None:
    one, _, wrong = three
    async with running(*three):
        await until_quarantined(*three)
        shown = await one.client.get("/hubs/clocks", headers=bearer(ADMIN_TOKEN))
        assert shown.status_code == 200
        assert "quarantined" in shown.text
        assert '<a href="/hubs/clocks" aria-current="true">Clocks</a>' in shown.text
        twin = await wrong.client.get("/hubs/clocks.json", headers=bearer(ADMIN_TOKEN))
        assert twin.json()["own"]["verdict"] == "quarantined"
        refused = await one.client.get("/hubs/clocks?limit=3", headers=bearer(ADMIN_TOKEN))
        assert refused.status_code == 400
    told = await one.refusal("clock.list", limit=0)
    assert told["data"]["kind"] == "invalid_params"
