"""Version vectors between real hubs: pages on the wire, what liars ask, and chunks that come back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import peer_doors
from hub.vectors import digest, read_answer
from shared.envelope import read_batch
from shared.http import Reply
from shared.ranges import of_seqs
from shared.records import Chunk, read_header
from tests.api.conftest import Log, World
from tests.api.mesh_world import pair_in, running, until
from tests.api.test_ledger_of_two_hubs import KEY


def question(**changes: Any) -> dict[str, Any]:
    return {"version": 1, "hub_id": "hub-2", "after": None, "digest": "", **changes}


async def test_a_hub_tells_what_it_holds_of_every_log(world: World) -> None:
    await world.push(Log().chunks(3))
    await world.push(Log("edge-2").chunks(2), "edge-2")
    told = (await world.peer("/peer/vector", question())).json()
    assert told["logs"] == [["edge-1", "e1", [[1, 3]]], ["edge-2", "e1", [[1, 2]]]]
    assert (told["version"], told["next"], told["head"]) == (1, None, 5)
    assert told["digest"] == digest(world.hub.store.held)
    later = question(after=["edge-1", "e1", 3])
    assert (await world.peer("/peer/vector", later)).json()["logs"] == told["logs"][1:]


async def test_who_holds_the_same_is_told_no_logs(world: World) -> None:
    await world.push(Log().chunks(3))
    same = digest({KEY: of_seqs([1, 2, 3])})
    told = (await world.peer("/peer/vector", question(digest=same))).json()
    assert (told["digest"], told["logs"], told["next"]) == (same, [], None)


async def test_a_log_full_of_holes_comes_in_pieces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    chunks = log.chunks(9)
    await world.push(chunks[::2])
    monkeypatch.setattr("hub.vectors.SPANS_MAX", 2)
    first = await world.peer("/peer/vector", question())
    assert first.json()["logs"] == [[*KEY, [[1, 1], [3, 3]]]]
    assert first.json()["next"] == [*KEY, 3]
    rest = await world.peer("/peer/vector", question(after=[*KEY, 5]))
    assert read_answer(rest.content, (*KEY, 5)).page.logs == {KEY: of_seqs([7, 9])}
    assert rest.json()["next"] is None


GARBAGE: dict[str, Any] = {
    "garbage": b"\xff{",
    "a list": [],
    "nothing": {},
    "nobody": question(hub_id=None),
    "no name": question(hub_id="x" * 65),
    "ourselves": question(hub_id="hub-1"),
    "another version": question(version=2),
    "a version that is no number": question(version=[1]),
    "a digest of another length": question(digest="abc"),
    "a digest that is no text": question(digest=5),
    "a position of two": question(after=["edge-1", "e1"]),
    "a position before all": question(after=["edge-1", "e1", -1]),
    "a position beyond all": question(after=["edge-1", "e1", 2**63]),
    "a position without a name": question(after=["", "e1", 1]),
    "a body without end": question(after=["x" * 100_000, "e1", 1]),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_no_peer_would_ask_is_refused_and_harms_nobody(world: World, name: str) -> None:
    answer = await world.peer("/peer/vector", GARBAGE[name])
    assert answer.status_code in (400, 413), answer.text
    assert len(answer.json()["detail"]) > 10
    await world.still_works()


@pytest.mark.parametrize("path", ["/peer/have", "/peer/chunks", "/peer/vector"])
async def test_a_message_of_another_version_is_refused_with_both_named(
    world: World, path: str
) -> None:
    message = question(version=2, since=0, store_epoch="", wanted=[])
    answer = await world.peer(path, message)
    assert answer.status_code == 400
    assert "version 2" in answer.json()["detail"]
    assert "version 1" in answer.json()["detail"]


async def test_messages_may_have_fields_that_are_not_known_here(world: World) -> None:
    """A newer hub of the same version says more."""
    await world.push(Log().chunks(1))
    more = {"colour": "blue", "deep": [{"x": None}]}
    ask = question(since=0, store_epoch="", wait_seconds=0, wanted=[[*KEY, [[1, 1]]]], **more)
    for path in ("/peer/have", "/peer/chunks", "/peer/vector"):
        assert (await world.peer(path, ask)).status_code == 200


async def test_after_the_last_announcement_nothing_is_left_to_ask_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a peer would come back at once, for ever, when retention has taken the newest chunks."""
    await world.push(Log().chunks(3))

    async def taken(arrival: int, limit: int) -> list[Any]:
        return []

    monkeypatch.setattr(world.hub.store, "announcements_after", taken)
    ask = {"hub_id": "hub-2", "store_epoch": "", "since": 0, "wait_seconds": 0}
    told = (await world.peer("/peer/have", ask)).json()
    assert (told["through"], told["head"], told["have"]) == (3, 3, [])


async def test_a_full_page_of_announcements_is_not_the_last_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_doors, "HAVE_PAGE", 2)
    await world.push(Log().chunks(3))
    ask = {"hub_id": "hub-2", "store_epoch": "", "since": 0, "wait_seconds": 0}
    told = (await world.peer("/peer/have", ask)).json()
    assert (told["through"], told["head"], told["have"]) == (2, 3, [[*KEY, [[1, 2]]]])


# ---- two hubs


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """Two hubs whose loops do not run yet."""
    async with pair_in(tmp_path) as worlds:
        yield worlds


async def test_what_announcements_do_not_bring_a_sweep_brings(
    pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours may take a page for pulled that is not here: the vectors tell."""
    monkeypatch.setattr("hub.sweep.SETTLE_SECONDS", 0.05)
    one, two = pair
    await one.push(Log().chunks(4))
    peer = two.hub.peers.by_url["http://hub-1"]
    peer.store_epoch, peer.pulled_arrival = one.hub.store_epoch, one.hub.store.head_arrival
    async with running(one, two):
        await until(lambda: peer.hub_id == "hub-1")
        two.hub.mesh.sweeper.sweep_soon()
        await until(lambda: two.hub.store.held == one.hub.store.held)
        await until(lambda: two.hub.mesh.sweeper.count(peer).sweeps > 0)
    assert two.hub.mesh.sweeper.count(peer).repaired == 4


async def test_hubs_in_step_repair_nothing(
    pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.sweep.SETTLE_SECONDS", 0.05)
    monkeypatch.setattr("hub.sweep.SWEEP_SECONDS", 0.05)
    one, two = pair
    logs = [Log(f"edge-{number}") for number in range(4)]
    async with running(one, two):
        for turn in range(12):
            log = logs[turn % 4]
            await pair[turn % 2].push(log.chunks(3), log.node_id)
        await until(lambda: one.hub.store.held == two.hub.store.held and one.hub.store.chunks == 36)
        for hub in (one.hub, two.hub):
            counts = [hub.mesh.sweeper.count(peer) for peer in hub.peers.by_url.values()]
            await until(lambda counts=counts: all(count.sweeps > 2 for count in counts))  # type: ignore[misc]
            assert [count.repaired for count in counts] == [0]


async def test_a_header_with_fields_of_a_later_version_reaches_all_hubs_byte_by_byte(
    pair: tuple[World, World],
) -> None:
    one, two = pair
    known = Log().chunk()
    later = msgspec.msgpack.encode([*msgspec.msgpack.decode(known.header_bytes), {"v": 9}, "more"])
    chunk = Chunk(read_header(later), later, known.body)
    assert (await one.push([chunk])).status_code == 200
    wanted = {"wanted": [[*KEY, [[1, 1]]]]}
    async with running(one, two):
        await until(lambda: two.hub.store.chunks == 1)
        (copy,) = read_batch((await two.peer("/peer/chunks", wanted)).content).chunks
    assert (copy.header_bytes, copy.body, copy.hash) == (later, known.body, chunk.hash)


async def test_all_hubs_tell_the_same_time_at_which_a_chunk_came_in(
    pair: tuple[World, World],
) -> None:
    """So that it lies in the same day file everywhere."""
    one, two = pair
    await one.push(Log().chunks(2))
    await asyncio.sleep(0.01)
    wanted = {"wanted": [[*KEY, [[1, 2]]]]}
    async with running(one, two):
        await until(lambda: two.hub.store.chunks == 2)
        answers = [await world.peer("/peer/chunks", wanted) for world in pair]
    first, second = [read_batch(answer.content).received_ms for answer in answers]
    assert first == second
    assert len(first) == 2


async def test_a_peer_of_another_version_is_shown_as_such_and_told_of_as_late(
    pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node records still come; of its chunks people hear that they are late, and when they are not."""
    monkeypatch.setattr("hub.lag.LATE_SECONDS", 0.2)
    monkeypatch.setattr("hub.lag.CAUGHT_UP_SECONDS", 0.1)
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    one, two = pair
    await one.push(Log().chunks(2))
    sound, strange = two.hub.client.request, {"/peer/have": Reply(200, {}, b'{"version": 2}')}

    async def request(method: str, url: str, **options: Any) -> Any:
        lie = strange.get(url.removeprefix("http://hub-1"))
        return lie or await sound(method, url, **options)

    monkeypatch.setattr(two.hub.client, "request", request)
    told: list[tuple[str, float]] = []
    two.hub.mesh.on_lag = lambda peer, seconds: told.append((peer, seconds))
    async with running(one, two):
        await until(lambda: len(told) == 1)
        (shown,) = [hub for hub in (await two.call("hub.list"))["items"] if hub["state"] != "self"]
        assert "speaks version 2" in shown["error"]
        assert "this hub speaks version 1" in shown["error"]
        assert shown["lag_chunks"] == 2
        strange.clear()
        await until(lambda: len(told) == 2)
        assert two.hub.store.chunks == 2
        await until(lambda: two.hub.peers.by_url["http://hub-1"].error == "")
    assert [peer for peer, _ in told] == ["hub-1", "hub-1"]
    assert told[0][1] > 0.2
    assert told[1][1] < told[0][1]
