"""A backup is whole or none, every byte of it is checked, and a restored store begins a new life."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.store import backup as copies
from hub.store.chunks import ChunkStore
from hub.store.hub_table import meta
from shared.errors import BadInput, Refused
from tests.hub_files import chunks_in, day_files
from tests.unit.hub.test_day_files import DAY_MS, KEY, T0, chain, opened

CHUNKS = chain(6)
MADE_MS = T0 + 5_000
LATER_MS = T0 + DAY_MS


def tell(name: str, done_bytes: int, all_bytes: int) -> None:
    assert 0 <= done_bytes <= all_bytes, name


async def filled(folder: Path) -> ChunkStore:
    store = await opened(folder)
    await store.keep(CHUNKS, "hub-2", [T0 + seq * DAY_MS // 2 for seq in range(6)])
    return store


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A backup of a hub that runs."""
    store = await filled(tmp_path / "hub")
    (tmp_path / "hub" / "admin.token").write_text("secret")
    copies.back_up(tmp_path / "hub", tmp_path / "backup", MADE_MS, tell)
    store.files.close()
    return tmp_path / "backup"


def test_a_backup_of_a_running_hub_holds_every_chunk(backup: Path, tmp_path: Path) -> None:
    assert list(chunks_in(backup)) == list(chunks_in(tmp_path / "hub"))
    manifest = copies.verify(backup, tell)
    assert (manifest.chunks, manifest.made_ms, len(manifest.files)) == (6, MADE_MS, 6)
    secrets = [*day_files(backup), backup / "hub.db", backup / "admin.token"]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert backup.stat().st_mode & 0o777 == 0o700


async def test_what_is_restored_is_what_was_copied(backup: Path, tmp_path: Path) -> None:
    copies.restore(backup, tmp_path / "new", LATER_MS, tell)
    store = await opened(tmp_path / "new")
    assert list(store.have(KEY)) == [1, 2, 3, 4, 5, 6]
    assert list(chunks_in(tmp_path / "new")) == list(chunks_in(tmp_path / "hub"))
    (outcome,) = await store.keep(chain(7)[6:], "hub-2")
    assert outcome.held
    store.files.close()


async def test_a_restored_store_is_another_life(backup: Path, tmp_path: Path) -> None:
    """Peers must read it from its start, and no stamp may be made a second time."""
    before = await opened(tmp_path / "hub")
    await before.files.database.write(lambda db: meta(db, "store_epoch", "first"))
    before.files.close()
    copies.back_up(tmp_path / "hub", tmp_path / "second", MADE_MS, tell)
    copies.restore(tmp_path / "second", tmp_path / "new", LATER_MS, tell)
    store = await opened(tmp_path / "new")
    write = store.files.database.write
    assert await write(lambda db: meta(db, "store_epoch", "another")) == "another"
    assert int(await write(lambda db: meta(db, "stamp_ms", "0"))) == LATER_MS
    store.files.close()


def test_a_folder_that_holds_a_store_is_not_written_over(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds a store already"):
        copies.restore(backup, tmp_path / "hub", LATER_MS, tell)


def test_nothing_is_copied_into_a_folder_with_something_in_it(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not empty"):
        copies.back_up(tmp_path / "hub", backup, MADE_MS, tell)


def test_a_folder_without_a_hub_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no hub\.db"):
        copies.back_up(tmp_path, tmp_path / "target", MADE_MS, tell)
    assert not (tmp_path / "target").exists()


def flip(backup: Path) -> None:
    file = day_files(backup)[0]
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)


def lose_a_day(backup: Path) -> None:
    day_files(backup)[0].unlink()


def lose_the_manifest(backup: Path) -> None:
    (backup / copies.MANIFEST).unlink()


def spoil_the_manifest(backup: Path) -> None:
    (backup / copies.MANIFEST).write_bytes(b"{")


def change_manifest(**changes: object) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        file = backup / copies.MANIFEST
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


OUTSIDE = [{"path": "../../etc/passwd", "size_bytes": 1, "sha256": ""}]
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (flip, "not as it was"),
    "a lost file": (lose_a_day, "is missing"),
    "no manifest": (lose_the_manifest, "was not finished"),
    "a manifest of garbage": (spoil_the_manifest, "cannot be read"),
    "a newer format": (change_manifest(format=9), "format 9"),
    "a path outside": (change_manifest(files=OUTSIDE), "outside of itself"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_backup_that_is_not_sound_restores_nothing(
    backup: Path, tmp_path: Path, name: str
) -> None:
    spoil, why = SPOILT[name]
    spoil(backup)
    with pytest.raises(BadInput, match=why):
        copies.restore(backup, tmp_path / "new", LATER_MS, tell)
    assert not (tmp_path / "new").exists()


def test_a_restore_that_was_cut_off_can_be_begun_again_in_another_folder_only(
    backup: Path, tmp_path: Path
) -> None:
    """Without hub.db the folder is no store, and its day files would be taken for a lost one's."""
    copies.restore(backup, tmp_path / "new", LATER_MS, tell)
    (tmp_path / "new" / "hub.db").unlink()
    with pytest.raises(Refused, match="holds a store already"):
        copies.restore(backup, tmp_path / "new", LATER_MS, tell)


def headwater(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shared.main", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


async def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    store = await filled(tmp_path / "hub")
    target, data = str(tmp_path / "backup"), str(tmp_path / "hub")
    code, said = headwater("hub", "backup", target, "--data", data)
    assert (code, "6 records in 6 chunks" in said) == (0, True), said
    store.files.close()
    code, said = headwater("hub", "restore", target, "--verify-only")
    assert (code, said.endswith("are sound\n")) == (0, True)
    code, said = headwater("hub", "restore", target, "--data", str(tmp_path / "new"))
    assert (code, "start the hub" in said) == (0, True)
    assert len(list(chunks_in(tmp_path / "new"))) == 6
    code, said = headwater("hub", "restore", target, "--data", data)
    assert code == 2
    assert "holds a store already" in said
