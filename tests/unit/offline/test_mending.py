"""Damage is repaired by declaring what is lost and keeping everything else."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from edge import chunk_table
from edge.offline import find_place, survey
from edge.offline_filter import Wanted
from edge.offline_plan import plan_of
from edge.offline_query import Account, chunks_of
from edge.offline_rehearsal import rehearse
from edge.offline_repair import repair
from edge.offline_verify import verify
from edge.salvage import SEQS_SKIPPED
from edge.segments import path_of
from shared.pidfile import PidFile
from shared.ranges import Ranges, from_wire, of_spans
from shared.records import Chunk
from shared.runtime import Runtime
from tests.crash.damage import Blank, Cut, Damage, Flip, Removal, damages
from tests.unit.core.buffers import all_chunks, running, segment_files
from tests.unit.offline.conftest import Run, everything
from tests.unit.offline.mending import found, live_in, name_of, place_of


async def mended(folder: Path, runtime: Runtime) -> dict[int, Chunk]:
    """What a started agent finds."""
    async with running(folder, runtime) as buffer:
        assert buffer.books.imbalance() == {}
        assert await buffer.checkpoint("tail:/x") == b"here"
        return {chunk.header.seq: chunk for chunk in await all_chunks(buffer)}


def declared(chunks: dict[int, Chunk]) -> Ranges:
    gaps = [gap for chunk in chunks.values() for gap in chunk.header.gaps]
    return of_spans(span for gap in gaps if gap.reason == "damaged" for span in gap.ranges)


async def planned_and_done(run: Run, folder: Path) -> Ranges:
    """The gap that the plan announces, once the plan was shown and then carried out."""
    untouched = everything(folder)
    shown = run("repair", "--json")
    plan = json.loads(shown.stdout)
    assert (shown.exit_code, plan["originals"]) == (3, None)
    assert everything(folder) == untouched
    result = await asyncio.to_thread(run, "repair", "--apply", "--json")
    done = json.loads(result.stdout)
    assert (result.exit_code, done["findings"]) == (0, [])
    assert done["steps"] == plan["steps"]
    for name in [step["file"] for step in plan["steps"] if step["action"] == "keep"]:
        digest = everything(Path(done["originals"]))[name]
        assert digest == untouched[f"buffer/{name}"]
    return of_spans(span for step in plan["steps"] for span in from_wire(step["gap"]).spans)


HARM: tuple[Callable[[Path, int], Damage], ...] = (
    lambda folder, number: Flip(name_of(number), place_of(folder, number, live(folder, number)), 5),
    lambda folder, number: Cut(name_of(number), size_of(folder, number) // 2 // 4096 * 4096),
    lambda folder, number: Blank(name_of(number), 0, 512),
    lambda _, number: Removal(name_of(number)),
)


def live(folder: Path, number: int) -> int:
    return live_in(folder, number).first


def size_of(folder: Path, number: int) -> int:
    return path_of(folder / "buffer", number).stat().st_size


@pytest.mark.parametrize("harm", HARM)
async def test_repair_does_what_it_says_for_a_closed_file(
    harm: Callable[[Path, int], Damage],
    before: dict[int, Chunk],
    run: Run,
    folder: Path,
    runtime: Runtime,
) -> None:
    """The announced gap is the declared gap, everything else is kept, the originals lie beside."""
    harm(folder, 2).apply(folder)
    gap = await planned_and_done(run, folder)
    after = await mended(folder, runtime)
    assert gap
    assert declared(after) == gap
    assert {seq: after[seq] for seq in before if seq not in gap} == {
        seq: chunk for seq, chunk in before.items() if seq not in gap
    }


@pytest.mark.parametrize("harm", HARM[1:])
async def test_repair_does_what_it_says_for_the_newest_file(
    harm: Callable[[Path, int], Damage],
    before: dict[int, Chunk],
    run: Run,
    folder: Path,
    runtime: Runtime,
) -> None:
    """The numbers that it may have used are declared and never used again."""
    newest = int(segment_files(folder)[-1].stem)
    harm(folder, newest).apply(folder)
    gap = await planned_and_done(run, folder)
    after = await mended(folder, runtime)
    assert declared(after) == gap
    assert gap.last >= SEQS_SKIPPED
    assert {seq: after[seq] for seq in before if seq not in gap} == {
        seq: chunk for seq, chunk in before.items() if seq not in gap
    }


async def test_repair_of_a_bit_in_the_newest_file_leaves_the_file(
    before: dict[int, Chunk], run: Run, folder: Path, runtime: Runtime
) -> None:
    """The file is closed and emptied, since what is damaged once may be damaged again."""
    newest = int(segment_files(folder)[-1].stem)
    seq = live(folder, newest)
    Flip(name_of(newest), place_of(folder, newest, seq), 5).apply(folder)
    gap = await planned_and_done(run, folder)
    assert gap == Ranges(((seq, seq),))
    assert not path_of(folder / "buffer", newest).exists()
    assert declared(await mended(folder, runtime)) == gap


async def test_damage_in_a_former_life_of_the_log_is_reported_and_no_gap_of_this_one(
    before: dict[int, Chunk], run: Run, folder: Path, runtime: Runtime
) -> None:
    """The agent died between beginning a new life and writing the chunks of the old one again."""
    seq = live_in(folder, 2).first
    place = place_of(folder, 2, seq)
    newest = segment_files(folder)[-1]
    connection = sqlite3.connect(newest)
    books = chunk_table.load_books(connection)
    assert books is not None
    segments = tuple(
        msgspec.structs.replace(each, epoch="of-old") if each.number == 2 else each
        for each in books.segments
    )
    chunk_table.save_books(connection, books, replace(books, segments=segments))
    connection.commit()
    connection.close()
    Flip(name_of(2), place, 3).apply(folder)
    plan = json.loads(run("repair", "--json").stdout)["steps"]
    assert [(step["action"], step["gap"]) for step in plan] == [
        ("keep", []),
        ("report", []),
        ("move", []),
    ]
    await asyncio.to_thread(run, "repair", "--apply")
    assert not declared(await mended(folder, runtime))
    assert found(run) == []


async def test_repair_begins_new_dead_letters_and_keeps_the_damaged_ones(
    before: dict[int, Chunk], run: Run, folder: Path, runtime: Runtime
) -> None:
    """They are not in the log any more, so no gap tells of them."""
    Blank("buffer/dead-letters.db", 0, 512).apply(folder)
    assert not await planned_and_done(run, folder)
    assert {seq: (await mended(folder, runtime))[seq] for seq in before} == before


async def test_repair_refuses_while_the_agent_runs(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """Two writers would each write over what the other one knows."""
    Removal(name_of(2)).apply(folder)
    with PidFile(folder):
        untouched = everything(folder)
        for words in (("repair",), ("repair", "--apply"), ("dead-letters", "discard", "--all")):
            result = await asyncio.to_thread(run, *words)
            assert result.exit_code == 2, words
            assert "runs in" in str(result.exception)
        assert everything(folder) == untouched


async def test_repair_needs_room_for_the_originals(
    before: dict[int, Chunk], run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full is no reason to take a file apart without a copy."""
    Removal(name_of(2)).apply(folder)
    Blank(name_of(3), 0, 512).apply(folder)
    monkeypatch.setattr("edge.offline_repair.ROOM_BYTES_MIN", 2**60)
    untouched = everything(folder)
    result = await asyncio.to_thread(run, "repair", "--apply")
    assert result.exit_code == 1
    assert "make room first" in str(result.exception)
    assert everything(folder) | {"headwater.pid": ""} == untouched | {"headwater.pid": ""}


@pytest.mark.parametrize("seed", range(3))
async def test_any_damage_is_found_or_costs_nothing_and_the_plan_of_its_repair_is_kept(
    seed: int, before: dict[int, Chunk], folder: Path, tmp_path: Path, runtime: Runtime
) -> None:
    """Whatever happens to a folder: what the plan does not declare lost is there afterwards."""
    rng = Random(seed)
    for number, damage in enumerate(rng.sample(list(damages(folder, rng, 2)), 10)):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(folder, copy)
        damage.apply(copy)
        place = find_place(copy)
        health = verify(place)
        plan = plan_of(health, rehearse(place))
        assert bool(plan.steps) == bool(health.findings), damage
        if plan.steps:
            await repair(place, health, runtime)
        assert verify(place).findings == (), damage
        after = await mended(copy, runtime)
        gap = of_spans(span for step in plan.steps for span in step.gap.spans)
        assert declared(after) == gap, damage
        assert all(after[seq] == before[seq] for seq in before if seq not in gap), damage


async def test_of_a_damaged_file_everything_that_can_be_read_is_shown(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """Also of the newest one, of which no books tell any more."""
    newest = int(segment_files(folder)[-1].stem)
    held = live_in(folder, newest)
    Flip(name_of(newest), 20, 1).apply(folder)
    assert found(run)[0]["kind"] == "unreadable"
    surveyed = survey(find_place(folder))
    chunks = {chunk.header.seq: chunk for chunk in chunks_of(surveyed, Wanted(), Account())}
    older = set(before) - set(held)
    # The books that are left were written before the third chunk became a dead letter.
    assert chunks.keys() - set(held) == older | {3}
    assert chunks.keys() & set(held)
    assert all(chunks[seq] == before[seq] for seq in chunks.keys() - {3})
