"""A store that was copied begins a new life; one that was only stopped goes on."""

import shutil
from pathlib import Path

import pytest

from hub.store.files import open_files
from hub.store.hub_table import store_life


async def life_of(folder: Path, fresh: str) -> str:
    """What a start makes of the store in a folder."""
    files = open_files(folder, "FULL", threads=False)
    try:
        inode = files.inode
        return await files.database.write(lambda db: store_life(db, inode, fresh))
    finally:
        files.close()


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
