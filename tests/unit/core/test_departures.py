"""The ways out of the buffer: each is in the books, and each loss is declared."""

import asyncio
from itertools import pairwise
from pathlib import Path

from edge.capacity import BufferLimits
from edge.quota import Policy
from edge.transfers import renewed
from shared.codec import decompress
from shared.otlp import read_part
from shared.otlp_rows import log_rows
from shared.ranges import Ranges, of_seqs, of_spans
from shared.records import KIB, MIB, Chunk, Encoding, Gap, Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import SMALL, alert, all_chunks, fill, noise, running, segment_files

SHEDDING = BufferLimits(
    bytes_max=200 * KIB,
    policy=Policy.SHED,
    floors={},
    segment_bytes_max=64 * KIB,
    gather=SMALL.gather,
)


def gaps_in(chunks: list[Chunk]) -> list[Gap]:
    return [gap for chunk in chunks for gap in chunk.header.gaps]


def sentences(chunk: Chunk) -> list[str]:
    rows = log_rows(Encoding.PROTO, decompress(chunk.body, MIB))
    return [str(row.body) for row in rows]


async def test_shedding_gives_up_the_oldest_of_the_least_important_and_says_so(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime, SHEDDING) as buffer:
        await fill(buffer, Signal.METRICS, 3)
        await fill(buffer, Signal.TRACES, 4)
        await fill(buffer, Signal.METRICS, 5)
        chunks = await all_chunks(buffer)
        held = buffer.state().by_signal
        tally = buffer.totals.by_signal["traces"]
        assert buffer.books.imbalance() == {}
    gaps = gaps_in(chunks)
    assert {gap.signal for gap in gaps} == {"traces"}
    assert {gap.reason for gap in gaps} == {"shed"}
    lost = of_spans(span for gap in gaps for span in gap.ranges)
    assert lost.first == 4
    assert lost == of_seqs(range(1, buffer.totals.head_seq + 1)) - buffer.seqs
    assert sum(gap.records for gap in gaps) == tally.shed.records == 10 * lost.count
    assert held["metrics"].chunks == 8
    assert "gave up" in sentences(next(chunk for chunk in chunks if chunk.header.gaps))[0]


async def test_a_shedding_buffer_stays_within_its_quota(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime, SHEDDING) as buffer:
        for _ in range(5):
            await fill(buffer, Signal.LOGS, 8)
            assert buffer.state().stored_bytes <= SHEDDING.bytes_max
            assert buffer.books.imbalance() == {}
    assert len(segment_files(tmp_path)) <= 200 // 64 + 4


async def test_a_split_chunk_is_replaced_by_its_pieces_and_no_record_counts_twice(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(alert("whole"))
        part = alert("half")
        await buffer.split(1, [part])
        chunks = await all_chunks(buffer)
        tally = buffer.totals.all
        assert buffer.books.imbalance() == {}
    assert [chunk.header.seq for chunk in chunks] == [2, 3]
    assert [(gap.reason, gap.ranges) for gap in gaps_in(chunks)] == [("split", ((1, 1),))]
    assert tally.produced.records == 2  # The record, and the statement about it.


async def test_a_dead_letter_can_be_tried_again_under_its_old_number(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 2)
        original = (await all_chunks(buffer))[0]
        await buffer.bury(1, "HTTP 400: no")
        (letter,) = await buffer.dead_letters()
        assert (letter.seq, letter.signal, letter.reason) == (1, "logs", "HTTP 400: no")
        assert 1 not in buffer.seqs
        assert await buffer.retry_dead_letters(None) == 1
        again = (await all_chunks(buffer))[0]
        assert (again.header_bytes, again.body) == (original.header_bytes, original.body)
        assert await buffer.dead_letters() == []
        assert buffer.totals.all.rejected.records == 0
        assert buffer.books.imbalance() == {}


async def test_a_discarded_dead_letter_is_a_declared_loss(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 1)
        await buffer.bury(1, "no")
        assert await buffer.discard_dead_letters(of_seqs([1])) == 1
        reasons = [gap.reason for gap in gaps_in(await all_chunks(buffer))]
        assert reasons == ["dead_letter", "discarded"]
        assert buffer.totals.by_signal["logs"].rejected.records == 10
        assert buffer.state().dead_letters == 0


async def test_dead_letters_survive_a_restart(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 1)
        await buffer.bury(1, "no")
    async with running(tmp_path, runtime) as buffer:
        assert buffer.state().dead_letters == 1
        assert buffer.books.imbalance() == {}


async def test_a_new_epoch_names_the_one_before_and_keeps_the_unproven_records(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 10)
        before = await all_chunks(buffer)
        former = buffer.epoch
        await buffer.new_epoch("a clone writes under our name", Ranges(((4, 10),)))
        chunks = await all_chunks(buffer)
        assert buffer.epoch != former
        assert buffer.books.imbalance() == {}
        assert (buffer.totals.all.safe.records, buffer.totals.all.produced.records) == (30, 101)
    assert chunks[0].header.predecessor == (former, 10)
    assert "a clone writes under our name" in sentences(chunks[0])[0]
    assert [chunk.body for chunk in chunks[1:]] == [chunk.body for chunk in before[3:]]
    assert [chunk.header.seq for chunk in chunks] == list(range(1, 9))
    assert all(chunk.header.epoch == chunks[0].header.epoch for chunk in chunks)
    for one, other in pairwise(chunks):
        assert other.header.previous_hash == one.hash


async def test_a_new_epoch_that_a_crash_cut_short_is_finished_at_the_next_start(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 10)
        bodies = {chunk.body for chunk in await all_chunks(buffer)}
        # The first half of what new_epoch does, as far as the file of the new life.
        await buffer._store.roll(lambda _, books: renewed(books, "second"))
        assert not buffer.seqs
    async with running(tmp_path, runtime) as buffer:
        chunks = await all_chunks(buffer)
        assert buffer.epoch == "second"
        assert {chunk.body for chunk in chunks} == bodies
        assert buffer.books.imbalance() == {}


async def test_appends_and_departures_at_the_same_time_keep_the_books_balanced(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime, SHEDDING) as buffer:

        async def produce(signal: Signal) -> None:
            for seed in range(30):
                await buffer.append(noise(signal, 5 * KIB, seed))

        async def forget() -> None:
            for _ in range(30):
                await buffer.release(Ranges(((1, max(1, buffer.totals.head_seq - 20)),)))
                await asyncio.sleep(0)

        await asyncio.gather(produce(Signal.LOGS), produce(Signal.TRACES), forget(), forget())
        assert buffer.books.imbalance() == {}
        chunks = await all_chunks(buffer)
    assert of_seqs(chunk.header.seq for chunk in chunks) == buffer.seqs


def test_an_event_of_the_buffer_is_ordinary_otlp() -> None:
    part = alert("x")
    assert read_part(Signal.LOGS, "application/x-protobuf", part.body).records == 1
