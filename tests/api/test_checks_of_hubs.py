"""Hubs that check nodes and remember how they were: what one of them saw, all of them can tell."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from hub.nodes.history_share import HistorySection, Standing
from hub.store.check_table import lines_of_node
from hub.store.spent_table import with_history
from tests.api.checks_world import (
    PAIR,
    Hubs,
    beat_all,
    both,
    check,
    checked,
    history,
    http,
    listening,
    part,
    runner,
    set_checks,
    tcp,
    two_hubs,
    until_all_tell,
    until_twice,
)
from tests.api.conftest import ADMIN_TOKEN, bearer
from tests.api.liveness_world import beating, see, told
from tests.api.mesh_world import until
from tests.api.swift import SwiftLoop, runtime_here

LOOP = SwiftLoop


@pytest.fixture
async def hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hubs]:
    """Two hubs at a quick pace, which have begun to observe."""
    async with two_hubs(tmp_path, monkeypatch) as made:
        yield made


async def test_checks_that_fail_and_pass_again_are_told_once_and_remembered_by_both_hubs(
    hubs: Hubs,
) -> None:
    await beat_all(hubs)
    async with listening() as target:
        await set_checks(hubs, tcp(target.port), http(target.port))
        well = {"port": "connected", "web": "status 200"}
        assert await check(hubs) == [well, well]
        target.status = 503
        ill = {"port": "connected", "web": "status 503 is not one of 200 to 399"}
        assert await check(hubs) == [ill, ill]
        await target.close()
        refused = "the connection was refused"
        assert await check(hubs) == [{"port": refused, "web": refused}] * 2
        target.status = 200
        await target.open()
        assert await check(hubs) == [well, well]
        for world in both(hubs):
            shown = (await world.call("node.checks", node="edge-1"))["items"]
            assert [(each["check"], each["kind"]) for each in shown] == [
                ("port", "tcp"),
                ("web", "http"),
            ]
            assert "secret" not in str(shown)
    for name in ("port", "web"):
        await until_all_tell(hubs, {runner(hubs, name): ["ok", "failed", "ok"]}, name)
    for kind in ("node.check.failed", "node.check.passed"):
        facts = [each for world in both(hubs) for each in await told(world, kind)]
        assert sorted(each["check"] for each in facts) == ["port", "web"]
        assert {each["node_id"] for each in facts} == {"edge-1"}
        assert {each["target"] for each in facts} == {
            f"127.0.0.1:{target.port}",
            f"127.0.0.1:{target.port}/health",
        }


async def test_a_planned_check_runs_by_itself_on_one_of_the_hubs(hubs: Hubs) -> None:
    await beat_all(hubs)
    async with listening() as target:
        await set_checks(hubs, tcp(target.port, interval_s=5, timeout_s=1))
        await until_all_tell(hubs, {runner(hubs, "port"): ["ok"]}, "port")


async def test_a_failing_check_counts_on_all_hubs_whichever_of_them_runs_it(hubs: Hubs) -> None:
    async with checked(hubs, "failed"):
        for world in both(hubs):
            summary = await world.call("fleet.summary")
            assert summary["checks"] == {"all": 1, "failing": 1}
            assert summary["failing"] == {
                "count": 1,
                "nodes": [{"node": "edge-1", "checks": ["port"]}],
            }
            assert summary["disputed"] == {"count": 0, "nodes": []}
            assert summary["states"] == {"online": 1}
            (shown,) = (await world.call("node.checks", node="edge-1"))["items"]
            assert (shown["state"], shown["hub"]) == ("failed", runner(hubs, "port"))
            assert shown["reason"] == "the connection was refused"


async def test_another_hub_runs_the_checks_of_one_that_stopped(hubs: Hubs) -> None:
    await beat_all(hubs)
    async with listening() as target:
        await set_checks(hubs, tcp(target.port))
        await check(hubs)
        first = runner(hubs, "port")
        await until_all_tell(hubs, {first: ["ok"]}, "port")
        await hubs.stop(first)
        (left,) = hubs.worlds
        await until(lambda: not part(hubs.worlds[left]).live_hubs())
        await check(hubs)
        await until_all_tell(hubs, {first: ["ok"], left: ["ok"]}, "port")


async def test_all_hubs_tell_one_history_and_one_uptime_from_the_words_of_both(hubs: Hubs) -> None:
    worlds = list(both(hubs))
    async with beating(worlds[1], "edge-1"):
        await see(worlds, "online")
    await see(worlds, "offline")
    async with beating(worlds[0], "edge-1"):
        await see(worlds, "online")
        once = ["online", "offline", "online"]
        await until_all_tell(hubs, {"hub-1": once, "hub-2": once})
        for scale in ("5m", "24h"):
            first, second = [
                await each.call("node.uptime", node="edge-1", scale=scale) for each in worlds
            ]
            assert [each["start"] for each in first["buckets"]] == [
                each["start"] for each in second["buckets"]
            ]
            sums = [answer["total"] for answer in (first, second)]
            assert min(each["offline_s"] for each in sums) > 0
            for kind in ("healthy_s", "degraded_s", "offline_s"):
                assert sums[0][kind] == pytest.approx(sums[1][kind], abs=1.5)
            assert 0 < sums[0]["ratio"] < 1


@pytest.mark.parametrize(("scale", "count", "step_s"), [("5m", 60, 300), ("24h", 90, 86_400)])
async def test_bars_begin_at_full_steps_of_the_clock(
    hubs: Hubs, scale: str, count: int, step_s: int
) -> None:
    await beat_all(hubs)
    await see(list(both(hubs)), "online")
    world = both(hubs)[0]
    buckets = (await world.call("node.uptime", node="edge-1", scale=scale))["buckets"]
    starts = [datetime.fromisoformat(each["start"]).timestamp() for each in buckets]
    assert len(starts) == count
    assert all(start % step_s == 0 for start in starts)
    assert starts == [starts[0] + index * step_s for index in range(count)]
    assert 0 <= world.hub.runtime.wall_ms() / 1000 - starts[-1] < step_s
    fleet = await world.call("fleet.uptime", scale=scale)
    (item,) = fleet["items"]
    assert len(item["bars"]) == count
    for bar, bucket in zip(item["bars"][:-1], buckets[:-1], strict=True):
        assert bar == [bucket[kind] for kind in fleet["parts"]]


async def test_what_nobody_watched_is_unknown_and_not_offline(hubs: Hubs) -> None:
    """Both hubs stop while the node is well; later one is there again, and hears it as before."""
    async with beating(both(hubs)[0], "edge-1"):
        await see(list(both(hubs)), "online")
        await until_all_tell(hubs, {"hub-1": ["online"], "hub-2": ["online"]})
    for name in PAIR:
        await hubs.stop(name)
    wall_ms = runtime_here().wall_ms
    went = wall_ms() / 1000
    await asyncio.sleep(1.0)  # What is measured is this time itself.
    again = await hubs.start("hub-1")
    back = wall_ms() / 1000
    async with beating(again, "edge-1"):
        await until(lambda: part(again).observing.has_begun)
        await see([again], "online")
        await until_all_tell(hubs, {"hub-1": ["online"], "hub-2": ["online"]})
        answer = await until_twice(again, "hub-1")
        total = (await again.call("node.uptime", node="edge-1"))["total"]
    assert total["offline_s"] == 0
    assert total["healthy_s"] > 0
    for each in answer["items"]:
        since, until_ = (
            datetime.fromisoformat(each[key]).timestamp() for key in ("since", "until")
        )
        assert until_ <= went + 0.1 or since >= back - 0.1, "nobody watched then"


async def test_a_hub_that_was_down_learns_what_the_other_observed_meanwhile(hubs: Hubs) -> None:
    await hubs.stop("hub-2")
    left = hubs.worlds["hub-1"]
    async with beating(left, "edge-1"):
        await see([left], "online")
    await see([left], "offline")
    again = await hubs.start("hub-2")
    await hubs.until_they_observe()
    async with beating(left, "edge-1"):
        await see([left, again], "online")
        async with asyncio.timeout(30):
            while (await history(again)).get("hub-1") != ["online", "offline", "online"]:
                await asyncio.sleep(0.05)
            while (await history(again)).get("hub-2", [])[-1:] != ["online"]:
                await asyncio.sleep(0.05)
        total = (await again.call("node.uptime", node="edge-1"))["total"]
    assert total["offline_s"] > 0, "the other hub saw it"


async def test_a_restart_keeps_the_history_and_says_nothing_twice(hubs: Hubs) -> None:
    await beat_all(hubs)
    async with listening() as target:
        await set_checks(hubs, tcp(target.port))
        await target.close()
        await check(hubs)
        await until_all_tell(hubs, {runner(hubs, "port"): ["failed"]}, "port")
        for name in PAIR:
            await hubs.stop(name)
        for name in PAIR:
            await hubs.start(name)
        await beat_all(hubs)
        await check(hubs)
        await hubs.until_they_observe()
        await check(hubs)
        await until_all_tell(hubs, {runner(hubs, "port"): ["failed"]}, "port")
    facts = [each for world in both(hubs) for each in await told(world, "node.check.failed")]
    assert len(facts) == 1


async def test_a_peer_that_offers_lines_and_has_none_is_asked_again_only_when_it_offers_again(
    hubs: Hubs,
) -> None:
    first, second = both(hubs)
    attended_ms = part(first).ground.runtime.wall_ms()
    offer = msgspec.json.encode(HistorySection([Standing("hub-9@e1", 10**6, 1, attended_ms)]))
    part(first).pull.take(offer, "hub-2", asyncio.get_running_loop().time())
    await until(lambda: first.counted("history_pulls_failed") == 1)
    await asyncio.sleep(0.3)  # Long enough for hundreds of tries.
    assert first.counted("history_pulls_failed") == 1
    assert "hub-9@e1" not in {each.log for each in part(second).share.held.values()}


async def test_pages_and_metrics_show_checks_and_uptime(hubs: Hubs) -> None:
    async with checked(hubs, "failed"):
        for world in both(hubs):
            world.client.cookies.clear()
            headers = bearer(ADMIN_TOKEN)
            for path, words in (
                ("/", "1 of 1 fails"),
                ("/nodes", "/nodes/uptime"),
                ("/nodes/uptime", "edge-1"),
                ("/nodes/edge-1", "Last 5 hours"),
            ):
                page = await world.client.get(path, headers=headers)
                assert page.status_code == 200
                assert words in page.text, (path, page.text)
            twin = await world.client.get("/nodes/uptime.json", headers=headers)
            assert [each["node"] for each in twin.json()["items"]] == ["edge-1"]
            metrics = await world.client.get("/metrics", headers=headers)
            assert "headwater_hub_checks 1.0" in metrics.text
            for path in (
                "/api/v1/nodes/edge-1/checks",
                "/api/v1/nodes/edge-1/history",
                "/api/v1/nodes/edge-1/uptime?scale=24h",
                "/api/v1/uptime",
                "/api/v1/summary",
            ):
                answer = await world.client.get(path, headers=headers)
                assert answer.status_code == 200, answer.text


async def test_a_node_that_was_removed_is_forgotten_with_its_history_and_its_checks(
    hubs: Hubs,
) -> None:
    first, second = both(hubs)
    async with checked(hubs, "ok"):
        pass  # It falls silent before it is removed.
    await first.call("node.remove", node="edge-1", force=True)
    await until(lambda: all(not part(world).checks.schedule.nodes() for world in (first, second)))
    for world in (first, second):
        await part(world).history.keep()
        await part(world).history.settle()
        assert await part(world).query(lambda db: lines_of_node(db, "edge-1")) == []
        error = await world.refusal("node.history", node="edge-1")
        assert error["data"]["kind"] == "not_found"
        assert (await world.call("fleet.summary"))["nodes"] == 0
        assert (await world.call("fleet.uptime"))["items"] == []


async def test_a_removed_node_is_forgotten_by_a_hub_that_stopped_before_it_came_to_that(
    hubs: Hubs,
) -> None:
    """Its tombstone says so after the start: nothing of the node is left, and nothing new is said."""
    first, second = both(hubs)
    async with checked(hubs, "failed"):
        pass  # It falls silent before it is removed.
    await first.call("node.remove", node="edge-1", force=True)
    await until(lambda: all(not part(world).checks.schedule.nodes() for world in (first, second)))
    assert await part(first).query(lambda db: lines_of_node(db, "edge-1")) != []
    for name in PAIR:
        await hubs.stop(name)
    for name in PAIR:
        await hubs.start(name)
    await hubs.until_they_observe()
    for world in hubs.worlds.values():
        assert not part(world).observing.checks()
        assert await part(world).query(lambda db: lines_of_node(db, "edge-1")) == []
        assert await part(world).query(lambda db: with_history(db, ["edge-1"])) == []
