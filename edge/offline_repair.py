"""Mending a folder whose agent is stopped, by the very code with which an agent starts."""

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from edge import chunk_rows
from edge.buffer import BufferLimits
from edge.departures import LOT_BYTES, LOT_CHUNKS, Departures
from edge.letters import FILE_NAME as LETTERS_NAME
from edge.letters import open_letters
from edge.log_store import LogStore
from edge.offline import UNREADABLE, Place, reading
from edge.offline_plan import Health
from edge.salvage import open_folder
from edge.segments import SegmentFiles, numbers_in, path_of
from edge.transfers import move
from shared.errors import BadInput, SettingsError, Unavailable
from shared.pidfile import PidFile
from shared.runtime import Runtime
from shared.sqlite import sync_folder

log = logging.getLogger(__name__)

KEPT_FOLDER = "buffer-damaged"
ROOM_BYTES_MIN = 64 * 1024 * 1024
"""Mending writes files anew before it removes the old ones."""


async def repair(place: Place, health: Health, runtime: Runtime) -> Path | None:
    """Do what the plan for this health says; returns the folder with the damaged originals.

    The caller has claimed the place. Raises Unavailable when the disk refuses.
    """
    kept = keep_originals(place, health, runtime.wall_ms())
    async with opened(place, runtime) as departures:
        for file in health.files:
            if file.needs_repair:
                await _mend(departures, file.segment.number)
    return kept


@contextmanager
def claimed(place: Place) -> Iterator[None]:
    """Keep agents out of the folder; raises SettingsError when one runs there."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(PidFile(place.folder))
        except OSError as error:
            raise SettingsError(f"cannot write in {place.folder}: {error.strerror}") from error
        yield


async def _mend(departures: Departures, number: int) -> None:
    """Declare what is lost of a file, and move the rest out of it, so that the file can go."""
    store = departures.store
    if number == store.books.active.number:
        await store.roll()
    await departures.declare_damage(number)
    while True:
        segment = next((each for each in store.books.segments if each.number == number), None)
        if segment is None or not segment.live:
            return
        chunks = await store.read_segment(segment, segment.live, LOT_BYTES, LOT_CHUNKS)
        if not chunks:
            raise Unavailable(f"file {number} gives errors that come and go: is the disk failing?")
        await store.change(move(number, chunks), frees_room=True)
        if store.is_roll_due:
            await store.roll()


@asynccontextmanager
async def opened(place: Place, runtime: Runtime) -> AsyncIterator[Departures]:
    """The log of a folder, opened and set right as the agent does at its start.

    The caller has claimed the place. Raises Unavailable.
    """
    origin = origin_of(place)
    folder = place.buffer
    with contextlib.ExitStack() as closing:
        try:
            found = open_folder(folder, runtime.token_hex(8), "FULL")
            number = found.books.active.number
            files = SegmentFiles(folder, number, "FULL", threads=runtime.threads)
            closing.callback(files.close)
            is_expected = found.books.totals.head_seq > 0
            letters, more = open_letters(folder, threads=runtime.threads, is_expected=is_expected)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"the buffer in {folder} cannot be opened: {error}", 0) from error
        closing.callback(letters.close)
        store = LogStore(files, found.books, runtime, BufferLimits().segment_bytes, _note_damage)
        departures = Departures(store, letters, origin, runtime)
        try:
            await departures.dead.settle()
            await departures.declare_found(replace(found, findings=(*found.findings, *more)))
            await departures.rewrite_former()
            yield departures
        except sqlite3.Error as error:
            raise Unavailable(f"the buffer in {folder} refuses a change: {error}", 0) from error


async def _note_damage(number: int) -> None:
    log.warning("file %d of the buffer has rows that cannot be read", number)


def origin_of(place: Place) -> str:
    """Whose log this is; raises BadInput when neither the identity nor any chunk tells."""
    known = place.node_id or _origin_in_chunks(place)
    if known is None:
        raise BadInput(f"{place.folder} does not tell whose log it holds: identity.json is gone")
    return known


def _origin_in_chunks(place: Place) -> str | None:
    for number in reversed(numbers_in(place.buffer)):
        with (
            contextlib.suppress(*UNREADABLE),  # Another file may tell.
            reading(place, path_of(place.buffer, number)) as connection,
        ):
            for seq in chunk_rows.seqs_in(connection):
                chunk = chunk_rows.sound_at(connection, seq)
                if chunk is not None:
                    return chunk.header.origin
    return None


def keep_originals(place: Place, health: Health, now_ms: int) -> Path | None:
    """Copy the files that a repair takes apart into a folder beside the buffer; durable on return.

    Raises Unavailable when there is no room, or when one cannot be copied.
    """
    originals = list(_originals(place, health))
    if not originals:
        return None
    kept = place.folder / f"{KEPT_FOLDER}-{now_ms}"
    needed = sum(path.stat().st_size for path in originals) + ROOM_BYTES_MIN
    free_bytes = shutil.disk_usage(place.folder).free
    if free_bytes < 2 * needed:
        raise Unavailable(
            f"keeping the originals and writing anew takes {2 * needed} bytes, and {place.folder} "
            f"has {free_bytes} left: make room first",
            0,
        )
    try:
        _copy_all(originals, kept)
    except OSError as error:
        raise Unavailable(f"cannot keep the originals in {kept}: {error}", 0) from error
    return kept


def _originals(place: Place, health: Health) -> Iterable[Path]:
    names = [file.name for file in health.files if file.needs_repair]
    names += [broken.name for broken in health.broken]
    names += [LETTERS_NAME] if health.letters else []
    for name in names:
        for ending in ("", "-wal"):
            path = place.buffer / (name + ending)
            if path.exists():
                yield path


def _copy_all(originals: Iterable[Path], kept: Path) -> None:
    kept.mkdir(mode=0o700)
    for path in originals:
        copy = kept / path.name
        shutil.copy2(path, copy)
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(kept)
    sync_folder(kept.parent)
