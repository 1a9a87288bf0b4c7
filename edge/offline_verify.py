"""Reading every byte of a buffer's folder, and saying precisely what is not as it was written."""

import contextlib
import sqlite3

from edge import chunk_rows, chunk_table
from edge.books import Books, Segment
from edge.offline import UNREADABLE, Place, Survey, reading, survey
from edge.offline_letters import why_unsound
from edge.offline_plan import Broken, Facts, FileHealth, Health
from edge.offline_wal import frames_passed_over
from edge.salvage import DAMAGED_SUFFIX
from edge.segments import SUFFIX, numbers_in, path_of
from shared.codec import decompress
from shared.errors import BadInput, TooLarge
from shared.ranges import Ranges
from shared.records import MIB, Chunk
from shared.sqlite import check_quickly

RAW_BYTES_MAX = 72 * MIB
"""The largest body that a chunk may have, once decompressed, and some room."""

Fault = tuple[str, str]


def verify(place: Place) -> Health:
    """The health of a folder, from every byte in it. Raises Unavailable.

    Beside a running agent a file may change while it is read: what looks wrong is then read again.
    """
    health = _verify_once(place)
    if health.findings and place.agent_pid is not None:
        health = _verify_once(place)
    return health


def _verify_once(place: Place) -> Health:
    surveyed = survey(place)
    books = surveyed.books
    gone = _removed(surveyed)
    segments = books.segments if books else ()
    files = tuple(_examine(place, each) for each in segments if each.number not in gone)
    return Health(
        books,
        files,
        tuple(_broken(surveyed)),
        why_unsound(place, is_expected=books is not None and books.totals.head_seq > 0),
        sum(len(file.chunks) for file in files),
        sum(facts.sum.stored_bytes for file in files for facts in file.chunks.values()),
        tuple(_notes(surveyed, gone)),
    )


def _removed(surveyed: Survey) -> frozenset[int]:
    """Files that older books name and that are not there: only what was emptied is removed."""
    if surveyed.is_whole or surveyed.books is None:
        return frozenset()
    there = set(numbers_in(surveyed.place.buffer))
    return frozenset(each.number for each in surveyed.books.segments if each.number not in there)


def _examine(place: Place, segment: Segment) -> FileHealth:
    path = path_of(place.buffer, segment.number)
    faults: list[Fault] = []
    chunks: dict[int, Facts] = {}
    try:
        with reading(place, path) as connection:
            try:
                check_quickly(connection)
            except sqlite3.Error as error:
                faults.append(("pages", f"SQLite finds the file damaged: {error}"))
            _examine_rows(connection, segment.live, chunks, faults)
    except FileNotFoundError:
        return FileHealth(segment, path.name, {}, is_there=False)
    except UNREADABLE as error:
        faults.append(("unreadable", f"the file cannot be read: {error}"))
    return FileHealth(segment, path.name, chunks, tuple(faults))


def _examine_rows(
    connection: sqlite3.Connection, live: Ranges, chunks: dict[int, Facts], faults: list[Fault]
) -> None:
    for seq in live:
        chunk = chunk_rows.sound_at(connection, seq)
        if chunk is None:
            continue
        chunks[seq] = _facts(chunk)
        told = (("body", _body_fault(chunk)), ("row", _row_fault(connection, chunk)))
        faults.extend((kind, f"chunk {seq}: {text}") for kind, text in told if text)


def _facts(chunk: Chunk) -> Facts:
    entry, header = chunk_table.entry_of(chunk.header), chunk.header
    return Facts(header.epoch, entry.signal, entry.sum, chunk.hash, header.previous_hash)


def _body_fault(chunk: Chunk) -> str:
    try:
        raw_bytes = len(decompress(chunk.body, RAW_BYTES_MAX))
    except (BadInput, TooLarge) as error:
        return str(error)
    if raw_bytes != chunk.header.raw_bytes:
        return f"the body has {raw_bytes} bytes, and the header says {chunk.header.raw_bytes}"
    return ""


def _row_fault(connection: sqlite3.Connection, chunk: Chunk) -> str:
    seq = chunk.header.seq
    try:
        rows = chunk_rows.rows_of(connection, Ranges(((seq, seq),)))
    except sqlite3.Error as error:
        return str(error)
    entry = chunk_table.entry_of(chunk.header)
    expected = chunk_rows.Row(
        entry.seq, entry.signal, entry.records, entry.stored_bytes, entry.created_ms
    )
    return "" if rows == [expected] else "the columns of its row contradict its header"


def _broken(surveyed: Survey) -> list[Broken]:
    place, found = surveyed.place, []
    for unread in reversed(surveyed.unread):
        path = path_of(place.buffer, unread.number)
        why = f"the file cannot be read: {unread.why}"
        found.append(Broken(unread.number, path.name, why))
    if not found and surveyed.successor is not None:
        name = path_of(place.buffer, surveyed.successor).name
        why = "the newest file of the log is gone or empty, with what was written to it"
        found.append(Broken(surveyed.successor, name, why, is_there=False))
    return found


def _notes(surveyed: Survey, gone: frozenset[int]) -> list[str]:
    notes = [
        f"{_name(number)} is not there: it was emptied and removed after the books that can be read "
        "were written, or it is lost; a repair takes it for emptied"
        for number in sorted(gone)
    ]
    notes += [f"{_name(number)} was only just begun" for number in surveyed.empty]
    if surveyed.books is not None:
        notes += [f"{_name(each)} is emptied and not removed yet" for each in _strays(surveyed)]
    notes += _passed_over(surveyed)
    aside = sorted(surveyed.place.buffer.glob(f"*{DAMAGED_SUFFIX}"))
    return notes + [f"{path.name} was set aside after earlier damage" for path in aside]


def _passed_over(surveyed: Survey) -> list[str]:
    notes: list[str] = []
    place = surveyed.place
    if place.agent_pid is not None:
        return notes  # What is being committed just now looks the same.
    for number in numbers_in(place.buffer):
        with contextlib.suppress(sqlite3.Error, OSError):  # Which is a finding of its own.
            frames = frames_passed_over(path_of(place.buffer, number))
            if frames:
                notes.append(
                    f"{_name(number)}-wal ends in {frames} pages or more that were not committed "
                    "when the agent ended, or are damaged: nothing tells which"
                )
    return notes


def _strays(surveyed: Survey) -> list[int]:
    newer = {*surveyed.empty, *(unread.number for unread in surveyed.unread)}
    known = newer | _numbers(surveyed.books)
    return [number for number in numbers_in(surveyed.place.buffer) if number not in known]


def _numbers(books: Books | None) -> set[int]:
    return {segment.number for segment in books.segments} if books else set()


def _name(number: int) -> str:
    return f"{number:08d}{SUFFIX}"
