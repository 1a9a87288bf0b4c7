"""The doors for peer hubs: ranges and chunks in bounded pages, and no hub falls over another's word."""

import asyncio
from typing import Any

import msgspec
import pytest

from hub.gossip import Gossip, HubRecord
from hub.peering.exchange_wire import Answer
from hub.peering.node_letters import read_letter, write_letter
from shared.codec import compress
from shared.envelope import read_batch
from shared.merge import NodeRecord, to_bytes
from tests.api.conftest import Log, World
from tests.api.peer_world import CLUSTER, ask_letter, push_letter, push_of

NOBODY = "http://127.0.0.1:1"
"""An address at which nobody answers."""


def gossip(hub_id: str = "hub-2", url: str = NOBODY, **changes: Any) -> dict[str, Any]:
    """What a peer says, as the value that its JSON stands for."""
    sender = HubRecord(hub_id, url, "0", f"instance of {hub_id}", 1_700_000_000_000)
    said: dict[str, Any] = msgspec.to_builtins(Gossip(sender, {}, 1_700_000_000_000))
    return {**said, **changes}


def question(since: int = 0, store_epoch: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "hub_id": "hub-2",
        "url": NOBODY,
        "store_epoch": store_epoch,
        "since": since,
        "wait_seconds": 0,
        **changes,
    }


async def test_a_hub_tells_what_came_after_a_number(world: World) -> None:
    log = Log()
    await world.push(log.chunks(3))
    first = (await world.peer("/peer/have", question())).json()
    assert first["have"] == [["edge-1", "e1", [[1, 3]]]]
    await world.push(log.chunks(2))
    after = question(first["through"], first["store_epoch"])
    assert (await world.peer("/peer/have", after)).json()["have"] == [["edge-1", "e1", [[4, 5]]]]


async def test_a_hub_tells_the_hash_of_each_chunk_that_it_announces(world: World) -> None:
    """A peer that holds other bytes under the same key must see it, to keep both."""
    chunks = Log().chunks(3)
    await world.push(chunks)
    told = (await world.peer("/peer/have", question())).json()
    hashes = [[chunk.header.seq, chunk.hash.hex()] for chunk in chunks]
    assert told["proofs"] == [["edge-1", "e1", hashes]]


async def test_a_number_of_another_life_of_the_store_starts_again(world: World) -> None:
    await world.push(Log().chunks(3))
    for since, epoch in ((2, "of another life"), (99, world.hub.store_epoch)):
        answer = (await world.peer("/peer/have", question(since, epoch))).json()
        assert answer["have"] == [["edge-1", "e1", [[1, 3]]]]


async def test_a_question_waits_for_news_and_no_longer(world: World) -> None:
    waiting = asyncio.create_task(
        world.peer("/peer/have", question(wait_seconds=20, store_epoch=world.hub.store_epoch))
    )
    await asyncio.sleep(0)
    await world.push(Log().chunks(1))
    answer = await asyncio.wait_for(waiting, 30)
    assert answer.json()["have"] == [["edge-1", "e1", [[1, 1]]]]


async def test_a_hub_that_stops_lets_its_peers_go(world: World) -> None:
    waiting = asyncio.create_task(world.peer("/peer/have", question(wait_seconds=20)))
    await asyncio.sleep(0.05)
    world.hub.stop()
    assert (await asyncio.wait_for(waiting, 30)).json()["have"] == []


async def test_what_a_peer_has_confirmed_is_safe(world: World) -> None:
    """With two copies wanted, an edge may forget a chunk once the peer has it too."""
    await world.peer("/peer/have", question())
    await world.push(Log().chunks(2))
    assert world.hub.store.safe(("edge-1", "e1")).to_wire() == []
    told = (await world.peer("/peer/have", question())).json()
    await world.peer("/peer/have", question(told["through"], told["store_epoch"]))
    assert world.hub.store.safe(("edge-1", "e1")).to_wire() == [[1, 2]]


async def test_a_hub_is_no_peer_of_itself(world: World) -> None:
    """Its own confirmation must not make a chunk safe."""
    answer = await world.peer("/peer/have", question(hub_id="hub-1"))
    assert answer.status_code == 400
    assert "hub-1" not in world.hub.store.ledger.peers


async def test_chunks_come_in_pages_as_they_were_sent(world: World) -> None:
    chunks = Log().chunks(5)
    await world.push(chunks)
    wanted = {"wanted": [["edge-1", "e1", [[2, 9]]]], "bytes_max": 1}
    page = read_batch((await world.peer("/peer/chunks", wanted)).content)
    assert [chunk.header.seq for chunk in page.chunks] == [2]
    assert page.chunks[0].header_bytes == chunks[1].header_bytes
    wanted["bytes_max"] = 1_000_000
    page = read_batch((await world.peer("/peer/chunks", wanted)).content)
    assert [chunk.header.seq for chunk in page.chunks] == [2, 3, 4, 5]


async def test_nothing_that_is_wanted_is_here(world: World) -> None:
    answer = await world.peer("/peer/chunks", {"wanted": [["edge-9", "e1", [[1, 5]]]]})
    assert (answer.status_code, answer.content) == (200, b"")


GARBAGE: dict[str, tuple[str, Any]] = {
    "gossip of nothing": ("/peer/gossip", b""),
    "gossip of garbage": ("/peer/gossip", b"\x00\xff"),
    "gossip without a sender": ("/peer/gossip", {**gossip(), "sender": None}),
    "gossip with a word as time": ("/peer/gossip", gossip(wall_ms="now")),
    "gossip of an older release": ("/peer/gossip", gossip(version=1)),
    "gossip under our own name": ("/peer/gossip", gossip(hub_id="hub-1")),
    "nodes of nothing": ("/peer/nodes", b""),
    "nodes of garbage": ("/peer/nodes", b"\x00\xff"),
    "nodes in half a frame": ("/peer/nodes", compress(b"x" * 5000)[:-9]),
    "nodes in a frame that grows": ("/peer/nodes", compress(b"x" * 50_000_000)),
    "nodes of an older release": ("/peer/nodes", push_letter(NodeRecord("n"), version=1)),
    "nodes under our own name": ("/peer/nodes", push_letter(NodeRecord("n"), sender="hub-1")),
    "nodes with claims that go backwards": (
        "/peer/nodes",
        write_letter(msgspec.structs.replace(push_of(), claims=(5, 4))),
    ),
    "too many nodes": (
        "/peer/nodes",
        push_letter(*(NodeRecord(f"n{number}") for number in range(1001))),
    ),
    "a question that is a list": ("/peer/have", []),
    "a question of garbage": ("/peer/have", b"{"),
    "a question by nobody": ("/peer/have", question(hub_id=None)),
    "a question by no name": ("/peer/have", question(hub_id="x" * 65)),
    "a question before the beginning": ("/peer/have", question(-1)),
    "a question after a word": ("/peer/have", question("first")),  # type: ignore[arg-type]
    "a question that is too long": ("/peer/have", question(url="x" * 100_000)),
    "an order of nothing": ("/peer/chunks", {}),
    "an order of garbage": ("/peer/chunks", {"wanted": ["x"]}),
    "an order backwards": ("/peer/chunks", {"wanted": [["a", "b", [[5, 1]]]]}),
    "an order before the beginning": ("/peer/chunks", {"wanted": [["a", "b", [[0, 1]]]]}),
    "an order without end": ("/peer/chunks", {"wanted": [["a", "b", [[1, 2**63]]]]}),
    "an order of no bytes": ("/peer/chunks", {"wanted": [], "bytes_max": 0}),
    "an order of all bytes": ("/peer/chunks", {"wanted": [], "bytes_max": 2**40}),
    "a ledger for nobody": ("/peer/ledger", {}),
    "a ledger of another hub": (
        "/peer/ledger",
        {"method": "ledger.show", "params": {"node": "edge-1", "hub": "hub-2"}},
    ),
    "a ledger of garbage": ("/peer/ledger", b"\xff"),
    "a call to nobody": ("/peer/call", {}),
    "a call that went round": (
        "/peer/call",
        {"node": "n", "method": "m", "params": {}, "seconds": 1, "passed": ["a", "b"]},
    ),
    "a call that came from nowhere": (
        "/peer/call",
        {"node": "n", "method": "m", "params": {}, "seconds": 1, "passed": []},
    ),
    "a call without time": (
        "/peer/call",
        {"node": "n", "method": "m", "params": {}, "seconds": 0, "passed": ["a"]},
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_no_peer_would_say_is_refused_and_harms_nobody(world: World, name: str) -> None:
    path, message = GARBAGE[name]
    answer = await world.peer(path, message)
    assert answer.status_code in (400, 413), answer.text
    assert len(answer.json()["detail"]) > 10
    assert world.counted(f"answers_{answer.status_code}") == 1
    assert world.hub.registry.records == {}
    await world.still_works()


async def test_a_peer_may_ask_for_the_ledger_that_this_hub_holds(world: World) -> None:
    await world.push(Log().chunks(3))
    asked = {"method": "ledger.show", "params": {"node": "edge-1", "hub": "hub-1"}}
    answer = (await world.peer("/peer/ledger", asked)).json()
    assert answer["result"]["epochs"][0]["held"]["ranges"] == [[1, 3]]


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("ledger.show", {"node": "edge-9"}, "not_found"),
        ("ledger.show", {}, "invalid_params"),
        ("ledger.verify", {"node": "edge-9"}, "not_found"),
        ("peers.remove", {}, "method_not_found"),
    ],
)
async def test_a_question_about_a_ledger_that_has_no_answer_is_told_so(
    world: World, method: str, params: dict[str, Any], kind: str
) -> None:
    message = {"method": method, "params": {**params, "hub": "hub-1"}}
    answer = (await world.peer("/peer/ledger", message)).json()
    assert answer["error"]["data"]["kind"] == kind


async def test_a_call_for_a_node_without_a_link_is_an_answer(world: World) -> None:
    order = {"node": "n", "method": "m", "params": {}, "seconds": 1, "passed": ["hub-2"]}
    answer = (await world.peer("/peer/call", order)).json()
    assert answer["error"]["data"]["kind"] == "node_unreachable"


@pytest.mark.parametrize(
    "url",
    ["", "x", "http://", "http://[", "http://..", "http://127.0.0.1:99999", "http://xn--/", NOBODY],
)
async def test_a_peer_that_names_no_address_is_heard_and_does_not_end_us(
    world: World, url: str
) -> None:
    answer = await world.peer("/peer/gossip", gossip(url=url))
    assert answer.status_code == 200
    told = await world.peer("/peer/nodes", push_letter(NodeRecord("edge-7")))
    assert (told.status_code, told.content) == (200, b"")
    await asyncio.sleep(0.05)  # The loops towards the new peer make their first attempt.
    assert "edge-7" in world.hub.registry.records
    await world.still_works()


async def test_a_peer_of_another_cluster_is_refused(world: World) -> None:
    answer = await world.peer("/peer/nodes", push_letter(NodeRecord("n"), cluster="another"))
    assert answer.status_code == 403
    assert world.hub.registry.records == {}


async def test_nodes_that_this_hub_knows_are_told_to_a_peer_that_lacks_them(world: World) -> None:
    await world.beat("edge-1")
    life = world.hub.registry.replica.own[1]
    told = await world.peer("/peer/nodes", ask_letter(life))
    answer = read_letter(told.content, Answer, CLUSTER)
    assert [item.node for item in answer.items] == ["edge-1"]
    after = await world.peer("/peer/nodes", ask_letter(life, answer.through))
    assert read_letter(after.content, Answer, CLUSTER).items == []
    await world.beat("edge-2")
    news = await world.peer("/peer/nodes", ask_letter(life, answer.through))
    assert [item.node for item in read_letter(news.content, Answer, CLUSTER).items] == ["edge-2"]


DEEP = b'{"x":' * 300 + b"1" + b"}" * 300
FACTS = b'{"node_id":"n","facts":{"incarnation":1,"number":1,"data":%b}}'
SEEN = b'{"node_id":"n","observation":{"incarnation":1,"beat":1,"last_seen_ms":%d,"hub_id":"h","data":{}}}'

UNFIT = {
    "of garbage": b"\x00\xff",
    "of another node": to_bytes(NodeRecord("m")),
    "with facts without bottom": FACTS % DEEP,
    "with a number beyond 64 bits": FACTS % b'{"n":%d}' % 2**70,
    "from the end of time": SEEN % 2**60,
}


@pytest.mark.parametrize("name", UNFIT)
async def test_a_record_that_cannot_be_applied_is_set_aside_and_spoils_no_other(
    world: World, name: str
) -> None:
    """It can be listed, is not claimed, and is applied when it comes in a form that fits."""
    push = push_of(("n", UNFIT[name]), ("good", to_bytes(NodeRecord("good"))))
    assert (await world.peer("/peer/nodes", write_letter(push))).status_code == 200
    assert list(world.hub.registry.records) == ["good"]
    parked = await world.call("parked.list")
    assert [(each["node"], each["sender"]) for each in parked["items"]] == [("n", "hub-2")]
    assert parked["total"] == 1
    await world.peer("/peer/nodes", push_letter(NodeRecord("n"), first_seq=3))
    assert (await world.call("parked.list"))["items"] == []
    assert "n" in world.hub.registry.records
    await world.still_works()
