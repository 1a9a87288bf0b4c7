"""Numbers that are taken over lie on the disk like those that were dropped here."""

from collections.abc import Mapping
from pathlib import Path

from hub.replicate import LogKey
from hub.retention import Reason
from hub.store import dropped, ledger_reads, ledger_table, retire, taken_over
from hub.store.chunks import ChunkStore
from hub.store.dropped import DroppedOfLog
from hub.taken_over import Fate, TakenOver, Went
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.receipt import Outcome
from shared.records import Chunk, Signal
from shared.sums import Sum
from tests.api.conftest import Log
from tests.law.drawing import chunk_of
from tests.unit.hub.test_retire import FILE, LOG, NOON_MS, opened, put

AT_MS = 1_700_000_000_000
WENT = Went(1, 17, b"h" * 32, Sum(5, 50, 500), AT_MS)
ASKED = {LOG: Ranges(((1, 40),))}
LOST = (*LOG, "2026-03-01", "logs", b"\x91\x92\x05\x05", 5)
"""Number 5 as a row of what damage took."""


def agreed(seqs: Ranges, went: Went = WENT) -> Mapping[LogKey, TakenOver]:
    return {LOG: TakenOver(seqs, went)}


async def drop_logs(store: ChunkStore) -> None:
    """What retention does to the logs of the day."""
    going = await store.files.database.write(lambda db: retire.choose(db, FILE, Reason.AGE, 5))
    while (taken := await store.files.database.write(lambda db: retire.take_out(db, going))).seqs:
        store.forget(taken)


async def test_what_is_taken_over_is_received_dropped_and_no_hole(tmp_path: Path) -> None:
    """In memory and on the disk alike."""
    async with opened(tmp_path) as store:
        await put(store, [3, 19])
        assert store.holes == 17
        adopted = await store.take_over(agreed(of_seqs([1, 5, 9, 13, 17])))
        assert adopted.seqs == {LOG: of_seqs([1, 5, 9, 13, 17])}
        now = (store.have(LOG), store.holes, store.chunks, store.records)
        assert now[1:3] == (12, 2)
    async with opened(tmp_path) as store:
        assert (store.have(LOG), store.holes, store.chunks, store.records) == now
        gone = await store.reading(lambda db: dropped.gone(db, LOG, ASKED[LOG]))
        assert gone == of_seqs([1, 5, 9, 13, 17])
        of_log = await store.reading(lambda db: dropped.dropped_of(db, LOG))
        assert of_log == DroppedOfLog(1, 17, WENT.last_hash, WENT.sum)


async def test_what_is_here_is_not_taken_over(tmp_path: Path) -> None:
    """And what was taken over once is not counted twice."""
    async with opened(tmp_path) as store:
        await put(store, [5])
        assert (await store.take_over(agreed(of_seqs([1, 5, 9])))).count == 2
        assert (await store.take_over(agreed(of_seqs([1, 5, 9])))).count == 0
        assert store.chunks == 1
        assert await store.reading(dropped.dropped_chunks) == 2


async def test_what_was_lost_by_damage_is_not_taken_over(tmp_path: Path) -> None:
    """It was here, and people were told that it is wanting: peers that dropped it do not change that."""
    async with opened(tmp_path) as store:
        await put(store, [1])
        await store.files.database.write(
            lambda db: db.execute("INSERT INTO wanting VALUES (?, ?, ?, ?, ?, ?)", LOST)
        )
        adopted = await store.take_over(agreed(of_seqs([5, 9])))
    assert adopted.seqs == {LOG: of_seqs([9])}


async def test_a_log_of_which_nothing_is_left_is_shown_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.take_over(agreed(Ranges(((1, 17),)), Went(1, 17, b"h" * 32, Sum(17), AT_MS)))
        (book,) = await store.reading(lambda db: ledger_reads.epoch_books(db, "edge-1"))
    assert (book.head, book.first_received_ms, bool(book.holes)) == (17, AT_MS, False)


async def test_a_log_that_does_not_fit_is_left_alone(tmp_path: Path) -> None:
    """What is here must follow the last chunk that the peer dropped, or be that chunk."""
    log = Log()
    chunks = log.chunks(6)
    sound = Went(1, 3, chunks[2].hash, Sum(3, 9, 9), AT_MS)
    strange = Went(1, 3, b"x" * 32, Sum(3, 9, 9), AT_MS)
    for kept in (chunks[3:], [chunks[2]]):
        async with opened(tmp_path / str(kept[0].header.seq)) as store:
            await store.keep(kept, "hub-2", [NOON_MS] * len(kept))
            refused = await store.take_over(agreed(of_seqs([1, 2]), strange))
            assert (refused.count, refused.strange) == (0, [LOG])
            assert (await store.take_over(agreed(of_seqs([1, 2]), sound))).count == 2


async def test_what_retention_takes_later_is_added(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        chunks = await put(store, [19, 21])
        await store.take_over(agreed(of_seqs([1, 5, 9, 13, 17])))
        await drop_logs(store)
        of_log = await store.reading(lambda db: dropped.dropped_of(db, LOG))
        assert of_log is not None
        assert (of_log.first_seq, of_log.last_seq, of_log.last_hash) == (1, 21, chunks[1].hash)
        assert of_log.sum.chunks == 7
        assert store.chunks == 0


async def test_a_chunk_that_comes_after_all_is_a_duplicate(tmp_path: Path) -> None:
    """From a peer that was forgotten, or an edge that never heard: judged like one that was dropped."""
    async with opened(tmp_path) as store:
        await put(store, [3])
        await store.take_over(agreed(of_seqs([1, 5])))
        late: list[Chunk] = [chunk_of(1), chunk_of(7)]
        outcomes = await store.keep(late, "hub-9", [NOON_MS, NOON_MS])
        assert [each.outcome for each in outcomes] == [Outcome.DUPLICATE, Outcome.ACCEPTED]
        receipt = await store.accept("a" * 64, [chunk_of(5)], "edge-1")
        assert [each.outcome for each in receipt.outcomes] == [Outcome.DUPLICATE]
        assert store.chunks == 2


# ---- what a hub tells


async def test_a_hub_tells_which_numbers_are_here_and_which_it_dropped(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, [1, 5, 9])
        await put(store, [3, 7], Signal.METRICS)
        await drop_logs(store)
        (told,) = (await store.fates(ASKED)).values()
        (of_other,) = (await store.fates({("edge-9", "e1"): Ranges(((1, 9),))})).values()
    assert (told.judged, told.held, told.dropped) == (
        ASKED[LOG],
        of_seqs([3, 7]),
        of_seqs([1, 5, 9]),
    )
    assert told.went is not None
    assert (told.went.first_seq, told.went.last_seq, told.went.sum.chunks) == (1, 9, 3)
    assert of_other == Fate(Ranges(((1, 9),)))


async def test_what_was_lost_by_damage_counts_as_held_until_it_is_given_up(tmp_path: Path) -> None:
    """And never as dropped, even where all around it was."""
    async with opened(tmp_path) as store:
        await put(store, [1, 9])
        await put(store, [5], Signal.METRICS)
        await drop_logs(store)
        packed = b"\x92\x92\x01\x01\x92\x09\x09"

        def lose(db: object) -> None:
            db.execute("DELETE FROM chunk WHERE seq = 5")  # type: ignore[attr-defined]
            db.execute("UPDATE received SET ranges = ?", (packed,))  # type: ignore[attr-defined]
            db.execute("INSERT INTO wanting VALUES (?, ?, ?, ?, ?, ?)", LOST)  # type: ignore[attr-defined]

        await store.files.database.write(lose)
        (told,) = (await store.fates(ASKED)).values()
        await store.files.database.write(lambda db: db.execute("DELETE FROM wanting"))
        (later,) = (await store.fates(ASKED)).values()
    assert (told.held, told.dropped) == (of_seqs([5]), of_seqs([1, 9]))
    assert (later.held, later.dropped) == (NOTHING, of_seqs([1, 9]))


async def test_what_is_received_and_not_here_for_no_known_reason_counts_as_held(
    tmp_path: Path,
) -> None:
    """Only what retention wrote down as its own is told to be dropped."""
    async with opened(tmp_path) as store:
        await put(store, [1, 5])
        await put(store, [3, 7], Signal.METRICS)
        await drop_logs(store)
        await store.files.database.write(lambda db: db.execute("DELETE FROM chunk WHERE seq = 7"))
        (told,) = (await store.fates(ASKED)).values()
    assert (told.held, told.dropped) == (of_seqs([3, 7]), of_seqs([1, 5]))


async def test_a_long_answer_ends_where_there_is_no_more_room(tmp_path: Path) -> None:
    """What is not told of was not judged, and is asked for again."""
    other = ("edge-2", "e1")
    async with opened(tmp_path) as store:
        await put(store, [1, 3, 5, 7, 9], Signal.METRICS)
        await store.keep([chunk_of(1, origin="edge-2")], "hub-2", [NOON_MS])
        asked = {LOG: Ranges(((1, 4), (5, 9))), other: Ranges(((1, 9),))}
        few = await store.reading(lambda db: taken_over.fates(db, asked, 3))
        assert few == {LOG: Fate(asked[LOG] - of_seqs([7, 9]), of_seqs([1, 3, 5]))}
        left = {LOG: asked[LOG] - few[LOG].judged, other: asked[other]}
        rest = await store.reading(lambda db: taken_over.fates(db, left, 3))
    assert rest[LOG] == Fate(of_seqs([7, 9]), of_seqs([7, 9]))
    assert rest[other].held == of_seqs([1])


async def test_one_question_sees_one_moment(tmp_path: Path) -> None:
    """The reader is left as it was, also when reading fails."""
    async with opened(tmp_path) as store:
        await put(store, [1])
        with store.files.database.reading() as connection:
            assert taken_over.fates(connection, ASKED)[LOG].held == of_seqs([1])
            assert not connection.in_transaction
        assert await store.reading(lambda db: ledger_table.first_number(db, "SELECT 7")) == 7
