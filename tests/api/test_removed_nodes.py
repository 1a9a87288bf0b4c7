"""Nodes that people register, remove and let back, on two and three real hubs that are apart at times."""

from typing import Any

import pytest

from hub.nodes.clones import Clones
from hub.nodes.grave_part import GravePart
from hub.nodes.tombstones import is_removed
from shared.merge import REMOVED
from tests.api.conftest import Log, World
from tests.api.exchange_world import (
    Net,
    agree,
    known_to,
    meeting,
    net,
    nothing_was_wrong,
    spread,
    three,
    until_met,
)
from tests.api.mesh_world import part_in, running, until

__all__ = ["net", "three"]

WHO = {"who": "ada", "why": "sold"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Burials are looked at often; their time is as it is."""
    monkeypatch.setattr("hub.nodes.grave_part.BURY_SECONDS", 0.1)
    monkeypatch.setattr("hub.nodes.grave_part.LOOK_SECONDS", 0.1)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tombstones may go as soon as all hubs hold them."""
    monkeypatch.setattr("hub.nodes.tombstone_acks.RETENTION_MS", 0)


def part_of(world: World) -> GravePart:
    return part_in(world, GravePart)


def listed(world: World) -> set[str]:
    return {record.node_id for record in world.hub.registry.present()}


def events_of(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the hub tells of removed nodes from now on."""
    told: list[tuple[str, dict[str, Any]]] = []
    removals = part_of(world).removals
    monkeypatch.setattr(removals, "report", lambda name, facts: told.append((name, dict(facts))))
    return told


async def error_of(world: World, method: str, **params: Any) -> tuple[str, str]:
    """The kind and the words of the error that a call ends with."""
    order = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    error = (await world.rpc(order)).json()["error"]
    return error["data"]["kind"], error["message"]


async def test_a_node_is_registered_before_it_comes_and_keeps_what_people_said(
    net: Net, three: list[World]
) -> None:
    one, two, other = three
    async with meeting(*three):
        made = await one.call(
            "node.register", node="edge-1", labels={"rack": "7"}, role="db.primary", who="ada"
        )
        assert (made["labels"], made["role"], made["last_seen"]) == (
            {"rack": "7"},
            "db.primary",
            None,
        )
        assert made["registered"]["by"] == "ada"
        assert (made["state"], made["reason"]) == (
            "unknown",
            "it is expected, and has not come yet",
        )
        covered = (await two.call("node.list"))["coverage"]
        assert (covered["missing_nodes"], covered["behind"]) == ([], [])
        await until(lambda: agree(*three) and listed(other) == {"edge-1"})
        await two.beat("edge-1")
        await other.call("node.setRole", node="edge-1", role="db.replica")
        await until(lambda: agree(*three))
        for world in three:
            seen = await world.call("node.get", node="edge-1")
            assert (seen["labels"], seen["role"]) == ({"rack": "7"}, "db.replica")
            assert seen["facts"] == {"hostname": "edge-1"}
    assert nothing_was_wrong(*three)


async def test_roles_and_names_are_checked(net: Net) -> None:
    hub = await net.hub("hub-1")
    await hub.call("node.register", node="edge-1")
    for role in ("Web Server", "-x", "a" * 64):
        assert (await error_of(hub, "node.setRole", node="edge-1", role=role))[
            0
        ] == "invalid_params"
    for name in ("", "../x", "a b"):
        assert (await error_of(hub, "node.register", node=name))[0] == "invalid_params"
    assert (await hub.call("node.setRole", node="edge-1", role="web"))["role"] == "web"
    assert (await hub.call("node.setRole", node="edge-1", role=""))["role"] is None
    assert await error_of(hub, "node.setRole", node="edge-2", role="web") == (
        "not_found",
        "no node is called edge-2",
    )
    kind, words = await error_of(hub, "node.register", node="edge-1")
    assert (kind, words) == (
        "conflict",
        "edge-1 is here already: node.label and node.setRole change it",
    )


async def test_only_a_node_that_is_silent_is_removed_without_force(net: Net) -> None:
    hub = await net.hub("hub-1")
    assert (await error_of(hub, "node.remove", node="edge-1"))[0] == "not_found"
    await hub.beat("edge-1", buffer={"pending_records": 12, "oldest_age_s": None})
    hub.hub.registry.life.tick(hub.hub.registry.began_at + 1.0)
    kind, words = await error_of(hub, "node.remove", node="edge-1")
    assert kind == "invalid_state"
    assert words.startswith("edge-1 still beats (online, heard ")
    assert "stop its edge first; it can be removed all the same with force" in words
    gone = await hub.call("node.remove", node="edge-1", force=True, **WHO)
    assert (gone["by"], gone["why"], gone["unsent_records"]) == ("ada", "sold", 12)
    kind, words = await error_of(hub, "node.remove", node="edge-1")
    assert kind == "conflict"
    assert words.startswith("node edge-1 was removed by ada (sold): `headwater nodes register")
    await hub.call("node.register", node="edge-2")
    assert (await hub.call("node.remove", node="edge-2"))["unsent_records"] is None


async def test_a_removed_node_is_sent_away_with_words_and_reported_once(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await net.hub("hub-1")
    told = events_of(hub, monkeypatch)
    await hub.beat("edge-1")
    await hub.call("node.remove", node="edge-1", force=True, **WHO)
    log = Log()
    for _ in range(3):
        refused = await hub.beat("edge-1", beat=2)
        assert refused.status_code == 410
        assert "was removed by ada (sold): `headwater nodes register edge-1`" in refused.text
    chunks = log.chunks(2)
    assert (await hub.push(chunks)).status_code == 410
    assert hub.hub.store.chunks == 0
    assert [name for name, _ in told] == ["node.removed", "node.refused"]
    assert listed(hub) == set()
    (item,) = (await hub.call("node.removed"))["items"]
    assert (item["node"], item["by"], item["why"], item["refused_beats"]) == (
        "edge-1",
        "ada",
        "sold",
        3,
    )
    for method in ("node.get", "node.drain"):
        kind, words = await error_of(hub, method, node="edge-1")
        assert (kind, "lets it back" in words) == ("not_found", True)
    covered = (await hub.call("node.list"))["coverage"]
    covered = (await hub.call("node.list"))["coverage"]
    assert (covered["missing_nodes"], covered["behind"], covered["partial"]) == ([], [], False)
    await hub.call("node.register", node="edge-1", who="ada")
    assert (await hub.beat("edge-1", beat=3)).status_code == 200
    assert (await hub.push(chunks)).status_code == 200
    assert (await hub.call("node.get", node="edge-1"))["beat"] == 3
    assert told[-1][0] == "node.registered"
    assert told[-1][1]["was_removed"] is True


async def test_one_hub_tells_of_a_removed_node_that_beats_to_all(
    net: Net, three: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with meeting(*three):
        told = [events_of(each, monkeypatch) for each in three]
        await spread("edge-1", three[0], *three)
        await three[1].call("node.remove", node="edge-1", force=True)
        await until(lambda: agree(*three))
        for beat in range(5):
            for world in three:
                await world.beat("edge-1", beat=beat)
    names = [name for each in told for name, _ in each]
    assert sorted(names) == ["node.refused", "node.removed"]


async def test_a_node_that_was_let_back_may_come_with_another_key_and_counts_anew(net: Net) -> None:
    hub = await net.hub("hub-1")
    await hub.beat("edge-1", incarnation=70, beat=900)
    await hub.call("node.label", node="edge-1", labels={"rack": "7"})
    await hub.call("node.remove", node="edge-1", force=True)
    await hub.call("node.register", node="edge-1")
    assert (await hub.beat("edge-1", key="another", facts={"hostname": "new"})).status_code == 200
    seen = await hub.call("node.get", node="edge-1")
    assert (seen["facts"], seen["labels"], seen["beat"]) == ({"hostname": "new"}, {}, 1)
    assert (await hub.beat("edge-1", key="key of edge-1")).status_code == 403


async def test_a_hub_that_hears_beats_while_others_remove_the_node_learns_of_it(
    net: Net, three: list[World]
) -> None:
    """Apart: one side removes, the other hears beats and sets labels. Healed: it is removed on all."""
    one, two, away = three
    async with meeting(*three):
        await spread("edge-1", one, *three)
        net.cut_off("hub-3")
        await one.call("node.remove", node="edge-1", force=True, **WHO)
        for beat in range(2, 6):
            await away.beat("edge-1", beat=beat, facts_number=beat, facts={"beat": beat})
        await until(lambda: known_to(one) == known_to(two))
        assert listed(away) == {"edge-1"}
        net.cut.clear()
        await until(lambda: agree(*three))
        assert all(is_removed(each.hub.registry.records["edge-1"]) for each in three)
        assert [(await each.beat("edge-1", beat=9)).status_code for each in three] == [410] * 3
        await two.call("node.register", node="edge-1", labels={"rack": "8"})
        await until(lambda: agree(*three) and listed(away) == {"edge-1"})
        assert [(await each.beat("edge-1", beat=10)).status_code for each in three] == [200] * 3
        await until(lambda: agree(*three))
        seen = await away.call("node.get", node="edge-1")
        assert (seen["labels"], seen["facts"]) == ({"rack": "8"}, {"hostname": "edge-1"})
    assert nothing_was_wrong(*three)


@pytest.mark.usefixtures("at_once")
async def test_a_tombstone_goes_when_all_hubs_hold_it_and_not_before(
    net: Net, three: list[World]
) -> None:
    one, two, _ = three
    async with meeting(*three):
        await spread("edge-1", one, *three)
        net.cut_off("hub-3")
        await one.call("node.remove", node="edge-1", force=True)
        await until(lambda: part_of(one).describe()["hubs_without_tombstones"] == {"hub-3": 1})
        assert "edge-1" in known_to(one)
        net.cut.clear()
        await until(lambda: not any(known_to(each) for each in three))
        assert all(part_of(each).removals.graves.holds("edge-1") for each in three)
        assert (await two.beat("edge-1")).status_code == 410
    assert nothing_was_wrong(*three)


@pytest.mark.usefixtures("at_once")
async def test_a_hub_that_comes_late_with_an_old_record_is_told_by_a_grave(
    net: Net, three: list[World]
) -> None:
    """The tombstone is long gone everywhere when a hub returns that still has the node as it was."""
    one, two, late = three
    async with running(one, two):
        async with running(late):
            await until_met(*three)
            await spread("edge-1", late, *three)
        old = known_to(late)
        await two.call("hub.status")
        for world in (one, two):
            away = world.hub.mesh.peers.by_id("hub-3")
            assert away is not None
            await world.hub.mesh.forget(away)
        net.cut_off("hub-3")
        await one.call("node.remove", node="edge-1", force=True, **WHO)
        await until(lambda: not known_to(one) and not known_to(two))
        assert known_to(late) == old
        net.cut.clear()
        async with running(late):
            await until(lambda: not any(known_to(each) for each in three))
            assert all(part_of(each).removals.graves.holds("edge-1") for each in three)
            assert (await late.beat("edge-1", beat=7)).status_code == 410
    assert not any(listed(each) for each in three)


@pytest.mark.usefixtures("at_once")
async def test_graves_are_kept_on_disk_and_opened_by_a_registration_elsewhere(net: Net) -> None:
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    for world in (one, two):
        third = world.hub.mesh.peers.by_url["http://hub-3"]
        await world.hub.mesh.forget(third)
    async with running(one, two):
        await spread("edge-1", one, one, two)
        await two.call("node.remove", node="edge-1", force=True)
        await until(lambda: not known_to(one) and not known_to(two))
        await one.call("node.register", node="edge-1", labels={"rack": "9"})
        await until(lambda: listed(two) == {"edge-1"} and agree(one, two))
        assert not part_of(two).removals.graves.holds("edge-1")
        await two.call("node.remove", node="edge-1")
        await until(lambda: not known_to(one) and not known_to(two))
    await one.hub.close()
    again = await net.hub("hub-1")
    assert again.hub.registry.records == {}
    assert (await again.beat("edge-1")).status_code == 410


async def test_a_tombstone_is_read_again_after_a_restart(net: Net) -> None:
    hub = await net.hub("hub-1")
    await hub.beat("edge-1")
    await hub.call("node.remove", node="edge-1", force=True, **WHO)
    await hub.hub.close()
    again = await net.hub("hub-1")
    assert part_of(again).describe()["tombstones"] == 1
    record = again.hub.registry.records["edge-1"]
    assert record.intent_value(REMOVED)["by"] == "ada"
    assert (await again.beat("edge-1")).status_code == 410
    assert [each["node"] for each in (await again.call("node.removed"))["items"]] == ["edge-1"]


async def test_a_copied_edge_is_refused_with_reason_and_reported_once(net: Net) -> None:
    hub = await net.hub("hub-1")
    told: list[tuple[str, dict[str, Any]]] = []
    clones = Clones(lambda name, facts: told.append((name, dict(facts))))
    hub.hub.edge_doors.cloned = clones.refused
    one, copy = Log(), Log()
    assert (await hub.push(one.chunks(3))).status_code == 200
    for _ in range(3):
        answer = (await hub.push([copy.chunk(records=7)])).json()
        (outcome,) = answer["receipt"]["outcomes"]
        assert "cloned_origin" in str(outcome)
    assert [(name, facts["node_id"], facts["epoch"]) for name, facts in told] == [
        ("node.cloned", "edge-1", "e1")
    ]
    assert hub.counted("chunks_cloned_origin") == 3
