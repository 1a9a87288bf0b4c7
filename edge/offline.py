"""Reading the buffer of an edge from its folder, with nothing changed in it.

A file that was closed in peace is read as it lies. One that still has a write-ahead log is copied and
read in a temporary folder, since SQLite would write beside it; only while the agent runs it is read in
place, as one more reader among the agent's own.
"""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge import chunk_table
from edge.books import Books
from edge.buffer import FIRST_LAYOUT_NAME, FOLDER_NAME
from edge.identity import FILE_NAME as IDENTITY_NAME
from edge.identity import Identity
from edge.segments import numbers_in, path_of
from shared import pidfile
from shared.errors import BadInput, Unavailable
from shared.sqlite import check_quickly, open_reader

UNREADABLE = (sqlite3.Error, msgspec.MsgspecError, FileNotFoundError, UnicodeDecodeError)
"""What reading a file raises that is damaged, or gone."""

HUB_FILES = ("hub.json", "admin.token")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of an edge, and the process id of the agent that runs there."""

    folder: Path
    agent_pid: int | None = None

    @property
    def buffer(self) -> Path:
        """Where the files of the log lie."""
        return self.folder / FOLDER_NAME

    @property
    def node_id(self) -> str | None:
        """The name of the node, as far as the folder tells."""
        try:
            found = msgspec.json.decode((self.folder / IDENTITY_NAME).read_bytes(), type=Identity)
        except (OSError, msgspec.MsgspecError):
            return None
        return found.node_id


def find_place(given: Path) -> Place:
    """The edge in a folder, or in the folder `edge` below it; raises BadInput with the reason."""
    try:
        return _find_place(given)
    except OSError as error:
        raise BadInput(f"{given} cannot be read: {error.strerror}") from error


def _find_place(given: Path) -> Place:
    if not given.is_dir():
        raise BadInput(f"there is no folder {given}: name the folder of an edge with --data")
    folder = _edge_in(given)
    if (folder / FIRST_LAYOUT_NAME).exists():
        raise BadInput(
            f"{folder / FIRST_LAYOUT_NAME} was written by version 0.1, which this version does not "
            "read: drain it with that version, then remove the file"
        )
    if not (folder / FOLDER_NAME).is_dir():
        raise BadInput(_why_not(given))
    if not os.access(folder / FOLDER_NAME, os.R_OK | os.X_OK):
        raise BadInput(f"{folder / FOLDER_NAME} cannot be read: do this as the user of the edge")
    process = pidfile.running(folder / pidfile.NAME)
    return Place(folder, process.pid if process else None)


def _edge_in(given: Path) -> Path:
    if _is_edge(given):
        return given
    if _is_edge(given / "edge"):
        return given / "edge"
    found = [each for each in sorted(given.glob("edge*")) if _is_edge(each)]
    if len(found) > 1:
        names = ", ".join(str(each) for each in found)
        raise BadInput(f"{given} holds several edges: name one of {names} with --data")
    return found[0] if found else given


def _is_edge(folder: Path) -> bool:
    return (folder / FOLDER_NAME).is_dir() or (folder / FIRST_LAYOUT_NAME).exists()


def _why_not(given: Path) -> str:
    if any((given / name).exists() for name in HUB_FILES):
        return f"{given} is the folder of a hub: only edges have a buffer"
    if given.name == FOLDER_NAME and numbers_in(given):
        return f"{given} is the buffer itself: name the folder around it, {given.parent}"
    return f"{given} is not the folder of an edge: there is no folder {FOLDER_NAME} in it"


@contextmanager
def reading(place: Place, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that changes nothing; raises what is in UNREADABLE, or Unavailable.

    Unavailable means that this user may not read the file, or that there is no room for a copy.
    """
    _try_to_open(path)
    log_path = _beside(path, "-wal")
    if place.agent_pid is not None and log_path.exists():
        with closing(open_reader(path)) as connection:
            yield connection
    elif log_path.exists() and log_path.stat().st_size:
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            copy = _copy(path, Path(folder))
            with closing(open_reader(copy)) as connection:
                yield connection
    else:
        with closing(open_reader(path, immutable=True)) as connection:
            yield connection


def _try_to_open(path: Path) -> None:
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened: {error.strerror}", 0) from error


def _copy(path: Path, folder: Path) -> Path:
    try:
        for name in (path, _beside(path, "-wal")):
            shutil.copyfile(name, folder / name.name)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable(f"there is no room in {folder} for a copy of {path}", 0) from error
        raise sqlite3.OperationalError(f"{path.name} cannot be read: {error.strerror}") from error
    return folder / path.name


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that cannot be read, and why."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the newest file that can be read tells of the log, and the newer files that cannot.

    `empty` files hold no state: they were just being begun when the agent died, unless the file
    before them says that they were finished, which is when there is a `successor`.
    """

    place: Place
    books: Books | None
    unread: tuple[Unread, ...] = ()
    empty: tuple[int, ...] = ()
    successor: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the newest file that was ever finished can be read."""
        return self.books is not None and not self.unread and self.successor is None


def survey(place: Place) -> Survey:
    """Look at the folder as the agent does when it starts. Raises Unavailable."""
    unread: list[Unread] = []
    empty: list[int] = []
    for number in reversed(numbers_in(place.buffer)):
        try:
            with reading(place, path_of(place.buffer, number)) as connection:
                books, successor = _state(connection)
        except UNREADABLE as error:
            unread.append(Unread(number, str(error)))
            continue
        if books is not None and books.active.number == number:
            return Survey(place, books, tuple(unread), tuple(empty), successor)
        empty.append(number)
    return Survey(place, None, tuple(unread), tuple(empty))


def _state(connection: sqlite3.Connection) -> tuple[Books | None, int | None]:
    check_quickly(connection)
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None, None  # The agent died before the first table was there.
    return chunk_table.load_books(connection), chunk_table.successor(connection)
