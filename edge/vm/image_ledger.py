"""The book of a node's images: what is held, and what is on its way in by pieces. Blocking."""

import sqlite3
from pathlib import Path

import msgspec

from edge.vm.image_model import ImageRecord, Upload

SCHEMA = """
create table if not exists images (
    name text primary key, file text not null unique, record blob not null) without rowid;
create table if not exists uploads (
    id text primary key, touched_ms integer not null, record blob not null) without rowid;
"""


class ImageLedger:
    """One open book; use from one thread at a time. Every method raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def images(self) -> list[ImageRecord]:
        """Every image, by name."""
        rows = self._db.execute("select record from images order by name")
        return [msgspec.json.decode(row[0], type=ImageRecord) for row in rows]

    def add(self, image: ImageRecord, upload_id: str) -> None:
        """Write a new image and forget the upload that it came by, both or neither; raises
        sqlite3.IntegrityError for a name that is taken."""
        row = (image.name, image.file, msgspec.json.encode(image))
        self._db.execute("begin immediate")
        try:
            self._db.execute("insert into images values (?, ?, ?)", row)
            self._db.execute("delete from uploads where id = ?", (upload_id,))
        except sqlite3.Error:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def remove(self, name: str) -> None:
        """Forget an image."""
        self._db.execute("delete from images where name = ?", (name,))

    def uploads(self) -> list[Upload]:
        """Every upload that is not over, oldest first."""
        rows = self._db.execute("select record from uploads order by touched_ms, id")
        return [msgspec.json.decode(row[0], type=Upload) for row in rows]

    def put_upload(self, upload: Upload) -> None:
        """Write an upload, or that it went on."""
        row = (upload.id, upload.touched_ms, msgspec.json.encode(upload))
        self._db.execute("insert or replace into uploads values (?, ?, ?)", row)

    def remove_upload(self, upload_id: str) -> None:
        """Forget an upload."""
        self._db.execute("delete from uploads where id = ?", (upload_id,))
