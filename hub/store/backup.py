"""Copies the store of a hub, also while it runs, and brings a copy back.

hub.db is copied before the day files: what it promises was committed before it, so the copy holds
every body that it counts on. A restored store begins a new life (`store_epoch`): peers then read it
from its start, and the hub's own log goes on under a name that the old life did not use.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hub.store.days import FOLDER, keys_in
from hub.store.files import FILE_NAME
from hub.store.lead_table import doubt_ballot
from shared.errors import BadInput, Refused
from shared.sqlite import check_quickly, open_reader, sync_folder

MANIFEST = "backup.json"
FORMAT = 1
SECRETS = ("admin.token", "cluster.key")
_PAGES_A_TIME = 2048
_READ_BYTES = 1 << 20

Tell = Callable[[str, int, int], None]
"""Called with the file that is copied now, and how many of how many bytes of all files are done."""


class CopiedFile(msgspec.Struct, frozen=True):
    """One file of a backup, by its path within."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a whole backup consists of. It is written last: without it a backup is not whole."""

    format: int
    made_ms: int
    chunks: int
    records: int
    files: list[CopiedFile]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


def back_up(store: Path, target: Path, made_ms: int, tell: Tell) -> Manifest:
    """Copy the store in a hub's folder to a new folder; durable on return.

    Raises BadInput when there is no store or the target is not empty, sqlite3.Error or OSError when a
    file cannot be copied; what was copied until then stays there, without a manifest.
    """
    if not (store / FILE_NAME).exists():
        raise BadInput(f"there is no {FILE_NAME} in {store}: name the data folder of a hub")
    _begin(target)
    names = [FILE_NAME, *(f"{FOLDER}/{key.file_name}" for key in keys_in(store))]
    sizes = {name: _size(store / name) for name in names}
    done = 0
    for name in names:
        tell(name, done, sum(sizes.values()))
        if (store / name).exists():  # Retention may have dropped it since it was listed.
            _copy_database(store / name, target / name)
        done += sizes[name]
    for name in SECRETS:
        if (store / name).exists():
            shutil.copyfile(store / name, target / name)
            (target / name).chmod(0o600)
    return _write_manifest(target, made_ms)


def _begin(target: Path) -> None:
    if target.exists() and any(target.iterdir()):
        raise BadInput(f"{target} is not empty: name a folder that is not there yet")
    (target / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    target.chmod(0o700)  # It holds the hub's token, and what edges said.


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy_database(source: Path, target: Path) -> None:
    """A copy of one moment, while others write on; without a write-ahead log beside it."""
    with closing(open_reader(source)) as reader, closing(sqlite3.connect(target)) as writer:
        reader.backup(writer, pages=_PAGES_A_TIME)
        writer.execute("PRAGMA journal_mode=DELETE")
    target.chmod(0o600)


def _write_manifest(target: Path, made_ms: int) -> Manifest:
    with closing(open_reader(target / FILE_NAME)) as connection:
        query = "SELECT count(*), coalesce(sum(records), 0) FROM chunk"
        chunks, records = connection.execute(query).fetchone()
    files = [_described(target, path) for path in _files_in(target)]
    manifest = Manifest(FORMAT, made_ms, chunks, records, files)
    part = target / f"{MANIFEST}.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    for path in (*_files_in(target), part):
        _sync(path)
    part.rename(target / MANIFEST)
    sync_folder(target / FOLDER)
    sync_folder(target)
    return manifest


def _files_in(folder: Path) -> Iterator[Path]:
    beside = {MANIFEST, f"{MANIFEST}.part"}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in beside:
            yield path


def _described(target: Path, path: Path) -> CopiedFile:
    return CopiedFile(str(path.relative_to(target)), path.stat().st_size, _digest(path))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back."""

    manifest: Manifest
    files: int


def read_manifest(backup: Path) -> Manifest:
    """What a backup says of itself; raises BadInput when it is none, or not whole."""
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        text = f"{backup} has no {MANIFEST}: it is no backup, or one that was not finished"
        raise BadInput(text) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"{backup / MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BadInput(f"the backup has format {manifest.format}; this version reads {FORMAT}")
    for file in manifest.files:
        if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
            raise BadInput(f"the backup names a file outside of itself: {file.path[:100]}")
    return manifest


def verify(backup: Path, tell: Tell) -> Manifest:
    """Read every byte of a backup; raises BadInput with the first file that is not as it was."""
    manifest, done = read_manifest(backup), 0
    for file in manifest.files:
        tell(file.path, done, manifest.size_bytes)
        path = backup / file.path
        if not path.is_file():
            raise BadInput(f"{file.path} is missing in the backup")
        if _digest(path) != file.sha256:
            raise BadInput(f"{file.path} is not as it was when the backup was made")
        done += file.size_bytes
    return manifest


def restore(backup: Path, store: Path, now_ms: int, tell: Tell) -> Restored:
    """Bring a verified backup back into an empty data folder; durable on return.

    Raises Refused when the folder holds a store already, BadInput when the backup is not sound.
    """
    if (store / FILE_NAME).exists() or any((store / FOLDER).glob("*")):
        raise Refused(f"{store} holds a store already: move it away, or name another folder")
    manifest = verify(backup, tell)
    (store / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    # hub.db comes last: a folder without it is one that was not finished.
    names = sorted((file.path for file in manifest.files), key=lambda name: name == FILE_NAME)
    for name in names:
        if name not in SECRETS or not (store / name).exists():
            part = store / f"{name}.part"
            shutil.copyfile(backup / name, part)
            part.chmod(0o600)
            if name == FILE_NAME:
                _begin_new_life(part, now_ms)
            _sync(part)
            part.rename(store / name)
    sync_folder(store / FOLDER)
    sync_folder(store)
    return Restored(manifest, len(names))


def _begin_new_life(database: Path, now_ms: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        check_quickly(connection)
        connection.execute("DELETE FROM meta WHERE key = 'store_epoch'")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'lead_ballot'").fetchone():
            doubt_ballot(connection)
        row = connection.execute("SELECT value FROM meta WHERE key = 'stamp_ms'").fetchone()
        reached_ms = max(now_ms, int(bytes(row[0])) if row else 0)
        # The old life may have made stamps up to now: none of them may be made a second time.
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('stamp_ms', ?)", (str(reached_ms).encode(),)
        )
