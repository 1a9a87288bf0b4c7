"""What a hub says to an edge beside its receipts: who contradicts it, what is proven, and how fast."""

from typing import Any

from hub.credits import CreditLimits
from tests.api.conftest import Log, World


def outcomes(answer: Any) -> list[str]:
    return [each["outcome"] for each in answer.json()["receipt"]["outcomes"]]


def reasons(answer: Any) -> list[str]:
    return [each["reason"] for each in answer.json()["receipt"]["outcomes"]]


async def test_a_chunk_that_does_not_fit_between_its_neighbours_is_a_cloned_origin(
    world: World,
) -> None:
    """A clone that goes on from a common past is seen at its first chunk, whatever its number."""
    log = Log()
    await world.push(log.chunks(3))
    clone = Log(seq=3, head=b"another past".ljust(32))
    answer = await world.push(clone.chunks(3))
    assert outcomes(answer) == ["rejected"] * 3
    assert all(reason.startswith("cloned_origin") for reason in reasons(answer))
    assert answer.json()["have"] == [[1, 3]]
    assert outcomes(await world.push(log.chunks(1))) == ["accepted"]
    assert world.counted("chunks_cloned_origin") == 3


async def test_a_chunk_that_its_successor_does_not_follow_is_a_cloned_origin(world: World) -> None:
    one, two, three = Log().chunks(3)
    await world.push([one, three])
    other = Log(seq=1, head=one.hash).chunk(records=9)
    assert outcomes(await world.push([other])) == ["rejected"]
    assert outcomes(await world.push([two])) == ["accepted"]


async def test_a_conflict_is_written_down_for_people(world: World) -> None:
    """When, which key, both hashes and from whom; once for a batch."""
    first, clone = Log().chunk(), Log()
    await world.push([first])
    await world.push(clone_batch := [clone.chunk(records=9), clone.chunk()])
    await world.push(
        clone_batch
    )  # A replay is answered from its receipt and is no second conflict.
    answer = await world.call("ledger.conflicts")
    (conflict,) = answer["items"]
    assert answer["total"] == 1
    assert (conflict["node"], conflict["epoch"], conflict["seq"]) == ("edge-1", "e1", 1)
    assert conflict["held_hash"] == first.hash.hex()
    assert conflict["sent_hash"] == clone_batch[0].hash.hex()
    assert conflict["sender"].startswith("edge-1 at ")
    assert conflict["chunks"] == 2
    assert (await world.call("ledger.conflicts", node="edge-2"))["items"] == []


async def test_only_the_newest_conflicts_are_kept(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("hub.store.ledger_table.CONFLICTS_KEPT", 3)
    await world.push([Log().chunk()])
    for records in range(4, 10):
        await world.push([Log().chunk(records=records)])
    answer = await world.call("ledger.conflicts")
    assert [item["number"] for item in answer["items"]] == [6, 5, 4]
    assert answer["total"] == 6


async def test_replies_prove_what_the_hub_holds_by_the_hash_at_the_end_of_each_span(
    world: World,
) -> None:
    one, two, three, four = Log().chunks(4)
    pushed = (await world.push([one, two, four])).json()
    expected = [[2, two.hash.hex()], [4, four.hash.hex()]]
    assert (pushed["have"], pushed["proofs"]) == ([[1, 2], [4, 4]], expected)
    assert (await world.beat("edge-1")).json()["proofs"] == expected
    await world.hub.store.open()
    await world.push([three])
    beaten = (await world.beat("edge-1", beat=2)).json()
    assert beaten["proofs"] == [[4, four.hash.hex()]]
    assert (await world.beat("edge-1", beat=3, epoch="e9")).json()["proofs"] == []


async def test_an_edge_is_proven_the_chunk_that_it_marks(world: World) -> None:
    """By the head that it had when it began to run, an edge that was set back knows what is here."""
    chunks = Log().chunks(5)
    await world.push(chunks)
    marked = {"x-headwater-mark": "e1:3"}
    expected = [[3, chunks[2].hash.hex()], [5, chunks[4].hash.hex()]]
    assert (await world.push(chunks[:1], headers=marked)).json()["proofs"] == expected
    assert (await world.beat("edge-1", headers=marked)).json()["proofs"] == expected
    other = {"x-headwater-mark": "e0:3"}
    assert (await world.beat("edge-1", beat=2, headers=other)).json()["proofs"] == expected[1:]


async def test_a_mark_that_is_no_mark_is_refused(world: World) -> None:
    for mark in ("", "e1", "e1:", "e1:-3", "e1:9e9", "e1:" + "9" * 20):
        answer = await world.beat("edge-1", headers={"x-headwater-mark": mark})
        assert (answer.status_code, "EPOCH:SEQ" in answer.text) == (400, True)


async def test_only_the_newest_sixteen_spans_are_proven(world: World) -> None:
    chunks = Log().chunks(41)[::2]
    reply = (await world.push(chunks)).json()
    assert [seq for seq, _ in reply["proofs"]] == [chunk.header.seq for chunk in chunks[-16:]]


async def test_a_beat_of_a_quiet_log_reads_nothing_from_the_disk(
    world: World, monkeypatch: Any
) -> None:
    await world.push(Log().chunks(3))
    await world.beat("edge-1")

    def reading() -> None:
        raise AssertionError("the disk was read")

    monkeypatch.setattr(world.hub.store._database, "reading", reading)
    assert len((await world.beat("edge-1", beat=2)).json()["proofs"]) == 1


async def test_a_crowd_with_backlogs_shares_what_the_hub_can_take(world: World) -> None:
    world.hub.crowd.limits = CreditLimits(budget_bytes_per_s=16_000_000)
    behind = {"pending_chunks": 9, "oldest_age_s": 600.0}
    for number in range(7):
        await world.beat(f"edge-{number}", buffer=behind)
    again = await world.beat("edge-0", beat=2, buffer=behind)
    assert again.json()["credit_bytes_per_s"] is None
    await world.beat("edge-7", buffer=behind)
    await world.beat("edge-8")
    world.hub.crowd._counted_at = float("-inf")  # As if a second had passed.
    assert (await world.beat("edge-8", beat=2)).json()["credit_bytes_per_s"] == 2_000_000
    reply = (await world.push(Log("edge-8").chunks(1), "edge-8")).json()
    assert reply["credit_bytes_per_s"] == 2_000_000
