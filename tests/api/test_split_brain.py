"""Hubs that are apart say so while it lasts, and afterwards all tell the same story of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hub.peering.incident_section import Head, IncidentSection
from hub.peering.islands import Event, IslandBook
from hub.peering.view_digest import BUCKETS, SHORT_BYTES, bucket_of
from hub.peering.view_section import HUBS_MAX
from shared.merge import LABELS
from tests.api.conftest import ADMIN_TOKEN, World
from tests.api.mesh_world import NAMES, until
from tests.api.split_world import EVENTS, SPLIT_SECONDS, Net, heal, now, split, watch_of
from tests.api.swift import SwiftLoop
from tests.api.watch_world import QUICK

LOOP = SwiftLoop


@pytest.fixture
async def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    """Three hubs that know each other, and do everything five times as often."""
    monkeypatch.setattr("hub.peering.watch_part.LIMITS", QUICK)
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.talk.ROUND_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.view_watch.ROUND_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.islands.SPLIT_SECONDS", SPLIT_SECONDS)
    monkeypatch.setattr("hub.peering.views.FRESH_SECONDS", SPLIT_SECONDS)
    monkeypatch.setattr("hub.peering.views.COUNTED_SECONDS", 0.09)
    made = Net(folder=tmp_path)
    await made.start(*NAMES)
    await made.until_whole()
    yield made
    for name in list(made.stacks):
        await made.kill(name)


async def test_hubs_are_whole_as_soon_as_one_probe_is_answered(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither gossip nor anybody who looks at islands waits for its next round: here that is an hour
    away."""
    await split(net)
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 3600.0)
    monkeypatch.setattr("hub.peering.view_watch.ROUND_SECONDS", 3600.0)
    await asyncio.sleep(5.0)  # By then each wait is one of an hour.
    begun = now()
    net.part()
    await net.until_whole()
    assert now() - begun < 3.0


async def test_healing_is_one_step(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hub said before it went away makes nobody whole, so that its next word parts nobody again."""
    await split(net)
    sizes: dict[str, list[int]] = {name: [] for name in NAMES}
    see = IslandBook.see

    def noted(book: IslandBook, *given: Any) -> list[Event]:
        told = see(book, *given)
        sizes[book.hub_id].append(len(book.island))
        return told

    monkeypatch.setattr(IslandBook, "see", noted)
    await heal(net)
    for name, seen in sizes.items():
        assert seen == sorted(seen), name
        assert seen[-1] == len(NAMES)


async def test_a_hub_that_only_another_one_reaches_again_is_back_all_the_same(net: Net) -> None:
    """What it said last is then all there is of its own word."""
    await split(net)
    net.cut = {frozenset(("hub-1", "hub-3"))}
    await net.until_whole()


async def test_after_a_split_all_hubs_tell_one_story_with_every_conflict(net: Net) -> None:
    one, two, three = net.worlds.values()
    await one.beat("edge-1")
    await until(lambda: all("edge-1" in w.hub.registry.records for w in net.worlds.values()))
    await split(net)
    await one.call("node.label", node="edge-1", labels={"rack": "one"})
    await two.call("node.label", node="edge-1", labels={"rack": "two"})
    await three.call("node.drain", node="edge-1")
    for world in (one, two):
        (item,) = (await world.call("hub.incidents"))["items"]
        assert (item["state"], item["conflicts_total"]) == ("open", 0)
    await heal(net)
    stories = [await world.call("hub.incidents") for world in net.worlds.values()]
    assert stories[0] == stories[1] == stories[2]
    (item,) = stories[0]["items"]
    assert (item["state"], item["kind"], item["observers"]) == ("closed", "split", list(NAMES))
    whole = [await world.call("hub.incident", incident=item["id"]) for world in net.worlds.values()]
    assert whole[0] == whole[1] == whole[2]
    (conflict,) = whole[0]["conflicts"]
    assert (conflict["node"], conflict["field"]) == ("edge-1", LABELS)
    assert (conflict["rule"], conflict["winner"]["hub"]) == ("later stamp", "hub-2")
    assert (conflict["winner"]["value"], conflict["loser"]["value"]) == (
        '{"rack":"two"}',
        '{"rack":"one"}',
    )
    assert one.hub.registry.records["edge-1"].intent_value(LABELS) == {"rack": "two"}
    sides = {tuple(side["island"]): side["writes"]["intents"] for side in whole[0]["sides"]}
    assert sides == {("hub-1",): 1, ("hub-2", "hub-3"): 2}
    for name in NAMES:  # Each name that a hub gave it leads to it.
        assert await net.worlds[name].call("hub.incident", incident=item["names"][-1]) == whole[0]
        assert await net.told(name) == list(EVENTS[:1] + EVENTS[2:3] + EVENTS[1:2] + EVENTS[3:])
    page = await one.client.get(f"/hubs/incidents/{item['id']}.json", headers=_admin())
    assert page.json()["conflicts"] == whole[0]["conflicts"]


async def test_a_setting_that_both_sides_changed_is_a_conflict_in_the_story(net: Net) -> None:
    """It counts as an order of the side that gave it; the page says that it is of no node."""
    one, two, _ = net.worlds.values()
    await split(net)
    for world, level in ((one, "debug"), (two, "error")):
        wish = {"settings": {"log_level": level}, "for": "edges", "author": "ada"}
        await world.call("config.set", **wish)
    await heal(net)
    (item,) = (await one.call("hub.incidents"))["items"]
    whole = [await world.call("hub.incident", incident=item["id"]) for world in net.worlds.values()]
    assert whole[0] == whole[1] == whole[2]
    (conflict,) = whole[0]["conflicts"]
    assert (conflict["node"], conflict["field"]) == ("", "log_level for edges")
    assert (conflict["winner"]["value"], conflict["loser"]["value"]) == ('"error"', '"debug"')
    sides = {tuple(side["island"]): side["writes"]["intents"] for side in whole[0]["sides"]}
    assert sides == {("hub-1",): 1, ("hub-2", "hub-3"): 1}
    page = await one.client.get(f"/hubs/incidents/{item['id']}", headers=_admin())
    assert "a setting</th>" in page.text


def _admin() -> dict[str, str]:
    return {"authorization": f"Bearer {ADMIN_TOKEN}"}


async def test_answers_say_during_a_split_whose_knowledge_they_are(net: Net) -> None:
    one, two, _ = net.worlds.values()
    await split(net)
    alone = (await one.call("node.list"))["coverage"]
    assert (alone["partial"], alone["split"]["island"]) == (True, ["hub-1"])
    assert alone["split"]["side"] == "minority"
    most = (await two.call("node.list"))["coverage"]["split"]
    assert (most["island"], most["side"]) == (["hub-2", "hub-3"], "majority")
    assert (await one.call("hub.status"))["split"]["configured"] == list(NAMES)
    await heal(net)
    assert "split" not in (await one.call("node.list"))["coverage"]


async def test_views_show_who_has_fallen_silent_and_since_when(net: Net) -> None:
    one = net.worlds["hub-1"]
    await split(net)
    await until(lambda: len(_silent(one)) == 2)
    views = await one.call("hub.views")
    silent = [each for each in views["differences"] if each["about"] == "silence"]
    assert {each["subject"] for each in silent} == {"hub-2", "hub-3"}
    assert all(each["since_s"] > SPLIT_SECONDS for each in silent)
    page = await one.client.get("/hubs/views", headers=_admin())
    assert "has said nothing of its view for" in page.text
    await heal(net)


def _silent(world: World) -> set[str]:
    found = watch_of(world).views.differences(now())
    return {d["subject"] for d in found if d["about"] == "silence"}


async def test_a_broken_link_is_a_difference_of_views_and_no_split(net: Net) -> None:
    """The third hub reaches both: what it believes differs from what they believe of each other."""
    one, three = net.worlds["hub-1"], net.worlds["hub-3"]
    net.cut = {frozenset(("hub-1", "hub-2"))}
    await until(lambda: "hub-2" in _disagreed(three))
    (row,) = [d for d in (await three.call("hub.views"))["differences"] if d["subject"] == "hub-2"]
    assert row["by"]["hub-3"]["state"] == "alive"
    assert row["by"]["hub-1"]["state"] in ("avoid", "dead")
    assert row["since_s"] > 0
    net.part()
    await until(lambda: not any(_disagreed(world) for world in net.worlds.values()))
    told = await net.events("hub-3", ("views.differ", "views.agree"))
    about = [(e["event_name"], e["attributes"]["subject"]) for e in told]
    assert about.count(("views.differ", "hub-2")) == about.count(("views.agree", "hub-2")) == 1
    assert [await net.told(name) for name in NAMES] == [[], [], []]
    assert (await one.call("hub.incidents"))["items"] == []


def _disagreed(world: World) -> set[str]:
    found = watch_of(world).views.differences(now())
    return {d["subject"] for d in found if d["about"] == "hub" and d["disagreement"]}


async def test_a_node_that_one_side_alone_hears_is_a_difference_that_names_the_node(
    net: Net,
) -> None:
    one, two = net.worlds["hub-1"], net.worlds["hub-2"]
    await one.beat("edge-1")
    await until(lambda: all("edge-1" in w.hub.registry.records for w in net.worlds.values()))
    digest = watch_of(two).views.digest
    await until(lambda: "heard" in str(digest.in_bucket(bucket_of("edge-1"))))
    digest.judge("edge-1", "offline")
    await until(lambda: bool(watch_of(one).views.peers["hub-2"].stuck()))
    views = await one.call("hub.views", hub="hub-2")
    (node,) = views["nodes"]
    assert node["node_id"] == "edge-1"
    assert node["mine"].split()[0] == "heard"
    assert node["theirs"].split()[0] == "silent"
    digest.judge("edge-1", "online")
    await until(lambda: not watch_of(one).views.peers["hub-2"].stuck())


async def until_missed_for_long(net: Net, *names: str) -> None:
    """As long as a split takes to be told, and as much again, has somebody been away."""
    await until(
        lambda: all(
            now() - held.since > 2 * SPLIT_SECONDS
            for name in names
            for held in watch_of(net.worlds[name]).islands.away.values()
        )
    )


async def test_a_clean_start_and_an_orderly_restart_are_no_incident(net: Net) -> None:
    await net.stop("hub-3")
    await until(lambda: watch_of(net.worlds["hub-1"]).islands.island == ("hub-1", "hub-2"))
    await until_missed_for_long(net, "hub-1", "hub-2")
    await net.start("hub-3")
    await net.until_whole()
    for name in NAMES:
        assert (await net.told(name), watch_of(net.worlds[name]).incidents.sights) == ([], {})


async def test_a_death_is_no_split(net: Net) -> None:
    """Its machine says that nobody listens there: nothing goes on at another side."""
    await net.kill("hub-3")
    left = [net.worlds[name] for name in ("hub-1", "hub-2")]
    await until(lambda: all(_verdict(world, "hub-3") == "dead" for world in left))
    await until_missed_for_long(net, "hub-1", "hub-2")
    assert [watch_of(world).standing() for world in left] == [None, None]
    await net.start("hub-3")
    await net.until_whole()
    for name in NAMES:
        assert (await net.told(name), watch_of(net.worlds[name]).incidents.sights) == ([], {})


def _verdict(world: World, name: str) -> str:
    peer = world.hub.peers.by_id(name)
    return peer.verdict if peer else ""


async def test_a_split_goes_on_over_a_restart_and_its_incident_is_kept(net: Net) -> None:
    await split(net)
    await net.worlds["hub-1"].beat("edge-1")
    await net.worlds["hub-1"].call("node.drain", node="edge-1")
    await net.kill("hub-1")
    await net.start("hub-1")
    one = watch_of(net.worlds["hub-1"])
    assert one.incidents.is_open
    await heal(net)
    (item,) = (await net.worlds["hub-1"].call("hub.incidents"))["items"]
    assert (item["state"], item["observers"]) == ("closed", list(NAMES))
    await net.kill("hub-2")
    await net.start("hub-2")
    assert (await net.worlds["hub-2"].call("hub.incidents"))["items"] == [item]


LIES: dict[str, bytes] = {
    "nothing": b"{}",
    "no JSON": b"\xff",
    "a huge view": b'{"hubs":{},"root":"0123456789abcdef","buckets":"' + b"A" * 20_000 + b'"}',
    "short buckets": b'{"hubs":{},"root":"0123456789abcdef","buckets":"AAAA"}',
    "strange buckets": b'{"hubs":{},"root":"0123456789abcdef","buckets":"&&&&"}',
    "too many hubs": msgspec.json.encode(
        {"hubs": {f"h{n}": ["alive", ""] for n in range(HUBS_MAX + 1)}, "root": "0" * 16}
    ),
    "a state that is a book": b'{"hubs":{"hub-1":["'
    + b"x" * 40
    + b'",""]},"root":"0123456789abcdef"}',
    "less than no nodes": b'{"hubs":{},"root":"0123456789abcdef","nodes":-1}',
}


@pytest.mark.parametrize("body", LIES.values(), ids=LIES)
async def test_a_view_that_cannot_be_read_changes_nothing(net: Net, body: bytes) -> None:
    one = net.worlds["hub-1"]
    before = watch_of(one).views.peers["hub-2"].section.hubs
    for section in ("views", "incidents"):
        one.hub.mesh.sections.take({section: Raw(body)}, "hub-2", now())
    assert watch_of(one).views.peers["hub-2"].section.hubs == before
    await net.until_whole()
    assert await net.told("hub-1") == []


async def test_what_a_peer_makes_up_is_kept_in_bounds_and_shown_as_its_word(net: Net) -> None:
    one = net.worlds["hub-1"]
    sections, watch = one.hub.mesh.sections, watch_of(one)
    invented = [Head(f"hub-{n}", 2**52 + n, 1) for n in range(200)]
    lie = IncidentSection("f" * 16, invented)
    for _ in range(3):
        sections.take({"incidents": Raw(msgspec.json.encode(lie))}, "hub-2", now())
    said = {"hubs": {f"ghost-{n}": ["dead", "x"] for n in range(20)}, "root": "0" * 16}
    sections.take({"views": Raw(msgspec.json.encode(said))}, "hub-2", now())
    assert watch.incidents.sights == {}
    views = await one.call("hub.views")
    assert "ghost-7" in views["subjects"] or watch.views.peers["hub-2"].section.nodes == 0
    await until(lambda: "ghost-7" not in watch.views.peers["hub-2"].section.hubs)
    assert watch.islands.configured == NAMES


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"[]",
        b'{"sender":"hub-2","method":"node.drain","params":{"node":"edge-1"}}',
        b'{"sender":"","method":"hub.views.bucket","params":{"bucket":1}}',
        b'{"sender":"hub-2","method":"hub.views.bucket","params":[]}',
    ],
)
async def test_the_door_for_peers_answers_two_questions_and_no_others(
    world: World, question: bytes
) -> None:
    refused = await world.peer("/peer/views", question)
    assert refused.status_code == 400, refused.text


async def test_the_door_for_peers_says_what_is_wrong_with_a_question(world: World) -> None:
    wrong = {"sender": "hub-2", "method": "hub.views.bucket", "params": {"bucket": BUCKETS}}
    answer = (await world.peer("/peer/views", wrong)).json()
    assert answer["error"]["data"]["kind"] == "invalid_params"
    await world.beat("edge-1")
    asked = {"sender": "hub-2", "method": "hub.views.bucket", "params": {"bucket": 5}}
    assert "result" in (await world.peer("/peer/views", asked)).json()
    huge = await world.peer("/peer/views", b"x" * 10_000)
    assert huge.status_code == 413
    assert BUCKETS * SHORT_BYTES == 1024
