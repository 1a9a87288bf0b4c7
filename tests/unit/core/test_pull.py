"""Pull mode on the edge: hubs fetch what the shipper would have pushed, and nothing else changes."""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hubs import Hubs
from edge.pull import PIECE_BYTES_MAX, Offers
from edge.pull_calls import pull_methods
from shared.beat import Beat, read_beat, write
from shared.errors import RpcError, Unreachable
from shared.receipt import Outcome, PushReply, Receipt
from shared.records import MIB, Encoding, Part, Signal
from shared.runtime import Runtime
from tests.unit.core.pullers import Hub, at_work, offering, until

MakePart = Callable[[int], Part]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
spans = st.lists(st.lists(st.integers(-2, 2**70), max_size=3), max_size=4)
replies = st.fixed_dictionaries(
    {
        "hub_id": st.just("hub-1"),
        "receipt": st.fixed_dictionaries(
            {
                "batch": st.text(max_size=3),
                "origin": st.just("edge-1"),
                "epoch": st.text(max_size=3),
                "outcomes": st.lists(
                    st.fixed_dictionaries({"seq": st.integers(), "outcome": st.just("accepted")})
                ),
            }
        ),
        "have": spans,
        "safe": spans,
        "proofs": st.lists(st.tuples(st.integers(), st.text("0aZ ", max_size=4)), max_size=3),
    }
)
confirmations = st.fixed_dictionaries(
    {"name": st.just("0" * 64), "status": st.just(200), "reply": replies}
)
NAMES = ("hub_id", "bytes_max", "name", "offset", "status", "reply", "reason", "other")
params_of_anybody = confirmations | st.dictionaries(st.sampled_from(NAMES), json_values)


async def test_what_hubs_fetch_and_call_safe_leaves_the_buffer(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        async with at_work(hub):
            for _ in range(5):
                await edge.buffer.append(log_part(10))
            await until(lambda: not edge.buffer.seqs)
        assert hub.records["logs"] == 50
        assert edge.buffer.totals.all.safe.records == 50


async def test_a_lost_answer_and_a_lost_confirmation_change_nothing(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """The same bytes come again, and the hub says that it has them."""
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        await edge.buffer.append(log_part(10))
        lost = await hub.fetch()
        again = await hub.fetch()
        unconfirmed = hub.take_in(again[1])
        once_more = await hub.fetch()
        assert lost == again == once_more
        assert edge.buffer.seqs.count == 1
        reply = hub.take_in(once_more[1])
        assert [each.outcome for each in unconfirmed.receipt.outcomes] == [Outcome.ACCEPTED]
        assert [each.outcome for each in reply.receipt.outcomes] == [Outcome.DUPLICATE]
        told = await hub.confirm(once_more[0], reply)
        assert told == {"known": True, "have_seq": 1, "safe_seq": 1}
        await until(lambda: not edge.buffer.seqs)


async def test_a_chunk_larger_than_an_answer_comes_in_pieces(
    tmp_path: Path, runtime: Runtime
) -> None:
    body = Random(1).randbytes(5 * MIB)
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        await edge.buffer.append(Part(Signal.LOGS, Encoding.PROTO, body, 7, 1, 2))
        first = await hub.ask(wait_seconds=10, bytes_max=64 * MIB)
        assert len(b64decode(first["wire"])) == PIECE_BYTES_MAX < first["size_bytes"]
        name, wire = await hub.fetch()
        await hub.confirm(name, hub.take_in(wire))
        await until(lambda: not edge.buffer.seqs)
        assert hub.records["logs"] == 7


async def test_a_waiting_question_is_answered_by_new_data_and_nobody_has_to_ring(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        waiting = asyncio.create_task(Hub(edge, "hub-1").ask(wait_seconds=30, bytes_max=0))
        await asyncio.sleep(0)
        await edge.buffer.append(log_part(1))
        piece = await waiting
        assert piece["name"]
        assert piece["wire"] == ""
        assert edge.beats == 0


async def test_an_edge_rings_until_its_hub_comes_and_names_it_in_the_beat(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        assert edge.offers.wanted_hubs() == []
        await edge.buffer.append(log_part(1))
        await until(lambda: edge.beats >= 2)
        assert edge.offers.wanted_hubs() == ["hub-1"]
        async with at_work(Hub(edge, "hub-1")):
            await until(lambda: not edge.buffer.seqs)
        assert edge.offers.wanted_hubs() == []


async def test_a_batch_is_offered_to_one_hub_at_a_time(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1", "hub-2") as edge:
        best, other = [Hub(edge, view.hub_id) for view in edge.hubs.order(0.0)]
        await edge.buffer.append(log_part(1))
        assert (await best.fetch())[0]
        assert (await other.ask())["name"] == ""


async def test_what_one_hub_does_not_fetch_in_time_is_offered_to_the_next(
    tmp_path: Path, runtime: Runtime, log_part: MakePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.pull.LINK_SECONDS", 0.05)
    async with offering(tmp_path, runtime, "hub-1", "hub-2") as edge:
        absent, other = edge.hubs.order(0.0)
        absent.linked = False
        async with at_work(Hub(edge, other.hub_id)):
            await edge.buffer.append(log_part(1))
            await until(lambda: not edge.buffer.seqs)
        assert "did not come" in absent.last_error


async def test_a_chunk_that_hubs_refuse_becomes_a_dead_letter_and_the_rest_arrives(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1", "hub-2") as edge:
        refuses = lambda chunk: chunk.header.signal == "logs" and chunk.header.seq == 2  # noqa: E731
        hubs = [Hub(edge, name, refuses) for name in ("hub-1", "hub-2")]
        for _ in range(3):
            await edge.buffer.append(log_part(1))
        async with at_work(*hubs):
            await until(lambda: not edge.buffer.seqs)
        (letter,) = await edge.buffer.dead_letters()
        assert (letter.seq, letter.reason) == (2, "bad_taste")
        assert sum(hub.records["logs"] for hub in hubs) == 2


async def test_a_batch_that_a_hub_cannot_read_is_halved_as_if_it_had_been_pushed(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        hub.poison = 3
        for _ in range(5):
            await edge.buffer.append(log_part(1))
        async with at_work(hub):
            await until(lambda: not edge.buffer.seqs)
        (letter,) = await edge.buffer.dead_letters()
        assert letter.seq == 3
        assert hub.records["logs"] == 4


async def test_a_hub_that_asks_for_time_gets_it(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        await edge.buffer.append(log_part(1))
        name, wire = await hub.fetch()
        await hub.answer(name, status=503, reason="disk full", retry_after_seconds=0.5)
        await until(lambda: edge.shipper.last_error)
        (view,) = edge.hubs.views.values()
        assert view.circuit.asked_until > asyncio.get_running_loop().time() + 0.5
        assert (await hub.ask())["name"] == ""
        assert await hub.fetch() == (name, wire)


async def test_a_confirmation_that_nobody_waits_for_still_proves_what_the_hub_has(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """As after a restart of the edge between the two steps."""
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        await edge.buffer.append(log_part(1))
        (chunk,) = await edge.buffer.read(edge.buffer.seqs, 1, 1)
        hub.hashes[edge.buffer.epoch][1] = chunk.hash
        told = await hub.confirm("0" * 64, hub.reply(edge.buffer.epoch))
        assert told == {"known": False, "have_seq": 1, "safe_seq": 1}
        await until(lambda: not edge.buffer.seqs)


async def test_a_confirmation_without_proof_is_not_believed(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub = Hub(edge, "hub-1")
        await edge.buffer.append(log_part(1))
        reply = PushReply(
            "hub-1", Receipt("b", "edge-1", edge.buffer.epoch, ()), [[1, 1]], [[1, 1]]
        )
        told = await hub.confirm("0" * 64, reply)
        assert told == {"known": False, "have_seq": 0, "safe_seq": 0}
        assert edge.buffer.seqs.count == 1


async def test_a_clone_shows_itself_in_a_confirmation_and_begins_a_new_life(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        hub, epoch = Hub(edge, "hub-1"), edge.buffer.epoch
        await edge.buffer.append(log_part(3))
        hub.hashes[epoch][1] = b"\1" * 32
        await hub.confirm("0" * 64, hub.reply(epoch))
        async with at_work(hub):
            await until(lambda: edge.buffer.epoch != epoch and not edge.buffer.seqs)
        assert hub.records["logs"] == 3


async def test_a_hub_that_is_not_known_gets_nothing(tmp_path: Path, runtime: Runtime) -> None:
    async with offering(tmp_path, runtime, "hub-1") as edge:
        with pytest.raises(RpcError) as refusal:
            await Hub(edge, "hub-2").ask()
    assert refusal.value.kind == "not_found"


async def test_nothing_but_batches_is_sent_this_way() -> None:
    hubs = Hubs("edge-1")
    hubs.learn(["http://hub-1"])
    offers = Offers(hubs, lambda: None)
    for url in ("http://hub-1", "http://hub-1/edge/heartbeat", "http://hub-2/edge/batches"):
        with pytest.raises(Unreachable):
            await offers.request("POST", url)


async def test_an_offer_ends_with_its_time_and_is_gone_then() -> None:
    hubs = Hubs("edge-1")
    (view,) = hubs.learn(["http://hub-1"])
    view.linked = True
    offers = Offers(hubs, lambda: None)
    waiting = asyncio.create_task(
        offers.request("POST", "http://hub-1/edge/batches", body=b"abc", timeout_seconds=0.05)
    )
    await asyncio.sleep(0)
    assert offers.piece(view, "", 0, 2).body == b"ab"
    with pytest.raises(Unreachable) as silence:
        await waiting
    assert silence.value.sent
    assert offers.piece(view, "", 0, 2).name == ""


def test_a_beat_carries_the_names_of_hubs_and_those_of_before_have_none() -> None:
    beat = Beat("edge-1", 1, 1, "e", 1, {}, {}, {}, pull=["hub-1"])
    assert read_beat(write(beat)).pull == ["hub-1"]
    before = {key: each for key, each in orjson.loads(write(beat)).items() if key != "pull"}
    assert read_beat(orjson.dumps(before)).pull == []


@given(
    st.sampled_from(["edge.pull", "edge.pull.confirm"]),
    params_of_anybody,
)
def test_no_call_raises_anything_but_an_rpc_error(method: str, params: dict[str, Any]) -> None:
    hubs = Hubs("edge-1")
    (view,) = hubs.learn(["http://hub-1"])
    view.hub_id = "hub-1"

    async def weigh(view: object, claim: object) -> None:
        return None

    async def call() -> None:
        methods = pull_methods(Offers(hubs, lambda: None), weigh)
        with contextlib.suppress(RpcError):
            await methods[method]({"hub_id": "hub-1", **params})

    asyncio.run(call())
