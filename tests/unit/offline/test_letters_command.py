"""Dead letters can be looked at and decided on while the agent is stopped."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from edge.buffer import Buffer
from shared.runtime import Runtime
from tests.crash.damage import Blank
from tests.unit.core.buffers import all_chunks, running, segment_files
from tests.unit.offline.conftest import Run
from tests.unit.offline.parts import T0, log_part

Live = Callable[[Callable[[Buffer], Awaitable[object]]], Awaitable[None]]


async def three_letters(buffer: Buffer) -> None:
    """Three refused chunks, and a fourth one that is fine."""
    for number in range(4):
        await buffer.append(log_part(f"line {number}", T0))
    for seq in (1, 2, 3):
        await buffer.bury(seq, f"reason {seq}")


def numbers(run: Run) -> list[int]:
    """The dead letters by their numbers."""
    items = json.loads(run("dead-letters", "list", "--json").stdout)["items"]
    return [each["seq"] for each in items]


async def test_letters_are_listed_and_shown_with_their_records(lived: Live, run: Run) -> None:
    """Enough to decide what to do with them."""
    await lived(three_letters)
    assert numbers(run) == [1, 2, 3]
    assert "reason 2" in run("dead-letters", "list").stdout
    shown = json.loads(run("dead-letters", "show", "2", "--json").stdout)
    assert (shown["reason"], shown["sample"][0]["body"]) == ("reason 2", "line 1")
    assert run("dead-letters", "show", "4").exit_code == 4


async def test_retried_letters_are_back_in_the_log(
    lived: Live, run: Run, folder: Path, runtime: Runtime
) -> None:
    """Byte for byte, and the ledger moves them from rejected to buffered."""
    await lived(three_letters)
    result = await asyncio.to_thread(run, "dead-letters", "retry", "1", "3")
    assert result.stdout == "2 dead letters were put back into the log\n"
    assert numbers(run) == [2]
    ledger = json.loads(run("show", "--json").stdout)["ledger"]
    assert ledger["rejected"] == 1
    async with running(folder, runtime) as buffer:
        assert {1, 3, 4} <= {chunk.header.seq for chunk in await all_chunks(buffer)}
    assert run("verify").exit_code == 0


async def test_discarded_letters_are_declared(
    lived: Live, run: Run, folder: Path, runtime: Runtime
) -> None:
    """They stay rejected, and hubs are told why."""
    await lived(three_letters)
    await asyncio.to_thread(run, "dead-letters", "discard", "--all")
    assert numbers(run) == []
    async with running(folder, runtime) as buffer:
        gaps = [gap for chunk in await all_chunks(buffer) for gap in chunk.header.gaps]
        assert buffer.totals.all.rejected.records == 3
    discarded = [gap.ranges for gap in gaps if gap.reason == "discarded"]
    assert discarded == [((1, 1),), ((2, 2),), ((3, 3),)]
    again = await asyncio.to_thread(run, "dead-letters", "discard", "1")
    assert again.exit_code == 4


async def test_which_letters_must_be_said(lived: Live, run: Run) -> None:
    """All of them is a choice to be made and not a default."""
    await lived(three_letters)
    for words in (("retry",), ("discard",), ("discard", "1", "--all")):
        assert run("dead-letters", *words).exit_code == 2
    assert numbers(run) == [1, 2, 3]


async def test_letters_of_a_damaged_buffer_wait_for_its_repair(
    lived: Live, run: Run, folder: Path
) -> None:
    """Opening the log would repair it without asking."""
    await lived(three_letters)
    Blank(f"buffer/{segment_files(folder)[-1].name}", 0, 512).apply(folder)
    result = await asyncio.to_thread(run, "dead-letters", "retry", "--all")
    assert result.exit_code == 1
    assert "see `headwater buffer repair` first" in str(result.exception)
