"""The judge of the soak finds each law broken when it is, and nothing when all is well."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from shared.codec import compress
from shared.records import GENESIS_HASH, ChunkHeader, seal
from tests.soak.journal import JournalWriter, Promises, read_promises
from tests.soak.oracle import DIALECTS, Dialect
from tests.soak.verdict import (
    OnDisk,
    broken_answers,
    broken_chain,
    broken_ledger,
    broken_promises,
    broken_sweeps,
    broken_twins,
    ids_in,
)
from tests.system.oracle import HeldChunk

IDS = ["c-0", "c-1", "c-2"]


def held_chunk(
    seq: int, previous: bytes, ids: Sequence[str], dialect: Dialect = DIALECTS[1], epoch: str = "e"
) -> HeldChunk:
    raw = dialect.body(list(ids))
    if dialect.name == "json":
        raw = b"[" + raw + b"]"  # As edges keep it: an array of requests.
    body = compress(raw)
    signal = "traces" if dialect.name == "spans" else "logs"
    encoding = "json" if dialect.name == "json" else "proto"
    sizes = (len(ids), len(raw), len(body), 0, 0, 0)
    header = ChunkHeader(
        "edge-1", epoch, seq, signal, encoding, "zstd", *sizes, sha256(body).digest(), previous
    )
    return HeldChunk(header, seal(header, body).hash, body)


def log_of(*ids: str) -> list[HeldChunk]:
    """A log with one record in each chunk."""
    chunks: list[HeldChunk] = []
    for seq, each in enumerate(ids, 1):
        chunks.append(held_chunk(seq, chunks[-1].hash if chunks else GENESIS_HASH, [each]))
    return chunks


def on_disk(chunks: list[HeldChunk], hub: str = "hub-1") -> OnDisk:
    seen = OnDisk(hub, "edge-1", chunks)
    seen.held.update(each for chunk in chunks for each in ids_in(chunk))
    return seen


def promises(acked: int = 3) -> list[Promises]:
    """Three records that were sent one by one, the first ones of them acknowledged."""
    numbers = dict.fromkeys(range(3), 1)
    return [Promises("c", numbers, dict.fromkeys(range(acked), 1))]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_ids_are_found_in_every_dialect(dialect: Dialect) -> None:
    assert list(ids_in(held_chunk(1, GENESIS_HASH, IDS, dialect))) == IDS


def test_a_whole_log_breaks_no_law() -> None:
    seen = on_disk(log_of(*IDS))
    assert broken_promises(seen, promises()) + broken_chain(seen) == []
    assert broken_twins([seen, on_disk(log_of(*IDS), "hub-2")]) == []


def test_an_unanswered_record_may_be_there_or_not() -> None:
    for log in (log_of(*IDS), log_of(*IDS[:2])):
        assert broken_promises(on_disk(log), promises(acked=2)) == []


@pytest.mark.parametrize(
    ("ids", "law"),
    [
        (IDS[:2], "acknowledged and not there"),
        ([*IDS, "c-1"], "there more than once"),
        ([*IDS, "c-3"], "there though it was never sent"),
    ],
)
def test_records_that_break_a_promise_are_named(ids: list[str], law: str) -> None:
    (said,) = broken_promises(on_disk(log_of(*ids)), promises())
    assert law in said
    assert (set(ids) ^ set(IDS) or {"c-1"}).pop() in said


def test_a_refused_record_that_was_kept_all_the_same_is_named() -> None:
    refused = [replace(promises(acked=2)[0], refused={2: 1}, statuses={503})]
    (said,) = broken_promises(on_disk(log_of(*IDS)), refused)
    assert "there though the edge never took it: 1, such as ['c-2']" in said
    assert "[503]" in broken_answers(refused)[0]


def test_a_record_that_left_when_nobody_listened_cannot_be_there() -> None:
    unheard = [replace(promises(acked=2)[0], unheard={2: 1})]
    assert broken_promises(on_disk(log_of(*IDS[:2])), unheard) == []
    (said,) = broken_promises(on_disk(log_of(*IDS)), unheard)
    assert "never took it: 1, such as ['c-2']" in said


def test_holes_and_broken_links_and_changed_bodies_are_named() -> None:
    first, second, third = log_of(*IDS)
    assert "holes that begin at: 1, such as [2]" in broken_chain(on_disk([first, third]))[0]
    stranger = held_chunk(2, GENESIS_HASH, ["c-1"])
    assert "do not follow" in broken_chain(on_disk([first, stranger]))[0]
    changed = replace(second, body=compress(b""))
    assert "bodies" in broken_chain(OnDisk("hub-1", "edge-1", [first, changed, third]))[0]


def test_a_second_life_is_named() -> None:
    reborn = held_chunk(1, GENESIS_HASH, ["c-3"], epoch="f")
    assert broken_chain(on_disk([*log_of(*IDS), reborn])) == [
        "hub-1 of edge-1: the log has 2 lives and was never copied"
    ]


def test_hubs_that_differ_are_named() -> None:
    one, other = on_disk(log_of(*IDS)), on_disk(log_of("c-0", "c-1", "c-9"), "hub-2")
    third = on_disk(log_of(*IDS[:2]), "hub-3")
    assert broken_twins([one, one]) == []
    assert "differ over edge-1 at: 1, such as [('e', 3)]" in broken_twins([one, other])[0]
    assert broken_twins([one, third]) != []
    assert "hub-1 and hub-3" in broken_twins([one, one, third])[0]


def test_a_sweep_that_had_to_repair_is_named() -> None:
    assert broken_sweeps(0) == []
    assert "left out 3 chunks" in broken_sweeps(3)[0]


def ledger(**changed: int) -> dict[str, object]:
    fates = dict.fromkeys(("accepted", "buffered", "shed", "rejected", "damaged"), 0)
    line = {"produced": 3, "safe": 3, **fates, **changed}
    return {**line, "by_signal": {"logs": line}}


def test_a_ledger_that_balances_and_agrees_with_the_disks_breaks_no_law() -> None:
    assert broken_ledger("edge-1", ledger(), [on_disk(log_of(*IDS))]) == []


@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ({"safe": 2}, "is not the sum"),
        ({"safe": 2, "damaged": 1}, "were given up"),
        ({"produced": 4, "safe": 4}, "which produced"),
    ],
)
def test_a_ledger_that_lies_is_named(changed: dict[str, int], law: str) -> None:
    said = broken_ledger("edge-1", ledger(**changed), [on_disk(log_of(*IDS))])
    assert any(law in each for each in said), said


def test_a_journal_tells_what_was_promised_and_what_was_never_answered(tmp_path: Path) -> None:
    """A line without its end was not written yet."""
    journal = JournalWriter(tmp_path, "c")
    for first in range(0, 50, 10):
        journal.sent(first, 10)
    journal.acked(0, 10)
    journal.refused(10, 10, 503)
    journal.unheard(20, 10)
    journal.close()
    with (tmp_path / "c.journal").open("a") as file:
        file.write("sent 50 1")
    (read,) = read_promises(tmp_path)
    assert (read.records_acked, read.records_refused, read.records_unheard) == (10, 10, 10)
    assert read.records_unanswered == 20
    assert read.statuses == {503}
    assert list(read.ids(read.acked)) == [f"c-{number}" for number in range(10)]
