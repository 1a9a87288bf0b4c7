"""Hubs that agree on who lives: what one of them hears all know, and none takes its own silence for
the silence of a node."""

import asyncio

import pytest
from msgspec import Raw

from shared.liveness import NodeState
from tests.api.liveness_world import (
    OFFLINE_SECONDS,
    T,
    beating,
    figures,
    live,
    mesh,
    node,
    noted,
    see,
    told,
)
from tests.api.mesh_world import until
from tests.api.swift import SwiftLoop
from tests.api.watch_world import Mesh, page

__all__ = ["mesh"]

LOOP = SwiftLoop


async def test_a_node_that_one_hub_hears_is_online_at_all_and_they_say_who_heard_it(
    mesh: Mesh,
) -> None:
    async with beating(mesh.worlds[1], "edge-1"):
        await see(mesh.worlds, "online")
        for world in mesh.worlds:
            shown = await node(world)
            assert (shown["state"], shown["last_heard_by"]) == ("online", "hub-2")
            assert list(shown["hubs"]) == ["hub-2"]
            assert (shown["reason"], shown["ends"]) == (None, None)
            assert shown["since"].endswith("Z")


async def test_a_node_that_no_hub_hears_is_offline_at_all_and_one_of_them_says_so_once(
    mesh: Mesh,
) -> None:
    async with beating(mesh.worlds[1], "edge-1"):
        await see(mesh.worlds, "online")
    await see(mesh.worlds, "offline")
    await noted(mesh.worlds, "edge-1", offline=True)
    for world in mesh.worlds:
        shown = await node(world)
        assert (shown["last_heard_by"], shown["reason"]) == ("hub-2", None)
        assert shown["age_s"] >= OFFLINE_SECONDS
    async with beating(mesh.worlds[0], "edge-1"):
        await see(mesh.worlds, "online")
        await noted(mesh.worlds, "edge-1", offline=False)
    offline = [each for world in mesh.worlds for each in await told(world, "node.offline")]
    online = [each for world in mesh.worlds for each in await told(world, "node.online")]
    assert [(each["node_id"], each["observer"]) for each in offline] == [("edge-1", "hub-2")]
    assert [(each["node_id"], each["observer"]) for each in online] == [("edge-1", "hub-1")]


async def test_a_hub_that_is_cut_off_calls_unknown_what_the_others_hear(mesh: Mesh) -> None:
    lonely, others = mesh.worlds[2], mesh.worlds[:2]
    async with beating(mesh.worlds[0], "edge-1"):
        await see(mesh.worlds, "online")
        mesh.net.down.add("hub-3")
        await see([lonely], "unknown")
        shown = await node(lonely)
        assert shown["reason"] == "this hub reaches no other hub"
        assert shown["ends"] > shown["since"]
        assert [each.hub.registry.state("edge-1") for each in others] == ["online", "online"]
        assert not live(lonely).watch.life.brake.braked
        mesh.net.down.clear()
        await see([lonely], "online")
    assert await told(lonely, "node.offline") == []
    assert await told(lonely, "adoption.begin") == []


async def test_a_hub_that_is_cut_off_says_so_in_its_answers_and_figures(mesh: Mesh) -> None:
    lonely, other = mesh.worlds[2], mesh.worlds[0]
    async with beating(mesh.worlds[0], "edge-1"):
        await see(mesh.worlds, "online")
        covered = (await lonely.call("log.query"))["coverage"]
        assert (covered["isolated"], covered["partial"]) == (False, False)
        mesh.net.down.add("hub-3")
        await until(lambda: lonely.hub.peers.is_isolated)
        await mesh.see("hub-3", "dead")
        covered = (await lonely.call("log.query"))["coverage"]
        assert (covered["isolated"], covered["partial"]) == (True, True)
        assert not (await other.call("log.query"))["coverage"]["isolated"]
        assert "what came to them meanwhile is not here" in await page(lonely, "/logs")
    alone, counted = await figures(lonely), await figures(other)
    assert (alone["isolated"], counted["isolated"]) == (1, 0)
    assert (alone["peer_deaths"], counted["peer_deaths"]) == (0, 1)
    assert (counted['peers{state="alive"}'], counted['peers{state="dead"}']) == (1, 1)
    assert alone['peers{state="dead"}'] == 0
    assert counted["heartbeat_interval_seconds"] == T
    assert counted["braked"] == counted["hints_given"] == 0
    assert sum(counted[f'nodes{{state="{state}"}}'] for state in NodeState) == 1


async def test_no_hub_calls_a_node_offline_that_a_hub_hears_which_it_cannot_reach_itself(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hubs cannot reach each other, the third reaches both; only one of the two hears the node."""
    monkeypatch.setattr("hub.nodes.verdict_doubt.PEER_WAIT_SECONDS_MAX", 2.0)
    deaf, _, hearing = mesh.worlds
    verdicts: list[str] = []
    live(deaf).ground.on_verdict.append(lambda node, state, reason: verdicts.append(state))
    async with beating(hearing, "edge-1"):
        await see(mesh.worlds, "online")
        mesh.net.unroutable.add(frozenset(("hub-1", "hub-3")))
        await see([deaf], "unknown")
        shown = await node(deaf)
        assert shown["reason"] == "hub-3 does not answer this hub, and may hear it"
        life = live(deaf).watch.life
        now = asyncio.get_running_loop().time
        await until(lambda: (life.age_seconds("edge-1", now()) or 0) > 3 * OFFLINE_SECONDS)
        assert mesh.states(deaf)["hub-3"] == "avoid"
        mesh.net.unroutable.clear()
        await see(mesh.worlds, "online")
        await until(lambda: verdicts[-1] == "online")
    assert "unknown" in verdicts
    assert "offline" not in verdicts
    for world in mesh.worlds:
        assert await told(world, "node.offline") == []


async def test_an_answer_to_a_beat_says_whether_to_stay(mesh: Mesh) -> None:
    world = mesh.worlds[0]
    answer = (await world.beat("edge-1", uses="hub-1")).json()
    assert answer["prefer"] in ("", "hub-2", "hub-3")
    assert live(world).watch.hints.of_mine().edges == 1
    answer = (await world.beat("edge-1", beat=2, uses="hub-2")).json()
    assert answer["prefer"] == ""
    assert live(world).watch.hints.of_mine().edges == 0


@pytest.mark.parametrize("section", ["heard", "load", "leaving"])
async def test_a_section_that_cannot_be_read_spoils_no_other(mesh: Mesh, section: str) -> None:
    world, sections = mesh.worlds[0], mesh.worlds[0].hub.mesh.sections
    before = live(world).watch.life.heard.peers["hub-2"].reported_at
    assert section in sections.by_name
    for body in (
        b"{}",
        b"[]",
        b"\xff",
        b'{"heard": "AAAA"}',
        b'{"hold_seconds": -1}',
        b'{"edges": -1}',
    ):
        sections.take({section: Raw(body)}, "hub-2", asyncio.get_running_loop().time())
    await until(lambda: live(world).watch.life.heard.peers["hub-2"].reported_at > before)
    assert not live(world).watch.holds.is_held("hub-2")


async def test_a_last_word_that_cannot_be_read_is_refused(mesh: Mesh) -> None:
    answer = await mesh.worlds[0].peer("/peer/leaving", {"hub_id": "hub-2"})
    assert answer.status_code == 400
    assert "leave cannot be read" in answer.text
