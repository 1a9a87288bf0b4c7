"""What hubs do when many are gone at once: duties that move, absence by plan, and what people order."""

import pytest

from hub.conf.drift import WAIT_MS
from hub.conf.part import ConfPart
from hub.nodes.adoption import duty_of
from hub.nodes.live_watch import NAMED_MAX
from shared.conf import EMPTY_HASH
from tests.api.conftest import World
from tests.api.liveness_world import (
    DEAD_SECONDS,
    beating,
    figures,
    live,
    mesh,
    node,
    noted,
    see,
    silence_of,
    told,
)
from tests.api.mesh_world import NAMES, part_in, until
from tests.api.swift import SwiftLoop
from tests.api.watch_world import Mesh, page

__all__ = ["mesh"]

LOOP = SwiftLoop
BRAKED = "nodes fell silent within a short time"


async def test_the_duties_of_a_dead_hub_are_taken_over_and_one_hub_speaks_for_each_node(
    mesh: Mesh,
) -> None:
    nodes = [f"edge-{number}" for number in range(12)]
    left = mesh.worlds[:2]
    async with beating(mesh.worlds[0], *nodes):
        for each in nodes:
            await see(mesh.worlds, "online", each)
        assert {each for each in nodes if live(mesh.worlds[2]).watch.cares_for(each)}
        mesh.net.down.add("hub-3")
        await until(lambda: all(_has_taken_over(world) for world in left))
    caring = [{each for each in nodes if live(world).watch.cares_for(each)} for world in left]
    assert caring[0] | caring[1] == set(nodes)
    assert not caring[0] & caring[1]
    for world in left:
        (begun,) = await told(world, "adoption.begin")
        assert (begun["lost"], begun["back"]) == ("hub-3", "")
        assert {each["from"] for each in await told(world, "adoption.end")} == {"hub-3"}
        homes = {each: (await node(world, each))["preferred_hub"] for each in nodes}
        assert homes == {each: duty_of(each, ("hub-1", "hub-2")) for each in nodes}


async def test_duties_go_back_to_a_hub_that_returns_and_all_agree_whose_they_are(
    mesh: Mesh,
) -> None:
    nodes = [f"edge-{number}" for number in range(12)]
    left = mesh.worlds[:2]
    async with beating(mesh.worlds[0], *nodes):
        for each in nodes:
            await see(mesh.worlds, "online", each)
        mesh.net.down.add("hub-3")
        await until(lambda: all(_has_taken_over(world) for world in left))
        mesh.net.down.clear()
        adoptions = [live(world).watch.adoption for world in mesh.worlds]
        await until(lambda: all(len(each.standing) == 3 and each.is_settled for each in adoptions))
    for world in mesh.worlds:
        homes = {each: (await node(world, each))["preferred_hub"] for each in nodes}
        assert homes == {each: duty_of(each, NAMES) for each in nodes}
    for world in left:
        begun = await told(world, "adoption.begin")  # The latest is first.
        assert [(each["lost"], each["back"]) for each in begun] == [("", "hub-3"), ("hub-3", "")]
        ended = await told(world, "adoption.end")
        moved = {duty_of(each, NAMES[:2]) for each in nodes if duty_of(each, NAMES) == "hub-3"}
        assert moved
        there, back = {("hub-3", hub) for hub in moved}, {(hub, "hub-3") for hub in moved}
        assert {(each["from"], each["to"]) for each in ended} == there | back


def _has_taken_over(world: World) -> bool:
    adoption = live(world).watch.adoption
    return "hub-3" not in adoption.standing and adoption.is_settled


async def test_a_hub_that_stops_in_order_is_waited_for(mesh: Mesh) -> None:
    """It says so before it goes; then it is neither missed nor are its duties taken over."""
    leaving, others = mesh.worlds[2], mesh.worlds[:2]
    leaving.hub.stop()
    await until(lambda: all(live(each).watch.holds.is_held("hub-3") for each in others))
    mesh.net.down.add("hub-3")
    await mesh.see("hub-3", "avoid")
    await until(lambda: all(silence_of(each, "hub-3") > 3 * DEAD_SECONDS for each in others))
    await mesh.see("hub-3", "avoid")
    for world in others:
        assert await told(world, "peer.dead") == []
        (listed,) = [h for h in (await world.call("hub.list"))["items"] if h["hub_id"] == "hub-3"]
        assert listed["away"]["reason"] == "it was stopped in order"
        assert listed["away"]["since"] < listed["away"]["ends"]
        assert (await figures(world))['peers{state="held"}'] == 1
        assert "away by plan" in await page(world, "/hubs")
        matrix = await world.call("hub.matrix")
        assert matrix["away"] == {"hub-3": listed["away"]["ends"]}
        assert [each["severity"] for each in matrix["findings"]] == ["info"]
        assert "hub-3 is away by plan until" in await page(world, "/hubs/matrix")
        (begun,) = await told(world, "hub.hold.begin")
        assert (begun["hub"], begun["seconds"]) == ("hub-3", pytest.approx(20.0, abs=1.0))
        status = await world.call("hub.status")
        assert [each["hub"] for each in status["liveness"]["holds"]] == ["hub-3"]
        assert "hub-3" in live(world).watch.adoption.standing
        assert await told(world, "adoption.begin") == []
        assert live(world).watch.life.book.signs().hubs_gone == 0


async def test_one_hub_tells_of_refused_settings_also_when_the_one_that_would_is_away(
    mesh: Mesh,
) -> None:
    names = (f"edge-{number}" for number in range(100))
    home = {hub: next(name for name in names if duty_of(name, NAMES) == hub) for hub in NAMES}
    await _refuse(mesh.worlds, home["hub-1"], "a" * 16)
    await until(lambda: _refusals_told(mesh.worlds) == [1, 0, 0])
    leaving, others = mesh.worlds[2], mesh.worlds[:2]
    leaving.hub.stop()
    await until(lambda: all(live(each).watch.holds.is_held("hub-3") for each in others))
    await _refuse(others, home["hub-3"], "b" * 16)
    await until(lambda: sum(_refusals_told(others)) == 2)
    drifts = [part_in(each, ConfPart).conf.drift for each in others]
    for each in drifts:
        each.look(max(each._untold.values(), default=0) + WAIT_MS)
    assert sum(_refusals_told(others)) == 2


async def _refuse(worlds: list[World], node_id: str, wanted: str) -> None:
    """The same edge says at each of the hubs that it does not take these settings."""
    for number, world in enumerate(worlds, 1):
        report = {"applied": EMPTY_HASH, "refused": wanted, "error": "no room"}
        assert (await world.beat(node_id, beat=number, conf=report)).status_code == 200


def _refusals_told(worlds: list[World]) -> list[int]:
    """Of how many refused sets each hub told."""
    return [len(part_in(world, ConfPart).conf.drift._told) for world in worlds]


async def test_a_hub_that_is_not_back_when_it_said_is_dead_like_any_other(mesh: Mesh) -> None:
    leaving, others = mesh.worlds[2], mesh.worlds[:2]
    word = {
        "hub_id": "hub-3",
        "instance": leaving.hub.describe().instance,
        "leaving": {"hold_seconds": 3 * DEAD_SECONDS, "reason": "an upgrade"},
    }
    for world in others:
        assert (await world.peer("/peer/leaving", word)).status_code == 200
    mesh.net.down.add("hub-3")
    for world in others:
        assert live(world).watch.holds.is_held("hub-3")
    await mesh.see("hub-3", "dead")
    for world in others:
        assert not live(world).watch.holds.is_held("hub-3")
        (ended,) = await told(world, "hub.hold.end")
        assert (ended["hub"], ended["why"]) == ("hub-3", "it did not return")
        (dead,) = await told(world, "peer.dead")
        assert dead["silent_seconds"] >= 3 * DEAD_SECONDS - 0.1
    await until(lambda: all("hub-3" not in live(w).watch.adoption.standing for w in others))


async def test_a_crowd_that_vanishes_is_unknown_until_a_person_says_that_it_is_offline(
    mesh: Mesh,
) -> None:
    nodes = [f"edge-{number}" for number in range(NAMED_MAX * 2)]
    async with beating(mesh.worlds[0], *nodes):
        for each in nodes:
            await see(mesh.worlds, "online", each)
    await see(mesh.worlds[:1], "unknown")
    world = mesh.worlds[0]
    shown = await node(world)
    assert BRAKED in shown["reason"]
    assert shown["ends"] > shown["since"]
    (begun,) = await told(world, "fleet.brake.begin")
    assert BRAKED in begun["reason"]
    brakes = [live(each).watch.life.brake for each in mesh.worlds]
    await until(lambda: all(brake.braked for brake in brakes))
    assert (await figures(world))["braked"] == 1
    assert "headwater nodes --end-brake" in await page(world, "/hubs")
    for path in ("/nodes", "/nodes/edge-1"):
        assert BRAKED in await page(world, path)
    answer = await mesh.worlds[1].call("fleet.override", who="a person")
    assert answer == {
        "was_braked": True,
        "hubs": [{"hub": name, "was_braked": True} for name in NAMES],
        "unreached": [],
    }
    assert not (await world.call("fleet.override"))["was_braked"]
    for each in nodes:
        await see(mesh.worlds, "offline", each)
        await noted(mesh.worlds, each, offline=True)
    (ended,) = await told(world, "fleet.brake.end")
    assert ended["why"] == "a person ended it"
    said = [each for world in mesh.worlds for each in await told(world, "node.offline")]
    assert sum(each.get("nodes", 1) for each in said) == len(nodes)


async def test_an_override_names_the_hubs_that_were_not_reached(mesh: Mesh) -> None:
    mesh.net.down.add("hub-3")
    await mesh.see("hub-3", "dead")
    answer = await mesh.worlds[0].call("fleet.override")
    assert [each["hub"] for each in answer["hubs"]] == ["hub-1", "hub-2"]
    (unreached,) = answer["unreached"]
    assert unreached["hub"] == "hub-3"
    assert "connection refused" in unreached["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"who": ""}', b'{"who": 1}', b'{"what": "x"}'])
async def test_an_override_of_a_peer_that_cannot_be_read_is_refused(
    world: World, body: bytes
) -> None:
    answer = await world.peer("/peer/override", body)
    assert answer.status_code == 400
    assert "override cannot be read" in answer.text
