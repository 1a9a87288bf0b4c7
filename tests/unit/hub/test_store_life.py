"""A store that was copied begins a new life; one that was only stopped goes on."""

import shutil
from pathlib import Path

import pytest

from hub.store.files import FILE_NAME, open_files
from hub.store.hub_table import next_incarnation, store_life
from hub.store.starts import read_starts, write_starts


async def start(folder: Path, fresh: str) -> tuple[str, int]:
    """What a start makes of the store in a folder: its life, and the number of this start."""
    files, starts = open_files(folder, "FULL", threads=False), read_starts(folder)
    try:
        inode, write = files.inode, files.database.write
        life = await write(lambda db: store_life(db, inode, fresh, starts))
        number = await write(next_incarnation)
        write_starts(folder, number)
        return life, number
    finally:
        files.close()


async def life_of(folder: Path, fresh: str) -> str:
    """What a start makes of the store in a folder."""
    return (await start(folder, fresh))[0]


async def test_a_restart_goes_on_with_the_same_life(tmp_path: Path) -> None:
    assert await life_of(tmp_path, "first") == "first"
    assert await life_of(tmp_path, "second") == "first"


async def test_a_copy_begins_a_new_life_and_keeps_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it would give numbers again that the original has given to other things."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    assert await life_of(original, "first") == "first"
    shutil.copytree(original, copy)
    assert await life_of(copy, "of the copy") == "of the copy"
    assert await life_of(copy, "later") == "of the copy"
    assert await life_of(original, "later") == "first"
    assert "this store is a copy" in caplog.text


async def test_a_store_that_was_set_back_in_its_place_begins_a_new_life_and_keeps_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is the same one with older contents; the number of its starts goes on all the same."""
    assert await start(tmp_path, "first") == ("first", 1)
    older = (tmp_path / FILE_NAME).read_bytes()
    assert await start(tmp_path, "second") == ("first", 2)
    (tmp_path / FILE_NAME).write_bytes(older)
    assert await start(tmp_path, "set back") == ("set back", 3)
    assert await start(tmp_path, "later") == ("set back", 4)
    assert "was set back to an older state" in caplog.text


@pytest.mark.parametrize(
    "rubbish", [b"", b"many", b"-5", b"9" * 1000, b"\xff\x00", "\u0663".encode()]
)
async def test_what_is_no_number_of_starts_says_nothing(tmp_path: Path, rubbish: bytes) -> None:
    assert await start(tmp_path, "first") == ("first", 1)
    (tmp_path / "starts").write_bytes(rubbish)
    assert await start(tmp_path, "second") == ("first", 2)


async def test_where_the_number_cannot_be_written_the_hub_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "starts").mkdir()
    assert await start(tmp_path, "first") == ("first", 1)
    assert await start(tmp_path, "second") == ("first", 2)
    assert "the number of this start is not written" in caplog.text
