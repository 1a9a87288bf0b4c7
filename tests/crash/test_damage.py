"""A buffer on a damaged disk: it always opens, serves what is whole, and says what is not."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from edge.buffer import FOLDER_NAME, BufferLimits
from shared import sqlite as shared_sqlite
from shared.records import KIB
from tests.crash.buffer_story import tell
from tests.crash.buffer_view import in_virtual_time, opened, part_of, running, settle, view_of
from tests.crash.damage import Damage, damages
from tests.crash.damage_laws import Whole, holders_in, look

LIMITS = BufferLimits(segment_bytes_max=8 * KIB, disk_reserve_bytes=0)
DEEDS = 50
EACH = 6
GROUPS = 4


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows reach the files themselves, and not only the write-ahead logs."""
    monkeypatch.setattr(shared_sqlite, "WAL_PAGES_BEFORE_CHECKPOINT", 24)


async def whole_folder(folder: Path, seed: int, *, in_peace: bool) -> Whole:
    """A buffer that lived for a while; closed, or copied as it was when the agent was killed."""
    life = folder.with_name("life")
    story = await tell(life, LIMITS, seed, DEEDS)
    rng = Random(seed)
    async with opened(life, LIMITS) as buffer, running(buffer):
        for _ in range(4):
            await buffer.append(part_of(rng))
        await settle()
        await buffer.bury(buffer.seqs.last, "no hub wants it")
        view = await view_of(buffer)
        if not in_peace:
            shutil.copytree(life, folder)
    if in_peace:
        shutil.copytree(life, folder)
    story.chunks.update(view.log)
    return Whole(story, view, holders_in(life, view))


def share_of(found: Iterator[Damage], group: int) -> list[Damage]:
    return [damage for number, damage in enumerate(found) if number % GROUPS == group]


async def try_damage(short_folder: Path, group: int, *, in_peace: bool) -> int:
    """A share of all damage to one folder; returns how many cases."""
    folder = short_folder / "whole"
    whole = await whole_folder(folder, seed=21 + group, in_peace=in_peace)
    tried = share_of(damages(folder, Random(group), EACH), group)
    for number, damage in enumerate(tried):
        place = short_folder / f"damaged-{number}"
        shutil.copytree(folder, place)
        damage.apply(place)
        try:
            await look(place, LIMITS, whole, damage.name)
        except Exception as error:
            raise AssertionError(f"after {damage}: {error}") from error
        shutil.rmtree(place)
    return len(tried)


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("in_peace", [True, False], ids=["closed", "killed"])
def test_damage_is_bounded_and_declared(short_folder: Path, group: int, in_peace: bool) -> None:
    """Every file is damaged in turn: bits flip, ends and sectors go, the file goes."""
    assert in_virtual_time(try_damage(short_folder, group, in_peace=in_peace)) > 10


def test_a_folder_of_which_everything_is_gone_is_a_new_log(short_folder: Path) -> None:
    """No epoch is used twice, since hubs know chunks of it."""

    async def lose_all() -> None:
        folder = short_folder / "whole"
        whole = await whole_folder(folder, seed=31, in_peace=True)
        shutil.rmtree(folder / FOLDER_NAME)
        async with opened(folder, LIMITS, seed=99) as buffer:
            assert buffer.epoch not in whole.story.epochs
            assert buffer.totals.head_seq == 0

    in_virtual_time(lose_all())
