"""Settings of the cluster on real hubs: written through one, the same on all, applied, kept, told."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from msgspec import Raw

from hub.conf.part import ConfPart
from hub.conf.section import Section
from hub.conf.setters import own_settings, setters_of
from hub.config import HubConfig
from hub.hub import Hub
from hub.retention import Policy
from shared.conf import EMPTY_HASH, Entry, read_document
from shared.conf_scope import HUBS
from shared.conf_table import TABLES
from shared.errors import Unavailable
from shared.merge import REMOVED
from shared.runtime import system_runtime
from shared.stamp import Stamp
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, World, bearer, node_headers
from tests.api.mesh_world import part_in, running, until
from tests.api.test_taken_over_hubs import Cluster

FAR_MS = 4_000_000_000_000
"""The year 2096."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(tmp_path, stack)


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log levels that hubs have been given, in place of the level of this process."""
    given: list[str] = []
    monkeypatch.setattr("hub.conf.setters.set_level", given.append)
    return given


def part_of(world: World) -> ConfPart:
    return part_in(world, ConfPart)


def on_disk(world: World) -> list[Any]:
    with world.hub.store.files.database.reading() as db:
        return [orjson.loads(row[0]) for row in db.execute("SELECT entry FROM conf")]


def told_by_a_peer(world: World, *entries: Any, peer: str = "hub-9") -> None:
    """Let the hub hear these from a peer, as the gossip brings it."""
    count = len(entries)
    section = Section(f"{peer}#1", "", count, count, 0, count, "", 0, list(entries))
    body = Raw(msgspec.json.encode(section))
    world.hub.mesh.sections.take({"conf": body}, peer, world.hub.registry.began_at)


async def hash_of(world: World) -> str:
    return str((await world.call("config.get"))["hash"])


async def ask(world: World, node_id: str, about: str | bytes = "") -> Any:
    """An edge asks for its settings."""
    body = about if isinstance(about, bytes) else orjson.dumps({"node_id": about or node_id})
    return await world.client.post("/edge/config", content=body, headers=node_headers(node_id))


async def events(world: World, name: str) -> list[dict[str, Any]]:
    """The events of this name in the log of the hub itself."""
    await world.hub.own.voice.flush()
    found: list[dict[str, Any]] = (await world.call("event.list", type=name))["items"]
    return [event["attributes"] for event in found]


async def test_what_is_written_through_one_hub_is_read_at_the_other(cluster: Cluster) -> None:
    first, second = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(first, second):
        settings = {"log_level": "debug", "scrape_seconds": "30s"}
        labels = {"role": "web"}
        written = await first.call("config.set", settings=settings, labels=labels, author="ann")
        await until(lambda: part_of(second).conf.book.versions.hash == written["hash"])
        assert await first.call("config.get") == await second.call("config.get")
        taken = await second.call("config.unset", keys=["log_level"], labels=labels)
        await until(lambda: part_of(first).conf.book.versions.hash == taken["hash"])
        items = (await first.call("config.get"))["items"]
        assert [(each["key"], each["value"]) for each in items] == [("scrape_seconds", 30.0)]
        assert await first.call("config.history") == await second.call("config.history")
        await until(lambda: len(on_disk(second)) == 3)


async def test_a_hub_that_was_away_learns_all_of_it(cluster: Cluster) -> None:
    """More than one message holds."""
    first, second = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(first, second):
        async with cluster.away("hub-2"):
            for number in range(150):
                labels = {"node": f"n{number}"}
                await first.call("config.set", settings={"log_level": "error"}, labels=labels)
        wanted = await hash_of(first)
        await until(lambda: part_of(second).conf.book.versions.hash == wanted)
        assert len((await second.call("config.get"))["items"]) == 150


async def test_what_is_wrong_is_refused_before_it_spreads(cluster: Cluster) -> None:
    first, second = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(first, second):
        bad = {"scrape_seconds": 5, "log_level": "loud"}
        refused = await first.refusal("config.set", settings=bad)
        assert "log_level must be one of" in refused["message"]
        assert refused["data"]["kind"] == "invalid_params"
        answer = await first.call("config.set", settings={"scrape_seconds": 5})
        # What came later is there: what was refused would have come before it.
        await until(lambda: part_of(second).conf.book.versions.hash == answer["hash"])
        assert len(on_disk(first)) == len((await second.call("config.history"))["items"]) == 1


async def test_a_heartbeat_is_answered_with_what_the_door_then_gives(world: World) -> None:
    await world.call("config.set", settings={"log_level": "debug"}, labels={"role": "web"})
    wanted = (await world.beat("web-1")).json()["conf"]
    assert wanted["hash"] == EMPTY_HASH
    await world.call("node.label", node="web-1", labels={"role": "web"})
    wanted = (await world.beat("web-1", beat=2)).json()["conf"]
    given = await ask(world, "web-1")
    assert given.status_code == 200
    document = read_document(given.content)
    assert document.settings == {"log_level": "debug"}
    assert document.hash == wanted["hash"]
    assert list(msgspec.structs.astuple(document.age)) == wanted["age"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("edge-2", 403),
        (b"", 400),
        (b"[", 400),
        (b'{"node_id": "../x"}', 400),
        (b"\xff", 400),
        (b" " * 5000, 413),
        ("edge-9", 403),
    ],
)
async def test_an_edge_gets_its_own_settings_only(
    world: World, body: str | bytes, status: int
) -> None:
    await world.beat("edge-1")
    await world.beat("edge-2")
    assert (await ask(world, "edge-1", body)).status_code == status
    await world.still_works()


async def test_an_edge_that_is_not_known_gets_none(world: World) -> None:
    given = await ask(world, "edge-1")
    assert given.status_code == 400
    assert "has sent no heartbeat yet" in given.text


async def test_drift_tells_who_lacks_what_and_ends_when_all_have_it(world: World) -> None:
    world.hub.registry.cares_for = lambda node_id: node_id == "edge-1"
    answer = await world.call("config.set", settings={"log_level": "debug"}, **{"for": "edges"})
    assert answer["items"][0]["scope"] == "edges"
    refused = (await world.beat("edge-1")).json()["conf"]["hash"]
    report = {"applied": EMPTY_HASH, "refused": refused, "error": "no room"}
    await world.beat("edge-1", beat=2, conf=report)
    drift = await world.call("config.drift")
    assert drift["totals"]["refused"] == 1
    assert drift["items"][0]["error"] == "no room"
    (event,) = await events(world, "conf.refused_by_edge")
    assert event == {"hash": refused, "edge": "edge-1", "error": "no room"}
    assert await events(world, "conf.refusal_over") == []
    await world.beat("edge-1", beat=3, conf={"applied": refused})
    drift = await world.call("config.drift")
    assert (drift["items"], drift["totals"]["current"]) == ([], 1)
    assert await events(world, "conf.refusal_over") == [{"hash": refused}]


async def test_a_node_that_was_removed_is_not_missed(world: World) -> None:
    await world.beat("edge-1", conf={"applied": EMPTY_HASH})
    part = part_of(world)
    await part.forget()
    assert (await world.call("config.drift"))["totals"]["nodes"] == 1
    await world.hub.intend("edge-1", REMOVED, True)
    await part.forget()
    assert (await world.call("config.drift"))["totals"]["nodes"] == 0
    assert (await world.beat("edge-1", beat=2)).status_code == 410


async def test_hubs_apply_what_is_set_for_all_of_them(levels: list[str], cluster: Cluster) -> None:
    first, second = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    worlds = (first, second)
    for world in worlds:
        world.hub.upkeep.keeper.policies = {}
    settings = {"keep_logs_days": 3, "keep_traces_bytes": "1GiB", "backlog_bytes_per_s": 0}
    async with running(*worlds):
        await first.call("config.set", settings={**settings, "log_level": "error"}, **{"for": HUBS})

        def policies(world: World) -> Any:
            policies = world.hub.upkeep.keeper.policies
            return policies.get("logs", Policy()), policies.get("traces", Policy())

        wanted = (Policy(days=3), Policy(stored_bytes=2**30))
        await until(lambda: all(policies(world) == wanted for world in worlds))
        assert [world.hub.crowd.limits.budget_bytes_per_s for world in worlds] == [0, 0]
        assert levels == ["error", "error"]
        keys = [*settings, "log_level"]
        await second.call("config.unset", keys=keys, **{"for": HUBS})
        own = first.hub.config.backlog_bytes_per_s
        await until(lambda: all(policies(world) == (Policy(), Policy()) for world in worlds))
        assert [world.hub.crowd.limits.budget_bytes_per_s for world in worlds] == [own, own]
        assert levels == ["error", "error", "info", "info"]


def test_every_setting_of_hubs_can_be_applied(world: World) -> None:
    setters = setters_of(world.hub.upkeep.keeper, world.hub.crowd)
    assert setters.keys() == own_settings(world.hub.config).keys() == TABLES[HUBS].keys()


async def test_a_hub_starts_with_what_it_had_before_it_does_anything(tmp_path: Path) -> None:
    """The keeper must not take by its owner's word what the cluster wants kept for longer."""
    own = {"logs": Policy(days=14)}
    config = HubConfig(
        "hub-1", tmp_path, "http://hub-1", [], CLUSTER_KEY, ADMIN_TOKEN, "OFF", policies=own
    )
    first = await Hub.open(config, system_runtime())
    answer = await first.rpc.call("config.set", {"settings": {"keep_logs_days": 700}})
    await first.close()
    again = await Hub.open(config, system_runtime())
    assert again.upkeep.keeper.policies["logs"] == Policy(days=700)
    assert (await again.rpc.call("config.get", {}))["hash"] == answer["hash"]
    await again.rpc.call("config.unset", {"keys": ["keep_logs_days"]})
    assert again.upkeep.keeper.policies["logs"] == Policy(days=14)
    await again.close()


def entry(scope: str, key: str, value: Any, stamp: Stamp | None = None) -> Entry:
    """What somebody wrote through a peer."""
    return Entry(scope, key, value, stamp or Stamp(1_000, 0, "hub-9"), "bob", 1_000)


async def test_what_is_no_setting_is_put_aside_told_and_counted(world: World) -> None:
    good = entry("edges", "log_level", "debug")
    told_by_a_peer(world, {"scope": 7}, good, entry("edges", "of_tomorrow", 1))
    answer = await world.call("config.get")
    assert {each["key"] for each in answer["items"]} == {"log_level", "of_tomorrow"}
    assert [each["hub_id"] for each in answer["parked"]] == ["hub-9"]
    assert [each["key"] for each in answer["not_applied"]] == ["of_tomorrow"]
    (parked,) = await events(world, "conf.parked")
    assert parked["peer"] == "hub-9"
    (unfit,) = await events(world, "conf.not_applied")
    assert unfit["key"] == "of_tomorrow"
    assert world.counted("settings_parked") == 1
    metrics = await world.client.get("/metrics", headers=bearer(ADMIN_TOKEN))
    assert 'event="settings_parked"' in metrics.text


async def test_a_stamp_of_a_broken_clock_is_kept_loses_to_people_and_moves_no_clock(
    world: World,
) -> None:
    told_by_a_peer(world, entry("edges", "log_level", "debug", Stamp(FAR_MS, 3, "hub-9")))
    assert part_of(world).conf.book.values("edges") == {"log_level": "debug"}
    answer = await world.call("config.set", settings={"scrape_seconds": 5})
    assert not answer["items"][0]["version"].startswith(str(FAR_MS))
    answer = await world.call("config.set", settings={"log_level": "error"}, **{"for": "edges"})
    assert answer["items"][0]["version"] == f"{FAR_MS}.4@hub-1"
    assert part_of(world).conf.book.values("edges")["log_level"] == "error"


async def test_what_peers_told_is_written_once_the_disk_takes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, database = part_of(world), world.hub.store.files.database

    async def refuse(_: object, job: object) -> None:
        raise Unavailable("the disk is full")

    told_by_a_peer(world, entry("edges", "log_level", "debug"))
    with monkeypatch.context() as patched:
        patched.setattr(type(database), "write", refuse)
        with pytest.raises(Unavailable):
            await part.save()
    assert on_disk(world) == []
    await part.save()
    assert [each["key"] for each in on_disk(world)] == ["log_level"]


async def test_a_new_label_has_a_sound_name_and_an_old_one_can_be_taken_away(world: World) -> None:
    """Of nodes and in selectors of settings, by one rule."""
    await world.beat("edge-1")
    wrong = {"Bad Key": "x"}
    settings = {"log_level": "debug"}
    for method, params in (
        ("node.label", {"node": "edge-1", "labels": wrong}),
        ("node.register", {"node": "edge-9", "labels": wrong}),
        ("config.set", {"settings": settings, "labels": wrong}),
    ):
        order = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        error = (await world.rpc(order)).json()["error"]
        assert error["data"]["kind"] == "invalid_params", method
        assert "the name of a label has 1 to 63 letters" in error["message"]
        assert "unlike 'Bad Key'" in error["message"]
    await world.hub.intend("edge-1", "labels", wrong)
    answer = await world.call("node.label", node="edge-1", labels={**wrong, "role": "web"})
    assert answer["labels"] == {**wrong, "role": "web"}
    answer = await world.call("node.label", node="edge-1", labels={"role": "web"})
    assert answer["labels"] == {"role": "web"}
