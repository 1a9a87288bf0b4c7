"""Index files: never worth repairing, so each trouble ends in a new one, and none in a wrong one."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hub.index import files
from hub.index.files import (
    fill,
    index_path,
    opaque,
    open_for_read,
    open_for_write,
    remove_index,
    set_through,
    through,
)
from shared.errors import BadInput, Unavailable
from shared.records import ChunkHeader, Encoding
from tests.unit.index.log_stock import header

HEADER = header(1, Encoding.PROTO)


class NoteIndexer:
    """Notes each body twice; trips over some of them between the two."""

    def __init__(self) -> None:
        self.calls = 0

    def tables(self) -> Sequence[str]:
        return ("CREATE TABLE note (arrival INTEGER, body BLOB)",)

    def add(
        self, connection: sqlite3.Connection, arrival: int, header: ChunkHeader, body: bytes
    ) -> None:
        self.calls += 1
        connection.execute("INSERT INTO note VALUES (?, ?)", (arrival, body))
        if body == b"bad":
            raise BadInput("not a body")
        if body == b"bug":
            raise RuntimeError("a mistake of ours")
        connection.execute("INSERT INTO note VALUES (?, ?)", (arrival, body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return index_path(tmp_path, "2026-11-21", "logs")


@contextlib.contextmanager
def writing(path: Path, identity: str = "store") -> Iterator[sqlite3.Connection]:
    """An index that is open for writing, and closed afterwards."""
    tables = NoteIndexer().tables()
    with contextlib.closing(open_for_write(path, tables, identity)) as connection:
        yield connection


def notes(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT arrival FROM note ORDER BY rowid")]


def made(path: Path) -> None:
    """An index with two chunks in it."""
    with writing(path) as connection:
        fill(connection, NoteIndexer(), [(3, HEADER, b"a"), (7, HEADER, b"b")])


def test_each_day_and_signal_has_an_index_of_its_own(tmp_path: Path) -> None:
    """In a folder of which nothing need be kept."""
    assert index_path(tmp_path, "2026-11-21", "logs") == tmp_path / "index/2026-11-21.logs.db"


def test_a_new_index_covers_nothing(path: Path) -> None:
    """Its folder is made with it."""
    with writing(path) as connection:
        assert through(connection) == 0
        assert opaque(connection) == set()


def test_an_index_goes_on_where_it_was_closed(path: Path) -> None:
    """What is in it is not indexed again."""
    made(path)
    indexer = NoteIndexer()
    with writing(path) as connection:
        assert through(connection) == 7
        assert fill(connection, indexer, [(7, HEADER, b"b"), (9, HEADER, b"c")]) == 9
        assert notes(connection) == [3, 3, 7, 7, 9, 9]
    assert indexer.calls == 1


def test_progress_can_be_noted_without_a_chunk(path: Path) -> None:
    """For arrivals that another file has."""
    with writing(path) as connection:
        set_through(connection, 12)
        assert fill(connection, NoteIndexer(), []) == 12


def test_chunks_that_cannot_be_read_are_opaque_and_leave_nothing_half_done(path: Path) -> None:
    """The others of the bunch are indexed all the same."""
    bunch = [(1, HEADER, b"a"), (2, HEADER, b"bad"), (4, HEADER, None), (5, HEADER, b"b")]
    with writing(path) as connection:
        assert fill(connection, NoteIndexer(), bunch) == 5
        assert notes(connection) == [1, 1, 5, 5]
        assert opaque(connection) == {2, 4}


def test_a_bunch_is_in_the_index_in_whole_or_not_at_all(path: Path) -> None:
    """Whatever ends it early."""
    made(path)
    with writing(path) as connection:
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            fill(connection, NoteIndexer(), [(8, HEADER, b"a"), (9, HEADER, b"bug")])
        assert notes(connection) == [3, 3, 7, 7]
        assert through(connection) == 7


def test_a_killed_writer_leaves_what_it_had_committed(path: Path, tmp_path: Path) -> None:
    """The files as they are in the middle of a bunch, opened by the next writer."""
    left = index_path(tmp_path / "left", "2026-11-21", "logs")

    class CopyingIndexer(NoteIndexer):
        def add(
            self, connection: sqlite3.Connection, arrival: int, header: ChunkHeader, body: bytes
        ) -> None:
            super().add(connection, arrival, header, body)
            shutil.copytree(path.parent, left.parent, dirs_exist_ok=True)

    with writing(path) as connection:
        fill(connection, NoteIndexer(), [(3, HEADER, b"a")])
        fill(connection, CopyingIndexer(), [(4, HEADER, b"b"), (5, HEADER, b"c")])
    with writing(left) as connection:
        assert through(connection) == 3
        assert notes(connection) == [3, 3]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 + 100])


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_a_page(path: Path) -> None:
    """The one that says what the index is made of."""
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, overwrite, empty, spoil_a_page])
def test_a_damaged_index_is_not_read_and_begun_again(
    path: Path, damage: Callable[[Path], None]
) -> None:
    """The chunks have all that it had."""
    made(path)
    damage(path)
    assert open_for_read(path, "store") is None
    with writing(path) as connection:
        assert through(connection) == 0
        assert notes(connection) == []


def test_an_index_of_another_store_is_begun_again(path: Path) -> None:
    """Its numbers are of other chunks."""
    made(path)
    assert open_for_read(path, "other") is None
    with writing(path, "other") as connection:
        assert through(connection) == 0


def test_an_index_of_another_version_is_begun_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older and newer ones alike: making it anew is safer than knowing every version."""
    made(path)
    monkeypatch.setattr(files, "FORMAT", files.FORMAT + 1)
    assert open_for_read(path, "store") is None
    with writing(path) as connection:
        assert through(connection) == 0


def test_an_index_with_other_tables_is_begun_again(path: Path) -> None:
    """A change of the tables alone is enough."""
    made(path)
    tables = ("CREATE TABLE other (arrival INTEGER)",)
    with contextlib.closing(open_for_write(path, tables, "store")) as connection:
        assert through(connection) == 0


def test_a_file_of_somebody_else_is_begun_again(path: Path) -> None:
    """A database all right, but no index."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE meta (something TEXT)")
    assert open_for_read(path, "store") is None
    with writing(path) as connection:
        assert through(connection) == 0


def test_there_may_be_no_index_to_read(path: Path) -> None:
    """And reading makes none."""
    assert open_for_read(path, "store") is None
    assert not path.exists()


def test_an_index_can_be_read_while_it_is_written(path: Path) -> None:
    """A reader sees what is committed, each time that it begins."""
    made(path)
    with writing(path) as connection:
        reading = open_for_read(path, "store")
        assert reading is not None
        with contextlib.closing(reading):
            assert through(reading) == 7
            fill(connection, NoteIndexer(), [(9, HEADER, b"c")])
            assert through(reading) == 9
            with pytest.raises(sqlite3.OperationalError):
                set_through(reading, 10)


def test_a_removed_index_leaves_no_file_and_no_trouble(path: Path) -> None:
    """Neither to a reader that had it open, nor to the next writer."""
    made(path)
    reading = open_for_read(path, "store")
    assert reading is not None
    with contextlib.closing(reading), writing(path) as connection:
        fill(connection, NoteIndexer(), [(9, HEADER, b"c")])
        remove_index(path)
        remove_index(path)
        assert list(path.parent.iterdir()) == []
        assert through(reading) == 9
    with writing(path) as connection:
        assert through(connection) == 0


def test_damage_that_shows_while_writing_is_told_apart_from_bad_chunks(path: Path) -> None:
    """The caller removes the file; a chunk is not made opaque by it."""

    class DamagedIndexer(NoteIndexer):
        def add(
            self, connection: sqlite3.Connection, arrival: int, header: ChunkHeader, body: bytes
        ) -> None:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    with writing(path) as connection:
        with pytest.raises(BadInput, match="the index is damaged"):
            fill(connection, DamagedIndexer(), [(1, HEADER, b"a")])
        assert through(connection) == 0
        assert opaque(connection) == set()


def test_a_full_disk_is_bad_weather(path: Path) -> None:
    """The same bunch is tried again later."""
    with writing(path) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(Unavailable, match="cannot be written now"):
            fill(connection, NoteIndexer(), [(1, HEADER, bytes(100_000))])
        connection.execute(f"PRAGMA max_page_count={pages + 1000}")
        assert fill(connection, NoteIndexer(), [(1, HEADER, bytes(100_000))]) == 1


def test_a_second_writer_waits_for_its_turn_and_is_then_refused(path: Path) -> None:
    """Locks are no damage: the file stays."""
    made(path)
    with writing(path) as first, writing(path) as second:
        second.execute("PRAGMA busy_timeout=0")
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            fill(second, NoteIndexer(), [(9, HEADER, b"c")])
        first.execute("ROLLBACK")
        assert through(second) == 7
