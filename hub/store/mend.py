"""Mends a day file that is damaged or gone: keeps what is sound, and notes what must come again.

1. `diagnose` reads every body that hub.db promises. 2. `copy_sound` copies sound chunks, some at a
time, into a new file beside the old one, from the old one and from what was put aside before. 3.
`strike` takes the others out of the log, so that peers are asked for them, and remembers them in
`wanting` until they are back. 4. `swap` puts the new file in the place of the old one, which is renamed
and kept. Whoever reads meanwhile finds every sound chunk, and a crash at any point loses none.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hub.store.adopt import sound_chunk
from hub.store.chunk_reads import LogKey, decode_ranges
from hub.store.day_readers import body_in
from hub.store.days import DAY_MIGRATIONS, DAY_MS, DayKey, day_span_ms, path_of
from hub.store.headers import is_true
from hub.store.retire import INDEX_FOLDER
from shared.errors import Unavailable
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.sqlite import open_reader, open_writer, sync_folder
from shared.sums import Sum

PAGE_CHUNKS = 128
_BESIDE = ("-wal", "-shm", "")


@dataclass(frozen=True, slots=True)
class Promise:
    """A chunk that hub.db has a row of."""

    arrival: int
    key: LogKey
    seq: int
    received_ms: int
    header: bytes
    hash: bytes
    sum: Sum


@dataclass(slots=True)
class Diagnosis:
    """What of a page of promises is kept, and what is not."""

    sound: list[Promise] = field(default_factory=list)
    broken: list[Promise] = field(default_factory=list)
    bytes_read: int = 0


def promises(connection: sqlite3.Connection, key: DayKey, after: int, limit: int) -> list[Promise]:
    """The chunks of a day file after an arrival, in order."""
    rows = connection.execute(
        "SELECT arrival, origin, epoch, seq, received_ms, CAST(header AS BLOB),"
        " CAST(hash AS BLOB), records, stored_bytes FROM chunk"
        " WHERE signal = ? AND received_ms / 86400000 = ? AND arrival > ? ORDER BY arrival LIMIT ?",
        (key.signal, day_span_ms(key.day)[0] // DAY_MS, after, limit),
    )
    return [
        Promise(row[0], (row[1], row[2]), row[3], row[4], row[5], row[6], Sum(1, row[7], row[8]))
        for row in rows
    ]


def diagnose(path: Path, promised: Sequence[Promise]) -> Diagnosis:
    """Read the bodies of some chunks and check their hashes, and those of their headers in hub.db."""
    found = Diagnosis()
    try:
        with closing(open_reader(path)) as connection:
            for each in promised:
                body = _sound_body(connection, each)
                (found.broken if body is None else found.sound).append(each)
                found.bytes_read += len(body or b"")
    except sqlite3.Error as error:
        require_damage(error, path)
        found.broken = [each for each in promised if each not in found.sound]
    return found


_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, or the disk below it, and not the moment."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in _DAMAGE or code in _UNREADABLE


def require_damage(error: sqlite3.Error, path: Path) -> None:
    """Go on only when the file itself is at fault; raises Unavailable for bad weather.

    Too many open files, a lock or no memory pass; what was taken out of the log for them would be lost
    where no other hub has it. SQLITE_ERROR is a table that is missing, as in an empty file.
    """
    if path.exists() and not is_damage(error):
        raise Unavailable(f"{path.name} cannot be read now: {error}", 5.0) from error


def _sound_body(connection: sqlite3.Connection, promised: Promise) -> bytes | None:
    try:
        body = body_in(connection, promised.arrival)
    except sqlite3.Error as error:
        if is_damage(error):
            return None
        raise
    if body is None or not is_true(promised.header, promised.hash):
        return None
    return body if sound_chunk(promised.header, body) is not None else None


def begin_copy(folder: Path, key: DayKey) -> sqlite3.Connection:
    """A new file for the sound chunks of a day; one that a crash left is begun again."""
    path = _mended(path_of(folder, key.day, key.signal))
    for beside in _BESIDE:
        path.with_name(path.name + beside).unlink(missing_ok=True)
    return open_writer(path, DAY_MIGRATIONS, "FULL")


def _mended(path: Path) -> Path:
    return path.with_name(f"{path.name}.mended")


def sources(folder: Path, key: DayKey) -> list[Path]:
    """Where sound chunks may be found: the file of the day, then what was put aside, newest first."""
    path = path_of(folder, key.day, key.signal)
    asides = path.parent.glob(f"{path.name}.damaged-*")
    numbered = [each for each in asides if each.suffix.rpartition("-")[2].isdecimal()]
    numbered.sort(key=lambda each: -int(each.suffix.rpartition("-")[2]))
    return [path, *numbered]  # The first one also when it is gone: new chunks make it again.


def copy_sound(
    places: Sequence[Path], promised: Sequence[Promise], target: sqlite3.Connection
) -> Diagnosis:
    """Copy what is sound into the new file; returns what is there, and what is broken everywhere."""
    found = Diagnosis(broken=list(promised))
    for place in places:
        if found.broken:
            here = diagnose(place, found.broken)
            _copy(place, here.sound, target)
            found.sound += here.sound
            found.broken = here.broken
    return found


def _copy(place: Path, sound: Sequence[Promise], target: sqlite3.Connection) -> None:
    if not sound:
        return
    with closing(open_reader(place)) as connection:
        rows = (
            (each.arrival, each.received_ms, each.header, body_in(connection, each.arrival))
            for each in sound
        )
        target.execute("BEGIN")
        target.executemany("INSERT OR REPLACE INTO body VALUES (?, ?, ?, ?)", rows)
        target.execute("COMMIT")


def swap(folder: Path, key: DayKey) -> None:
    """Put the new file, which is closed by now, in the place of the old one; raises OSError.

    In the writer's turn only: nobody may put chunks into the old file any more.
    """
    path, number = path_of(folder, key.day, key.signal), 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for beside in _BESIDE:
        source = path.with_name(path.name + beside)
        if source.exists():
            source.rename(aside.with_name(aside.name + beside))
    _mended(path).rename(path)
    sync_folder(path.parent)


def strike(
    connection: sqlite3.Connection, key: DayKey, broken: Sequence[Promise], at_ms: int
) -> dict[LogKey, Ranges]:
    """Take lost chunks out of the log and remember that they are wanting; returns them by log."""
    struck: dict[LogKey, Ranges] = {}
    for log_key, of_log in _by_log(broken).items():
        seqs = struck[log_key] = of_seqs(each.seq for each in of_log)
        _subtract(connection, log_key, key.signal, seqs, sum((each.sum for each in of_log), Sum()))
        _note_wanting(connection, log_key, key, seqs, at_ms)
    connection.executemany(
        "DELETE FROM chunk WHERE arrival = ?", ((each.arrival,) for each in broken)
    )
    return struck


def _by_log(broken: Iterable[Promise]) -> dict[LogKey, list[Promise]]:
    grouped: dict[LogKey, list[Promise]] = {}
    for each in broken:
        grouped.setdefault(each.key, []).append(each)
    return grouped


def _subtract(
    connection: sqlite3.Connection, key: LogKey, signal: str, seqs: Ranges, gone: Sum
) -> None:
    connection.execute(
        "UPDATE held SET chunks = chunks - ?, records = records - ?,"
        " stored_bytes = stored_bytes - ? WHERE origin = ? AND epoch = ? AND signal = ?",
        (gone.chunks, gone.records, gone.stored_bytes, *key, signal),
    )
    query = "SELECT ranges FROM received WHERE origin = ? AND epoch = ?"
    received = decode_ranges(connection.execute(query, key).fetchone()[0])
    connection.execute(
        "UPDATE received SET ranges = ?, records = records - ?, stored_bytes = stored_bytes - ?"
        " WHERE origin = ? AND epoch = ?",
        (_packed(received - seqs), gone.records, gone.stored_bytes, *key),
    )


def _packed(ranges: Ranges) -> bytes:
    return msgspec.msgpack.encode(ranges.to_wire())


def _note_wanting(
    connection: sqlite3.Connection, log_key: LogKey, key: DayKey, seqs: Ranges, at_ms: int
) -> None:
    place = (*log_key, key.day, key.signal)
    row = connection.execute(
        "SELECT ranges FROM wanting WHERE origin = ? AND epoch = ? AND day = ? AND signal = ?",
        place,
    ).fetchone()
    known = decode_ranges(row[0]) if row else NOTHING
    connection.execute(
        "INSERT OR REPLACE INTO wanting VALUES (?, ?, ?, ?, ?, ?)",
        (*place, _packed(known | seqs), at_ms),
    )


def first_fault(path: Path, newest_arrival: int) -> str:
    """Why a day file cannot be used, as far as a glance tells; empty when it looks right."""
    if not path.exists():
        return "the file is gone"
    try:
        with closing(open_reader(path)) as connection:
            (last,) = connection.execute("SELECT max(arrival) FROM body").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if (last or 0) >= newest_arrival else "its last chunks are missing"


@dataclass(frozen=True, slots=True)
class Wanting:
    """What of one log was lost from one day file."""

    log_key: LogKey
    key: DayKey
    seqs: Ranges
    at_ms: int


def wanting(connection: sqlite3.Connection) -> list[Wanting]:
    """Everything that has not come back yet."""
    rows = connection.execute("SELECT origin, epoch, day, signal, ranges, at_ms FROM wanting")
    return [
        Wanting((row[0], row[1]), DayKey(row[2], row[3]), decode_ranges(row[4]), row[5])
        for row in rows
    ]


def settle(
    connection: sqlite3.Connection, known: Sequence[Wanting], have: Callable[[LogKey], Ranges]
) -> list[Wanting]:
    """Forget what came back; returns what is wanting still."""
    left: list[Wanting] = []
    for each in known:
        seqs = each.seqs - have(each.log_key)
        place = (*each.log_key, each.key.day, each.key.signal)
        where = "WHERE origin = ? AND epoch = ? AND day = ? AND signal = ?"
        if not seqs:
            connection.execute(f"DELETE FROM wanting {where}", place)  # noqa: S608
            continue
        if seqs != each.seqs:
            values = (_packed(seqs), *place)
            connection.execute(f"UPDATE wanting SET ranges = ? {where}", values)  # noqa: S608
        left.append(Wanting(each.log_key, each.key, seqs, each.at_ms))
    return left


def remove_index(folder: Path, key: DayKey) -> None:
    """Delete the index of a day file whose chunks are no longer the same; it is made again."""
    index = folder / INDEX_FOLDER / key.file_name
    for beside in ("-wal", "-shm", ""):
        index.with_name(index.name + beside).unlink(missing_ok=True)
