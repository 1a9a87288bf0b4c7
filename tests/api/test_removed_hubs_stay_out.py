"""What a removal of a hub must outlive: restarts, lost disks, full disks, late answers, a new address."""

import asyncio
import shutil
from dataclasses import replace

import httpx
import msgspec
import pytest

from hub.app import asgi_app
from hub.hub import Hub
from hub.lead.messages import Ask
from hub.lead.messages import write as write_lead
from hub.lead.model import Members
from hub.nodes.hold import LeavingSection
from hub.nodes.live_sections import LeavingTalk
from hub.peering.farewell import Farewell
from hub.peering.farewell_part import FarewellPart
from hub.store.farewell_table import load_farewells
from hub.store.hub_table import load_peers
from shared.errors import Unavailable
from shared.stamp import Stamp
from tests.api.conftest import Log, World
from tests.api.mesh_world import running, until
from tests.api.test_removed_hubs import is_down, names, three
from tests.api.test_taken_over_hubs import Cluster, cluster, mixed, take_in

__all__ = ["cluster"]


def farewells(hub: Hub) -> FarewellPart:
    return next(part for part in hub.parts if isinstance(part, FarewellPart))


def word(acts: int, *, gone: bool = True) -> Farewell:
    return Farewell("hub-3", acts, Stamp(acts, 0, "hub-1"), gone, url="http://hub-3")


def on_disk(hub: Hub) -> list[Farewell]:
    with hub.footing.database.reading() as connection:
        return load_farewells(connection)


async def pair_without_two(cluster: Cluster) -> tuple[World, World]:
    return await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")


async def test_after_a_restart_nothing_waits_for_the_configured_address_of_a_removed_hub(
    cluster: Cluster,
) -> None:
    """Its address is in the settings still and nobody answers there: no copy, no grave, no vote waits."""
    one, two = await pair_without_two(cluster)
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            await one.call("peers.remove", hub="hub-2")
    cluster.apps.pop("hub-2")
    config, runtime = one.hub.config, one.hub.runtime
    await one.hub.close()
    again = World(await Hub.open(config, runtime), one.app, one.client)
    cluster.stack.push_async_callback(again.hub.close)
    async with running(again):
        await until(lambda: names(again) == set())
        await take_in(again, mixed(Log(), 3))
        assert again.hub.store.ledger.peers == {}
        assert again.hub.store.ledger.safe_arrival >= again.hub.store.head_arrival > 0


async def test_a_hub_with_a_new_disk_hears_again_who_is_gone(cluster: Cluster) -> None:
    """Its peers have told it before, to a store that is no more."""
    one, two, _ = await three(cluster)
    async with running(one):
        async with running(two):
            await until(lambda: names(two) == {"hub-1", "hub-3"})
            await until(lambda: names(one) == {"hub-2", "hub-3"})
            cluster.apps.pop("hub-3")
            await is_down(one, "hub-3")
            await one.call("peers.remove", hub="hub-3")
            await until(lambda: bool(two.hub.mesh.refusal("hub-3")))
            told = farewells(one.hub)
            await until(lambda: told._theirs.get("hub-2") == told.book.digest)
        await two.hub.close()
        shutil.rmtree(cluster.folder / "hub-2")
        fresh = await cluster.hub("hub-2", "hub-1")
        async with running(fresh):
            await until(lambda: bool(fresh.hub.mesh.refusal("hub-3")))


async def test_a_removed_hub_gets_no_vote(cluster: Cluster) -> None:
    """It may still be among the members of an election, until people name others."""
    one = await cluster.hub("hub-1")
    hubs = ["hub-1", "hub-2", "hub-3"]
    config = replace(one.hub.config, leader="quorum", lead_hubs=hubs, synchronous="FULL")
    await one.hub.close()
    votes = await Hub.open(config, one.hub.runtime)
    cluster.stack.push_async_callback(votes.close)
    await farewells(votes)._keep([word(1)])
    ask = Ask("pre-vote", "hub-3", 1, Members(tuple(hubs)))
    transport = httpx.ASGITransport(asgi_app(votes))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        world = World(votes, one.app, client)
        answer = await world.peer("/peer/lead", write_lead(ask))
    assert answer.status_code == 403
    assert "was removed from this mesh" in answer.text


async def test_of_two_words_that_come_at_once_the_later_one_is_on_disk(cluster: Cluster) -> None:
    """Also when the earlier one is written last."""
    one = await cluster.hub("hub-1")
    part = farewells(one.hub)
    later = word(2, gone=False)
    await asyncio.gather(part._keep([later]), part._keep([word(1)]))
    assert part.book.words() == [later] == on_disk(one.hub)


async def test_a_full_disk_does_not_bring_a_removed_hub_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is on disk: where the peer's row cannot be deleted, it is gone all the same."""
    one, two = await pair_without_two(cluster)

    async def full(hub_id: str) -> None:
        raise Unavailable("the disk is full", 5.0)

    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            monkeypatch.setattr(one.hub.mesh, "drop_peer", full)
            assert await one.call("peers.remove", hub="hub-2") == {"removed": "hub-2"}
            assert names(one) == set()


async def test_a_late_answer_does_not_write_a_removed_hub_down_again(cluster: Cluster) -> None:
    """A question was under way when it was removed."""
    one, two = await pair_without_two(cluster)
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        peer = one.hub.peers.by_id("hub-2")
        assert peer is not None
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            await one.call("peers.remove", hub="hub-2")
        await one.hub.mesh.puller.remember(peer)
        with one.hub.footing.database.reading() as connection:
            assert load_peers(connection) == []


async def test_an_admitted_hub_that_comes_from_another_address_is_one_peer(
    cluster: Cluster,
) -> None:
    """Nothing waits for its old address, where nobody will ever answer."""
    one = await cluster.hub("hub-1")
    part = farewells(one.hub)
    async with running(one):
        await part._keep([word(1)])
        await one.call("peers.admit", hub="hub-3")
        assert one.hub.store.ledger.peers == {"http://hub-3": 0}
        old = await cluster.hub("hub-3", "hub-1")
        await old.hub.close()
        config = replace(old.hub.config, url="http://hub-3b")
        moved = World(await Hub.open(config, old.hub.runtime), old.app, old.client)
        cluster.stack.push_async_callback(moved.hub.close)
        del cluster.apps["hub-3"]
        cluster.apps["hub-3b"] = asgi_app(moved.hub)
        async with running(moved):
            await until(lambda: list(one.hub.peers.by_url) == ["http://hub-3b"])
            await until(lambda: set(one.hub.store.ledger.peers) == {"hub-3"})


async def test_a_hub_not_heard_since_the_start_is_removed_on_purpose_only(
    cluster: Cluster,
) -> None:
    """What it had and this hub never got is not known here."""
    one = await cluster.hub("hub-1")
    [peer] = one.hub.peers.learn(["http://hub-3"])
    peer.hub_id = "hub-3"
    refused = await one.refusal("peers.remove", hub="hub-3")
    assert "has not heard hub-3 since it started" in refused["message"]
    assert await one.call("peers.remove", hub="hub-3", lose=True) == {"removed": "hub-3"}


async def test_the_removed_hub_itself_cannot_admit_itself(cluster: Cluster) -> None:
    """The others would not hear it."""
    one = await cluster.hub("hub-1")
    gone = Farewell("hub-1", 1, Stamp(1, 0, "hub-2"), gone=True)
    await farewells(one.hub)._keep([gone])
    refused = await one.refusal("peers.admit", hub="hub-1")
    assert "ask another hub" in refused["message"]


async def test_nobody_waits_for_a_removed_hub_that_meant_to_come_back(cluster: Cluster) -> None:
    """It was stopped in order, with word of its return, and then removed."""
    one = await cluster.hub("hub-1")
    [peer] = one.hub.peers.learn(["http://hub-3"])
    peer.hub_id = "hub-3"
    leaves = LeavingTalk("hub-3", "run-1", LeavingSection(60.0, "it was stopped in order"))
    body = msgspec.json.encode(leaves)
    assert (await one.peer("/peer/leaving", body)).status_code == 200
    assert (await one.call("hub.status"))["liveness"]["holds"]
    await one.call("peers.remove", hub="hub-3", lose=True)
    assert (await one.call("hub.status"))["liveness"]["holds"] == []
    assert (await one.peer("/peer/leaving", body)).status_code == 403
    assert (await one.call("hub.status"))["liveness"]["holds"] == []
