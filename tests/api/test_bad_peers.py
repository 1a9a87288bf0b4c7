"""A peer that says what no sound hub says: refused with a reason, told of once, spread to nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest

from hub.gossip import VERSION as GOSSIP_VERSION
from hub.gossip import Gossip, HubRecord
from hub.peering.exchange_wire import MESSAGE_BYTES_MAX, VERSION, Answer, Ask, Item, Swap
from hub.peering.node_letters import read_letter, write_letter
from shared.merge import LABELS, Intent, NodeRecord, to_bytes
from shared.stamp import Stamp
from tests.api.conftest import CLUSTER_KEY, World, bearer
from tests.api.exchange_world import Net, agree, known_to, talk_of
from tests.api.mesh_world import running, until
from tests.api.peer_world import CLUSTER, ask_letter, head, push_letter, push_of
from tests.api.test_clocks_of_hubs import part_of

NOBODY = "http://127.0.0.1:1"
NODES = "/peer/nodes"


@pytest.fixture
async def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    """Hubs that do everything ten times as often."""
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.talk.ROUND_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.exchange_pull.WAIT_SECONDS", 0.08)
    async with AsyncExitStack() as stack:
        yield Net(folder=tmp_path, stack=stack)


async def say(world: World, path: str, message: Any, by: str = "hub-9") -> httpx.Response:
    """What a hub says that is played by this test."""
    body = message if isinstance(message, bytes) else orjson.dumps(message)
    headers = {**bearer(CLUSTER_KEY), "x-headwater-hub": by}
    return await world.client.post(path, content=body, headers=headers)


def gossip(hub_id: str = "hub-9", url: str = NOBODY, **changes: Any) -> dict[str, Any]:
    sender = HubRecord(hub_id, url, "0", f"instance of {hub_id}", 1_700_000_000_000)
    said: dict[str, Any] = msgspec.to_builtins(Gossip(sender, {}, 1_700_000_000_000))
    return {**said, **changes}


async def told_of(world: World, count: int, name: str = "gossip.refused") -> list[dict[str, Any]]:
    """The events of refusals, once there are so many."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            answer = await world.call("event.list", type=name, start="-1h", end="+1h")
            found = [row["attributes"] for row in answer["items"]]
            await asyncio.sleep(0.05)
    return found


async def shown_error(world: World, hub_id: str) -> str:
    hubs = (await world.call("hub.list"))["items"]
    return next((str(hub["error"]) for hub in hubs if hub["hub_id"] == hub_id), "it is not listed")


BAD_LETTERS: dict[str, tuple[bytes, int, str, str]] = {
    "garbage": (b"\x00\xff", 400, "unreadable", "cannot be read"),
    "an older version": (push_letter(NodeRecord("n"), version=1), 400, "version", "version 1 "),
    "a newer version": (
        push_letter(NodeRecord("n"), version=VERSION + 1),
        400,
        "version",
        f"version {VERSION + 1} of the talk between hubs, and this hub speaks {VERSION}",
    ),
    "another cluster": (
        push_letter(NodeRecord("n"), cluster="another"),
        403,
        "cluster",
        "belongs to the cluster 'another'",
    ),
    "our own name": (push_letter(NodeRecord("n"), sender="hub-1"), 400, "double", "rename one"),
    "something huge": (b"x" * (MESSAGE_BYTES_MAX + 1), 413, "too_large", "larger than the limit"),
    "records without a stream": (
        write_letter(
            Swap(**head(), streams=[], items=[Item("n", [(0, 1)], to_bytes(NodeRecord("n")))])
        ),
        400,
        "unreadable",
        "names stream 0 of 0",
    ),
}


@pytest.mark.parametrize("name", BAD_LETTERS)
async def test_a_letter_that_is_refused_a_hundred_times_is_told_of_once(
    world: World, name: str
) -> None:
    letter, status, kind, reason = BAD_LETTERS[name]
    for _ in range(100):
        answer = await say(world, NODES, letter)
        assert answer.status_code == status
    assert reason in answer.json()["detail"]
    (event,) = await told_of(world, 1)
    assert event["kind"] == kind
    assert event["door"] == NODES
    assert reason in event["reason"]
    assert world.counted("peer_messages_refused") == 100
    assert world.hub.registry.records == {}
    await world.still_works()


async def test_a_number_of_ours_that_we_never_gave_is_the_word_of_a_double(world: World) -> None:
    """Somebody has our life and is further than we are: a copy of our disk that runs elsewhere."""
    life = world.hub.registry.replica.own
    items = [Item("n", [(0, 7)], to_bytes(NodeRecord("n")))]
    answer = await say(world, NODES, write_letter(Swap(**head(), streams=[life], items=items)))
    assert answer.status_code == 400
    (event,) = await told_of(world, 1)
    assert (event["kind"], event["peer"]) == ("double", "hub-9")
    assert "this hub never made: a double?" in event["reason"]
    assert world.hub.registry.records == {}


async def test_a_letter_of_an_earlier_life_is_merged_and_undoes_nothing(world: World) -> None:
    """It is late and not wrong: numbers of another life never stand for those of this one."""
    world.hub.registry.exchange.peers.clear()
    for life, value in (("new.2", "later"), ("old.1", "earlier")):
        wall_ms = 2000 if value == "later" else 1000
        record = NodeRecord("n", intent={LABELS: Intent({"v": value}, Stamp(wall_ms, 0, "hub-2"))})
        assert (await say(world, NODES, push_letter(record, life=life))).status_code == 200
    assert world.hub.registry.records["n"].intent_value(LABELS) == {"v": "later"}
    stale = write_letter(Ask(**head(), asked_life="a-life-before", after=5, have=[]))
    answer = read_letter((await say(world, NODES, stale)).content, Answer, CLUSTER)
    assert (answer.items, answer.through, answer.vector) == ([], 0, None)


async def test_every_section_refuses_what_it_cannot_read_once_and_the_others_are_heard(
    world: World,
) -> None:
    """The gossip itself is answered: one bad section spoils nothing else."""
    names = set(world.hub.mesh.sections.by_name)
    said = {name: 7 if name != "nodes" else "garbage" for name in sorted(names)}
    for _ in range(50):
        assert (await say(world, "/peer/gossip", gossip(sections=said))).status_code == 200
    events = await told_of(world, len(names))
    assert {event["door"] for event in events} == {f"section {name}" for name in names}
    assert len(events) == len(names)
    assert {event["peer"] for event in events} == {"hub-9"}
    await world.still_works()


GOSSIP: dict[str, dict[str, Any]] = {
    "of more hubs than there are": gossip(peers={f"hub-x{n}": NOBODY for n in range(65)}),
    "of a hub with no name of a hub": gossip(peers={"A hub!": NOBODY}),
    "by no name of a hub": gossip(hub_id="A hub!"),
    "at an address without end": gossip(url="http://" + "x" * 3000),
    "of sections without end": gossip(sections={f"s{n}": 1 for n in range(40)}),
    "from before all times": gossip(received_ms=-1),
    "of a newer release": gossip(version=GOSSIP_VERSION + 1),
}


@pytest.mark.parametrize("name", GOSSIP)
async def test_gossip_that_no_hub_says_is_refused_and_nobody_is_met(
    world: World, name: str
) -> None:
    for _ in range(5):
        answer = await say(world, "/peer/gossip", GOSSIP[name])
        assert answer.status_code == 400
    assert len(await told_of(world, 1)) == 1
    assert world.hub.peers.by_url == {}


async def test_hubs_that_are_made_up_fill_no_memory(world: World) -> None:
    """Each message is sound by itself, and there is no end of them."""
    for number in range(0, 320, 40):
        names = {f"hub-x{n}": f"http://127.0.0.1:1/{n}" for n in range(number, number + 40)}
        assert (await say(world, "/peer/gossip", gossip(peers=names))).status_code == 200
        assert (
            await say(world, "/peer/gossip", gossip("hub-8", f"{NOBODY}/8", peers=names))
        ).status_code == 200
    assert len(world.hub.peers.by_url) <= 64


async def test_an_order_from_the_future_waits_and_spreads_to_nobody(net: Net) -> None:
    """The clock of a peer is an hour ahead: what it stamps is not merged, and no hub hears it from us."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    async with running(one, two):
        await one.beat("n")
        await until(lambda: agree(one, two) and "n" in known_to(two))
        ahead_ms = one.hub.runtime.wall_ms() + 3_600_000
        said = gossip(wall_ms=ahead_ms)
        assert (await say(one, "/peer/gossip", said)).status_code == 200
        order = NodeRecord("n", intent={LABELS: Intent({"v": 1}, Stamp(ahead_ms, 0, "hub-9"))})
        assert (await say(one, NODES, push_letter(order, sender="hub-9"))).status_code == 200
        await one.beat("m")
        await until(lambda: "m" in known_to(two))
        for world in (one, two):
            assert world.hub.registry.records["n"].intent_value(LABELS) is None
        assert part_of(one).admission.parked == 1


async def test_records_of_equal_order_have_one_winner_on_all_hubs(net: Net) -> None:
    """Two contradicting orders with one stamp, told in different order to two hubs."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    stamp = Stamp(1000, 0, "hub-9")
    left, right = (NodeRecord("n", intent={LABELS: Intent({"v": v}, stamp)}) for v in "ab")
    for world, records in ((one, (left, right)), (two, (right, left))):
        for seq, record in enumerate(records, 1):
            letter = push_letter(record, sender="hub-9", first_seq=seq)
            assert (await say(world, NODES, letter)).status_code == 200
    assert known_to(one) == known_to(two)
    async with running(one, two):
        await until(lambda: agree(one, two))


async def test_a_bad_peer_slows_nobody_and_nothing_of_it_spreads(net: Net) -> None:
    """It floods one hub with letters of every kind, while the others go on as ever."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    is_over = asyncio.Event()

    async def flood() -> int:
        count = 0
        while not is_over.is_set():
            for letter, *_ in BAD_LETTERS.values():
                await say(one, NODES, letter)
            await say(one, NODES, write_letter(push_of(("bad", b"\x00\xff"), sender="hub-9")))
            count += 1
            await asyncio.sleep(0.001)  # In one process nothing else makes room for others.
        return count

    async with running(one, two):
        await until(lambda: bool(talk_of(one).exchange.peers and talk_of(two).exchange.peers))
        flooding = asyncio.create_task(flood())
        for number in range(20):
            await one.beat(f"edge-{number}")
            await until(lambda number=number: f"edge-{number}" in known_to(two))  # type: ignore[misc]
        is_over.set()
        assert await flooding > 0
        await until(lambda: agree(one, two))
        assert known_to(two).keys() == {f"edge-{number}" for number in range(20)}
        kinds = sorted(event["kind"] for event in await told_of(one, 5))
        assert kinds == ["cluster", "double", "too_large", "unreadable", "version"]
        assert two.counted("peer_messages_refused") == 0
        assert (await two.call("parked.list"))["total"] == 0
        assert (await one.call("parked.list"))["total"] == 1
        assert one.hub.peers.by_url["http://hub-2"].error == ""


async def test_the_hub_whose_words_are_refused_says_so_itself(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is set to another cluster: both show why on their lists, and each tells it once."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    usual = one.hub.registry.exchange.cluster
    one.hub.registry.exchange.cluster = "another"  # What it writes and reads from now on.

    def said() -> list[str]:
        return [each.getMessage() for each in caplog.records if "refuses what this" in each.msg]

    async with running(one, two):
        await two.beat("edge-2")
        await until(lambda: "hub-1" in {peer.hub_id for peer in two.hub.peers.by_url.values()})
        async with asyncio.timeout(60):
            numbers = count()
            while "hub-1 belongs to the cluster" not in await shown_error(one, "hub-2"):
                await one.beat(f"edge-{next(numbers)}")
                await asyncio.sleep(0.05)
        await until(lambda: bool(two.hub.peers.by_url["http://hub-1"].refusal))
        await until(lambda: len(said()) == 2)
        assert "it refuses this hub: " in one.hub.peers.by_url["http://hub-2"].refusal
        assert sorted(each.split(" refuses")[0] for each in said()) == ["hub-1", "hub-2"]
        assert "refused here: hub-1 belongs" in two.hub.peers.by_url["http://hub-1"].refusal
        events = await told_of(two, 2)  # Each has those of the other too.
        assert sorted((event["peer"], event["kind"]) for event in events) == [
            ("hub-1", "cluster"),
            ("hub-2", "cluster"),
        ]
        one.hub.registry.exchange.cluster = usual
        await one.beat("edge-7", beat=2)
        await until(lambda: not one.hub.peers.by_url["http://hub-2"].refusal)
        await until(lambda: not two.hub.peers.by_url["http://hub-1"].refusal)
        await until(lambda: agree(one, two))


async def test_of_two_hubs_with_one_name_the_one_at_the_known_address_is_heard(net: Net) -> None:
    """The third hub sees both: it refuses the other by name, tells of it once, and goes on."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    async with running(one, two):
        await until(lambda: one.hub.peers.by_id("hub-2") is not None)
        async with asyncio.timeout(60):
            while (await say(one, "/peer/gossip", gossip("hub-2"), "hub-2")).status_code == 200:
                await asyncio.sleep(0.05)
        answer = await say(one, "/peer/gossip", gossip("hub-2"), "hub-2")
        assert "two hubs call themselves hub-2" in answer.json()["detail"]
        letter = push_letter(NodeRecord("n"), life="of-the-double.1")
        assert (await say(one, NODES, letter, "hub-2")).status_code == 400
        (event,) = await told_of(one, 1)
        assert (event["kind"], event["peer"]) == ("double", "hub-2")
        await two.beat("edge-2")
        await until(lambda: agree(one, two) and "edge-2" in known_to(one))
        assert "n" not in known_to(one)


async def test_a_sound_hub_is_never_told_of(net: Net) -> None:
    """Restart, pulses, pages and digests: none of it is called a refusal."""
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    async with running(one, two):
        await one.beat("edge-1")
        await until(lambda: agree(one, two) and len(known_to(two)) == 1)
    await two.hub.close()
    two = await net.hub("hub-2")
    async with running(one, two):
        await two.beat("edge-2")
        await until(lambda: agree(one, two) and len(known_to(one)) == 2)
        reply = await say(one, NODES, ask_letter(one.hub.registry.replica.own[1]))
        assert reply.status_code == 200
    assert one.counted("peer_messages_refused") == two.counted("peer_messages_refused") == 0


async def test_a_hub_with_another_key_is_told_of_once_and_takes_no_room_of_peers(net: Net) -> None:
    """It knocks at every door, again and again; who asks for other things without a key is no hub."""
    world = await net.hub("hub-1")
    headers = {**bearer("the key of another cluster"), "x-headwater-hub": "hub-9"}
    async with running(world):
        for path in ("/peer/gossip", NODES, "/peer/gossip"):
            answer = await world.client.post(path, content=b"{}", headers=headers)
            assert answer.status_code == 401
        assert (await world.client.post("/rpc", content=b"{}")).status_code == 401
        assert (await say(world, NODES, b"\x00\xff")).status_code == 400
        garbage, stranger = await told_of(world, 2)  # The newest first.
        assert stranger["kind"] == "key"
        assert "calls itself hub-9" in stranger["reason"]
        assert garbage["kind"] == "unreadable"
        assert world.hub.counters["requests_refused"] == 4
        assert world.hub.counters["peer_messages_refused"] == 1
