"""Pull mode on the hub: rung by a heartbeat, one pull per edge, told to the edge after the commit."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.links import Links, LinkSession
from hub.pull import FAILURES_MAX, PIECE_BYTES_MAX, PULLS_MAX, Judged, Pulls
from shared.beat import Beat
from shared.envelope import BATCH_BYTES_MAX
from shared.errors import RpcError, Unreachable
from shared.receipt import PushReply, Receipt
from tests.law.drawing import patient

Change = Callable[[dict[str, Any]], Any]


class NoDuplex:
    """The end of a link of which only the calls are looked at."""

    async def send(self, message: bytes) -> None:
        raise Unreachable("the edge", "not in this test", sent=False)

    async def receive(self) -> bytes:
        raise Unreachable("the edge", "not in this test", sent=False)

    async def close(self) -> None:
        return None


class Edge(LinkSession):
    """An edge that offers these batches, oldest first, and remembers what it was told."""

    def __init__(self, node_id: str, *offered: bytes) -> None:
        super().__init__(node_id, NoDuplex())
        self.offered = list(offered)
        self.told: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.busy = self.busiest = 0
        self.change: Change = lambda answer: answer
        self.lost_confirmations = 0

    async def call(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(0)
            return self._confirm(params) if method == "edge.pull.confirm" else self._pull(params)
        finally:
            self.busy -= 1

    def _pull(self, params: dict[str, Any]) -> Any:
        self.asked.append(params)
        wire, offset = self.offered[0] if self.offered else b"", params.get("offset", 0)
        body = wire[offset : offset + params["bytes_max"]]
        return self.change(
            {
                "name": hashlib.sha256(wire).hexdigest() if wire else "",
                "size_bytes": len(wire),
                "offset": offset,
                "wire": b64encode(body).decode(),
                "mark": "e1:7",
            }
        )

    def _confirm(self, params: dict[str, Any]) -> Any:
        self.told.append(params)
        if self.lost_confirmations:
            self.lost_confirmations -= 1
            raise RpcError("outcome_unknown", "the answer was lost")
        if self.offered and hashlib.sha256(self.offered[0]).hexdigest() == params["name"]:
            del self.offered[0]
        return {"known": True, "have_seq": 0, "safe_seq": 0}


class Door:
    """What takes in batches; it holds them up while `opened` is not set."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str]] = []
        self.opened = asyncio.Event()
        self.opened.set()
        self.under_way = 0
        self.judged = Judged(200, PushReply("hub-1", Receipt("b", "o", "e", ()), [[1, 2]], []))

    async def take_in(self, node_id: str, wire: bytes, mark: str) -> Judged:
        self.under_way += 1
        await self.opened.wait()
        self.under_way -= 1
        self.taken.append((node_id, wire, mark))
        return self.judged


def beat_of(node_id: str, *hub_ids: str) -> Beat:
    return Beat(node_id, 1, 1, "e1", 1, {}, {}, {}, pull=list(hub_ids))


@asynccontextmanager
async def pulling(door: Door, *edges: Edge) -> AsyncIterator[Pulls]:
    links = Links({edge.node_id: edge for edge in edges})
    pulls = Pulls("hub-1", links, door.take_in, Random(1))
    task = asyncio.create_task(pulls.run())
    await asyncio.sleep(0)
    try:
        yield pulls
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are the same rule, only short."""
    from hub import pull
    from shared.backoff import Backoff

    monkeypatch.setattr(pull, "_RETRY", Backoff(0.001, 0.002))


async def test_a_beat_that_names_this_hub_makes_it_fetch_all_that_is_offered() -> None:
    door, edge = Door(), Edge("edge-1", b"one", b"two")
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: len(edge.told) == 2)
    assert door.taken == [("edge-1", b"one", "e1:7"), ("edge-1", b"two", "e1:7")]


async def test_the_edge_gets_the_receipt_that_a_push_would_get() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    (told,) = edge.told
    assert (told["hub_id"], told["status"]) == ("hub-1", 200)
    assert told["name"] == hashlib.sha256(b"one").hexdigest()
    assert told["reply"]["have"] == [[1, 2]]


async def test_a_beat_that_names_others_or_nobody_is_no_reason_to_ask() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1"))
        pulls.heard(beat_of("edge-1", "hub-2"))
        pulls.heard(beat_of("edge-2", "hub-1"))
        await asyncio.sleep(0)
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    assert len(door.taken) == 1


async def test_nothing_is_confirmed_before_it_is_committed() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    door.opened.clear()
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: door.under_way)
        assert edge.told == []
        door.opened.set()
        await until(lambda: edge.told)


async def test_an_edge_is_pulled_once_at_a_time_however_often_it_rings() -> None:
    door, edge = Door(), Edge("edge-1", *(bytes([number]) for number in range(20)))
    async with pulling(door, edge) as pulls:
        while edge.offered:
            pulls.heard(beat_of("edge-1", "hub-1"))
            await asyncio.sleep(0)
    assert edge.busiest == 1
    assert len(door.taken) == 20


async def test_so_many_edges_are_pulled_at_once_and_no_more() -> None:
    door = Door()
    door.opened.clear()
    edges = [Edge(f"edge-{number}", b"one") for number in range(PULLS_MAX + 5)]
    async with pulling(door, *edges) as pulls:
        for edge in edges:
            pulls.heard(beat_of(edge.node_id, "hub-1"))
        await until(lambda: door.under_way == PULLS_MAX)
        for _ in range(50):
            await asyncio.sleep(0)
        assert door.under_way == PULLS_MAX
        door.opened.set()
        await until(lambda: all(edge.told for edge in edges))


async def test_a_large_batch_is_put_together_from_its_pieces() -> None:
    wire = Random(1).randbytes(2 * PIECE_BYTES_MAX + 5)
    door, edge = Door(), Edge("edge-1", wire)
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    assert door.taken == [("edge-1", wire, "e1:7")]


async def test_an_offer_that_is_taken_back_between_two_pieces_is_forgotten() -> None:
    door, edge = Door(), Edge("edge-1", bytes(PIECE_BYTES_MAX + 5), b"next")

    def taken_back(answer: dict[str, Any]) -> Any:
        if answer["offset"] == 0:
            return answer
        del edge.offered[0]
        return {"name": "", "size_bytes": 0, "offset": 0, "wire": ""}

    edge.change = taken_back
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    assert [wire for _, wire, _ in door.taken] == [b"next"]


async def test_a_lost_confirmation_brings_the_same_bytes_again() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    edge.lost_confirmations = 1
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: len(edge.told) == 2)
    assert [wire for _, wire, _ in door.taken] == [b"one", b"one"]


async def test_a_refusal_is_told_with_its_status_and_reason() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    door.judged = Judged(503, None, "disk full", 10.0)
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    (told,) = edge.told
    assert (told["status"], told["reason"]) == (503, "disk full")
    assert told["retry_after_seconds"] == 10.0
    assert "reply" not in told


async def test_a_batch_that_is_too_large_is_refused_before_it_is_fetched() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    edge.change = lambda answer: {**answer, "size_bytes": BATCH_BYTES_MAX + 1}
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    assert edge.told[0]["status"] == 413
    assert door.taken == []


async def test_a_ring_during_the_last_question_is_not_lost() -> None:
    """The edge may have offered something after it said that it has nothing."""
    door, edge = Door(), Edge("edge-1")
    async with pulling(door, edge) as pulls:

        def late(answer: dict[str, Any]) -> Any:
            if edge.asked[-1]["wait_seconds"] and not edge.offered and not edge.told:
                edge.offered.append(b"late")
                pulls.heard(beat_of("edge-1", "hub-1"))
            return answer

        edge.change = late
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)
    assert [wire for _, wire, _ in door.taken] == [b"late"]


async def test_an_edge_that_dials_after_its_beat_is_pulled_then() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    async with pulling(door) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await asyncio.sleep(0)
        pulls.links.sessions["edge-1"] = edge
        await until(lambda: edge.told)


async def test_an_edge_that_answers_nonsense_is_left_alone_until_it_rings_again() -> None:
    door, edge = Door(), Edge("edge-1", b"one")
    edge.change = lambda answer: {**answer, "wire": "%%%%"}
    async with pulling(door, edge) as pulls:
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: len(edge.asked) == FAILURES_MAX)
        await until(lambda: "edge-1" not in pulls._followed)
        assert len(edge.asked) == FAILURES_MAX
        edge.change = lambda answer: answer
        pulls.heard(beat_of("edge-1", "hub-1"))
        await until(lambda: edge.told)


answers = st.one_of(
    st.none() | st.integers() | st.text(max_size=5),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["", "0" * 64, "x", hashlib.sha256(b"").hexdigest()]),
            "size_bytes": st.integers(-1, 5) | st.just(2**70),
            "offset": st.integers(-1, 5),
            "wire": st.text("QUI=%é", max_size=8),
        }
    ),
)


@patient
@given(st.lists(answers, min_size=1, max_size=6))
def test_no_answer_of_an_edge_ends_the_loop(lies: list[Any]) -> None:
    """Whatever it says, the next edge is served, and nothing with a wrong name is taken in."""

    async def lie() -> None:
        door, liar, honest = Door(), Edge("liar", b"one"), Edge("honest", b"true")
        liar.change = lambda answer: lies.pop() if lies else answer
        async with pulling(door, liar, honest) as pulls:
            pulls.heard(beat_of("liar", "hub-1"))
            pulls.heard(beat_of("honest", "hub-1"))
            await until(lambda: honest.told and "liar" not in pulls._followed)
        wires = {(node_id, wire) for node_id, wire, _ in door.taken}
        assert wires - {("liar", b"")} <= {("liar", b"one"), ("honest", b"true")}

    asyncio.run(lie())
