"""Opening the folder of a buffer, whatever is left of it.

The newest file that can be read tells what there is. Files that are newer and cannot be read lose
what was written to them alone: their sound rows are saved, the rest of the range is declared lost, and
the numbers go on far beyond, so that none is ever used twice.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edge import books as accounts
from edge import chunk_rows, chunk_table
from edge.books import Books, Segment, Totals
from edge.letters import Letters, open_letters
from edge.schema import SEGMENT_MIGRATIONS
from edge.segments import SegmentFiles, begin_file, numbers_in, path_of, remove_file, settle_wal
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.records import GENESIS_HASH, Checkpoint, Chunk
from shared.sqlite import check_quickly, open_reader, open_writer, sync_folder
from shared.sums import Sum

log = logging.getLogger(__name__)

SEQS_SKIPPED = 2**20
"""More chunks than one file can hold: numbers that a lost file may have used are never used again."""

DAMAGED_SUFFIX = ".damaged"
UNREADABLE = (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Opened:
    """The state of a folder, the file to go on with, and what was found broken."""

    books: Books
    findings: tuple[str, ...] = ()
    lost: Ranges = NOTHING
    """Numbers that may have been used and are gone; to be declared."""


@dataclass(frozen=True, slots=True)
class _Survey:
    """The newest state that can be read, and the newer files that cannot.

    `empty` files hold no state. They were just being begun when the agent died, unless the file before
    says that they were finished: then they are lost like damaged ones.
    """

    books: Books | None
    damaged: tuple[int, ...]
    empty: tuple[int, ...]
    successor: int | None = None

    @property
    def is_whole(self) -> bool:
        return not self.damaged and self.successor is None


def open_folder(folder: Path, fresh_epoch: str, synchronous: str) -> Opened:
    """Find out what the folder holds, and leave it so that the last segment can be written to.

    Raises sqlite3.Error or OSError only when nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    is_used, numbers = any(folder.iterdir()), numbers_in(folder)
    survey = _survey(folder, synchronous)
    for number in survey.empty:
        remove_file(folder, number)
    if not survey.is_whole:
        opened = _recover(folder, survey, fresh_epoch, synchronous)
    elif survey.books is not None:
        opened = Opened(survey.books)
    else:
        opened = _begin(folder, survey, fresh_epoch, synchronous)
        if is_used and not numbers:
            opened = replace(opened, findings=("no file of the log is left: a new one begins",))
    _tidy(folder, opened.books, synchronous)
    return opened


def open_files(
    folder: Path, fresh_epoch: str, synchronous: str, *, threads: bool
) -> tuple[Opened, SegmentFiles, Letters]:
    """Open the folder, its newest file for writing, and the dead letters.

    Raises sqlite3.Error or OSError when nothing can be written there.
    """
    opened = open_folder(folder, fresh_epoch, synchronous)
    files = SegmentFiles(folder, opened.books.active.number, synchronous, threads=threads)
    with contextlib.ExitStack() as undo:
        undo.callback(files.close)
        letters, findings = open_letters(
            folder, threads=threads, is_expected=opened.books.totals.head_seq > 0
        )
        undo.pop_all()
    return replace(opened, findings=(*opened.findings, *findings)), files, letters


def _survey(folder: Path, synchronous: str) -> _Survey:
    damaged: list[int] = []
    empty: list[int] = []
    for number in reversed(numbers_in(folder)):
        try:
            books, successor = _load(path_of(folder, number), synchronous)
        except UNREADABLE as error:
            log.error("buffer file %s cannot be read: %s", path_of(folder, number).name, error)
            damaged.append(number)
            continue
        if books is not None and books.active.number == number:
            return _Survey(books, tuple(damaged), tuple(empty), successor)
        empty.append(number)
    return _Survey(None, tuple(damaged), tuple(empty))


def _load(path: Path, synchronous: str) -> tuple[Books | None, int | None]:
    connection = open_writer(path, SEGMENT_MIGRATIONS, synchronous)
    try:
        check_quickly(connection)
        return chunk_table.load_books(connection), chunk_table.successor(connection)
    finally:
        connection.close()


def _begin(folder: Path, survey: _Survey, epoch: str, synchronous: str) -> Opened:
    number = max(survey.empty, default=0) + 1
    books = Books(epoch, Totals(), (Segment(number, epoch),))
    begin_file(folder, number, books, (), synchronous)
    if not survey.empty:
        return Opened(books)
    name = path_of(folder, max(survey.empty)).name
    return Opened(books, (f"{name} was empty: what it held, if anything, is lost",))


def _recover(folder: Path, survey: _Survey, fresh_epoch: str, synchronous: str) -> Opened:
    newest = max([*numbers_in(folder), *survey.damaged, *survey.empty, survey.successor or 0])
    stale = survey.books or Books(fresh_epoch, Totals(), ())
    saved, checkpoints = _saved_rows(folder, survey.damaged)
    if survey.books is None and saved:  # The rows still know whose life of the log they are of.
        stale = replace(stale, epoch=saved[-1].header.epoch)
    known, gone = _still_there(folder, stale)
    books, lost = _go_on(known, saved, newest + 1)
    checkpoints = checkpoints or _stale_checkpoints(folder, survey)
    begin_file(folder, newest + 1, books, checkpoints, synchronous, saved)
    for number in survey.damaged:
        _set_aside(folder, number)
    broken = survey.damaged or ((survey.successor or 0),)
    names = ", ".join(path_of(folder, number).name for number in broken)
    finding = f"{names} could not be read: {len(saved)} chunks of it were saved"
    findings = [finding] + [f"{gone.count} chunks were in files that are gone"] * bool(gone)
    return Opened(books, tuple(findings), lost | (gone - books.seqs))


def _still_there(folder: Path, stale: Books) -> tuple[Books, Ranges]:
    """The stale books without the files that are gone, and the numbers that were in those.

    Such a file was emptied and removed after the books were written, or is lost: nobody here can
    tell. So it is declared lost, and a hub that has its chunks will say that nothing is missing.
    """
    there = set(numbers_in(folder))
    gone = [segment for segment in stale.segments if segment.number not in there]
    totals, seqs = stale.totals, NOTHING
    for segment in gone:
        totals = accounts.booked(totals, "damaged", segment.sums)
        seqs = seqs | segment.live if segment.epoch == stale.epoch else seqs
    kept = tuple(segment for segment in stale.segments if segment.number in there)
    return replace(stale, totals=totals, segments=kept), seqs


def _go_on(stale: Books, saved: Sequence[Chunk], number: int) -> tuple[Books, Ranges]:
    books = replace(stale, segments=(*stale.segments, Segment(number, stale.epoch)))
    known = stale.totals.head_seq
    held = books.seqs
    for chunk in saved:
        entry = chunk_table.entry_of(chunk.header)
        if entry.seq in held or chunk.header.epoch != books.epoch:
            continue
        if entry.seq > known:
            totals = accounts.booked(books.totals, "produced", {entry.signal: entry.sum})
            books = replace(books, totals=totals)
        books = accounts.placed(books, entry)
    head = max([known, *(chunk.header.seq for chunk in saved)]) + SEQS_SKIPPED
    lost = Ranges(((known + 1, head),)) - of_seqs(chunk.header.seq for chunk in saved)
    totals = msgspec.structs.replace(books.totals, head_seq=head, head_hash=GENESIS_HASH)
    return _balanced(replace(books, totals=totals)), lost


def _balanced(books: Books) -> Books:
    """What the totals cannot explain after a loss was made safe, or lost; it is called damaged."""
    differences = books.imbalance()
    missing = {signal: Sum() - each for signal, each in differences.items()}
    return replace(books, totals=accounts.booked(books.totals, "damaged", missing))


def _saved_rows(folder: Path, damaged: Sequence[int]) -> tuple[list[Chunk], list[Checkpoint]]:
    chunks: dict[int, Chunk] = {}
    checkpoints: list[Checkpoint] = []
    for number in sorted(damaged):
        with _tried_reader(path_of(folder, number)) as connection:
            if connection is None:
                continue
            chunks.update((chunk.header.seq, chunk) for chunk in _sound_rows(connection))
            with contextlib.suppress(*UNREADABLE):
                checkpoints = chunk_table.all_checkpoints(connection)
    return [chunks[seq] for seq in sorted(chunks)], checkpoints


@contextlib.contextmanager
def _tried_reader(path: Path) -> Iterator[sqlite3.Connection | None]:
    try:
        connection = open_reader(path)
    except sqlite3.Error:
        yield None
        return
    try:
        yield connection
    finally:
        connection.close()


def _sound_rows(connection: sqlite3.Connection) -> list[Chunk]:
    """One by one: a cursor that meets a broken page takes the sound row before it along."""
    return [
        chunk
        for seq in chunk_rows.seqs_in(connection)
        if (chunk := chunk_rows.sound_at(connection, seq)) is not None
    ]


def _stale_checkpoints(folder: Path, survey: _Survey) -> list[Checkpoint]:
    if survey.books is None:
        return []
    with _tried_reader(path_of(folder, survey.books.active.number)) as connection:
        if connection is not None:
            with contextlib.suppress(*UNREADABLE):
                return chunk_table.all_checkpoints(connection)
    return []


def _set_aside(folder: Path, number: int) -> None:
    """Keep the broken file for a person to look at; the newest one only, since room is bounded."""
    path = path_of(folder, number)
    for old in folder.glob(f"*{DAMAGED_SUFFIX}"):
        old.unlink(missing_ok=True)
    path.replace(path.with_name(path.name + DAMAGED_SUFFIX))
    remove_file(folder, number)


def _tidy(folder: Path, books: Books, synchronous: str) -> None:
    known = {segment.number for segment in books.segments}
    for number in numbers_in(folder):
        if number not in known:  # Emptied, and not yet removed when the agent was stopped.
            remove_file(folder, number)
        elif number != books.active.number:
            with contextlib.suppress(sqlite3.Error):  # It will be found when it is read.
                settle_wal(folder, number, synchronous)
